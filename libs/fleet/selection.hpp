#pragma once
// Which of the nodes that could serve a request should. A pure function of what is known of each: this file
// is the whole policy, and the cost model of the next step replaces it and nothing else (docs/adr/0007).
#include "base/random.hpp"
#include "fleet/decision.hpp"
#include "fleet/node_record.hpp"

#include <optional>
#include <span>

namespace herd::fleet {

/// One node as the policy sees it for one request.
struct Candidate {
    NodeRecord* node{nullptr};
    ModelOnNode* model{nullptr}; ///< null with Need::any
    Exclusion exclusion{Exclusion::none};
    bool loaded{false};
    bool same_class{false};  ///< loaded with the options this request needs
    int free_half_slots{0};  ///< twice the free slots; once on a node of half weight
    Bytes free_memory{0};    ///< VRAM where there is any, else RAM
};

/// What `node` is to a request, slots aside.
[[nodiscard]] Exclusion why_not(const NodeRecord& node, const Profile& profile);
/// All that the policy looks at. `slot`: the request needs a slot.
[[nodiscard]] Candidate consider(NodeRecord& node, ModelOnNode* model, const Profile& profile);

/// The first policy: loaded before not loaded (and in the wanted options class before any other), then most
/// free slots, then most free memory; ties by `rng`. Skips excluded candidates.
/// Shape: O(candidates), no allocation. Returns the index, or nothing when all are excluded.
/// Thread: any (pure).
[[nodiscard]] std::optional<std::size_t> choose(std::span<const Candidate> candidates, base::Rng& rng);

} // namespace herd::fleet
