#pragma once
// Which interfaces we send on, and what an arriving datagram's interface says about its source. Pure: the
// list of interfaces comes in as a value.
#include "discovery/beacon.hpp"
#include "net/interfaces.hpp"

#include <string>
#include <vector>

namespace herd::discovery::internal {

/// One way out: a copy of every datagram "to everywhere" leaves here.
struct Path {
    unsigned index{0};
    std::string name{};
    bool v4{false};
    bool v6{false};
    std::vector<base::IpAddress> directed{}; ///< directed broadcast addresses, for where 255.255.255.255 fails
    bool operator==(const Path&) const = default;
};

/// Up, running, able to broadcast or multicast, no loopback, no point-to-point, no container's bridge; those
/// named by the user instead, if any; never the excluded ones. Loopback has a path of its own, always.
[[nodiscard]] std::vector<Path> choose_paths(const std::vector<net::Interface>& interfaces,
                                             const SocketOptions& options);

/// True when the user named interfaces and all of them are loopback: then nothing may leave this machine.
[[nodiscard]] bool only_loopback(const std::vector<net::Interface>& interfaces, const SocketOptions& options);

/// Judges where a datagram (or, with `interface` 0, a TCP connection) came from.
[[nodiscard]] Arrival describe(const std::vector<net::Interface>& interfaces, const base::Endpoint& from,
                               const base::IpAddress& to, unsigned interface, int ttl);

} // namespace herd::discovery::internal
