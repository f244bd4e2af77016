#include "fleet/node.hpp"

namespace herd::fleet {

std::string_view to_string(NodeState state)
{
    switch (state) {
    case NodeState::unknown: return "unknown";
    case NodeState::online: return "online";
    case NodeState::suspect: return "suspect";
    case NodeState::draining: return "draining";
    case NodeState::offline: return "offline";
    case NodeState::unreachable: return "unreachable";
    }
    return "unknown";
}

std::string_view to_string(Trust trust)
{
    switch (trust) {
    case Trust::open: return "open";
    case Trust::configured: return "configured";
    case Trust::key: return "key";
    case Trust::unauthenticated: return "unauthenticated";
    case Trust::waiting: return "waiting";
    case Trust::approved: return "approved";
    }
    return "open";
}

std::string_view to_string(NodeSource source)
{
    switch (source) {
    case NodeSource::lana: return "lana";
    case NodeSource::configured: return "static";
    case NodeSource::http: return "http";
    }
    return "lana";
}

std::string_view to_string(NodeApi api) { return api == NodeApi::openai ? "openai" : "ollama"; }

} // namespace herd::fleet
