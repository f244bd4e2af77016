// Whether nodes are there, are who they say, and can be reached.
#include "base/text.hpp"
#include "fleet/called.hpp"
#include "herd/health/registry.hpp"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

namespace herd::app::health {

namespace {

using namespace std::chrono_literals;
using enum fleet::NodeState;

constexpr base::Duration announce_interval = 1s; ///< of an agent that nobody told otherwise

double seconds_between(base::Instant from, base::Instant to) { return base::seconds(to - from); }

/// "40 s", "12 min", "3.5 h"
std::string span_text(base::Duration span)
{
    const double s = base::seconds(span);
    return s < 120 ? fmt::format("{:.0f} s", s) : s < 7200 ? fmt::format("{:.0f} min", s / 60) : fmt::format("{:.1f} h", s / 3600);
}

std::string because(const fleet::NodeView& view) { return view.state_reason.empty() ? "" : ": " + view.state_reason; }

/// What helps against the reason that herd was told; empty where the reason is none of these.
std::string cure(const fleet::NodeView& view)
{
    const auto told = [&view](std::string_view words) { return view.state_reason.contains(words); };
    if (told("fleet key") || told("fleet's key")) {
        return fmt::format("give herd and {} the same fleet key: `herd-node --fleet-key-file FILE` there, `herd fleet-key` here", view.name);
    }
    if (told("status 401") || told("status 403")) {
        return fmt::format("correct the key that {} is asked with: `bearer`, `bearer_env` or `bearer_file` of its settings", view.name);
    }
    if (told("certificate")) {
        return fmt::format("trust the certificate of {}: `tls.ca_file` or `tls.pin` of its settings", view.name);
    }
    if (told("does not speak TLS")) {
        return fmt::format("correct the url {}: what answers there is plain http", view.url);
    }
    return {};
}

/// Of a node that was added by its URL: what should run there.
std::string_view server_of(const fleet::NodeView& view)
{
    return view.address.api() == fleet::NodeApi::openai ? "server" : "Ollama";
}

void no_nodes(const Evidence& e, Findings& out)
{
    if (const auto since = e.history.nobody_since(); since && e.now - *since >= 10s) {
        const auto known = e.fleet.nodes.size();
        out.push_back({.severity = Severity::critical,
                       .summary = known == 0 ? fmt::format("no node has been found for {}", span_text(e.now - *since))
                                             : fmt::format("none of {} known nodes takes requests since {}", known,
                                                           span_text(e.now - *since)),
                       .data = {{"nodes_total", static_cast<std::int64_t>(known)}}});
    }
}

void node_offline(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        const NodeMemory* memory = e.history.find(view.id);
        if (view.state != offline || memory == nullptr) {
            continue;
        }
        const bool seen = view.last_seen != base::Instant{};
        const auto ago = span_text(seen ? e.now - view.last_seen : e.now - memory->state_since);
        Finding finding{.node = view.name};
        if (memory->left) {
            finding.severity = Severity::info;
            finding.activity = true;
            finding.summary = fmt::format("{} said goodbye {} ago", view.name, ago);
            finding.advice = fmt::format("nothing, if that was meant; else start herd-node on {}", view.name);
        } else {
            finding.severity = Severity::critical;
            finding.summary = fmt::format("{} is offline{}; last heard {} ago", view.name, because(view), ago);
            finding.advice = cure(view);
            if (finding.advice.empty()) {
                finding.advice = view.source == fleet::NodeSource::configured
                    ? fmt::format("check the machine and its {} at {}; `herd nodes remove {}` if it is gone for good", server_of(view), view.url, view.name)
                    : fmt::format("check that {} is on and `systemctl status herd-node` there", view.name);
            }
        }
        if (seen) {
            finding.data.emplace_back("last_heartbeat_ago_s", seconds_between(view.last_seen, e.now));
        }
        out.push_back(std::move(finding));
    }
}

/// Announces, its document was read, and yet its Ollama does not answer from outside.
bool is_loopback_only(const fleet::NodeView& view)
{
    return view.state == unreachable && view.source != fleet::NodeSource::configured && view.facts && view.facts->boot_id != 0
        && !view.facts->gateway;
}

void ollama_loopback_only(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        if (is_loopback_only(view)) {
            out.push_back({.severity = Severity::critical,
                           .summary = fmt::format("the gateway of {} is off, and its Ollama cannot be reached from here{}", view.name,
                                                  because(view)),
                           .advice = fmt::format("on {}: start herd-node with --gateway on, or Ollama with OLLAMA_HOST=0.0.0.0", view.name),
                           .node = view.name});
        }
    }
}

