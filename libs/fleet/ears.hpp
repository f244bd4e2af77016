#pragma once
// Is it them or is it us? When many nodes fall silent at once, or our own loop was late, silence proves
// nothing about the nodes: for a while nobody is evicted by it (the request path still decides for itself).
// Source: lana.md 6, "Self-preservation".
#include "base/time.hpp"

#include <cstddef>
#include <deque>

namespace herd::fleet {

class Ears {
public:
    static constexpr base::Duration hush{std::chrono::seconds{10}};    ///< nobody is evicted for this long
    static constexpr base::Duration window{std::chrono::seconds{2}};   ///< what "at once" means
    static constexpr base::Duration cooldown{std::chrono::seconds{30}}; ///< a lasting partition is believed in the end
    static constexpr double share_max{0.15};
    static constexpr std::size_t count_min{3};

    /// Our side was bad: loop late, link lost, resumed from suspend. Every node gets a fresh interval.
    void impaired(base::Instant now);
    /// May a node that neither UDP nor TCP can reach be evicted? `verifying` silent nodes are being looked at
    /// now (this one included), out of `live`.
    [[nodiscard]] bool may_evict(base::Instant now, std::size_t verifying, std::size_t live);
    void evicted(base::Instant now);
    /// Silence proves nothing at the moment.
    [[nodiscard]] bool hushed(base::Instant now) const { return now < quiet_until_; }
    /// Silence is counted from here, if that is later than the node's last announcement.
    [[nodiscard]] base::Instant grace_from() const { return grace_from_; }

private:
    void forget_before(base::Instant then);

    base::Instant quiet_until_{};
    base::Instant rearm_at_{}; ///< no new hush for mass silence before this
    base::Instant grace_from_{};
    std::deque<base::Instant> evicted_{}; ///< of the last window; bounded by the number of nodes
};

} // namespace herd::fleet
