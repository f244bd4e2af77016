#include "herd-node/cli/verbs.hpp"

#include "cli/client.hpp"
#include "herd-node/cli/doctor.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::node {

namespace {

using cli::clean;
using cli::Colour;
using Json = nlohmann::ordered_json;

const Json& at(const Json& json, std::string_view key)
{
    static const Json nothing;
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() ? *found : nothing;
}

std::string text(const Json& json, std::string_view key, std::size_t columns_max = 60)
{
    const Json& value = at(json, key);
    return value.is_string() ? clean(value.get_ref<const std::string&>(), columns_max) : std::string{};
}

double number(const Json& json, std::string_view key)
{
    const Json& value = at(json, key);
    return value.is_number() ? value.get<double>() : 0;
}

const Json& list(const Json& json, std::string_view key)
{
    static const Json empty = Json::array();
    return at(json, key).is_array() ? at(json, key) : empty;
}

std::string names(const Json& models)
{
    std::string out;
    for (const Json& model : models) {
        out += (out.empty() ? "" : ", ") + text(model, "name");
    }
    return clean(out, 80);
}

void line(const cli::Terminal& terminal, std::string_view label, std::string_view value)
{
    if (!value.empty()) {
        terminal.out << fmt::format("  {:<10}{}\n", label, value);
    }
}

int status(const Verb& verb, const cli::Terminal& terminal)
{
    const std::string url = verb.url.text();
    const auto answer = cli::ask({verb.url, {}}, "GET", "/herd/v1/node", {}, std::chrono::seconds{10});
    if (!answer) {
        const bool refused = answer.error().code == base::Errc::refused;
        terminal.err << (refused ? fmt::format("herd-node: no agent answers at {}: start it with "
                                               "`herd-node`, or name another with --url\n",
                                               url)
                                 : fmt::format("herd-node: cannot talk to {} ({})\n", url,
                                               answer.error().context));
        return 1;
    }
    if (answer->status != 200) {
        terminal.err << fmt::format("herd-node: what answers at {} is not a herd-node (status {})\n", url,
                                    answer->status);
        return 1;
    }
    if (verb.json) {
        terminal.out << answer->body << (answer->body.ends_with('\n') ? "" : "\n");
        return 0;
    }
    if (const auto printed = print_node(answer->body, url, terminal); !printed) {
        terminal.err << fmt::format("herd-node: {}\n", printed.error().context);
        return 1;
    }
    // Only this machine is told; an agent elsewhere, or an older one, says nothing of it.
    const auto herds = cli::ask({verb.url, {}}, "GET", "/herd/v1/herds", {}, std::chrono::seconds{10});
    if (herds && herds->status == 200) {
        print_herds(herds->body, answer->body, terminal);
    }
    return 0;
}

Colour colour_of(Severity severity)
{
    switch (severity) {
    case Severity::ok: return Colour::green;
    case Severity::warning: return Colour::yellow;
    case Severity::critical: return Colour::red;
    case Severity::info: break;
    }
    return Colour::none;
}

int doctor(const Verb& verb, const cli::Terminal& terminal)
{
    std::vector<Check> checks;
    const std::vector<Check> found = examine(verb.options);
    for (const auto severity :
         {Severity::critical, Severity::warning, Severity::info, Severity::ok}) { // worst first
        std::ranges::copy_if(found, std::back_inserter(checks),
                             [&](const Check& check) { return check.severity == severity; });
    }
    const bool broken = !checks.empty() && checks.front().severity == Severity::critical;
    if (verb.json) {
        Json rows = Json::array();
        for (const Check& check : checks) {
            rows.push_back({{"id", check.id},
                            {"severity", to_string(check.severity)},
                            {"summary", check.summary},
                            {"advice", check.advice}});
        }
        terminal.out << Json{{"checks", std::move(rows)}}.dump(-1, ' ', false, Json::error_handler_t::replace)
                     << '\n';
        return broken ? 1 : 0;
    }
    for (const Check& check : checks) {
        terminal.out << terminal.paint(colour_of(check.severity),
                                       fmt::format("{:<9}", to_string(check.severity)))
                     << check.summary << '\n';
        if (!check.advice.empty() && check.severity != Severity::ok) {
            terminal.out << "         " << check.advice << '\n';
        }
    }
    const auto worse =
        std::ranges::count_if(checks, [](const Check& check) { return check.severity >= Severity::warning; });
    terminal.out << (broken          ? "\nThis node cannot serve yet.\n"
                         : worse > 0 ? "\nThis node can serve; see the warnings.\n"
                                     : "\nAll is well.\n");
    return broken ? 1 : 0;
}

} // namespace

base::Result<void> print_node(std::string_view body, std::string_view url, const cli::Terminal& terminal)
{
    const Json json = Json::parse(body, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::malformed, fmt::format("the answer of {} is not JSON", url));
    }
    const std::string state = text(json, "state");
    const std::string reason = text(json, "state_reason", 200);
    const Json& host = at(json, "host");
    const bool good = state == "ready" || state == "busy";
    terminal.out << fmt::format("{} at {}\n", terminal.paint(Colour::bold, text(json, "name")), url);
    line(terminal, "state",
         terminal.paint(good ? Colour::green : Colour::yellow, state)
             + (reason.empty() ? "" : ": " + reason));
    line(terminal, "versions",
         fmt::format("{}, Ollama {}", text(json, "agent_version"),
                     text(json, "ollama_version").empty() ? "not seen" : text(json, "ollama_version")));
    line(terminal, "gateway", at(json, "gateway") == true ? "on" : "off: herds talk to Ollama itself");
    if (const double total = number(host, "memory_total"); total > 0) {
        line(terminal, "memory",
             fmt::format("{} of {} free", cli::human_bytes(number(host, "memory_available")),
                         cli::human_bytes(total)));
    }
    for (const Json& gpu : list(json, "gpus")) {
        line(terminal, "gpu",
             fmt::format("{}, {} of {} free", text(gpu, "name"), cli::human_bytes(number(gpu, "vram_free")),
                         cli::human_bytes(number(gpu, "vram_total"))));
    }
    line(terminal, "models", fmt::format("{} on disk", list(json, "models").size()));
    line(terminal, "in memory", list(json, "loaded").empty() ? "none" : names(list(json, "loaded")));
    line(terminal, "requests",
         fmt::format("{:.0f} running, {:.0f} waiting", number(json, "in_flight"), number(json, "queued")));
    return {};
}

void print_herds(std::string_view body, std::string_view node, const cli::Terminal& terminal)
{
    const Json json = Json::parse(body, nullptr, false);
    const std::string id = text(Json::parse(node, nullptr, false), "sender_id");
    if (list(json, "herds").empty()) {
        line(terminal, "herds", at(json, "keyed") == true ? "none heard that holds the fleet's key" : "none heard");
    }
    for (const Json& herd : list(json, "herds")) {
        std::string how = "takes this node";
        if (at(herd, "not_approved") == true) {
            how = "waits for approval; run there: herd nodes approve " + id;
        } else if (at(herd, "duplicate_id") == true) {
            how = "knows another node with this id";
        } else if (at(herd, "api_unreachable") == true) {
            how = "cannot connect to this agent: a firewall?";
        } else if (at(herd, "acknowledged") != true) {
            how = "has not answered yet";
        }
        line(terminal, "herd", fmt::format("{} {}", text(herd, "at"), how));
    }
}

int run_verb(const Verb& verb, const cli::Terminal& terminal)
{
    return verb.name == "doctor" ? doctor(verb, terminal) : status(verb, terminal);
}

} // namespace herd::node
