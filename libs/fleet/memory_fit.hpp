#pragma once
// Does a model fit on a node, and who would have to go? Ollama's own rules, as far as they can be known from
// outside: a GPU is asked for the file, the cache of the context and some slack, in four fifths of what is
// free; else idle models are evicted, busy ones waited for; what still does not fit spills into host memory.
// Source: scheduling.md 1, ollama-api.md 3.2.
#include "fleet/node_record.hpp"

namespace herd::fleet {

struct Fit {
    bool fits{true};       ///< false: not even on the empty node
    double in_vram{1};     ///< share of the model that would stand on the GPU; 1 without one
    double others_s{0};    ///< what evicting others will cost them: chance of being wanted soon × their load time
    double blocked_s{0};   ///< until a busy victim is idle
    int victims{0};
};

/// Bytes that the model takes with `num_ctx` tokens of context in each of `slots` slots.
[[nodiscard]] Bytes memory_needed(const ModelOnNode& model, int num_ctx, int slots);

/// Bytes of one token in the cache: as the model's metadata told (0: they did not), else guessed from the size of its
/// file, the middle of common models.
[[nodiscard]] double cache_bytes_per_token(Bytes told, Bytes size);

/// For a model that would have to be loaded. `evicted`: filled with the victims when not null.
/// O(models resident on the node), and only when memory is short.
[[nodiscard]] Fit fit_of(NodeRecord& node, const ModelOnNode& model, int num_ctx, base::Instant now,
                         std::vector<ModelOnNode*>* evicted = nullptr);

/// Seconds to bring the model into the node's memory.
[[nodiscard]] double load_seconds(const NodeRecord& node, const ModelOnNode& model);

} // namespace herd::fleet
