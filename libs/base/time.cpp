#include "base/time.hpp"

namespace herd::base {

Instant SystemClock::now() const { return std::chrono::steady_clock::now(); }

WallTime SystemClock::wall() const
{
    return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

WallTime ManualClock::wall() const
{
    // Virtual days begin at a fixed moment, so that every run prints the same dates.
    constexpr auto epoch = WallTime{std::chrono::microseconds{1'767'225'600'000'000}}; // 2026-01-01T00:00Z
    return epoch + std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch());
}

} // namespace herd::base
