#include "herd-node/addresses.hpp"

#include <algorithm>

namespace herd::node {

namespace {

bool chosen(const net::Interface& interface, const AddressRules& rules)
{
    const auto named = [&](const std::vector<std::string>& names) {
        return std::ranges::find(names, interface.name) != names.end();
    };
    if (!interface.up || named(rules.excluded)) {
        return false;
    }
    if (rules.loopback_only) {
        return interface.loopback;
    }
    if (!rules.only.empty()) {
        return named(rules.only);
    }
    return !interface.loopback && interface.running && !net::is_virtual_bridge(interface.name);
}

int rank(const base::IpAddress& address) { return address.is_v4() ? 0 : address.is_link_local() ? 2 : 1; }

} // namespace

std::vector<discovery::Subnet> announced_addresses(const std::vector<net::Interface>& interfaces,
                                                   const AddressRules& rules)
{
    std::vector<discovery::Subnet> found;
    for (int wanted = 0; wanted <= 2; ++wanted) {
        for (const auto& interface : interfaces) {
            for (const auto& entry : interface.addresses) {
                if (rank(entry.address) == wanted && chosen(interface, rules)
                    && found.size() < announced_addresses_max) {
                    const auto prefix = static_cast<std::uint8_t>(std::clamp(entry.prefix_length, 0, 128));
                    found.push_back({entry.address.without_scope(), prefix});
                }
            }
        }
    }
    return found;
}

bool is_own_address(const std::vector<net::Interface>& interfaces, const base::IpAddress& address)
{
    if (address.is_loopback() || address.is_unspecified()) {
        return true;
    }
    return std::ranges::any_of(interfaces, [&](const net::Interface& interface) {
        return std::ranges::any_of(interface.addresses, [&](const net::InterfaceAddress& own) {
            return own.address.without_scope() == address.without_scope();
        });
    });
}

} // namespace herd::node
