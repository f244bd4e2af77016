#include "herd/admin/query.hpp"

#include "base/text.hpp"
#include "base/units.hpp"
#include "herd/cli/print.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace herd::app::admin {

Query::Query(std::string_view text, std::initializer_list<std::string_view> known)
{
    const std::vector<std::string> names(known.begin(), known.end());
    while (!text.empty()) {
        const auto end = std::min(text.find('&'), text.size());
        const std::string_view pair = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (pair.empty()) {
            continue;
        }
        const auto equals = std::min(pair.find('='), pair.size());
        const auto name = base::percent_decoded(pair.substr(0, equals), true);
        const auto value = base::percent_decoded(pair.substr(std::min(equals + 1, pair.size())), true);
        if (!name || !value) {
            fail("bad escape in the query");
            return;
        }
        if (std::ranges::find(names, *name) == names.end()) {
            const std::string near = base::nearest(*name, names);
            fail(fmt::format("unknown parameter \"{}\"{}", *name, near.empty() ? "" : "; did you mean " + near + "?"));
            return;
        }
        if (!values_.emplace(*name, *value).second) {
            fail(fmt::format("parameter {} is given twice", *name));
            return;
        }
    }
}

void Query::fail(std::string sentence)
{
    if (fault_.empty()) {
        fault_ = std::move(sentence);
    }
}

std::string Query::text(std::string_view name) const
{
    const auto found = values_.find(name);
    return found == values_.end() ? std::string{} : found->second;
}

std::uint64_t Query::number(std::string_view name, std::uint64_t otherwise, std::uint64_t least, std::uint64_t most)
{
    if (!has(name)) {
        return otherwise;
    }
    const auto value = base::parse_unsigned(text(name));
    if (!value || *value < least || *value > most) {
        fail(fmt::format("{} wants a number from {} to {}", name, least, most));
        return otherwise;
    }
    return *value;
}

base::Duration Query::duration(std::string_view name, base::Duration otherwise)
{
    if (!has(name)) {
        return otherwise;
    }
    const auto value = base::parse_duration(text(name));
    if (!value || *value <= base::Duration{}) {
        fail(fmt::format("{} wants a span of time, for example 1h", name));
    }
    return value.value_or(otherwise);
}

std::optional<base::WallTime> Query::time(std::string_view name, base::WallTime now)
{
    if (!has(name)) {
        return std::nullopt;
    }
    const std::string value = text(name);
    if (const auto at = parse_timestamp(value)) {
        return at;
    }
    if (const auto epoch = base::parse_unsigned(value.substr(0, value.find('.'))); epoch && *epoch < 100'000'000'000) {
        return base::WallTime{std::chrono::seconds{*epoch}};
    }
    if (const auto ago = base::parse_duration(value)) {
        return now - std::chrono::duration_cast<std::chrono::microseconds>(*ago);
    }
    fail(fmt::format("{} wants a time (2026-05-01T12:00:00Z), seconds of the epoch, or a span before now (24h)", name));
    return std::nullopt;
}

} // namespace herd::app::admin
