#pragma once
// The node's picture of itself: probes in, one NodeDocument out. It raises state_rev when something changed
// that herds must fetch, and says so once; load numbers flow along silently.
#include "base/time.hpp"
#include "discovery/node_document.hpp"
#include "herd-node/backend.hpp"
#include "herd-node/gpu_watch.hpp"
#include "herd-node/probes/host.hpp"
#include "herd-node/slots.hpp"
#include "net/loop.hpp"
#include "net/timer.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace herd::node {

/// What never changes while the program runs.
struct AgentOptions {
    discovery::NodeDocument constant{}; ///< identity, name, versions, ports, labels, given addresses
    std::optional<int> slots{};         ///< --slots
    std::string root{};                 ///< where /proc and /sys lie; "" is the real box
    std::string nvml{"libnvidia-ml.so.1"};
    base::Duration every{std::chrono::seconds{1}}; ///< between looks at the box
};

/// What the gateway has in hand.
struct Traffic {
    int in_flight{0}; ///< requests
    int working{0};   ///< of them, those that keep a model busy
};

/// Thread: the loop's.
class Agent {
public:
    struct Sources {
        std::function<const BackendView&()> backend{};
        std::function<const RunnerView&()> runners{};
        std::function<Traffic()> traffic{};
        /// Addresses to announce; empty where none are. Asked every few seconds.
        std::function<std::vector<discovery::Subnet>()> addresses{};
        std::function<const std::vector<discovery::ModelFacts>&()> tools{}; ///< beside the node, told among its models
    };
    /// `on_change(material)`: the document says something new; `material` when a herd should hear it now.
    Agent(net::Loop& loop, AgentOptions options, Sources sources,
          std::function<void(bool material)> on_change);

    void start();
    void stop();
    /// The backend or its runners say something new.
    void refresh();
    /// Other fleet keys are held.
    void set_keys(std::vector<std::uint8_t> ids);
    /// The network changed: our addresses are looked up at once, not in a few seconds.
    void addresses_changed();
    /// From now on: draining.
    void drain();
    [[nodiscard]] const discovery::NodeDocument& document() const { return document_; }

private:
    void tick();
    void take_backend();
    void take_load();
    [[nodiscard]] discovery::State judge() const;
    void publish(const discovery::NodeDocument& before);

    net::Loop& loop_;
    AgentOptions options_;
    Sources sources_;
    std::function<void(bool)> on_change_;
    HostProbe host_;
    GpuWatch gpus_;
    discovery::NodeDocument document_;
    net::Timer timer_;
    base::Instant addresses_at_{};
    int crowded_ticks_{0}; ///< consecutive looks with more work than slots; negative: without
    bool busy_{false};
    bool draining_{false};
    std::set<std::string> hidden_{}; ///< tools whose names models of Ollama's have
};

} // namespace herd::node
