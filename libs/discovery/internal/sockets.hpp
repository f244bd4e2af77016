#pragma once
// The sockets of one beacon on its loop: what was bound before the fork, plus those that follow the
// interfaces (directed broadcasts and IPv6 groups). Sends one copy per path, describes what arrives.
#include "discovery/beacon.hpp"
#include "discovery/internal/paths.hpp"
#include "net/datagram.hpp"
#include "net/interfaces.hpp"
#include "net/timer.hpp"

#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace herd::discovery::internal {

/// ff12::4c41:4e41: transient, link-local scope.
[[nodiscard]] base::IpAddress lana_group();

struct SocketHandlers {
    std::function<void(const Arrival&, ByteView)> datagram{};
    std::function<void(const base::Endpoint&)> unreachable{};
    /// Interfaces changed; true when a path was lost.
    std::function<void(bool lost)> link_changed{};
    /// The machine slept, or this process was stopped for a while.
    std::function<void()> resumed{};
};

/// Thread: its loop's. Handlers may destroy it only through a post.
class Sockets {
public:
    Sockets(net::Loop& loop, DiscoverySockets bound, SocketHandlers handlers);
    Sockets(const Sockets&) = delete;
    Sockets& operator=(const Sockets&) = delete;

    void start();
    void close();
    void send(const Send& send);
    [[nodiscard]] Arrival describe_peer(const base::Endpoint& peer) const;
    /// Interfaces on which the last broadcast could not be sent, with why.
    [[nodiscard]] const std::map<std::string, std::string>& blocked() const { return blocked_; }

private:
    void send_everywhere(ByteView bytes);
    void send_on(const Path& path, ByteView bytes);
    void send_local(ByteView bytes);
    bool send_to(const base::Endpoint& to, ByteView bytes, unsigned interface, const base::IpAddress& from);
    void open(net::BoundSocket socket, bool sends);
    void follow_interfaces();
    void follow_directed();
    void follow_groups();
    void arm_pulse();
    void pulse();
    void complain(const std::string& where, const base::Error& error);

    net::Loop& loop_;
    DiscoverySockets bound_;
    SocketHandlers handlers_;
    std::unique_ptr<net::DatagramSocket> v4_{};
    std::unique_ptr<net::DatagramSocket> v6_{};
    std::vector<std::unique_ptr<net::DatagramSocket>> ears_{};
    std::map<base::Endpoint, std::unique_ptr<net::DatagramSocket>> directed_{};
    std::map<unsigned, std::unique_ptr<net::DatagramSocket>> groups_{};
    std::set<unsigned> joined_{};
    std::vector<net::Interface> interfaces_{};
    std::vector<Path> paths_{};
    std::set<std::string> complained_{};
    std::map<std::string, std::string> blocked_{};
    std::unique_ptr<net::InterfaceWatch> watch_{};
    net::Timer pulse_timer_;
    base::Instant pulsed_at_{};
    base::Duration asleep_{}; ///< how long the machine has slept since it booted
    bool started_{false};
    bool closed_{false};
};

} // namespace herd::discovery::internal
