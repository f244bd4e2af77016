#pragma once
// An immutable, versioned picture of the fleet for everything that only reads. Shared across threads.
#include "fleet/learned.hpp"
#include "fleet/node.hpp"
#include "fleet/rules.hpp"
#include "fleet/tool.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace herd::fleet {

struct NodeView {
    NodeId id{};
    std::string name{};
    NodeSource source{NodeSource::lana};
    NodeState state{NodeState::unknown};
    Trust trust{Trust::open};
    std::string state_reason{};
    base::WallTime since{}; ///< when the state was entered
    base::Instant last_seen{};
    std::optional<base::Duration> latency{}; ///< of the last probe; nothing while it is not there
    Address address{};
    base::Endpoint agent{};  ///< port 0: no agent
    std::string url{};       ///< as configured, or "http://address:port"
    std::shared_ptr<const NodeFacts> facts{};
    std::vector<std::string> labels{};
    std::shared_ptr<const NodeSettings> settings{}; ///< null: none
    bool drained_by_operator{false};
    int in_flight{0};
    int foreign{0}; ///< requests seen there that are none of ours; they take slots too
    int queued{0}; ///< requests waiting that could only run here
    std::vector<RateView> rates{}; ///< of the models that are loaded there or were measured
    [[nodiscard]] bool takes_requests() const { return state == NodeState::online; }
    [[nodiscard]] int tier() const { return tier_of(address.cloud(), settings.get()); }
    [[nodiscard]] bool allows(std::string_view model_key) const { return settings == nullptr || settings->allows(model_key); }
};

/// Where one model is.
struct Holder {
    std::size_t node{0};  ///< index into Snapshot::nodes
    std::size_t model{0}; ///< index into its facts->models
    bool loaded{false};
    int slots{1};
    int in_flight{0};
    Tool tool{Tool::none};
};

struct Totals {
    std::uint64_t requests{0};
    std::uint64_t failed{0};
    int in_flight{0};
    int queued{0};
    std::uint64_t loads{0};           ///< requests sent to a node that had to load the model first
    std::uint64_t reloads_caused{0};  ///< of these: it was resident with other options
    std::uint64_t reloads_avoided{0}; ///< sent to a node that had it as wanted while another would have reloaded
    std::uint64_t early_refusals{0};  ///< the prediction exceeded the deadline
    std::uint64_t fallbacks{0};       ///< another model was taken, as the client allowed
};

/// The requests that wait for one model.
struct ModelQueue {
    std::string model{}; ///< display name
    int waiting{0};
};

struct Snapshot {
    std::uint64_t version{0};
    base::WallTime taken_at{};
    std::vector<NodeView> nodes{};                           ///< ordered by name, then id
    std::map<std::string, std::vector<Holder>> models{};     ///< by ModelName::key; without those who may not serve it
    std::map<std::string, Tool> tools{};                     ///< of `models`, those that no node has as a model
    std::map<std::string, ModelQueue> queues{};              ///< by ModelName::key; only those where somebody waits
    Totals totals{};

    [[nodiscard]] const NodeView* find(const NodeId& id) const;
    /// By id text, by name (exact, then whatever its case), by name and number ("studio-2"), or by the beginning of one id.
    /// Names are labels: of several nodes of a name the only one that is there is found, else nothing (called.hpp).
    [[nodiscard]] const NodeView* find(std::string_view name_or_id) const;
    [[nodiscard]] std::vector<const NodeView*> routable() const;
};

} // namespace herd::fleet
