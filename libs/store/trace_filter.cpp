#include "store/trace_filter.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace herd::store {

std::string Cursor::text() const { return std::to_string(at_us) + "." + std::to_string(seq); }

std::optional<Cursor> Cursor::parse(std::string_view text)
{
    const auto dot = text.find('.');
    if (dot == std::string_view::npos) {
        return std::nullopt;
    }
    const auto at = base::parse_unsigned(text.substr(0, dot));
    const auto seq = base::parse_unsigned(text.substr(dot + 1));
    constexpr std::uint64_t most = std::uint64_t{1} << 62;
    if (!at || !seq || *at > most || *seq > most) {
        return std::nullopt;
    }
    return Cursor{static_cast<std::int64_t>(*at), *seq};
}

Cursor Cursor::of(const RequestRecord& record) { return {record.at.time_since_epoch().count(), record.seq}; }

std::optional<StatusFilter> StatusFilter::parse(std::string_view text)
{
    if (text == "ok") {
        return StatusFilter{Kind::ok};
    }
    if (text == "failed") {
        return StatusFilter{Kind::failed};
    }
    if (text.size() == 3 && text.ends_with("xx") && text[0] >= '1' && text[0] <= '5') {
        const int hundred = (text[0] - '0') * 100;
        return StatusFilter{Kind::codes, hundred, hundred + 99};
    }
    const auto code = base::parse_unsigned(text);
    if (!code || *code < 100 || *code > 599) {
        return std::nullopt;
    }
    return StatusFilter{Kind::codes, static_cast<int>(*code), static_cast<int>(*code)};
}

bool matches(const TraceFilter& filter, const RequestRecord& record)
{
    const auto fits = [](const std::string& wanted, const std::string& has) { return wanted.empty() || wanted == has; };
    if (!fits(filter.node, record.node) || !fits(filter.key, record.key) || !fits(filter.client, record.client)) {
        return false;
    }
    if (!filter.model.empty() && filter.model != record.model && filter.model != record.requested_model) {
        return false;
    }
    if (!filter.tag.empty() && std::ranges::find(record.tags, filter.tag) == record.tags.end()) {
        return false;
    }
    switch (filter.status.kind) {
    case StatusFilter::Kind::any: break;
    case StatusFilter::Kind::codes:
        if (record.status < filter.status.first || record.status > filter.status.last) {
            return false;
        }
        break;
    case StatusFilter::Kind::ok:
        if (record.status >= 400 || !record.termination.starts_with('-')) {
            return false;
        }
        break;
    case StatusFilter::Kind::failed:
        if (!record.failed()) {
            return false;
        }
        break;
    }
    if (filter.models_alone && !record.wants_model()) {
        return false;
    }
    if (filter.since && record.at < *filter.since) {
        return false;
    }
    return !filter.before || Cursor::of(record) < *filter.before;
}

bool newer(const RequestRecord& a, const RequestRecord& b) { return Cursor::of(a) > Cursor::of(b); }

} // namespace herd::store
