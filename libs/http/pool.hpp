#pragma once
// Kept-alive connections to nodes, one pool per loop. An idle connection that becomes readable is dead
// (end, reset, or bytes nobody asked for) and is dropped at once, so stale ones are rarely handed out.
#include "base/peer_trust.hpp"
#include "http/client.hpp"
#include "net/network.hpp"

#include <memory>

namespace herd::http {

struct PoolOptions {
    std::size_t idle_per_endpoint{64};
    std::size_t idle_total{1024};
    base::Duration idle_timeout{std::chrono::seconds{55}};
    base::Duration connect_timeout{std::chrono::milliseconds{300}};
    base::Duration tls_timeout{std::chrono::seconds{2}}; ///< for those behind TLS or a proxy: connecting and what follows
};

/// How a peer behind TLS, or behind a proxy, is reached and recognised; null is plain HTTP. Connections are shared among those that hold the same
/// object, so one endpoint asked in two ways never mixes them up.
using Trust = std::shared_ptr<const base::PeerTrust>;

/// Thread: its loop.
class Pool {
public:
    Pool(net::Loop& loop, net::Network& network, PoolOptions options);
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool();

    struct Taken {
        std::unique_ptr<ClientConnection> connection{};
        bool reused{false};          ///< a reused one that fails before its first answer byte may be stale
        base::Duration connect{};    ///< time spent connecting
    };
    /// An idle connection, or a new one. Errors: as Network::connect. `fresh`: do not reuse.
    /// Connecting ends at `deadline`, or after `connect_timeout` (0: the pool's) if that is earlier.
    [[nodiscard]] net::Task<base::Result<Taken>> take(base::Endpoint to, bool fresh = false,
                                                      base::Instant deadline = base::Instant::max(), Trust trust = {},
                                                      base::Duration connect_timeout = {});
    /// The half of take() that never waits: an idle connection, or nothing.
    [[nodiscard]] std::unique_ptr<ClientConnection> take_idle(const base::Endpoint& to,
                                                              const base::PeerTrust* trust = nullptr);
    /// Keeps the connection, which came from take(), if it is reusable and there is room, else closes it.
    void give_back(std::unique_ptr<ClientConnection> connection);
    /// Closes idle connections to a node that went away.
    void drop(base::Endpoint to);
    /// The same, and for the connections in use give_up(): the host is known to be gone, and no packet will say so.
    void give_up(base::Endpoint to);
    [[nodiscard]] std::size_t idle() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace herd::http
