#pragma once
// Knocks at the Ollana servers that discovery hears, and shows each to the fleet as a node: one that waits for approval,
// or one that takes requests under its pinned certificate.
#include "herd/devices/ollana_call.hpp"
#include "herd/static_nodes.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"

#include <functional>

namespace herd::app::devices {

struct ServerOptions {
    bool enabled{false};
    std::uint32_t slots{1};
};

struct ServerHooks {
    /// Shows it to the fleet, or shows it anew; false: a person named that address himself.
    std::function<bool(StaticNode)> show{};
    std::function<void(const fleet::NodeId&)> hide{};
    std::function<NodeSurroundings()> around{};
    /// The device book changed: to be written down.
    std::function<void()> changed{};
};

/// Thread: its loop.
class OllanaServers {
public:
    /// All outlive this object.
    OllanaServers(net::Loop& loop, net::Network& network, DeviceBook& devices, ServerOptions options, ServerHooks hooks);

    /// Those that were approved before a restart.
    void recall();
    void set_options(const ServerOptions& options);
    /// Discovery heard one.
    void heard(const base::IpAddress& address);
    /// A human allowed an id, or took that back. Requires: no conflict() in the book.
    void allowed(const std::string& id);
    void disabled();
    [[nodiscard]] const ServerBook& book() const { return book_; }
    [[nodiscard]] bool enabled() const { return options_.enabled; }
    [[nodiscard]] net::Task<void> stop();

private:
    void arm();
    void work();
    net::Task<void> ask(base::IpAddress address);
    void show_all();
    void show(const base::IpAddress& address, const OllanaServer& server);
    void hide_all();

    net::Loop& loop_;
    net::Network& network_;
    http::Pool pool_;
    DeviceBook& devices_;
    ServerOptions options_;
    ServerHooks hooks_;
    ServerBook book_;
    std::map<base::IpAddress, std::pair<fleet::NodeId, std::string>> shown_; // and how it was shown
    net::Timer timer_;
    net::TaskGroup tasks_;
    bool stopping_{false};
};

/// The node that a server is: waiting with a sentence, or in use. Errors: bad_config, when no node may be there.
[[nodiscard]] base::Result<StaticNode> node_of_server(const base::IpAddress& address, const OllanaServer& server, const std::string& own_id,
                                                      std::uint32_t slots, const NodeSurroundings& around);

} // namespace herd::app::devices
