#pragma once
// The machine's network interfaces as plain values, and a watch that tells when they change (netlink).
// Datagram rooms send one copy per interface, because 255.255.255.255 leaves by one only.
#include "base/error.hpp"
#include "base/ip.hpp"
#include "net/loop.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::net {

struct InterfaceAddress {
    base::IpAddress address{};
    int prefix_length{0};
    std::optional<base::IpAddress> broadcast{}; ///< IPv4 only
    bool operator==(const InterfaceAddress&) const = default;
};

struct Interface {
    std::string name{};
    unsigned index{0};
    bool up{false};
    bool running{false}; ///< has a carrier
    bool can_broadcast{false};
    bool can_multicast{false};
    bool loopback{false};
    bool point_to_point{false};
    std::vector<InterfaceAddress> addresses{};
    bool operator==(const Interface&) const = default;

    [[nodiscard]] bool has_v4() const;
    [[nodiscard]] bool has_v6() const;
    /// True when `address` lies in one of this interface's subnets (any link-local IPv6 does).
    [[nodiscard]] bool connects(const base::IpAddress& address) const;
};

/// All interfaces, by index. Errors: io. Thread: any.
[[nodiscard]] base::Result<std::vector<Interface>> list_interfaces();

/// Bridges and pairs of containers and virtual machines: nobody of ours is behind them, and there may be
/// dozens (docker0, br-*, veth*, virbr*, cni*, vmnet* and their kin).
[[nodiscard]] bool is_virtual_bridge(std::string_view name);

/// Calls back when a link or an address came, went or changed; several changes within 50 ms are one call.
/// Thread: the loop's. Destroying it ends the watch.
class InterfaceWatch {
public:
    /// Where netlink is not to be had, it looks every 5 s instead.
    InterfaceWatch(Loop& loop, Callback on_change);
    InterfaceWatch(const InterfaceWatch&) = delete;
    InterfaceWatch& operator=(const InterfaceWatch&) = delete;
    ~InterfaceWatch();

private:
    struct State;
    std::shared_ptr<State> state_;
};

} // namespace herd::net
