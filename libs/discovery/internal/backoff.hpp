#pragma once
// How long to wait after so many failures in a row: 1, 2, 4, then 5 s for ever. A herd that a human named is
// never given up.
#include "base/time.hpp"

#include <algorithm>

namespace herd::discovery::internal {

[[nodiscard]] inline base::Duration backoff(int failures)
{
    const auto wait = std::chrono::seconds{1LL << std::clamp(failures, 0, 4)};
    return std::min<base::Duration>(wait, std::chrono::seconds{5});
}

} // namespace herd::discovery::internal
