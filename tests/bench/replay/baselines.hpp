#pragma once
// The policies we compare with; they exist in the replay alone. Each sends a request to a node as soon as it
// arrives, as the systems and papers they stand for do; the node queues it.
#include "policy.hpp"

namespace herd::replay {

[[nodiscard]] PolicyPtr round_robin(Host& host);
/// Equals by lot.
[[nodiscard]] PolicyPtr least_in_flight(Host& host);
[[nodiscard]] PolicyPtr power_of_two(Host& host);
/// Ollama Herd 0.6's score (parity.md 2.7). Substitution by another model is left out: its answers would not compare.
[[nodiscard]] PolicyPtr herd_score(Host& host);
/// The first 512 bytes of a prompt decide, once and for ever; the first time the least in flight.
[[nodiscard]] PolicyPtr sticky(Host& host);
/// LMETRIC (the product of new prefill work and batch size), with seconds for tokens.
[[nodiscard]] PolicyPtr lmetric(Host& host);
/// Earliest predicted finish; what is in flight is predicted anew at each end, so that the clock cannot drift.
[[nodiscard]] PolicyPtr earliest_finish(Host& host);
/// Earliest finish by the truth: lengths, caches, rates and the node's own queue.
[[nodiscard]] PolicyPtr oracle(Host& host);

} // namespace herd::replay
