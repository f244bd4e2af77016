#include "herd-node/cli/doctor.hpp"

#include "cli/client.hpp"
#include "cli/terminal.hpp"
#include "net/datagram.hpp"
#include "net/interfaces.hpp"
#include "net/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

namespace herd::node {

namespace {

using Checks = std::vector<Check>;
constexpr std::chrono::seconds patience{3};
constexpr std::uint16_t herd_port = 11435;

base::Result<cli::Answer> get(const config::BackendUrl& url, const std::string& path)
{
    return cli::ask({url, {}}, "GET", path, {}, patience);
}

std::string member(const std::string& body, const char* key)
{
    const auto json = nlohmann::json::parse(body, nullptr, false);
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() && found->is_string()
        ? cli::clean(found->get<std::string>())
        : std::string{};
}

bool is_true(const nlohmann::json& json, const char* key) { return json.is_object() && json.contains(key) && json[key] == true; }

/// What else may stand where Ollama should (lana.md 4.1, 12.7); empty when it is none of them.
std::string impostor(const config::BackendUrl& url)
{
    if (const auto node = get(url, "/herd/v1/node"); node && node->status == 200) {
        return "a herd-node";
    }
    if (const auto herd = get(url, "/herd/v1/status"); herd && herd->status == 200) {
        return "a herd";
    }
    const auto ollana = cli::ask({url, {}}, "POST", "/ollana/api/authorize", "{}", patience);
    return ollana && (ollana->status == 200 || ollana->status == 401) ? "an Ollana proxy" : "";
}

void check_models(const config::BackendUrl& url, Checks& checks)
{
    const auto tags = get(url, "/api/tags");
    const auto json = nlohmann::json::parse(tags ? tags->body : std::string{}, nullptr, false);
    if (!json.is_object() || !json.contains("models") || !json["models"].is_array()) {
        checks.push_back(
            {"models", Severity::warning, "Ollama does not list its models", "look at Ollama's own log"});
        return;
    }
    const std::size_t count = json["models"].size();
    checks.push_back(
        count == 0
            ? Check{"models", Severity::info, "Ollama has no models yet", "pull one: `ollama pull MODEL`"}
            : Check{"models", Severity::ok,
                    fmt::format("{} on this machine", cli::plural(count, "model", "models")), ""});
}

void check_ollama(const NodeOptions& options, Checks& checks)
{
    const config::BackendUrl& url = options.ollama;
    const auto answer = get(url, "/api/version");
    if (!answer) {
        const bool refused = answer.error().code == base::Errc::refused;
        checks.push_back({"ollama", Severity::critical,
                          refused
                              ? fmt::format("nothing answers at {}", url.text())
                              : fmt::format("{} does not answer ({})", url.text(), answer.error().context),
                          "start Ollama (`ollama serve`), or name it with --ollama or OLLAMA_HOST"});
        return;
    }
    if (const std::string what = impostor(url); !what.empty()) {
        checks.push_back({"ollama", Severity::critical,
                          fmt::format("what answers at {} is {}, not an Ollama", url.text(), what),
                          "point --ollama at Ollama itself, else requests would run in circles"});
        return;
    }
    const std::string version = member(answer->body, "version");
    if (answer->status != 200 || version.empty()) {
        checks.push_back(
            {"ollama", Severity::critical,
             fmt::format("what answers at {} is not an Ollama (status {})", url.text(), answer->status),
             "name the right address with --ollama"});
        return;
    }
    checks.push_back(
        {"ollama", Severity::ok, fmt::format("Ollama {} answers at {}", version, url.text()), ""});
    check_models(url, checks);
}

/// Without the gateway herds talk to Ollama itself, which listens on 127.0.0.1 unless told otherwise.
void check_reachable(const NodeOptions& options, const std::vector<net::Interface>& interfaces,
                     Checks& checks)
{
    const auto own = base::IpAddress::parse(options.ollama.host);
    if (options.gateway || !own || !own->is_loopback()) {
        return;
    }
    for (const net::Interface& each : interfaces) {
        for (const net::InterfaceAddress& address : each.addresses) {
            if (each.loopback || !each.up || !address.address.is_v4()) {
                continue;
            }
            config::BackendUrl outside = options.ollama;
            outside.host = address.address.text();
            const bool open = cli::is_listening({outside, {}});
            checks.push_back(
                open ? Check{"exposure", Severity::ok,
                             fmt::format("Ollama can be reached at {}", outside.text()), ""}
                     : Check{"exposure", Severity::critical,
                             fmt::format("the gateway is off, and Ollama does not answer at {}",
                                         outside.text()),
                             "start Ollama with OLLAMA_HOST=0.0.0.0, or use the gateway (--gateway on)"});
            return;
        }
    }
}

void check_agent_port(const NodeOptions& options, Checks& checks)
{
    for (const base::Endpoint& at : options.listen) {
        config::BackendUrl local;
        local.host = at.address.is_unspecified() ? "127.0.0.1" : at.address.text();
        local.port = at.port;
        const auto agent = at.port == 0 ? base::fail(base::Errc::refused) : get(local, "/herd/v1/node");
        if (agent && agent->status == 200) {
            checks.push_back(
                {"agent_port", Severity::ok,
                 fmt::format("herd-node \"{}\" serves at {}", member(agent->body, "name"), at.text()), ""});
            continue;
        }
        const auto bound = net::bind_tcp(at, 1);
        if (bound) {
            checks.push_back({"agent_port", Severity::ok,
                              fmt::format("TCP {} is free; no agent runs there now", at.text()), ""});
        } else {
            const bool taken = bound.error().code == base::Errc::in_use;
            checks.push_back({"agent_port", Severity::critical,
                              taken ? fmt::format("TCP {} is taken by another program", at.text())
                                    : bound.error().message(),
                              "end that program, or choose another address with --listen"});
        }
    }
}

/// Binds as the agent would to hear beacons (lana.md 1.1, socket B4), and lets go again.
base::Result<net::BoundSocket> try_udp(std::uint16_t port)
{
    return net::bind_udp({base::IpAddress::v4({255, 255, 255, 255}), port}, {.reuse_address = true});
}

void check_network(const NodeOptions& options, const std::vector<net::Interface>& interfaces, Checks& checks)
{
    if (!options.discovery.enabled) {
        checks.push_back({"discovery", Severity::info,
                          "discovery is off: only herds named with --herd will know this node", ""});
        return;
    }
    std::string names;
    for (const net::Interface& each : interfaces) {
        const auto& wanted = options.discovery.interfaces;
        const auto& unwanted = options.discovery.exclude_interfaces;
        const bool named = std::ranges::find(wanted, each.name) != wanted.end();
        const bool usable = each.up && each.running && each.can_broadcast && !each.loopback
            && !each.point_to_point && !net::is_virtual_bridge(each.name);
        if ((named || (wanted.empty() && usable))
            && std::ranges::find(unwanted, each.name) == unwanted.end()) {
            names += (names.empty() ? "" : ", ") + each.name;
        }
    }
    checks.push_back(
        names.empty()
            ? Check{"interfaces", Severity::warning,
                    "no network interface to announce on; only a herd on this machine will find this node",
                    "connect a network, allow one with --interface, or name a herd with --herd"}
            : Check{"interfaces", Severity::ok, "announces on " + names, ""});
    if (!options.discovery.listen) {
        return;
    }
    const std::uint16_t port = options.discovery.port;
    if (const auto bound = try_udp(port); !bound) {
        checks.push_back(
            {"udp", Severity::warning,
             fmt::format("UDP {} cannot be listened to ({})", port, bound.error().cause.message()),
             "the node will announce only; end the other program (Ollana?) to find herds faster"});
    } else {
        checks.push_back({"udp", Severity::ok, fmt::format("UDP {} can be listened to", port), ""});
    }
}

void check_herds(const NodeOptions& options, Checks& checks)
{
    for (const base::HostPort& herd : options.herds) {
        config::BackendUrl url;
        url.host = herd.host;
        url.port = herd.port == 0 || herd.port == options.discovery.port ? herd_port : herd.port;
        const auto answer = get(url, "/herd/v1/status");
        if (answer && answer->status == 200) {
            checks.push_back(
                {"herd", Severity::ok,
                 fmt::format("herd {} answers at {}", member(answer->body, "version"), url.text()), ""});
        } else {
            checks.push_back({"herd", Severity::warning, fmt::format("no herd answers at {}", url.text()),
                              "is it running, and is TCP 11435 open there?"});
        }
    }
}

/// What the agent that runs here was told by its herds.
void check_admission(const NodeOptions& options, Checks& checks)
{
    for (const base::Endpoint& at : options.listen) {
        config::BackendUrl local;
        local.host = at.address.is_unspecified() ? "127.0.0.1" : at.address.text();
        local.port = at.port;
        const auto answer = at.port == 0 ? base::fail(base::Errc::refused) : get(local, "/herd/v1/herds");
        const auto node = answer && answer->status == 200 ? get(local, "/herd/v1/node") : base::fail(base::Errc::refused);
        const auto json = nlohmann::json::parse(node ? answer->body : std::string{}, nullptr, false);
        if (!json.is_object() || !json.contains("herds") || !json["herds"].is_array()) {
            continue;
        }
        for (const auto& herd : json["herds"]) {
            if (is_true(herd, "not_approved")) {
                checks.push_back({"admission", Severity::warning,
                                  fmt::format("the herd at {} has not let this node in yet", member(herd.dump(), "at")),
                                  "run there: herd nodes approve " + member(node->body, "sender_id")});
            }
        }
        if (json["herds"].empty() && is_true(json, "keyed")) {
            checks.push_back({"admission", Severity::info, "no herd was heard that holds this node's fleet key",
                              "is one running, and was the key copied from there? (herd fleet-key)"});
        }
        return;
    }
}

void check_files(const NodeOptions& options, Checks& checks)
{
    const std::string& key = options.discovery.fleet_key_file;
    struct ::stat info{};
    std::error_code ignored;
    if (!key.empty() && ::access(key.c_str(), R_OK) != 0) {
        checks.push_back({"fleet_key", Severity::critical,
                          fmt::format("{} cannot be read ({})", key, std::strerror(errno)),
                          "the agent needs it to start"});
    } else if (!key.empty() && std::filesystem::is_directory(key, ignored)) {
        checks.push_back({"fleet_key", Severity::critical, fmt::format("{} cannot be read ({})", key, std::strerror(EISDIR)),
                          "name the file in it: the agent needs it to start"});
    } else if (!key.empty() && ::stat(key.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
        checks.push_back({"fleet_key", Severity::critical, fmt::format("{} is readable by others: the agent refuses it", key),
                          fmt::format("chmod 600 {}", key)});
    } else if (!key.empty()) {
        checks.push_back(
            {"fleet_key", Severity::ok, fmt::format("{} is readable, by its owner alone", key), ""});
    }
    std::filesystem::path place = options.state_dir;
    while (!std::filesystem::exists(place, ignored) && place.has_parent_path()
           && place != place.parent_path()) {
        place = place.parent_path(); // what does not exist yet must be makeable
    }
    checks.push_back(
        ::access(place.c_str(), W_OK) == 0
            ? Check{"state", Severity::ok, fmt::format("state is kept in {}", options.state_dir), ""}
            : Check{"state", Severity::warning, fmt::format("{} cannot be written", options.state_dir),
                    "the node will have a derived identity; choose a directory with --state-dir"});
}

} // namespace

std::string_view to_string(Severity severity)
{
    constexpr std::array<std::string_view, 4> names{"ok", "info", "warning", "critical"};
    return names[static_cast<std::size_t>(severity)];
}

std::vector<Check> examine(const NodeOptions& options)
{
    Checks checks;
    const auto interfaces = net::list_interfaces().value_or(std::vector<net::Interface>{});
    check_ollama(options, checks);
    check_reachable(options, interfaces, checks);
    check_agent_port(options, checks);
    check_network(options, interfaces, checks);
    check_herds(options, checks);
    check_admission(options, checks);
    check_files(options, checks);
    return checks;
}

} // namespace herd::node
