#include "herd/configured_nodes.hpp"

#include "herd/keyring.hpp"
#include "net/interfaces.hpp"

#include <cstdlib>

namespace herd::app {

base::Result<std::vector<StaticNode>> configured_nodes(const HerdOptions& options, const NodeSurroundings& around)
{
    std::vector<StaticNode> nodes;
    for (const ConfiguredNode& configured : options.nodes) {
        if (configured.url.empty()) {
            continue; // settings of a node that announces itself
        }
        auto node = make_static_node(configured, around);
        if (!node) {
            const auto place = options.places.find(configured.url + " tls.ca_file");
            const bool of_file = place != options.places.end() && !place->second.empty() && node.error().context.contains(" tls.ca_file: ");
            return base::fail(node.error().code, of_file ? place->second + ": [[node]] " + node.error().context : node.error().context);
        }
        node->dates = configured.of_file ? options.file_dates : std::nullopt; // else it is of a flag
        nodes.push_back(std::move(*node));
    }
    return nodes;
}

NodeSurroundings surroundings_of(const std::vector<base::Endpoint>& listeners)
{
    NodeSurroundings around{.listeners = listeners};
    const auto interfaces = net::list_interfaces();
    for (const net::Interface& interface : interfaces ? *interfaces : std::vector<net::Interface>{}) {
        for (const net::InterfaceAddress& own : interface.addresses) {
            around.own_addresses.push_back(own.address.without_scope());
        }
    }
    around.variable = [](const std::string& name) {
        const char* value = std::getenv(name.c_str());
        return std::string{value != nullptr ? value : ""};
    };
    around.keyring = [] { return keyring_cloud_key(); };
    return around;
}

} // namespace herd::app
