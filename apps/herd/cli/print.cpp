#include "herd/cli/print.hpp"

#include "base/text.hpp"
#include "base/units.hpp"
#include "herd/cli/answer_json.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace herd::app {

namespace {

using cli::clean;
using cli::Colour;
using cli::TextTable;
using namespace answer;

std::string size_text(const Json& json, std::string_view key)
{
    const auto bytes = number(json, key);
    return bytes && *bytes > 0 ? cli::human_bytes(*bytes) : std::string{};
}

Colour colour_of(std::string_view state)
{
    if (state == "online") {
        return Colour::green;
    }
    return state == "draining" || state == "suspect" || state == "unknown" ? Colour::yellow : Colour::red;
}

/// "12.0 GiB / 64.0 GiB"; the first alone when the second is not known.
std::string free_of(std::optional<double> free, std::optional<double> total)
{
    if (!free || !total || *total <= 0) {
        return {};
    }
    return cli::human_bytes(*free) + " / " + cli::human_bytes(*total);
}

std::string gpu_memory(const Json& node)
{
    double free = 0;
    double total = 0;
    bool known = true;
    for (const Json& gpu : list(node, "gpus")) {
        total += number(gpu, "vram_total_bytes").value_or(0);
        known = known && number(gpu, "vram_free_bytes").has_value();
        free += number(gpu, "vram_free_bytes").value_or(0);
    }
    return known ? free_of(free, total) : std::string{};
}

std::string joined_names(const Json& models)
{
    std::string out;
    for (const Json& model : models) {
        out += (out.empty() ? "" : ", ") + text(model, "name");
    }
    return clean(out, 40);
}

std::string percent(const Json& node)
{
    const auto busy = number(at(node, "cpu"), "busy");
    return busy ? fmt::format("{:.0f} %", *busy * 100) : std::string{};
}

/// "64 tok/s": of what is in memory the fastest that was measured there.
std::string speed(const Json& node)
{
    double best = 0;
    for (const Json& model : list(node, "loaded")) {
        const Json& name = at(model, "name");
        const Json& rates = at(at(node, "rates"), name.is_string() ? name.get_ref<const std::string&>() : std::string());
        if (is_true(rates, "measured")) {
            best = std::max(best, number(rates, "decode_tokens_per_s").value_or(0));
        }
    }
    return best > 0 ? fmt::format("{:.0f} tok/s", best) : std::string{};
}

/// Names that several nodes have: `herd drain` and the others need an id then.
std::set<std::string> names_of_several(const Json& nodes)
{
    std::set<std::string> seen;
    std::set<std::string> several;
    for (const Json& node : nodes) {
        const std::string name = text(node, "name");
        if (!seen.insert(base::lower(name)).second) {
            several.insert(base::lower(name));
        }
    }
    return several;
}

/// "box1", or "box1 (0f8fad5b)".
std::string shown_name(const Json& node, const std::set<std::string>& several)
{
    const std::string name = text(node, "name");
    return several.contains(base::lower(name)) ? fmt::format("{} ({})", name, text(node, "id").substr(0, 8)) : name;
}

void node_row(TextTable& table, const Json& node, const std::string& name)
{
    const std::string state = text(node, "state");
    const auto seen = number(node, "last_seen_ms");
    const auto latency = number(node, "latency_ms");
    const Json& slots = at(node, "slots");
    const std::size_t models = list(node, "models").size();
    table.row(
        {{name, Colour::none},
         {state, colour_of(state)},
         {text(node, "url").empty() ? text(node, "address") : text(node, "url"), Colour::none},
         {fmt::format("{} of {}", count(node, "in_flight"), count(slots, "total")), Colour::none},
         {count(node, "queued") == 0 ? "" : fmt::format("{}", count(node, "queued")), Colour::yellow},
         {percent(node), Colour::none},
         {free_of(number(at(node, "memory"), "available_bytes"), number(at(node, "memory"), "total_bytes")),
          Colour::none},
         {gpu_memory(node), Colour::none},
         {models == 0 ? "-" : fmt::format("{}", models), Colour::none},
         {joined_names(list(node, "loaded")), Colour::none},
         {speed(node), Colour::none},
         {latency ? fmt::format("{:.1f} ms", *latency) : "", Colour::dim},
         {seen ? cli::human_span(*seen / 1000) + " ago" : "never", Colour::dim}});
}

std::string count_of_states(const Json& nodes)
{
    std::string out;
    for (const char* state : {"online", "draining", "suspect", "unknown", "unreachable", "offline"}) {
        if (const auto n = count(nodes, state); n > 0) {
            out += fmt::format("{}{} {}", out.empty() ? "" : ", ", n, state);
        }
    }
    return out.empty() ? "none yet" : out;
}

std::string until_text(const std::string& expires_at, base::WallTime now)
{
    const auto when = parse_timestamp(expires_at);
    if (!when) {
        return {};
    }
    const double left = std::chrono::duration<double>(*when - now).count();
    if (left > 50.0 * 365 * 86400) {
        return "forever";
    }
    return left <= 0 ? "busy or stopping" : cli::human_span(left) + " from now";
}

/// As `ollama ps` says it.
std::string processor(const Json& model)
{
    const double size = number(model, "size").value_or(0);
    const double vram = number(model, "size_vram").value_or(0);
    if (size <= 0 || vram <= 0) {
        return "100% CPU";
    }
    const double cpu = std::clamp((size - vram) / size * 100, 0.0, 100.0);
    return cpu < 0.5 ? "100% GPU" : fmt::format("{:.0f}%/{:.0f}% CPU/GPU", cpu, 100 - cpu);
}

/// Of a row of /api/ps: one per node.
std::string node_of(const Json& model) { return clean(text(at(model, "herd"), "node"), 40); }

/// Two or four decimal digits.
std::optional<int> digits(std::string_view text, std::size_t from, std::size_t length)
{
    const auto value =
        from + length <= text.size() ? base::parse_unsigned(text.substr(from, length)) : std::nullopt;
    return value ? std::optional{static_cast<int>(*value)} : std::nullopt;
}

} // namespace

