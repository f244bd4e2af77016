#pragma once
// herd-node as one object: what main() runs and what tests build in memory. Everything lives on one loop;
// blocking looks (GPU drivers, /proc) have workers of their own, started when first needed.
#include "discovery/authenticator.hpp"
#include "discovery/beacon.hpp"
#include "discovery/node_document.hpp"
#include "herd-node/backend.hpp"
#include "herd-node/options.hpp"
#include "herd-node/runner_watch.hpp"
#include "net/loop.hpp"
#include "net/network.hpp"
#include "net/socket.hpp"
#include "net/tls.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::node {

/// Who we are, from the state directory.
struct NodeIdentity {
    base::NodeId id{};
    std::uint64_t boot_id{0};
    bool ephemeral{false}; ///< made up for this run: nothing could be written
};

/// Everything that is bound before the program forks.
struct NodeSockets {
    std::vector<net::BoundSocket> http{};                   ///< one or two per --listen
    std::optional<discovery::DiscoverySockets> discovery{}; ///< none: nobody is told
};
/// Errors: in_use, io, bad_config; context names the address or interface.
[[nodiscard]] base::Result<NodeSockets> bind_node(const NodeOptions& options);

/// What tests replace, and what the program wants to hear.
struct NodeSeams {
    std::string root{}; ///< where /proc, /sys and /dev lie; "" is the real box
    std::string nvml{"libnvidia-ml.so.1"};
    BackendOptions backend{}; ///< url and own are set from the options
    RunnerWatchOptions runners{};
    base::Duration watch_keep_alive{std::chrono::seconds{10}};
    /// How long the first announcement waits for the backend's first answer.
    base::Duration first_look{std::chrono::milliseconds{200}};
    std::shared_ptr<const net::TlsContext> tls{}; ///< of the gateway; null: plain HTTP alone
    /// Another live node has our id; called at most once, and never for an ephemeral one.
    std::function<void()> on_duplicate_id{};
};

/// Thread: the loop's.
class NodeApp {
public:
    NodeApp(net::Loop& loop, net::Network& network, NodeOptions options, NodeIdentity identity,
            discovery::Authenticator authenticator, NodeSockets sockets, NodeSeams seams = {});
    NodeApp(const NodeApp&) = delete;
    NodeApp& operator=(const NodeApp&) = delete;
    /// Requires stop() to have ended, unless the loop itself has.
    ~NodeApp();

    /// Serves at once; announces as soon as the backend answered or `first_look` passed.
    /// Errors: io, when a socket cannot listen.
    [[nodiscard]] base::Result<void> start();
    /// Announces DRAINING, lets requests in flight finish for `grace`, leaves, and stops everything.
    [[nodiscard]] net::Task<void> stop(base::Duration grace);
    /// Ends the grace of a stop() in progress.
    void hurry();

    /// New fleet keys (SIGHUP).
    void set_authenticator(discovery::Authenticator authenticator);
    /// Other herds to announce to (SIGHUP).
    void set_herds(std::vector<base::HostPort> herds);

    /// Where the agent and the gateway listen, with real ports.
    [[nodiscard]] const std::vector<base::Endpoint>& listening() const;
    [[nodiscard]] const discovery::NodeDocument& document() const;
    [[nodiscard]] const BackendView& backend() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace herd::node
