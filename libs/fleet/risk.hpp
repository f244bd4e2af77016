#pragma once
// How likely a node is to fail with a model, from what happened there lately; and when it is better left alone.
// Failures fade. Several in a row eject the pair for a while; then one request tries it (half open). A node that
// fails at once looks wonderfully free, so this is what keeps it from swallowing the fleet's requests.
// Source: scheduling.md 5.
#include "base/time.hpp"

namespace herd::fleet {

class Risk {
public:
    static constexpr int in_row_max = 3;
    static constexpr base::Duration hold_first{std::chrono::seconds{5}};
    static constexpr base::Duration hold_load{std::chrono::seconds{30}}; ///< after a load failure or lack of memory
    static constexpr base::Duration hold_most{std::chrono::seconds{300}};

    void succeeded(base::Instant now);
    /// `loading`: the model was not resident, so the load is what failed; one of these is enough.
    void failed(base::Instant now, bool loading);
    /// A request is on its way although the pair was held back: until it ends nobody else tries.
    void trying() { tried_ = held_until_ != base::Instant{}; }
    /// The request that tried ended in a way that proves nothing.
    void tried() { tried_ = false; }
    [[nodiscard]] bool held_back(base::Instant now) const
    {
        return held_until_ != base::Instant{} && (now < held_until_ || tried_);
    }
    [[nodiscard]] base::Instant held_until() const { return held_until_; }
    /// 0…1: the chance that the next request there fails.
    [[nodiscard]] double chance(base::Instant now) const;
    [[nodiscard]] int in_row() const { return in_row_; }

private:
    void fade(base::Instant now);

    double failures_{0};
    double all_{0};
    base::Instant at_{};
    base::Instant held_until_{}; ///< default: not held back
    int in_row_{0};
    int holds_{0}; ///< since the last success: each lasts twice as long
    bool tried_{false};
};

} // namespace herd::fleet