std::string unreachable_advice(const fleet::NodeView& view)
{
    if (auto advice = cure(view); !advice.empty()) {
        return advice;
    }
    if (view.source != fleet::NodeSource::configured) {
        const auto port = view.agent.port != 0 ? view.agent.port : view.address.endpoint.port;
        return fmt::format("open TCP {} on {} for this herd (ufw allow {}/tcp), or name its address with --advertise", port, view.name, port);
    }
    if (view.address.cloud()) {
        return fmt::format("see that this machine reaches {}: name server, proxy, firewall", view.url);
    }
    if (view.address.api() == fleet::NodeApi::openai) {
        return fmt::format("start the server at {} so that it listens on more than 127.0.0.1, or correct the url", view.url);
    }
    return fmt::format("start Ollama at {} with OLLAMA_HOST=0.0.0.0, or correct the url", view.url);
}

void node_unreachable(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        if (view.state == unreachable && !is_loopback_only(view)) {
            out.push_back({.severity = Severity::critical,
                           .summary = fmt::format("{} is known but cannot be reached{}", view.name, because(view)),
                           .advice = unreachable_advice(view),
                           .node = view.name});
        }
    }
}

void node_degraded(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        const NodeMemory* memory = e.history.find(view.id);
        if (view.state == suspect && memory != nullptr && !memory->down_by_itself) {
            Finding finding{.severity = Severity::warning,
                            .summary = fmt::format("{} is in doubt since {}{}", view.name, span_text(e.now - memory->state_since),
                                                   because(view)),
                            .advice = fmt::format("check the network between herd and {}; `herd nodes` shows when it is back", view.name),
                            .node = view.name};
            if (view.last_seen != base::Instant{}) {
                finding.data = {{"missed_heartbeats", static_cast<std::int64_t>((e.now - view.last_seen) / announce_interval)}};
            }
            out.push_back(std::move(finding));
        }
    }
}

void node_flapping(const Evidence& e, Findings& out)
{
    for (const auto& [id, memory] : e.history.nodes()) {
        const auto drops = std::ranges::count_if(memory.drops, [&](base::Instant at) { return e.now - at <= 10min; });
        if (drops >= 3) {
            out.push_back({.severity = Severity::warning,
                           .summary = fmt::format("{} went away and came back {} times in 10 minutes", memory.name, drops),
                           .advice = fmt::format("look for Wi-Fi or power saving at {}, and for restarts in `journalctl -u herd-node -u ollama`; "
                                                 "`herd drain {}` keeps work away meanwhile",
                                                 memory.name, memory.name),
                           .node = memory.name,
                           .data = {{"drops_10min", static_cast<std::int64_t>(drops)}}});
        }
    }
}

void ollama_down(const Evidence& e, Findings& out)
{
    for (const auto& [id, memory] : e.history.nodes()) {
        if (memory.down_by_itself && e.now - memory.down_since >= 3s) {
            out.push_back({.severity = Severity::critical,
                           .summary = fmt::format("herd-node on {} lives, but its Ollama does not answer for {}", memory.name,
                                                  span_text(e.now - memory.down_since)),
                           .advice = fmt::format("on {}: `systemctl start ollama` (or `ollama serve`), then `herd-node doctor`", memory.name),
                           .node = memory.name});
        }
    }
}

