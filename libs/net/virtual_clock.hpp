#pragma once
// The clock behind Timer: steady_clock, or the thread's VirtualTime. Internal to net.
#include "base/assert.hpp"
#include "base/time.hpp"

#include <optional>

namespace herd::net {

struct LoopClock {
    using duration = base::Duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = base::Instant;
    static constexpr bool is_steady = true;

    [[nodiscard]] static time_point now();
    [[nodiscard]] static bool is_virtual();
    /// The earliest armed timer of this thread under VirtualTime.
    [[nodiscard]] static std::optional<time_point> next_expiry();
};

} // namespace herd::net
