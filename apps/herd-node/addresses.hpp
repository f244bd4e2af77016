#pragma once
// Which addresses of this box are worth telling a herd, and whether an address is the box's own. Pure over
// the list of interfaces.
#include "base/ip.hpp"
#include "discovery/datagram.hpp"
#include "net/interfaces.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace herd::node {

inline constexpr std::size_t announced_addresses_max = 4;

struct AddressRules {
    std::vector<std::string> only{};     ///< --interface
    std::vector<std::string> excluded{}; ///< --exclude-interface
    bool loopback_only{false};
};

/// What goes into ADDR: IPv4 first, then global and unique-local IPv6, then link-local; bridges of containers
/// left out unless named.
[[nodiscard]] std::vector<discovery::Subnet>
announced_addresses(const std::vector<net::Interface>& interfaces, const AddressRules& rules);

/// Loopback, or an address of one of the interfaces.
[[nodiscard]] bool is_own_address(const std::vector<net::Interface>& interfaces,
                                  const base::IpAddress& address);

} // namespace herd::node
