#pragma once
// Time as the house knows it: one monotonic clock for every decision, one wall clock for what people
// read. Both are a seam (`Clock`), so that a fleet can live through a day of virtual time in seconds.
#include <chrono>
#include <cstdint>

namespace herd::base {

using Duration = std::chrono::nanoseconds;
/// Monotonic. Never compared with, or converted to, the time of day.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;
/// Time of day: shown, stored, sent for diagnosis; nothing is decided by it.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

using namespace std::chrono_literals; // NOLINT(google-global-names-in-headers): 300ms reads as what it is

/// Where time comes from. Thread: any.
class Clock {
public:
    Clock() = default;
    Clock(const Clock&) = delete;
    Clock& operator=(const Clock&) = delete;
    virtual ~Clock() = default;
    [[nodiscard]] virtual Instant now() const = 0;
    [[nodiscard]] virtual WallTime wall() const = 0;
};

/// The operating system's clocks.
class SystemClock final : public Clock {
public:
    [[nodiscard]] Instant now() const override;
    [[nodiscard]] WallTime wall() const override;
};

/// A clock that moves only when told to. Tests and the simulator own one.
class ManualClock final : public Clock {
public:
    [[nodiscard]] Instant now() const override { return now_; }
    [[nodiscard]] WallTime wall() const override;
    void advance(Duration by) { now_ += by; }
    void set(Instant to) { now_ = to; }

private:
    Instant now_{std::chrono::seconds{1000}};
};

[[nodiscard]] inline double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
[[nodiscard]] inline std::int64_t milliseconds(Duration d)
{
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

} // namespace herd::base
