#pragma once
// GET /fleet/queue and /fleet/limits: how busy the fleet is and how much it takes, for clients that back off by
// themselves, in the shapes that users of Ollama Herd know. Pure.
// Source: reference/parity.md 2.3.
#include "fleet/decision.hpp"
#include "herd/admin/fleet_status.hpp"

#include <optional>
#include <string>

namespace herd::app::admin {

/// What the configuration says.
struct FleetLimits {
    int retries{0};
    std::size_t queue_per_model{0};
    std::size_t client_in_flight{0}; ///< 0: no limit
};

struct FleetQueueInput {
    QueueCountsOf counts{};
    FleetLimits limits{};
    std::string model{};                      ///< that the wait is of; empty: nobody waits
    std::optional<base::Duration> wait{};     ///< of a request arriving now; nothing: no node could take it
};

[[nodiscard]] std::string fleet_queue(const fleet::Snapshot& snapshot, const FleetQueueInput& input);
[[nodiscard]] std::string fleet_limits(const fleet::Snapshot& snapshot, const FleetLimits& limits);

/// The model for which most requests wait; empty when none does.
[[nodiscard]] std::string busiest_model(const fleet::Snapshot& snapshot);
/// How long a request decided like that would wait for its place: 0 when there is one; nothing: nobody could take it.
[[nodiscard]] std::optional<base::Duration> predicted_wait(const fleet::Decision& decision);

} // namespace herd::app::admin
