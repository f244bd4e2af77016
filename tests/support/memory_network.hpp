#pragma once
// A network in memory: hosts with addresses, listeners, connections with latency; hosts that refuse, that
// swallow everything, that die with or without a word. One loop carries the whole world.
#include "net/network.hpp"
#include "support/memory_stream.hpp"

#include <map>
#include <set>

namespace herd::testing {

class MemoryListener;

/// What all hosts share. Outlives its networks, listeners and streams' connections.
class MemoryWorld {
public:
    explicit MemoryWorld(net::Loop& loop) : loop_(loop) {}
    MemoryWorld(const MemoryWorld&) = delete;
    MemoryWorld& operator=(const MemoryWorld&) = delete;
    ~MemoryWorld();

    /// The network as the host with this address sees it.
    [[nodiscard]] std::unique_ptr<net::Network> host(base::IpAddress address);

    StreamOptions stream_options{}; ///< of connections made from now on; connecting takes two latencies
    /// The host neither answers nor refuses, and its connections stall. False heals it.
    void set_unreachable(base::IpAddress host, bool unreachable);
    /// The host's process dies: listeners gone, connections reset.
    void kill(base::IpAddress host);
    void set_name(std::string name, std::vector<base::IpAddress> addresses);
    [[nodiscard]] std::size_t connections_made() const { return connections_made_; }
    [[nodiscard]] std::size_t connections_open() const; ///< neither end closed

private:
    friend class MemoryListener;
    friend class MemoryNetwork;
    struct Link {
        base::IpAddress a, b;
        std::weak_ptr<Pipe> there, back;
    };
    [[nodiscard]] StreamPair connect(base::IpAddress from, base::Endpoint to);

    net::Loop& loop_;
    std::map<base::Endpoint, MemoryListener*> listeners_;
    std::set<base::IpAddress> unreachable_;
    std::map<std::string, std::vector<base::IpAddress>> names_;
    std::vector<Link> links_;
    std::size_t connections_made_{0};
    std::uint16_t next_port_{20000};
};

/// A BoundSocket without a descriptor, for MemoryNetwork::listen. Port 0: any.
[[nodiscard]] inline net::BoundSocket memory_socket(base::Endpoint at)
{
    net::BoundSocket socket;
    socket.local = at;
    return socket;
}

} // namespace herd::testing
