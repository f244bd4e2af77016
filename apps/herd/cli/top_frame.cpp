#include "herd/cli/top_frame.hpp"

#include "cli/terminal.hpp"
#include "herd/cli/print.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using cli::clean;
using cli::Colour;
using Json = nlohmann::json;

const Json& at(const Json& json, const char* key)
{
    static const Json nothing;
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() ? *found : nothing;
}

std::string text(const Json& json, const char* key)
{
    const Json& value = at(json, key);
    return value.is_string() ? clean(value.get_ref<const std::string&>(), 200) : std::string{};
}

std::optional<double> number(const Json& json, const char* key)
{
    const Json& value = at(json, key);
    return value.is_number() ? std::optional{value.get<double>()} : std::nullopt;
}

long count(const Json& json, const char* key)
{
    const double value = number(json, key).value_or(0);
    return std::abs(value) < 1e15 ? std::lround(value) : 0;
}

const Json& list(const Json& json, const char* key)
{
    static const Json empty = Json::array();
    const Json& value = at(json, key);
    return value.is_array() ? value : empty;
}

std::size_t columns_of(std::string_view text)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// One line in the making, never wider than the screen.
class Line {
public:
    explicit Line(const TopShape& shape) : shape_(shape), room_(static_cast<std::size_t>(std::max(20, shape.columns))) {}

    Line& add(std::string_view text, Colour colour = Colour::none)
    {
        if (left() > 0 && !text.empty()) {
            // clean() puts its sign of more behind what it keeps
            const std::string shown = columns_of(text) > left() ? clean(text, left() - 1) : std::string{text};
            out_ += terminal().paint(colour, shown);
            used_ += columns_of(shown);
        }
        return *this;
    }
    /// Exactly `width` columns; a gap of two behind it.
    Line& cell(std::string_view text, std::size_t width, bool right = false, Colour colour = Colour::none)
    {
        const std::string shown = columns_of(text) > width ? clean(text, width - 1) : std::string{text};
        const std::string pad(width - std::min(width, columns_of(shown)), ' ');
        if (right) {
            add(pad);
        }
        add(shown, colour);
        if (!right) {
            add(pad);
        }
        return add("  ");
    }
    /// Fills up to `column` counted from the right end.
    Line& fill_to_end(std::size_t columns)
    {
        while (used_ + columns < room_) {
            add(" ");
        }
        return *this;
    }
    [[nodiscard]] std::size_t left() const { return room_ - used_; }
    [[nodiscard]] std::string done() const { return out_; }

private:
    [[nodiscard]] cli::Terminal terminal() const
    {
        static std::ostringstream nowhere; // paint() writes nothing
        return {nowhere, nowhere, shape_.colours};
    }
    const TopShape& shape_;
    std::size_t room_;
    std::size_t used_{0};
    std::string out_;
};

Colour colour_of_state(std::string_view state)
{
    if (state == "online") {
        return Colour::green;
    }
    return state == "draining" || state == "suspect" || state == "unknown" ? Colour::yellow : Colour::red;
}

std::string bar(double share, bool unicode)
{
    constexpr int cells = 8;
    const int full = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * cells));
    std::string out;
    for (int i = 0; i < cells; ++i) {
        out += i < full ? (unicode ? "█" : "#") : (unicode ? "░" : ".");
    }
    return out;
}

std::string time_text(std::optional<double> ms)
{
    if (!ms || *ms <= 0) {
        return "-";
    }
    if (*ms < 1000) {
        return fmt::format("{:.{}f} ms", *ms, *ms < 10 ? 1 : 0);
    }
    return *ms < 60'000 ? fmt::format("{:.2f} s", *ms / 1000) : cli::human_span(*ms / 1000);
}

/// What a column needs to appear, so that narrow terminals keep the important ones.
struct Columns {
    std::size_t name;
    bool latency;
    bool bars;
    bool memory;
    bool gpu;
};

Columns columns_for(const TopShape& shape, const Json& nodes)
{
    std::size_t name = 4;
    for (const Json& node : nodes) {
        name = std::max(name, columns_of(text(node, "name")));
    }
    const int wide = shape.columns;
    return {.name = std::min<std::size_t>(name, wide < 90 ? 14 : 24), .latency = wide >= 84, .bars = wide >= 70, .memory = wide >= 100, .gpu = wide >= 116};
}

struct Video {
    double total{0};
    double free{0};
    double busy{0};
    int gpus{0};
    bool free_known{true};
    bool busy_known{true};
};

Video video_of(const Json& node)
{
    Video video;
    for (const Json& gpu : list(node, "gpus")) {
        ++video.gpus;
        const auto free = number(gpu, "vram_free_bytes");
        const auto busy = number(gpu, "busy");
        video.total += number(gpu, "vram_total_bytes").value_or(0);
        video.free += free.value_or(0);
        video.busy += busy.value_or(0);
        video.free_known = video.free_known && free.has_value();
        video.busy_known = video.busy_known && busy.has_value();
    }
    return video;
}

