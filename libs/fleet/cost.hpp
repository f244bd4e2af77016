#pragma once
// The cost model: what a request costs on a node, in seconds, term by term. Pure: it reads what is known and
// changes nothing. Where each term comes from stands in docs/SCHEDULING.md and docs/adr/0009-cost-model.md.
#include "fleet/knowledge.hpp"
#include "fleet/selection.hpp"

namespace herd::fleet {

/// What a request is expected to be, the same for all nodes. Lives as long as the profile it was made from.
struct Task {
    const Profile* profile{nullptr};
    double prompt_tokens{0};
    double tokens_per_byte{0.25}; ///< of its blocks
    double output_tokens{0};
    std::uint64_t session{0};     ///< hash; 0: none
    const AnswerLengths* answers{nullptr};
    double output_limit{0};       ///< 0: none
};

[[nodiscard]] Task task_of(const Profile& profile, const Expectations& expect);

/// Fills the candidate's cost (but wait_s), and excludes it where the model cannot be loaded at all.
/// Shape: no allocation; O(log blocks) for the belief, O(resident models) when a load would evict.
void price(Candidate& candidate, const Task& task, const Knowledge& knowledge, base::Instant now);

/// Tokens of cache a node keeps for a model beside its slots, before anything was measured.
[[nodiscard]] double cache_capacity(const NodeRecord& node, const ModelOnNode& model);

} // namespace herd::fleet
