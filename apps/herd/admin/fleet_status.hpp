#pragma once
// GET /fleet/status (and what its relatives share) in the shape that users of Ollama Herd know, with our own node beside it. Pure.
// Source: reference/parity.md 2.3, 1.5.
#include "fleet/snapshot.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace herd::app::admin {

/// What became of requests for one model at one node since herd started.
struct QueueCounts {
    std::string model{}; ///< display name
    std::uint64_t completed{0};
    std::uint64_t failed{0};
    double latency_ms{0};        ///< mean of the completed ones
    double prompt_tokens{0};     ///< likewise
    double completion_tokens{0}; ///< likewise
    std::uint64_t cold{0};       ///< of the completed ones: waited for a load
    std::uint64_t cache_samples{0};
    double cache_hit_rate{0};    ///< of the prompt tokens of those, 0 to 1
    std::uint64_t rejected{0};   ///< turned away because the queue was full; under the node "*"
};
using QueueCountsOf = std::map<std::pair<std::string, std::string>, QueueCounts>; ///< by node's name ("*": none) and ModelName::key

[[nodiscard]] std::string fleet_status(const fleet::Snapshot& snapshot, const QueueCountsOf& counts, base::Instant now);

/// What became of requests there. Of several nodes with one name it is known together, and told of the first.
[[nodiscard]] const QueueCounts& counts_at(const QueueCountsOf& counts, const std::string& distinct_name, const std::string& key);

/// "online", "degraded", "offline".
[[nodiscard]] std::string_view status_word(fleet::NodeState state);
/// OLLAMA_MAX_LOADED_MODELS, else what Ollama does by itself: three for each GPU, three on the CPU.
[[nodiscard]] std::size_t hot_model_cap(const fleet::NodeFacts& facts);

} // namespace herd::app::admin
