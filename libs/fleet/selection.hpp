#pragma once
// Which nodes could serve a request at all, and what is known of each before it is priced (cost.hpp). Pure.
#include "base/random.hpp"
#include "fleet/belief.hpp"
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
    bool same_class{false};      ///< loaded with the options this request needs
    int free_slots{0};

    // Filled by price(), for requests that need a slot.
    Cost cost{};                 ///< wait_s is set when the place is chosen or explained
    double blocked_s{0};         ///< not before this, even when a slot is free
    CacheGuess cache{};
    Speed speed{};
    double alone_s{0};           ///< prefill, if nothing else ran there
    double each_s{0};            ///< seconds per output token
    double others_s{0};          ///< what it costs those who run there: counts in a choice, not in its own time
    [[nodiscard]] bool must_load() const { return !same_class; }
    /// From the start there to the end.
    [[nodiscard]] double service_s() const { return cost.load_s + cost.prefill_s + cost.decode_s + cost.risk_s; }
};

/// False: the request is not for such a node, whatever state it is in.
[[nodiscard]] bool is_meant(Exclusion exclusion);
/// What `node` is to a request, slots and models aside.
[[nodiscard]] Exclusion why_not(const NodeRecord& node, const Profile& profile);
/// Loaded as the request wants it but for more context, which will do.
[[nodiscard]] bool larger_serves(const ModelOnNode& model, const Profile& profile);
/// What is known without pricing.
[[nodiscard]] Candidate consider(NodeRecord& node, ModelOnNode* model, const Profile& profile);

/// For requests that need no slot: a node that has the model loaded, then the least busy one, then most free
/// memory; ties by `rng`. Skips excluded candidates. Returns the index, or nothing when all are excluded.
[[nodiscard]] std::optional<std::size_t> choose_any(std::span<const Candidate> candidates, base::Rng& rng);

/// The least bucket that holds `num_ctx`, so that clients which ask for ever other sizes do not reload each time;
/// `num_ctx` itself when it is beyond all of them, or when there are none. `buckets` ascend.
[[nodiscard]] int bucket_of(int num_ctx, std::span<const int> buckets);

} // namespace herd::fleet
