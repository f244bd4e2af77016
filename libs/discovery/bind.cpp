// Binding before the fork, and the degradations of lana.md 1.1: a second herd on the host, a port held by a
// program that does not share it, a machine without IPv6.
#include "base/text.hpp"
#include "discovery/beacon.hpp"
#include "discovery/internal/paths.hpp"
#include "net/datagram.hpp"
#include "net/interfaces.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>

namespace herd::discovery {

namespace {

constexpr int herd_buffer_bytes = 4 * 1024 * 1024;

const base::IpAddress any4{};
const base::IpAddress any6 = base::IpAddress::v6({});
const base::IpAddress local_broadcast = base::IpAddress::v4({127, 255, 255, 255});
const base::IpAddress limited_broadcast = base::IpAddress::v4({255, 255, 255, 255});

base::Result<void> check_names(const std::vector<net::Interface>& interfaces, const SocketOptions& options)
{
    std::vector<std::string> names;
    for (const net::Interface& interface : interfaces) {
        names.push_back(interface.name);
    }
    for (const std::string& name : options.interfaces) {
        if (std::ranges::find(names, name) == names.end()) {
            std::string known;
            for (const std::string& other : names) {
                known += (known.empty() ? "" : ", ") + other;
            }
            return base::fail(base::Errc::bad_config, "--interface " + name + ": no such interface here (there are: " + known + ")");
        }
    }
    return {};
}

/// True when a socket with SO_REUSEADDR already takes unicast on the port: another herd of this host.
/// Columns of /proc/net/udp: "sl local_address …", address as hex in host byte order, then ":port".
bool herd_is_here(std::uint16_t port)
{
    std::ifstream table("/proc/net/udp");
    std::string line;
    std::getline(table, line);
    for (int i = 0; i < 65536 && std::getline(table, line); ++i) {
        const auto colon = line.find(':');
        const auto address = line.find_first_not_of(' ', colon + 1);
        if (colon == std::string::npos || address == std::string::npos || line.size() < address + 13) {
            continue;
        }
        const std::string_view local = std::string_view(line).substr(address, 13);
        std::uint16_t bound = 0;
        std::from_chars(local.data() + 9, local.data() + 13, bound, 16);
        if (bound == port && (local.starts_with("00000000") || local.starts_with("0100007F"))) {
            return true;
        }
    }
    return false;
}

std::string held_warning(std::uint16_t port, const std::string& what)
{
    return "UDP port " + std::to_string(port) + " is held by a program that does not share it (Ollana's server does that; `ss -ulpn` names it): " + what;
}

base::Result<void> bind_herd(DiscoverySockets& out)
{
    const SocketOptions& options = out.options;
    const base::IpAddress address = out.loopback_only ? base::IpAddress::loopback() : any4;
    net::UdpOptions udp{.reuse_address = true, .receive_buffer_bytes = herd_buffer_bytes};
    const bool second = options.port != 0 && herd_is_here(options.port);
    auto main = net::bind_udp({address, options.port}, udp);
    if (!main && main.error().code == base::Errc::in_use) {
        out.listens = false;
        out.warnings.push_back(held_warning(options.port, "herd calls nodes from another port every 2 s and hears their answers there"));
        main = net::bind_udp({address, 0}, udp);
    }
    if (!main) {
        return std::unexpected(main.error());
    }
    out.port = options.port != 0 ? options.port : main->local.port;
    out.unicast.push_back(std::move(*main));
    if (out.loopback_only && out.listens) {
        if (auto broadcast = net::bind_udp({local_broadcast, out.port}, udp)) {
            out.extra.push_back(std::move(*broadcast));
        }
    }
    if (second && out.listens) {
        auto own = net::bind_udp({address, 0}, udp);
        if (!own) {
            return std::unexpected(own.error());
        }
        out.own_udp_port = own->local.port;
        out.warnings.push_back("another herd on this host uses UDP port " + std::to_string(options.port)
                               + " too: nodes are asked to answer this one on port " + std::to_string(out.own_udp_port));
        out.extra.push_back(std::move(*own));
    }
    if (!out.loopback_only) {
        const std::uint16_t port6 = out.listens ? out.port : std::uint16_t{0};
        if (auto six = net::bind_udp({any6, port6}, udp)) {
            out.unicast.push_back(std::move(*six));
        }
        if (second && out.listens) {
            if (auto six = net::bind_udp({any6, out.own_udp_port}, udp)) {
                out.extra.push_back(std::move(*six));
            }
        }
    }
    return {};
}

base::Result<void> bind_node(DiscoverySockets& out)
{
    const SocketOptions& options = out.options;
    auto main = net::bind_udp({out.loopback_only ? base::IpAddress::loopback() : any4, 0}, {});
    if (!main) {
        return std::unexpected(main.error());
    }
    out.unicast.push_back(std::move(*main));
    if (!out.loopback_only) {
        if (auto six = net::bind_udp({any6, 0}, {})) {
            out.unicast.push_back(std::move(*six));
        }
    }
    out.port = options.port;
    out.listens = options.listen && options.port != 0;
    if (!out.listens) {
        return {};
    }
    std::vector<base::IpAddress> ears{local_broadcast};
    if (!out.loopback_only) {
        ears.push_back(limited_broadcast);
    }
    for (const base::IpAddress& address : ears) {
        auto ear = net::bind_udp({address, options.port}, {.reuse_address = true});
        if (!ear && ear.error().code == base::Errc::in_use) {
            out.listens = false;
            out.extra.clear();
            out.warnings.push_back(held_warning(options.port, "this node announces, but does not hear herds call"));
            break;
        }
        if (!ear) {
            return std::unexpected(ear.error());
        }
        out.extra.push_back(std::move(*ear));
    }
    return {};
}

} // namespace

base::Result<DiscoverySockets> bind_sockets(const SocketOptions& options)
{
    const auto interfaces = net::list_interfaces();
    if (!interfaces) {
        return std::unexpected(interfaces.error());
    }
    if (const auto known = check_names(*interfaces, options); !known) {
        return std::unexpected(known.error());
    }
    DiscoverySockets out;
    out.options = options;
    out.loopback_only = internal::only_loopback(*interfaces, options);
    const auto bound = options.role == Role::herd ? bind_herd(out) : bind_node(out);
    if (!bound) {
        return std::unexpected(bound.error());
    }
    return out;
}

} // namespace herd::discovery
