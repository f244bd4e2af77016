#include "discovery/internal/paths.hpp"

#include <algorithm>

namespace herd::discovery::internal {

namespace {

bool named(const std::vector<std::string>& names, const std::string& name)
{
    return std::ranges::find(names, name) != names.end();
}

bool chosen(const net::Interface& interface, const SocketOptions& options)
{
    if (!interface.up || !interface.running || interface.loopback || named(options.excluded, interface.name)) {
        return false;
    }
    if (!options.interfaces.empty()) {
        return named(options.interfaces, interface.name);
    }
    return !interface.point_to_point && !net::is_virtual_bridge(interface.name);
}

} // namespace

std::vector<Path> choose_paths(const std::vector<net::Interface>& interfaces, const SocketOptions& options)
{
    std::vector<Path> paths;
    for (const net::Interface& interface : interfaces) {
        if (!chosen(interface, options)) {
            continue;
        }
        Path path;
        path.index = interface.index;
        path.name = interface.name;
        path.v4 = interface.can_broadcast && interface.has_v4();
        path.v6 = interface.can_multicast && interface.has_v6();
        for (const net::InterfaceAddress& own : interface.addresses) {
            if (own.broadcast && own.prefix_length < 31) {
                path.directed.push_back(*own.broadcast);
            }
        }
        if (path.v4 || path.v6) {
            paths.push_back(std::move(path));
        }
    }
    return paths;
}

bool only_loopback(const std::vector<net::Interface>& interfaces, const SocketOptions& options)
{
    return !options.interfaces.empty() && std::ranges::all_of(options.interfaces, [&](const std::string& name) {
        const auto found = std::ranges::find(interfaces, name, &net::Interface::name);
        return found != interfaces.end() && found->loopback;
    });
}

Arrival describe(const std::vector<net::Interface>& interfaces, const base::Endpoint& from,
                 const base::IpAddress& to, unsigned interface, int ttl)
{
    Arrival arrival;
    arrival.from = from;
    arrival.to = to;
    arrival.interface = interface;
    arrival.ttl = ttl;
    arrival.to_group = to.is_multicast() || to.is_limited_broadcast();
    bool own = from.address.is_loopback();
    for (const net::Interface& known : interfaces) {
        const bool here = interface == 0 || known.index == interface;
        arrival.on_loopback = arrival.on_loopback || (known.loopback && known.index == interface);
        arrival.connected = arrival.connected || (here && !known.loopback && known.connects(from.address));
        for (const net::InterfaceAddress& address : known.addresses) {
            own = own || address.address.without_scope() == from.address.without_scope();
            arrival.to_group = arrival.to_group || (address.broadcast && *address.broadcast == to)
                || (known.loopback && to == base::IpAddress::v4({127, 255, 255, 255}));
        }
    }
    if (interface == 0) { // TCP: no interface is known, and the handshake proved the address
        arrival.on_loopback = own;
    }
    // What this machine says to itself is as near as can be; the kernel lets nobody else use our addresses.
    arrival.connected = arrival.connected || arrival.on_loopback || own;
    return arrival;
}

} // namespace herd::discovery::internal