std::string use_words(const std::string& frontend, const std::string& node, const std::string& state)
{
    const bool all = frontend == "default";
    return fmt::format("{} is sent to {}{}; `herd use auto{}` undoes it", all ? "everything" : "frontend " + frontend, node,
                       state == "online" ? "" : ", which is " + state, all ? "" : " --frontend " + frontend);
}

base::Result<void> print_use(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    const std::string node = text(*json, "use");
    const std::string frontend = text(*json, "id");
    const std::string who = frontend == "default" ? "everything" : fmt::format("frontend {}", frontend);
    terminal.out << (node.empty() ? fmt::format("{} goes to the best node again\n", who)
                                  : fmt::format("{} goes to {} from the next request on; `herd use auto` undoes it\n", who, node));
    return {};
}

base::Result<void> print_status(std::string_view body, std::string_view url, const cli::Terminal& terminal)
{
    const auto json = parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    const Json& nodes = at(*json, "nodes");
    const Json& models = at(*json, "models");
    const Json& requests = at(*json, "requests");
    const std::string name = terminal.paint(Colour::bold, fmt::format("herd {}", text(*json, "version")));
    terminal.out << fmt::format("{} at {}, up {}\n", name, url,
                                cli::human_span(number(*json, "uptime_s").value_or(0)));
    terminal.out << fmt::format(
        "  nodes     {}\n",
        terminal.paint(count(nodes, "online") > 0 ? Colour::green : Colour::red, count_of_states(nodes)));
    terminal.out << fmt::format("  models    {} available, {} in memory\n", count(models, "available"),
                                count(models, "loaded"));
    terminal.out << fmt::format("  requests  {} running, {} waiting; {} so far, {} failed\n",
                                count(requests, "in_flight"), count(requests, "queued"),
                                count(requests, "total"), count(requests, "failed"));
    for (const Json& use : list(*json, "use")) {
        const std::string state = text(use, "state");
        const std::string words = use_words(text(use, "frontend"), text(use, "node"), state);
        terminal.out << "  use       " << terminal.paint(state == "online" ? Colour::yellow : Colour::red, words) << '\n';
    }
    if (count(nodes, "total") == 0) {
        terminal.out
            << "No node has been seen yet: start herd-node beside an Ollama, or `herd nodes add URL`.\n";
    }
    return {};
}

