#pragma once
// The seam to the network. The real form is Asio; tests/support holds one in memory.
#include "base/error.hpp"
#include "base/ip.hpp"
#include "net/socket.hpp"
#include "net/stream.hpp"

#include <memory>
#include <string>
#include <vector>

namespace herd::net {

/// Accepts streams. Thread: its loop. close() ends accept() with Errc::cancelled.
class Listener {
public:
    Listener() = default;
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    virtual ~Listener() = default;
    /// Out of descriptors and the like are waited out inside (paused, logged once), not returned.
    [[nodiscard]] virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;
    virtual void close() noexcept = 0;
    [[nodiscard]] virtual Endpoint local() const = 0;
};

/// One per loop. Thread: its loop.
class Network {
public:
    Network() = default;
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;
    virtual ~Network() = default;

    /// Takes over a bound socket (bound before daemonizing) and listens.
    [[nodiscard]] virtual Result<std::unique_ptr<Listener>> listen(BoundSocket socket) = 0;
    /// Errors: refused, unreachable, timed_out (deadline), cancelled, io; retry = always (nothing was sent).
    [[nodiscard]] virtual Task<Result<std::unique_ptr<Stream>>> connect(Endpoint to, base::Instant deadline) = 0;
    /// A numeric host answers at once. Errors: unreachable (no such name), timed_out.
    [[nodiscard]] virtual Task<Result<std::vector<base::IpAddress>>> resolve(std::string host,
                                                                              base::Instant deadline) = 0;
};

/// The real network of one loop.
[[nodiscard]] std::unique_ptr<Network> make_network(Loop& loop);

} // namespace herd::net