std::string node_heads(const TopShape& shape, const Columns& columns)
{
    Line line(shape);
    line.cell("NODE", columns.name, false, Colour::dim).cell("STATE", 11, false, Colour::dim);
    if (columns.latency) {
        line.cell("TRIP", 8, true, Colour::dim);
    }
    line.cell("SLOTS", 5, true, Colour::dim).cell("WAIT", 4, true, Colour::dim);
    line.cell("CPU", columns.bars ? 14 : 5, false, Colour::dim);
    if (columns.memory) {
        line.cell("RAM FREE", 9, true, Colour::dim);
    }
    if (columns.gpu) {
        line.cell("VRAM FREE", 9, true, Colour::dim).cell("GPU", 5, true, Colour::dim);
    }
    return line.add("IN MEMORY", Colour::dim).done();
}

std::string loaded_names(const Json& node)
{
    std::string names;
    for (const Json& model : list(node, "loaded")) {
        names.append(names.empty() ? "" : ", ").append(text(model, "name"));
    }
    return names;
}

std::string node_line(const TopShape& shape, const Columns& columns, const Json& node)
{
    const std::string state = text(node, "state");
    const Json& slots = at(node, "slots");
    const long total = count(slots, "total");
    const auto busy = number(at(node, "cpu"), "busy");
    const bool away = state == "offline" || state == "unreachable";
    Line line(shape);
    line.cell(text(node, "name"), columns.name, false, away ? Colour::dim : Colour::bold).cell(state, 11, false, colour_of_state(state));
    if (columns.latency) {
        line.cell(time_text(number(node, "latency_ms")), 8, true);
    }
    line.cell(fmt::format("{}/{}", std::max(0L, total - count(slots, "free")), total), 5, true);
    line.cell(count(node, "queued") > 0 ? std::to_string(count(node, "queued")) : "-", 4, true);
    const std::string share = busy ? fmt::format("{:3.0f} %", *busy * 100) : "  -";
    line.cell(columns.bars && busy ? bar(*busy, shape.unicode) + " " + share : share, columns.bars ? 14 : 5);
    if (columns.memory) {
        const auto free = number(at(node, "memory"), "available_bytes");
        line.cell(free ? cli::human_bytes(*free) : "-", 9, true);
    }
    if (columns.gpu) {
        const Video video = video_of(node);
        line.cell(video.gpus > 0 && video.free_known ? cli::human_bytes(video.free) : "-", 9, true);
        line.cell(video.gpus > 0 && video.busy_known ? fmt::format("{:.0f} %", video.busy / video.gpus * 100) : "-", 5, true);
    }
    const std::string reason = text(node, "state_reason");
    return line.add(state != "online" && !reason.empty() ? reason : loaded_names(node), state == "online" ? Colour::none : Colour::dim).done();
}

std::string request_line(const TopShape& shape, const Json& request, base::WallTime now)
{
    const auto status = number(request, "status");
    const auto at_time = parse_timestamp(text(request, "at"));
    const double age_ms = at_time ? std::max(0.0, std::chrono::duration<double, std::milli>(now - *at_time).count()) : 0;
    const std::string model = text(request, "model").empty() ? text(request, "requested_model") : text(request, "model");
    const bool wide = shape.columns >= 90;
    Line line(shape);
    Colour colour = Colour::yellow;
    if (status) {
        colour = *status < 400 ? Colour::green : *status < 500 ? Colour::yellow : Colour::red;
    }
    line.cell(status ? fmt::format("{:.0f}", *status) : text(request, "phase"), 9, false, colour);
    line.cell(status ? time_text(number(request, "total_ms")) : time_text(age_ms), 9, true);
    if (wide) {
        line.cell(time_text(number(request, "ttft_ms")), 9, true);
        const auto speed = number(request, "tokens_per_s");
        line.cell(speed ? fmt::format("{:.0f}", *speed) : "-", 5, true);
    }
    line.cell(model.empty() ? text(request, "path") : model, wide ? 28 : 20);
    line.cell(text(request, "node").empty() ? "-" : text(request, "node"), 14);
    return line.add(text(request, "client"), Colour::dim).done();
}

std::string request_heads(const TopShape& shape)
{
    Line line(shape);
    line.cell("REQUEST", 9, false, Colour::dim).cell("TOTAL", 9, true, Colour::dim);
    if (shape.columns >= 90) {
        line.cell("FIRST", 9, true, Colour::dim).cell("TOK/S", 5, true, Colour::dim);
    }
    return line.cell("MODEL", shape.columns >= 90 ? 28 : 20, false, Colour::dim).cell("NODE", 14, false, Colour::dim).add("CLIENT", Colour::dim).done();
}

