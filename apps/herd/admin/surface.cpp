#include "herd/admin/surface.hpp"

#include "proxy/routes.hpp"

#include <array>

#include <fmt/format.h>

namespace herd::app::admin {

namespace {

using enum Scope;

constexpr std::array table{
    OwnRoute{"GET", "/healthz", open},
    OwnRoute{"GET", "/readyz", open},
    OwnRoute{"GET", "/metrics", Scope::admin},
    OwnRoute{"GET", "/fleet/status", Scope::fleet},
    OwnRoute{"GET", "/fleet/queue", Scope::fleet}, // for clients that back off
    OwnRoute{"GET", "/fleet/limits", Scope::fleet},
    OwnRoute{"POST", "/fleet/pin", Scope::admin, true},
    OwnRoute{"DELETE", "/fleet/pin/:", Scope::admin, true},
    OwnRoute{"GET", "/dashboard/api/:", Scope::admin},
    OwnRoute{"POST", "/dashboard/api/pinned-models", Scope::admin, true},
    OwnRoute{"GET", "/dashboard/api/:/daily", Scope::admin},
    OwnRoute{"GET", "/dashboard/api/benchmarks/:", Scope::admin},
    OwnRoute{"POST", "/dashboard/api/benchmarks/start", Scope::admin, true},
    OwnRoute{"POST", "/dashboard/api/benchmarks/cancel", Scope::admin, true},
    OwnRoute{"GET", "/dashboard", Scope::admin},
    OwnRoute{"GET", "/dashboard/:", Scope::admin},
    OwnRoute{"GET", "/dashboard/assets/:", Scope::admin},
    OwnRoute{"GET", "/dashboard/login", open},
    OwnRoute{"GET", "/dashboard/login.css", open},
    OwnRoute{"POST", "/dashboard/login", open},
    OwnRoute{"POST", "/dashboard/logout", open},
    OwnRoute{"GET", "/herd/v1/whoami", user},
    OwnRoute{"GET", "/herd/v1/status", user},
    OwnRoute{"GET", "/herd/v1/models", user},
    OwnRoute{"GET", "/herd/v1/nodes", Scope::fleet},
    OwnRoute{"GET", "/herd/v1/nodes/:", Scope::fleet},
    OwnRoute{"GET", "/herd/v1/health", Scope::admin},
    OwnRoute{"GET", "/herd/v1/config", Scope::admin},
    OwnRoute{"GET", "/herd/v1/sync", Scope::admin},
    OwnRoute{"POST", "/herd/v1/sync/retry", Scope::admin, true},
    OwnRoute{"GET", "/herd/v1/pins", Scope::admin},
    OwnRoute{"POST", "/herd/v1/pins", Scope::admin, true},
    OwnRoute{"DELETE", "/herd/v1/pins/:", Scope::admin, true},
    OwnRoute{"GET", "/herd/v1/requests", Scope::admin},
    OwnRoute{"GET", "/herd/v1/requests/:", Scope::admin},
    OwnRoute{"DELETE", "/herd/v1/requests/:", Scope::admin, true},
    OwnRoute{"GET", "/herd/v1/usage", Scope::admin},
    OwnRoute{"GET", "/herd/v1/events", Scope::admin},
    OwnRoute{"GET", "/herd/v1/keys", Scope::admin, true}, // without keys too: names of people
    OwnRoute{"POST", "/herd/v1/keys", Scope::admin, true},
    OwnRoute{"GET", "/herd/v1/keys/:", Scope::admin, true},
    OwnRoute{"DELETE", "/herd/v1/keys/:", Scope::admin, true},
    OwnRoute{"GET", "/herd/v1/devices", Scope::admin, true}, // their ids are what they show
    OwnRoute{"POST", "/herd/v1/devices/:/allow", Scope::admin, true},
    OwnRoute{"POST", "/herd/v1/devices/:/disable", Scope::admin, true},
    OwnRoute{"POST", "/herd/v1/announce", node},
    OwnRoute{"POST", "/herd/v1/route", Scope::fleet}, // asks, changes nothing
    OwnRoute{"POST", "/herd/v1/nodes", Scope::admin, true},
    OwnRoute{"DELETE", "/herd/v1/nodes/:", Scope::admin, true},
    OwnRoute{"POST", "/herd/v1/nodes/:/drain", Scope::admin, true},
    OwnRoute{"POST", "/herd/v1/nodes/:/resume", Scope::admin, true},
    OwnRoute{"POST", "/herd/v1/nodes/:/probe", Scope::admin, true},
    OwnRoute{"POST", "/herd/v1/nodes/:/approve", Scope::admin, true},
    OwnRoute{"PUT", "/herd/v1/nodes/:", Scope::admin, true},
    OwnRoute{"PATCH", "/herd/v1/nodes/:", Scope::admin, true},
    OwnRoute{"GET", "/herd/v1/nodes/:/settings", Scope::admin},
    OwnRoute{"PUT", "/herd/v1/nodes/:/settings", Scope::admin, true},
    OwnRoute{"PATCH", "/herd/v1/nodes/:/settings", Scope::admin, true},
    OwnRoute{"DELETE", "/herd/v1/nodes/:/settings", Scope::admin, true},
    OwnRoute{"GET", "/herd/v1/frontends", Scope::admin},
    OwnRoute{"POST", "/herd/v1/frontends", Scope::admin, true},
    OwnRoute{"GET", "/herd/v1/frontends/:", Scope::admin},
    OwnRoute{"PUT", "/herd/v1/frontends/:", Scope::admin, true},
    OwnRoute{"PATCH", "/herd/v1/frontends/:", Scope::admin, true},
    OwnRoute{"DELETE", "/herd/v1/frontends/:", Scope::admin, true},
    OwnRoute{"GET", "/v1.0/frontends", Scope::admin}, // OllamaFlow's words: ollamaflow.hpp
    OwnRoute{"PUT", "/v1.0/frontends", Scope::admin, true},
    OwnRoute{"GET", "/v1.0/frontends/:", Scope::admin},
    OwnRoute{"PUT", "/v1.0/frontends/:", Scope::admin, true},
    OwnRoute{"DELETE", "/v1.0/frontends/:", Scope::admin, true},
    OwnRoute{"GET", "/v1.0/backends", Scope::admin},
    OwnRoute{"PUT", "/v1.0/backends", Scope::admin, true},
    OwnRoute{"GET", "/v1.0/backends/:", Scope::admin},
    OwnRoute{"PUT", "/v1.0/backends/:", Scope::admin, true},
    OwnRoute{"DELETE", "/v1.0/backends/:", Scope::admin, true},
    OwnRoute{"GET", "/v1.0/backends/:/health", Scope::admin},
    OwnRoute{"POST", "/herd/v1/use", Scope::admin, true},
    OwnRoute{"POST", "/herd/v1/reload", Scope::admin, true},
    OwnRoute{"POST", "/herd/v1/stop", Scope::admin, true},
};

std::string_view next_segment(std::string_view& rest)
{
    const auto slash = rest.find('/');
    const auto segment = rest.substr(0, slash);
    rest = slash == rest.npos ? std::string_view{} : rest.substr(slash + 1);
    return segment;
}

bool fits(std::string_view pattern, std::string_view path)
{
    while (!pattern.empty() && !path.empty()) {
        const auto wanted = next_segment(pattern);
        const auto segment = next_segment(path);
        if (wanted != segment && (wanted != ":" || segment.empty())) {
            return false;
        }
    }
    return pattern.empty() && path.empty();
}

} // namespace

std::span<const OwnRoute> own_routes() { return table; }

OwnRoute own_route(std::string_view method, std::string_view path)
{
    const bool reads = method == "GET" || method == "HEAD";
    const std::string_view wanted = reads ? "GET" : method;
    const OwnRoute* found = nullptr;
    for (const OwnRoute& route : table) {
        if (route.method == wanted && (route.pattern == path || (found == nullptr && fits(route.pattern, path)))) {
            found = &route; // the pattern that has no free segment wins
        }
    }
    return found != nullptr ? *found : OwnRoute{wanted, path, Scope::admin, !reads};
}

std::string_view to_string(Scope scope)
{
    switch (scope) {
    case open: return "open";
    case node: return "node";
    case user: return "user";
    case Scope::fleet: return "fleet";
    case Scope::admin: return "admin";
    }
    return "admin";
}

std::string routes_text()
{
    std::string text;
    for (const OwnRoute& route : table) {
        text += fmt::format("{{\"method\":\"{}\",\"path\":\"{}\",\"scope\":\"{}\",\"changes\":{}}}\n", route.method, route.pattern,
                            to_string(route.scope), route.changes);
    }
    for (const auto& [method, path] : proxy::route_list()) {
        text += fmt::format("{{\"method\":\"{}\",\"path\":\"{}\",\"scope\":\"{}\",\"changes\":false}}\n", method, path,
                            path == "/" ? "open" : "proxied"); // Exchange::is_liveness()
    }
    return text;
}

} // namespace herd::app::admin
