#pragma once
// Which of the nodes that could serve a request should. A pure function of what is known of each: this file
// is the whole policy, and the cost model of the next step replaces it and nothing else (docs/adr/0007).
#include "base/random.hpp"
#include "fleet/node_record.hpp"

#include <optional>
#include <span>
#include <string_view>

namespace herd::fleet {

/// Why a node is not considered, or that it is. For decisions and, later, for explaining them.
enum class Exclusion : std::uint8_t {
    none,          ///< may be chosen
    not_pinned,    ///< the client asked for another node
    label_missing, ///< does not carry a label asked for
    tried,         ///< failed this request already
    not_verified,  ///< announced or configured, not confirmed yet, or starting
    suspect,       ///< something failed there; a last resort at best
    draining,
    offline,
    unreachable,
    model_missing, ///< does not have the model
    no_free_slot,
};
[[nodiscard]] std::string_view to_string(Exclusion exclusion);

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
