#include "herd/import/draft.hpp"

#include "base/ip.hpp"
#include "base/text.hpp"
#include "config/sources.hpp"
#include "herd/option_rows.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::app::import {

namespace {

constexpr std::size_t shown_bytes_max = 80;

} // namespace

std::string fault_of(const std::string& toml)
{
    HerdOptions options;
    std::vector<ConfiguredNode> nodes;
    config::Table table = herd_table(options, nodes);
    const auto read = config::read_toml(table, toml, "herd.toml");
    if (read) {
        return {};
    }
    const std::string& why = read.error().context; // "herd.toml line 3: …"
    const auto place = why.find(": ");
    return place == why.npos ? why : why.substr(place + 2);
}

std::uint64_t within(std::uint64_t value, std::uint64_t low, std::uint64_t high, std::string& told)
{
    if (value >= low && value <= high) {
        return value;
    }
    told = fmt::format("{} is written, the {} that herd takes", value < low ? low : high, value < low ? "least" : "most");
    return std::clamp(value, low, high);
}

std::string shown(std::string_view text)
{
    const bool cut = text.size() > shown_bytes_max;
    text = text.substr(0, shown_bytes_max);
    while (cut && !text.empty() && !base::is_utf8(text)) {
        text.remove_suffix(1); // at most a character, of what is text at all
    }
    return fmt::format("\"{}{}\"", text, cut ? "…" : "");
}

void Draft::line(std::string_view key, const Json& value, std::string_view field, Tell tell)
{
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
    const bool plain = value.is_number() || value.is_boolean();
    lines_.push_back({toml_line(key, value), fmt::format("{}{}", field, tell == Tell::nothing ? "" : " " + (plain ? text : shown(text)))});
}

void Draft::lines(std::string text, std::string_view field, std::string_view value)
{
    lines_.push_back({std::move(text), fmt::format("{} {}", field, shown(value))});
}

void Draft::note(std::string_view sentence) { remarks_ += remark_of(sentence); }

std::string Draft::remark_of(std::string_view sentence) const
{
    return remark(of_.empty() ? std::string{sentence} : fmt::format("{}: {}", of_, sentence));
}

Draft::Text Draft::text() const
{
    std::string taken = header_.empty() ? std::string{} : fmt::format("\n{}\n", header_);
    const std::string nothing = taken;
    std::string whole = taken;
    for (const Line& line : lines_) {
        whole += line.text;
    }
    if (fault_of(whole).empty()) {
        return {(lines_.empty() ? std::string{} : whole) + remarks_, !lines_.empty()};
    }
    std::string told = remarks_;
    for (const Line& line : lines_) {
        const std::string fault = fault_of(taken + line.text);
        if (fault.empty()) {
            taken += line.text;
            continue;
        }
        if (header_.starts_with("[[") && taken == nothing) {
            return {"\n" + remark_of(fmt::format("{} is left out with all else of it: {}", line.told, fault)) + told, false};
        }
        told += remark_of(fmt::format("{} is left out: {}", line.told, fault));
    }
    return {(taken == nothing ? std::string{} : taken) + told, taken != nothing};
}

std::string listening(std::string_view host, std::uint64_t port, std::uint64_t usual_port, std::string_view field)
{
    Draft draft("", "");
    if (port > 65535) {
        draft.note(fmt::format("{}: {} is no port, {} is written", field, port, usual_port));
        port = usual_port;
    }
    const std::string_view bare = host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2) : host;
    const auto address = base::IpAddress::parse(bare);
    std::string at = address ? address->text() : base::iequals(bare, "localhost") ? "127.0.0.1" : "0.0.0.0";
    if (!address && at == "0.0.0.0" && !bare.empty() && bare != "*" && bare != "+") {
        draft.note(fmt::format("{}: herd takes addresses in numbers, not {}: it listens at every address of this machine", field, shown(host)));
    }
    if (at.contains(':')) {
        at = "[" + at + "]";
    }
    draft.line("listen", Json::array({fmt::format("{}:{}", at, port)}), field);
    return draft.text().toml;
}

} // namespace herd::app::import