std::string head_line(const TopShape& shape, const Json& status, const std::string& url)
{
    const Json& nodes = at(status, "nodes");
    const Json& requests = at(status, "requests");
    Line line(shape);
    line.add("herd " + text(status, "version"), Colour::bold);
    const long away = count(nodes, "total") - count(nodes, "online");
    line.add(fmt::format("  {} of {} nodes online", count(nodes, "online"), count(nodes, "total")), away > 0 ? Colour::yellow : Colour::none);
    line.add(fmt::format("  {} running  {} waiting  {} requests", count(requests, "in_flight"), count(requests, "queued"), count(requests, "total")));
    const long failed = count(requests, "failed");
    line.add(fmt::format("  {} failed", failed), failed > 0 ? Colour::red : Colour::none);
    line.add("  up " + cli::human_span(number(status, "uptime_s").value_or(0)));
    if (line.left() > columns_of(url) + 2) {
        line.fill_to_end(columns_of(url)).add(url, Colour::dim);
    }
    return line.done();
}

std::string last_line(const TopShape& shape, const TopNews& news)
{
    Line line(shape);
    if (!news.trouble.empty()) {
        return line.add(news.trouble + "; trying again", Colour::red).done();
    }
    return line.add(shape.paused ? "paused" : "live", shape.paused ? Colour::yellow : Colour::green)
        .add(shape.unicode ? "   q quit   ↑ ↓ scroll   p pause" : "   q quit   up, down scroll   p pause", Colour::dim)
        .done();
}

/// Troubled nodes first, then by name: what needs a look is in sight on a small screen.
std::vector<const Json*> in_order(const Json& nodes)
{
    std::vector<const Json*> order;
    for (const Json& node : nodes) {
        order.push_back(&node);
    }
    std::ranges::sort(order, {}, [](const Json* node) {
        const std::string state = text(*node, "state");
        return std::pair{state == "online" ? 1 : 0, text(*node, "name")};
    });
    return order;
}

} // namespace

TopFrame top_frame(const TopNews& news, const TopShape& shape, const std::string& url, base::WallTime now)
{
    const Json status = Json::parse(news.status, nullptr, false);
    const Json nodes_json = Json::parse(news.nodes, nullptr, false);
    const Json running = Json::parse(news.running, nullptr, false);
    const Json ended = Json::parse(news.ended, nullptr, false);
    const Json& nodes = list(nodes_json, "nodes");
    const auto order = in_order(nodes);
    const Columns columns = columns_for(shape, nodes);
    const bool limited = shape.lines > 0;
    const std::size_t lines_max = limited ? static_cast<std::size_t>(std::max(4, shape.lines)) : SIZE_MAX;

    TopFrame frame;
    frame.lines = {head_line(shape, status, url)};
    for (const Json& use : list(status, "use")) { // who looks for the reason of a quiet fleet looks here
        const std::string state = text(use, "state");
        const std::string words = use_words(text(use, "frontend"), text(use, "node"), state);
        frame.lines.push_back(Line(shape).add(words, state == "online" ? Colour::yellow : Colour::red).done());
    }
    frame.lines.insert(frame.lines.end(), {"", node_heads(shape, columns)});
    // Requests get a third of the screen at least, nodes the rest; what one does not need the other has.
    const std::size_t requests = list(running, "requests").size() + list(ended, "requests").size();
    const std::size_t fixed = frame.lines.size() + 1;
    const std::size_t room = lines_max > fixed ? lines_max - fixed : 0;
    const std::size_t wanted = requests == 0 ? 0 : std::min(requests + 2, limited ? std::max<std::size_t>(room / 3, 5) : 22);
    const std::size_t node_room = limited ? std::max<std::size_t>(1, room > wanted ? room - wanted : 1) : order.size();
    frame.scroll_max = order.size() > node_room ? order.size() - node_room : 0;
    const std::size_t first = std::min(shape.scroll, frame.scroll_max);
    for (std::size_t i = first; i < std::min(order.size(), first + node_room); ++i) {
        frame.lines.push_back(node_line(shape, columns, *order[i]));
    }
    if (order.empty()) {
        frame.lines.push_back(Line(shape).add("No node yet: start herd-node beside an Ollama.", Colour::dim).done());
    }
    const auto room_left = [&] { return frame.lines.size() + 1 < lines_max; };
    if (requests > 0 && room_left()) {
        frame.lines.emplace_back();
        frame.lines.push_back(request_heads(shape));
        const std::size_t end = limited ? lines_max - 1 : frame.lines.size() + 20;
        for (const Json* source : {&running, &ended}) {
            for (const Json& request : list(*source, "requests")) {
                if (frame.lines.size() < end) {
                    frame.lines.push_back(request_line(shape, request, now));
                }
            }
        }
    }
    if (limited) {
        frame.lines.resize(std::min(frame.lines.size(), lines_max - 1));
        frame.lines.resize(lines_max - 1);
        frame.lines.push_back(last_line(shape, news));
    }
    return frame;
}

} // namespace herd::app
