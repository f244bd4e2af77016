#pragma once
// The sockets of LANA (lana.md 1.1) and the loop that drives the two cores: it receives, sends one copy per
// interface, keeps the timer, watches the interfaces and notices that the machine slept. All decisions are
// in Announcer and HerdSide.
//
// Sockets are bound before the program forks (bind_sockets), and used after it (NodeBeacon, HerdBeacon).
// With `--interface lo` alone everything stays on loopback: bound to 127.0.0.1 and 127.255.255.255 only.
#include "base/error.hpp"
#include "base/ip.hpp"
#include "discovery/announcer.hpp"
#include "discovery/herd_side.hpp"
#include "net/network.hpp"
#include "net/socket.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace herd::discovery {

struct SocketOptions {
    Role role{Role::herd};
    /// 11436. 0: herd takes any free port (beacons go to that port too); a node then only talks to the
    /// herds it was told.
    std::uint16_t port{default_discovery_port};
    bool listen{true};                     ///< node: hear beacons (--no-listen)
    std::vector<std::string> interfaces{}; ///< --interface: only these; empty: all suitable ones
    std::vector<std::string> excluded{};   ///< --exclude-interface
};

struct DiscoverySockets {
    SocketOptions options{};
    std::uint16_t port{0};            ///< the discovery port in force
    std::vector<net::BoundSocket> unicast{}; ///< R4/R6 or U4/U6; sends too
    std::vector<net::BoundSocket> extra{};   ///< own unicast port of a second herd; B4/B6 of a node
    std::uint16_t own_udp_port{0};    ///< for Header::udp_port: the second herd's own port, else 0
    bool listens{true};               ///< false: degraded (the port is held by another program)
    bool loopback_only{false};
    std::vector<std::string> warnings{}; ///< one sentence each, with a hint; the app logs them once
};

/// Binds what has to be bound before daemonizing.
/// Errors: bad_config (an interface that does not exist), io. A port held without reuse (Ollana) is not an
/// error: it degrades as lana.md 1.1 says and leaves a warning.
[[nodiscard]] base::Result<DiscoverySockets> bind_sockets(const SocketOptions& options);

struct NodeBeaconHandlers {
    std::move_only_function<void(const HttpAnnounce&)> http_announce{};
    std::move_only_function<void(const Notice&)> notice{};
    /// Interfaces or their addresses changed; called before that is announced.
    std::move_only_function<void()> link_changed{};
};

/// Drives an Announcer. Thread: its loop's.
class NodeBeacon {
public:
    /// `herds`: --herd, port 0 where none was written; PORT may be the herd's HTTP or its discovery port,
    /// both are tried. Names are resolved again every 30 s.
    NodeBeacon(net::Loop& loop, net::Network& network, DiscoverySockets sockets, Announcer announcer,
               std::vector<base::HostPort> herds, NodeBeaconHandlers handlers);
    NodeBeacon(const NodeBeacon&) = delete;
    NodeBeacon& operator=(const NodeBeacon&) = delete;
    /// Requires stop() to have ended, unless the loop itself has.
    ~NodeBeacon();

    void start();
    void set_facts(Facts facts);
    void herd_asked(const base::Uuid& id, const base::IpAddress& peer, const base::Endpoint& udp);
    void http_announced(const std::string& herd, const base::Uuid& id, std::uint16_t flags);
    void set_authenticator(Authenticator authenticator);
    /// Other named herds (a reload): those that are new are called at once, those that are gone no more.
    void set_herds(std::vector<base::HostPort> herds);
    /// Sends the three LEAVEs (about 150 ms) and goes silent. Awaits: yes.
    [[nodiscard]] net::Task<void> leave(LeaveReason reason);
    /// Closes the sockets and waits for what runs. Without leave() first the node just falls silent.
    [[nodiscard]] net::Task<void> stop();

    [[nodiscard]] const Announcer& announcer() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

struct HerdBeaconHandlers {
    std::move_only_function<void(Sighting)> sighting{};
    /// Port unreachable for a probe: no agent there.
    std::move_only_function<void(const base::Endpoint&)> unreachable{};
    /// The machine slept, or this process was stopped: give every node one interval of grace.
    std::move_only_function<void()> resumed{};
    /// Interfaces changed; true when one that we used lost its carrier (self-preservation).
    std::move_only_function<void(bool lost_carrier)> link_changed{};
    /// An Ollana server answered one of our datagrams.
    std::move_only_function<void(const base::IpAddress&)> ollana_server{};
};

/// Drives a HerdSide. Thread: its loop's.
class HerdBeacon {
public:
    HerdBeacon(net::Loop& loop, DiscoverySockets sockets, HerdSide herd, HerdBeaconHandlers handlers);
    HerdBeacon(const HerdBeacon&) = delete;
    HerdBeacon& operator=(const HerdBeacon&) = delete;
    ~HerdBeacon();

    void start();
    /// Unicast BEACON with SOLICIT.
    void solicit(const base::Endpoint& node);
    /// For confirmed(), forget(), set_ack_flag(), set_pool_size(), on_http_announce() and counters().
    [[nodiscard]] HerdSide& herd();
    /// What an HTTP peer looks like to the on-link test (connected subnet, loopback, configured).
    [[nodiscard]] Arrival arrival_of(const base::Endpoint& peer) const;
    /// Interfaces on which the last broadcast could not be sent: "eth0: why".
    [[nodiscard]] std::vector<std::string> blocked_interfaces() const;
    /// LEAVE broadcast, then closes the sockets.
    void stop();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace herd::discovery