void clock_skew(const Evidence& e, Findings& out)
{
    for (const auto& [id, memory] : e.history.nodes()) {
        if (memory.skew && std::chrono::abs(*memory.skew) > 2s) {
            const double s = base::seconds(*memory.skew);
            out.push_back({.severity = Severity::warning,
                           .summary = fmt::format("the clock of {} is {} {} of this machine's", memory.name,
                                                  span_text(std::chrono::abs(*memory.skew)), s > 0 ? "ahead" : "behind"),
                           .advice = fmt::format("switch NTP on, on both: `timedatectl set-ntp true`"),
                           .node = memory.name,
                           .data = {{"skew_s", s}}});
        }
    }
}

void duplicate_node_id(const Evidence& e, Findings& out)
{
    for (const auto& [id, memory] : e.history.nodes()) {
        const auto swaps = std::ranges::count_if(memory.boot_swaps, [&](base::Instant at) { return e.now - at <= 60s; });
        if (swaps >= 2) {
            out.push_back({.severity = Severity::critical,
                           .summary = fmt::format("two live agents use the id of {} ({})", memory.name, id.text()),
                           .advice = "on the cloned machine delete herd-node.id in herd-node's state directory and "
                                     "restart herd-node",
                           .node = memory.name});
        }
    }
}

void node_drained(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        const NodeMemory* memory = e.history.find(view.id);
        if (view.drained_by_operator && memory != nullptr) {
            out.push_back({.severity = Severity::info,
                           .summary = fmt::format("{} is drained by an operator since {}", view.name, span_text(e.now - memory->state_since)),
                           .advice = fmt::format("`herd resume {}` when it shall take requests again", view.name),
                           .node = view.name,
                           .activity = true});
        }
    }
}

/// The last word of "herd-node 0.1.0".
std::string_view version_word(std::string_view version)
{
    const auto blank = version.rfind(' ');
    return blank == std::string_view::npos ? version : version.substr(blank + 1);
}

bool has_agent(const fleet::NodeView& view) { return view.source != fleet::NodeSource::configured && view.facts && view.facts->boot_id != 0; }

void version_mismatch(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        if (view.state == offline || !has_agent(view) || view.facts->agent_version.empty()) {
            continue;
        }
        const auto theirs = version_word(view.facts->agent_version);
        if (theirs != version_word(e.own.version)) {
            out.push_back({.severity = Severity::warning,
                           .summary = fmt::format("herd-node on {} is {}, this herd is {}", view.name, theirs, version_word(e.own.version)),
                           .advice = fmt::format("install the same version of herd-node on {}", view.name),
                           .node = view.name,
                           .data = {{"router_version", std::string{version_word(e.own.version)}}, {"agent_version", std::string{theirs}},
                                    {"mismatched_nodes", Names{view.name}}}});
        }
    }
}

void version_unknown(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        if (view.state == online && has_agent(view) && view.facts->agent_version.empty()) {
            out.push_back({.severity = Severity::info,
                           .summary = fmt::format("the agent on {} does not tell its version", view.name),
                           .advice = fmt::format("install the current herd-node on {}", view.name),
                           .node = view.name,
                           .data = {{"unknown_nodes", Names{view.name}}}});
        }
    }
}

struct Version {
    int major{0};
    int minor{0};
    int patch{0};
    auto operator<=>(const Version&) const = default;
};

std::optional<Version> parse_version(std::string_view text)
{
    Version version;
    const char* at = text.data();
    const char* const end = text.data() + text.size();
    for (int* part : {&version.major, &version.minor, &version.patch}) {
        const auto [next, error] = std::from_chars(at, end, *part);
        if (error != std::errc{} || *part < 0) {
            return std::nullopt;
        }
        at = next;
        if (part != &version.patch) {
            if (at == end || *at != '.') {
                return std::nullopt;
            }
            ++at;
        }
    }
    return version;
}

/// /api/ps tells contexts since 0.10; pulled manifests keep their bytes, and so their digests, since 0.19.
constexpr Version tells_contexts{0, 10, 0};
constexpr Version stable_digests{0, 19, 0};