base::Result<void> print_added(std::string_view body, const std::string& url, const cli::Terminal& terminal)
{
    const auto json = parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    const std::string state = text(*json, "state");
    const Json& why = at(*json, "state_reason");
    const std::string reason = why.is_string() ? clean(why.get_ref<const std::string&>(), 300) : std::string{};
    terminal.out << "added " << url;
    if (!state.empty() && state != "online") {
        terminal.out << ", but it is " << terminal.paint(colour_of(state), state) << (reason.empty() ? "" : ": " + reason);
    }
    terminal.out << '\n';
    return {};
}

base::Result<void> print_nodes(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    TextTable table({"NAME", "STATE", "ADDRESS", "RUNNING", "WAITING", "CPU", "MEMORY FREE", "GPU FREE",
                     "MODELS", "IN MEMORY", "SPEED", "LATENCY", "SEEN"});
    std::string reasons;
    const auto several = names_of_several(list(*json, "nodes"));
    for (const Json& node : list(*json, "nodes")) {
        const std::string name = shown_name(node, several);
        node_row(table, node, name);
        const std::string state = text(node, "state");
        const Json& why = at(node, "state_reason");
        if (state != "online" && why.is_string() && !why.get_ref<const std::string&>().empty()) {
            reasons +=
                fmt::format("{} is {}: {}\n", name, terminal.paint(colour_of(state), state),
                            clean(why.get_ref<const std::string&>(), 300));
        }
    }
    if (table.empty()) {
        terminal.out
            << "No node has been seen yet: start herd-node beside an Ollama, or `herd nodes add URL`.\n";
        return {};
    }
    table.print(terminal);
    terminal.out << (reasons.empty() ? "" : "\n") << reasons;
    return {};
}

base::Result<void> print_models(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    TextTable table({"NAME", "SIZE", "NODES", "IN MEMORY ON", "RUNNING", "ON"});
    for (const Json& model : list(*json, "models")) {
        std::string on;
        std::string loaded;
        std::uint64_t running = 0;
        double size = 0;
        for (const Json& holder : list(model, "nodes")) {
            const std::string node = text(holder, "node");
            on += (on.empty() ? "" : ", ") + node;
            if (is_true(holder, "loaded")) {
                loaded += (loaded.empty() ? "" : ", ") + node;
            }
            running += count(holder, "in_flight");
            size = std::max(size, number(holder, "size").value_or(0));
        }
        const bool differs = list(model, "digests").size() > 1;
        table.row({{text(model, "name"), Colour::none},
                   {size > 0 ? cli::human_bytes(size) : "", Colour::none},
                   {fmt::format("{}{}", list(model, "nodes").size(), differs ? " (different builds)" : ""),
                    differs ? Colour::yellow : Colour::none},
                   {clean(loaded, 40), Colour::green},
                   {running == 0 ? "" : fmt::format("{}", running), Colour::none},
                   {clean(on, 60), Colour::dim}});
    }
    if (table.empty()) {
        terminal.out << "No model is on any node: `herd pull MODEL`, or `ollama pull MODEL` on a node.\n";
        return {};
    }
    table.print(terminal);
    return {};
}

