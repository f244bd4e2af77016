#pragma once
// GET /fleet/status in the shape that users of Ollama Herd know, with our own node beside it. Pure.
// Source: reference/parity.md 2.3, 1.5.
#include "fleet/snapshot.hpp"

#include <map>
#include <string>
#include <utility>

namespace herd::app::admin {

/// What became of requests for one model at one node since herd started.
struct QueueCounts {
    std::string model{}; ///< display name
    std::uint64_t completed{0};
    std::uint64_t failed{0};
    double latency_ms{0};        ///< mean of the completed ones
    double prompt_tokens{0};     ///< likewise
    double completion_tokens{0}; ///< likewise
};

struct FleetStatusInput {
    std::map<std::pair<std::string, std::string>, QueueCounts> counts{}; ///< by node's name and ModelName::key
    std::map<std::string, int> waiting{};                                ///< requests in the queue by model's display name
};

[[nodiscard]] std::string fleet_status(const fleet::Snapshot& snapshot, const FleetStatusInput& input, base::Instant now);

} // namespace herd::app::admin