void ollama_outdated(const Evidence& e, Findings& out)
{
    std::optional<Version> newest;
    for (const fleet::NodeView* view : e.fleet.routable()) {
        if (const auto version = view->facts ? parse_version(view->facts->ollama_version) : std::nullopt; version && version->major + version->minor > 0) {
            newest = std::max(newest.value_or(*version), *version);
        }
    }
    for (const fleet::NodeView* view : e.fleet.routable()) {
        const auto version = view->facts ? parse_version(view->facts->ollama_version) : std::nullopt;
        if (!version || version->major + version->minor == 0) { // 0.0.0: built from source
            continue;
        }
        Finding finding{.advice = fmt::format("update Ollama on {}: `curl -fsSL https://ollama.com/install.sh | sh`", view->name), .node = view->name};
        finding.data = {{"ollama_version", view->facts->ollama_version}};
        if (*version < stable_digests) {
            finding.severity = Severity::warning;
            finding.summary = fmt::format("Ollama on {} is {}: {}", view->name, view->facts->ollama_version,
                                          *version < tells_contexts ? "it does not tell the contexts of loaded models (since 0.10)"
                                                                    : "models it pulled may have other digests than elsewhere (fixed in 0.19)");
        } else if (Version{version->major, version->minor, 0} < Version{newest->major, newest->minor, 0}) {
            finding.severity = Severity::info;
            finding.activity = true;
            finding.summary = fmt::format("Ollama on {} is {}, the newest in this fleet is {}.{}.{}", view->name, view->facts->ollama_version,
                                          newest->major, newest->minor, newest->patch);
        } else {
            continue;
        }
        out.push_back(std::move(finding));
    }
}

/// Families of models that see, and the first Ollama with a runner for them: its pull refuses them before, but a copied
/// directory of models or an older Ollama put back does not.
struct VisionRunner {
    std::string_view family;
    Version since;
};
constexpr VisionRunner vision_runners[] = {
    {"mllama", {0, 4, 0}}, {"gemma3", {0, 6, 0}}, {"mistral3", {0, 6, 5}}, {"qwen25vl", {0, 7, 0}}, {"qwen3vl", {0, 12, 7}}, {"qwen3vlmoe", {0, 12, 7}},
};

/// Of a row of /api/tags. Ollama writes without spaces.
std::string_view family_of(std::string_view row)
{
    constexpr std::string_view key = "\"family\":\"";
    const auto at = row.find(key);
    const auto rest = at == row.npos ? std::string_view{} : row.substr(at + key.size());
    return rest.substr(0, rest.find('"'));
}

void vision_backend_missing(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView* view : e.fleet.routable()) {
        const auto version = view->facts ? parse_version(view->facts->ollama_version) : std::nullopt;
        if (!version || version->major + version->minor == 0) { // 0.0.0: built from source
            continue;
        }
        std::string names;
        std::int64_t count = 0;
        Version needed{};
        for (const fleet::Model& model : view->facts->models) {
            const auto* const runner = std::ranges::find(vision_runners, family_of(model.row), &VisionRunner::family);
            if (runner != std::end(vision_runners) && *version < runner->since) {
                names += (names.empty() ? "" : ", ") + model.name;
                needed = std::max(needed, runner->since);
                ++count;
            }
        }
        if (count > 0) {
            const std::string wanted = fmt::format("{}.{}.{}", needed.major, needed.minor, needed.patch);
            out.push_back({.severity = Severity::warning,
                           .summary = fmt::format("Ollama on {} is {} and has no runner for {}: that needs {}", view->name, view->facts->ollama_version,
                                                  names, wanted),
                           .advice = fmt::format("update Ollama on {}: `curl -fsSL https://ollama.com/install.sh | sh`", view->name),
                           .node = view->name,
                           .data = {{"cached_model_count", count}, {"backend_available", false}, {"needs", wanted}}});
        }
    }
}

