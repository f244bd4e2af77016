#pragma once
// A decision of the scheduler as JSON: every candidate with its terms in seconds, why it was left out, and the
// seven signals that users of Ollama Herd know, each backed by one of those terms (design/scheduling.md 1).
// One shape for POST /herd/v1/route, for the record of a request and for whoever prints either. Pure.
#include "fleet/decision.hpp"

#include <string>
#include <string_view>

namespace herd::app::admin {

/// One object: {model, chosen, chosen_id, predicted_s, prompt_tokens, output_tokens, ahead,
/// requested_model? and fallback? (when `model` is not the model `asked` for: a fallback that would run in its place), note?, left_out,
/// candidates:[{node, id, eligible, reason?, cost:{wait_s,load_s,prefill_s,decode_s,risk_s,total_s}, loaded,
/// same_class, free_slots, slots, cached_tokens, prefill_tokens_per_s, decode_tokens_per_s, signals:{…}}]}.
/// `chosen` is a node's name or null. Terms that say nothing (of an excluded node) are null. A node that only
/// lacks a free slot is eligible: its wait_s tells when it will have one.
[[nodiscard]] std::string decision_json(const fleet::Decision& decision, std::string_view asked = {});

} // namespace herd::app::admin
