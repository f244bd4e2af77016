#include "herd/cli/print_requests.hpp"

#include <algorithm>
#include <array>
#include <iterator>
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

/// "26+48": read and written; a question mark for what the node did not tell.
std::string tokens(const Json& json)
{
    const auto in = number(json, "prompt_tokens");
    const auto out = number(json, "output_tokens");
    const auto word = [](const std::optional<double>& count) { return count ? fmt::format("{:.0f}", *count) : std::string{"?"}; };
    return in || out ? word(in) + "+" + word(out) : "";
}

/// "12:34:56" of the arrival, in UTC as herd tells it.
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

/// What a line may have; where the terminal is narrow the columns of the highest rank go first.
struct Column {
    std::string_view head;
    std::size_t width;
    bool right;
    int rank;
};
constexpr Column columns[] = {{"TIME UTC", 8, false, 0}, {"ID", 16, false, 4},   {"MODEL", 28, false, 1}, {"NODE", 16, false, 2},
                              {"STATUS", 8, false, 0},   {"QUEUED", 8, true, 6}, {"FIRST", 8, true, 5},   {"TOTAL", 8, true, 0},
                              {"TOKENS", 11, true, 3},   {"TOK/S", 6, true, 7},  {"CLIENT", 15, false, 8}, {"TAGS", 0, false, 9}};
constexpr std::size_t columns_count = std::size(columns);
using Cells = std::array<std::string, columns_count>;

/// The highest rank that finds room in `room` columns.
int highest_rank(std::size_t room)
{
    int rank = 9;
    for (; rank > 0 && room > 0; --rank) {
        std::size_t width = 0;
        for (const Column& column : columns) {
            width += column.rank <= rank ? column.width + 2 : 0;
        }
        if (width <= room + 2) {
            break;
        }
    }
    return rank;
}

std::string laid_out(const Cells& cells, std::size_t room)
{
    const int rank = highest_rank(room);
    std::string line;
    for (std::size_t i = 0; i < columns_count; ++i) {
        if (columns[i].rank <= rank) {
            line += line.empty() ? "" : "  ";
            line += columns[i].right ? fmt::format("{:>{}}", cells[i], columns[i].width) : fmt::format("{:<{}}", cells[i], columns[i].width);
        }
    }
    const auto end = line.find_last_not_of(' ');
    line.resize(end == std::string::npos ? 0 : end + 1);
    return room > 0 ? clean(line, room - 1) : line; // the last one is as long as it likes
}

std::string line_of(const Json& json, const cli::Terminal& terminal, std::size_t room)
{
    const std::string model = text(json, "model", 27); // and an ellipsis
    const auto rate = number(json, "tokens_per_s");
    const Cells cells{clock_of(json), text(json, "id", 24), model.empty() ? text(json, "path", 27) : model, text(json, "node", 15),
                      status_of(json), span(json, "queue_ms"), span(json, "ttft_ms"), span(json, "total_ms"), tokens(json),
                      rate ? fmt::format("{:.1f}", *rate) : "", text(json, "client", 40), joined_tags(json)};
    return terminal.paint(colour_of(json), laid_out(cells, room));
}

} // namespace

base::Result<void> print_requests(std::string_view body, const cli::Terminal& terminal, std::size_t room)
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
    terminal.out << request_heads(terminal, room) << '\n';
    for (auto one = list->rbegin(); one != list->rend(); ++one) {
        if (one->is_object()) {
            terminal.out << line_of(*one, terminal, room) << '\n';
        }
    }
    return {};
}

std::string request_heads(const cli::Terminal& terminal, std::size_t room)
{
    Cells heads;
    std::ranges::transform(columns, heads.begin(), [](const Column& column) { return std::string{column.head}; });
    return terminal.paint(Colour::bold, laid_out(heads, room));
}

std::string request_line(std::string_view record, const cli::Terminal& terminal, std::size_t room)
{
    const Json json = Json::parse(record, nullptr, false);
    if (!json.is_object()) {
        return {};
    }
    if (const auto skipped = number(json, "skipped")) {
        return terminal.paint(Colour::dim, fmt::format("… and {:.0f} more", *skipped));
    }
    return line_of(json, terminal, room);
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