void discovery_blocked(const Evidence& e, Findings& out)
{
    const auto port = e.own.discovery_port;
    for (const std::string& interface : e.own.blocked_interfaces) {
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("announcements cannot be sent on {}", interface),
                       .advice = fmt::format("allow UDP {} out and in on it, or leave it out with --exclude-interface {}", port,
                                             interface.substr(0, interface.find(':'))),
                       .data = {{"interface", interface.substr(0, interface.find(':'))}}});
    }
    if (e.own.discovery && !e.own.port_heard) {
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("UDP {} of this machine is held by another program; nodes are found by asking only", port),
                       .advice = fmt::format("end it (`ss -ulnp 'sport = :{}'` names it; Ollana does this), then restart herd", port)});
    }
    for (const auto& [id, memory] : e.history.nodes()) {
        const bool by_http = memory.heard_http != base::Instant{} && e.now - memory.heard_http <= 30s;
        const bool by_udp = memory.heard_udp != base::Instant{} && e.now - memory.heard_udp <= 30s;
        if (by_http && !by_udp && e.own.discovery) {
            out.push_back({.severity = Severity::warning,
                           .summary = fmt::format("{} is heard over HTTP only: its UDP announcements do not arrive", memory.name),
                           .advice = fmt::format("open UDP {} between {} and this machine (ufw allow {}/udp on both)", port, memory.name, port),
                           .node = memory.name});
        }
    }
}

void node_unconfigured(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        if (view.address.manner && !view.address.manner->lacking.empty()) {
            out.push_back({.severity = Severity::warning,
                           .summary = fmt::format("{} cannot be used: {}", view.name, view.address.manner->lacking),
                           .advice = "set it where herd runs, then `herd reload` (a variable: restart herd)",
                           .node = view.name});
        }
    }
}

/// Commands by that name mean the one that is there, as long as it is the only one.
void duplicate_node_name(const Evidence& e, Findings& out)
{
    std::map<std::string, std::vector<const fleet::NodeView*>> called;
    for (const fleet::NodeView& view : e.fleet.nodes) {
        called[base::lower(view.name)].push_back(&view);
    }
    for (const auto& [name, views] : called) {
        if (views.size() < 2) {
            continue;
        }
        const auto there = std::ranges::count_if(views, [](const auto* view) { return fleet::is_there(view->state); });
        std::string ids;
        std::string gone;
        for (const fleet::NodeView* view : views) {
            const std::string id = view->id.text().substr(0, fleet::short_id_length);
            ids += fmt::format("{}{} {}", ids.empty() ? "" : ", ", id, fleet::to_string(view->state));
            gone = view->state == offline && gone.empty() ? id : gone;
        }
        Finding finding{.severity = there > 1 ? Severity::warning : Severity::info,
                        .summary = fmt::format("{} nodes are called {}: {}", views.size(), views.front()->name, ids),
                        .advice = gone.empty() ? "give each its own name (herd-node --name), and use ids until then"
                                               : fmt::format("`herd nodes remove {}` if that one is gone for good, as after a reinstallation", gone),
                        .node = views.front()->name};
        finding.activity = there < 2; // what is meant is clear
        out.push_back(std::move(finding));
    }
}

/// The others may be as well as they like: nobody reaches them.
void sent_to_one_node(const Evidence& e, Findings& out)
{
    for (const Own::Sent& sent : e.own.sent) {
        const fleet::NodeView* view = e.fleet.find(std::string_view{sent.node});
        const bool all = sent.frontend == "default";
        const std::string who = all ? "everything" : "frontend " + sent.frontend;
        const std::string undo = all ? "`herd use auto`" : "`herd use auto --frontend " + sent.frontend + "`";
        Finding finding{.node = view != nullptr ? view->name : sent.node, .data = {{"frontend", sent.frontend}}};
        if (view != nullptr && (view->state == online || view->state == suspect)) { // a doubt has a check of its own
            finding.severity = Severity::info;
            finding.activity = true;
            finding.summary = fmt::format("{} is sent to {}", who, finding.node);
            finding.advice = undo + " undoes it";
        } else {
            finding.severity = Severity::critical;
            finding.summary = fmt::format("{} is sent to {}, which is {}: requests fail whatever other nodes there are", who, finding.node,
                                          view != nullptr ? fleet::to_string(view->state) : "not known");
            finding.advice = fmt::format("{}, or bring {} back", undo, finding.node);
        }
        out.push_back(std::move(finding));
    }
}

