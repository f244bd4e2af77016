#include "herd/cli/print_requests.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using Json = nlohmann::json;
using cli::clean;
using cli::Colour;

constexpr std::size_t event_bytes_max = 1024 * 1024;

std::string text(const Json& json, const char* key, std::size_t columns_max)
{
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? clean(found->get_ref<const std::string&>(), columns_max) : std::string{};
}

std::optional<double> number(const Json& json, const char* key)
{
    const auto found = json.find(key);
    return found != json.end() && found->is_number() ? std::optional{found->get<double>()} : std::nullopt;
}

std::string span(const Json& json, const char* key)
{
    const auto ms = number(json, key);
    if (!ms) {
        return "";
    }
    return *ms < 1000 ? fmt::format("{:.0f} ms", *ms) : *ms < 100'000 ? fmt::format("{:.1f} s", *ms / 1000) : fmt::format("{:.0f} s", *ms / 1000);
}

std::string tokens(const Json& json)
{
    const auto in = number(json, "prompt_tokens");
    const auto out = number(json, "output_tokens");
    return in || out ? fmt::format("{:.0f}+{:.0f}", in.value_or(0), out.value_or(0)) : "";
}

/// "12:34:56" of the arrival.
std::string clock_of(const Json& json)
{
    const std::string at = text(json, "at", 40);
    return at.size() >= 19 ? at.substr(11, 8) : at;
}

std::string status_of(const Json& json)
{
    const auto status = number(json, "status");
    if (!status) {
        return text(json, "phase", 10);
    }
    const std::string end = text(json, "termination", 2);
    return fmt::format("{:.0f}{}", *status, end.empty() || end == "--" ? "" : " " + end);
}

Colour colour_of(const Json& json)
{
    const double status = number(json, "status").value_or(0);
    const std::string end = text(json, "termination", 2);
    if (status >= 500 || end.starts_with('N') || end.starts_with('T')) {
        return Colour::red;
    }
    return status >= 400 ? Colour::yellow : Colour::none;
}

std::string joined_tags(const Json& json)
{
    std::string out;
    if (const auto tags = json.find("tags"); tags != json.end() && tags->is_array()) {
        for (const Json& tag : *tags) {
            if (tag.is_string()) {
                out += (out.empty() ? "" : ",") + clean(tag.get_ref<const std::string&>(), 30);
            }
        }
    }
    return out;
}

std::string line_of(const Json& json, const cli::Terminal& terminal)
{
    const std::string model = text(json, "model", 60);
    const auto rate = number(json, "tokens_per_s");
    // Cleaned text has no control bytes; widths count bytes, which is right for the names that models have.
    const std::string line = fmt::format("{:<8}  {:<16}  {:<28}  {:<16}  {:<8}  {:>8}  {:>8}  {:>8}  {:>11}  {:>6}  {:<15}  {}", clock_of(json),
                                         text(json, "id", 24), (model.empty() ? text(json, "path", 60) : model).substr(0, 28),
                                         text(json, "node", 16), status_of(json), span(json, "queue_ms"), span(json, "ttft_ms"),
                                         span(json, "total_ms"), tokens(json), rate ? fmt::format("{:.1f}", *rate) : "",
                                         text(json, "client", 40), joined_tags(json));
    const auto end = line.find_last_not_of(' ');
    return terminal.paint(colour_of(json), line.substr(0, end == std::string::npos ? 0 : end + 1));
}

} // namespace

base::Result<void> print_requests(std::string_view body, const cli::Terminal& terminal)
{
    const Json json = Json::parse(body, nullptr, false);
    const auto list = json.is_object() ? json.find("requests") : json.end();
    if (!json.is_object() || list == json.end() || !list->is_array()) {
        return base::fail(base::Errc::malformed, "the answer is not JSON; is that a herd?");
    }
    if (list->empty()) {
        terminal.out << "no requests\n";
        return {};
    }
    terminal.out << request_heads(terminal) << '\n';
    for (auto one = list->rbegin(); one != list->rend(); ++one) {
        if (one->is_object()) {
            terminal.out << line_of(*one, terminal) << '\n';
        }
    }
    return {};
}

std::string request_heads(const cli::Terminal& terminal)
{
    return terminal.paint(Colour::bold,
                          fmt::format("{:<8}  {:<16}  {:<28}  {:<16}  {:<8}  {:>8}  {:>8}  {:>8}  {:>11}  {:>6}  {:<15}  {}", "TIME", "ID",
                                      "MODEL", "NODE", "STATUS", "QUEUED", "FIRST", "TOTAL", "TOKENS", "TOK/S", "CLIENT", "TAGS"));
}

std::string request_line(std::string_view record, const cli::Terminal& terminal)
{
    const Json json = Json::parse(record, nullptr, false);
    if (!json.is_object()) {
        return {};
    }
    if (const auto skipped = number(json, "skipped")) {
        return terminal.paint(Colour::dim, fmt::format("… and {:.0f} more", *skipped));
    }
    return line_of(json, terminal);
}

void EventReader::feed(std::string_view bytes, const Take& take)
{
    rest_.append(bytes);
    std::size_t from = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', from)) {
        std::string_view text = std::string_view{rest_}.substr(from, end - from);
        text.remove_suffix(text.ends_with('\r') ? 1 : 0);
        line(text, take);
        from = end + 1;
    }
    rest_.erase(0, from);
    if (rest_.size() + data_.size() > event_bytes_max) {
        rest_.clear();
        data_.clear();
    }
}

void EventReader::line(std::string_view text, const Take& take)
{
    if (text.empty()) {
        if (!id_.empty()) {
            last_id_ = id_;
        }
        if (!data_.empty()) {
            take(event_.empty() ? "message" : std::string_view{event_}, data_);
        }
        event_.clear();
        data_.clear();
        return;
    }
    const auto colon = std::min(text.find(':'), text.size());
    const std::string_view name = text.substr(0, colon);
    std::string_view value = text.substr(std::min(colon + 1, text.size()));
    value.remove_prefix(value.starts_with(' ') ? 1 : 0);
    if (name == "event") {
        event_ = value;
    } else if (name == "data") {
        data_.append(data_.empty() ? "" : "\n").append(value);
    } else if (name == "id") {
        id_ = value;
    }
}

} // namespace herd::app
