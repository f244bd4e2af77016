#pragma once
// Predictions are seconds in doubles, clocks count whole nanoseconds: how one becomes the other.
#include "base/time.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {

/// What is absurd, or no number at all, becomes a long time and no overflow.
[[nodiscard]] inline base::Duration duration_of(double seconds)
{
    const double sane = seconds < 1e6 ? std::max(seconds, 0.0) : 1e6;
    return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(sane));
}

/// As a client is told it: 1 s to 5 min.
[[nodiscard]] inline base::Duration whole_seconds(double seconds)
{
    return std::chrono::seconds{static_cast<std::int64_t>(std::clamp(std::ceil(seconds), 1.0, 300.0))};
}

} // namespace herd::fleet