base::Result<void> print_loaded(std::string_view body, base::WallTime now, const cli::Terminal& terminal)
{
    const auto json = parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    TextTable table({"NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL", "NODE"});
    for (const Json& model : list(*json, "models")) {
        std::string digest = text(model, "digest");
        digest = digest.starts_with("sha256:") ? digest.substr(7) : digest;
        const auto context = count(model, "context_length");
        const Json& expires = at(model, "expires_at");
        table.row({{text(model, "name"), Colour::none},
                   {digest.substr(0, 12), Colour::dim},
                   {size_text(model, "size"), Colour::none},
                   {processor(model), Colour::none},
                   {context == 0 ? "" : fmt::format("{}", context), Colour::none},
                   {expires.is_string() ? until_text(expires.get_ref<const std::string&>(), now) : "",
                    Colour::none},
                   {node_of(model), Colour::none}});
    }
    if (table.empty()) {
        terminal.out << "No model is in memory.\n";
        return {};
    }
    table.print(terminal);
    return {};
}

std::string error_of(std::string_view body)
{
    const auto json = parse(body);
    const Json& error = json ? at(*json, "error") : at(Json{}, "error");
    if (error.is_string()) {
        return clean(error.get_ref<const std::string&>(), 500);
    }
    const Json& message = at(error, "message"); // the OpenAI and Anthropic dialects
    return message.is_string() ? clean(message.get_ref<const std::string&>(), 500) : std::string{};
}

std::uint64_t number_of(std::string_view body, std::string_view key)
{
    const auto json = parse(body);
    return json ? count(*json, key) : 0;
}

std::string node_json(const std::string& url, const std::string& name, const std::vector<std::string>& labels)
{
    Json json{{"url", url}};
    if (!name.empty()) {
        json["name"] = name;
    }
    if (!labels.empty()) {
        json["labels"] = labels;
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<base::WallTime> parse_timestamp(std::string_view text)
{
    const auto year = digits(text, 0, 4);
    const auto month = digits(text, 5, 2);
    const auto day = digits(text, 8, 2);
    const auto hour = digits(text, 11, 2);
    const auto minute = digits(text, 14, 2);
    const auto second = digits(text, 17, 2);
    if (!year || !month || !day || !hour || !minute || !second) {
        return std::nullopt;
    }
    const std::chrono::year_month_day date{std::chrono::year{*year},
                                           std::chrono::month{static_cast<unsigned>(*month)},
                                           std::chrono::day{static_cast<unsigned>(*day)}};
    if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) {
        return std::nullopt;
    }
    std::string_view rest = text.substr(19);
    if (rest.starts_with('.')) {
        rest.remove_prefix(std::min(rest.find_first_not_of("0123456789", 1), rest.size()));
    }
    int offset_minutes = 0;
    if (rest.starts_with('+') || rest.starts_with('-')) {
        const auto hours = digits(rest, 1, 2);
        const auto minutes = digits(rest, 4, 2);
        if (!hours || !minutes) {
            return std::nullopt;
        }
        offset_minutes = (*hours * 60 + *minutes) * (rest.front() == '-' ? -1 : 1);
    } else if (rest != "Z" && rest != "z") {
        return std::nullopt;
    }
    const auto time = std::chrono::sys_days{date} + std::chrono::hours{*hour}
        + std::chrono::minutes{*minute - offset_minutes} + std::chrono::seconds{*second};
    return std::chrono::time_point_cast<std::chrono::microseconds>(time);
}

std::optional<base::WallTime> parse_expiry(std::string_view text, base::WallTime now)
{
    if (const auto at = parse_timestamp(text)) {
        return at;
    }
    if (text.size() == std::string_view{"2027-01-31"}.size()) {
        if (const auto at = parse_timestamp(std::string{text} + "T00:00:00Z")) {
            return at;
        }
    }
    const auto span = base::parse_duration(text);
    return span ? std::optional{now + std::chrono::duration_cast<std::chrono::microseconds>(*span)} : std::nullopt;
}

} // namespace herd::app
