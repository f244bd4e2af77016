#pragma once
// An immutable, versioned picture of the fleet for everything that only reads. Shared across threads.
#include "fleet/node.hpp"

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
    std::string state_reason{};
    base::WallTime since{}; ///< when the state was entered
    base::Instant last_seen{};
    std::optional<base::Duration> latency{}; ///< of the last probe
    Address address{};
    base::Endpoint agent{};  ///< port 0: no agent
    std::string url{};       ///< as configured, or "http://address:port"
    std::shared_ptr<const NodeFacts> facts{};
    std::vector<std::string> labels{};
    bool drained_by_operator{false};
    int in_flight{0};
    int queued{0}; ///< requests waiting that could only run here
    [[nodiscard]] bool takes_requests() const { return state == NodeState::online; }
};

/// Where one model is.
struct Holder {
    std::size_t node{0};  ///< index into Snapshot::nodes
    std::size_t model{0}; ///< index into its facts->models
    bool loaded{false};
    int slots{1};
    int in_flight{0};
};

struct Totals {
    std::uint64_t requests{0};
    std::uint64_t failed{0};
    int in_flight{0};
    int queued{0};
};

struct Snapshot {
    std::uint64_t version{0};
    base::WallTime taken_at{};
    std::vector<NodeView> nodes{};                           ///< ordered by name, then id
    std::map<std::string, std::vector<Holder>> models{};     ///< by ModelName::key
    Totals totals{};

    [[nodiscard]] const NodeView* find(const NodeId& id) const;
    /// By id text or by name (exact, then case-insensitive when unique). Names are labels: an ambiguous one
    /// finds nothing.
    [[nodiscard]] const NodeView* find(std::string_view name_or_id) const;
    [[nodiscard]] std::vector<const NodeView*> routable() const;
};

} // namespace herd::fleet