constexpr Check checks[] = {
    {"no_nodes", "No node takes requests", "No routable node for 10 s: every request waits or fails.",
     "start herd-node on a machine with Ollama, or name one with --node URL; a firewall must let UDP and TCP 11436 through", "critical",
     no_nodes, 0s, 2s},
    {"sent_to_one_node", "Everything goes to one node",
     "`herd use NODE` sends everything, or all of a frontend, to a node that takes no requests; while it takes them this is only a reminder.",
     "`herd use auto` undoes it", "critical; info while that node takes requests", sent_to_one_node, 2s, 2s},
    {"node_offline", "Node offline", "A node fell silent: neither UDP nor TCP answers. After a goodbye it is only told, for 24 h.",
     "check the machine and its agent", "critical; info after a goodbye", node_offline, 0s, 2s},
    {"node_unreachable", "Node unreachable", "A node announces itself (or is configured), but its port cannot be reached from here.",
     "give it the key, the trust or the open TCP port that the reason is about", "critical", node_unreachable, 2s, 2s},
    {"node_unconfigured", "Node without its key", "A named node (Ollama Cloud, for one) lacks the key that it needs: it is sent nothing.",
     "set the variable or the file that the reason names", "warning", node_unconfigured, 0s, 2s},
    {"node_degraded", "Node in doubt", "Something failed at a node for 5 s and it is being verified; it gets no requests while others can.",
     "check the network", "warning", node_degraded, 5s, 1s},
    {"node_flapping", "Node flapping", "A node went from online to suspect, offline or unreachable 3 times or more within 10 minutes.",
     "check its network, power saving and restarts", "warning", node_flapping, 0s, 60s},
    {"ollama_down", "Ollama down", "An agent is alive and says that its Ollama does not answer, for 3 s.", "start Ollama on that node",
     "critical", ollama_down, 0s, 2s},
    {"ollama_loopback_only", "Ollama on loopback only",
     "A node's gateway is off and its Ollama listens on 127.0.0.1 or is closed to this machine.",
     "use the gateway (herd-node --gateway on), or start Ollama with OLLAMA_HOST=0.0.0.0", "critical", ollama_loopback_only, 0s, 2s},
    {"clock_skew", "Clock skew", "A node's clock differs from this machine's by more than 2 s (from its announcements).",
     "switch NTP on: `timedatectl set-ntp true`", "warning", clock_skew, 0s, 30s},
    {"duplicate_node_id", "Two nodes with one id", "Two live agents announce the same id in turns: a cloned machine.",
     "delete herd-node's state directory on the clone and restart it there", "critical", duplicate_node_id, 0s, 60s},
    {"duplicate_node_name", "Two nodes with one name",
     "Several nodes have one name. Commands by that name mean the only one that is there; when there are more they need an id or a number (studio-2).",
     "give each its own name (herd-node --name), or `herd nodes remove ID` what is gone", "warning; info when one is there", duplicate_node_name, 5s, 2s},
    {"node_drained", "Node drained", "An operator drained a node: a reminder, it costs no points.", "`herd resume NODE` undoes it", "info",
     node_drained, 0s, 2s},
    {"version_mismatch", "Versions differ", "An agent's version differs from this herd's.", "install the same version everywhere", "warning",
     version_mismatch},
    {"version_unknown", "Version unknown", "An agent does not tell its version.", "install the current herd-node", "info", version_unknown},
    {"vision_backend_missing", "No runner for a vision model",
     "A node has models that see on its disk (mllama, gemma3, mistral3, qwen25vl, qwen3vl), but its Ollama is older than their runner. For a fleet of "
     "Ollamas that is what weights without a runtime are: the runtime is Ollama itself.",
     "update Ollama", "warning", vision_backend_missing},
    {"ollama_outdated", "Old Ollama",
     "A node's Ollama is older than 0.19 (unstable digests; before 0.10 no contexts either), or a minor version behind the newest of the fleet.",
     "update Ollama", "warning; info when only behind others", ollama_outdated},
    {"discovery_blocked", "Discovery blocked",
     "Announcements cannot be sent on an interface, UDP 11436 is held by another program, or a node has been heard over HTTP only for 30 s.",
     "open UDP 11436 in both directions", "warning", discovery_blocked, 5s, 30s},
};

} // namespace

std::span<const Check> node_checks() { return checks; }

} // namespace herd::app::health
