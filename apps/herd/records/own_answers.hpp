#pragma once
// Answers that the HTTP server gives by itself (no good head, too slow, too many connections) cost whoever provokes
// them next to nothing, so a flood of them must neither fill the store nor drown what matters in the log: so many a
// minute leave a record, the others are counted.
#include "base/time.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

namespace herd::app {

/// Thread: any. Loops that ask in the same instant may let a few more through.
class OwnAnswers {
public:
    static constexpr int per_minute = 60;

    /// Whether the next one may leave a record; if not, it was counted.
    [[nodiscard]] bool admit(base::Instant now, int status)
    {
        const auto minute = std::chrono::floor<std::chrono::minutes>(now.time_since_epoch()).count();
        if (minute_.exchange(minute, std::memory_order_relaxed) != minute) {
            admitted_.store(0, std::memory_order_relaxed);
        }
        if (admitted_.fetch_add(1, std::memory_order_relaxed) < per_minute) {
            return true;
        }
        unrecorded_.at(index_of(status)).fetch_add(1, std::memory_order_relaxed);
        return false;
    }

    /// Those that left no record, by status, since the start.
    template <class Visit>
    void each_unrecorded(Visit visit) const
    {
        for (std::size_t i = 0; i < unrecorded_.size(); ++i) {
            if (const auto count = unrecorded_.at(i).load(std::memory_order_relaxed); count > 0) {
                visit(static_cast<int>(i) + lowest, count);
            }
        }
    }

private:
    static constexpr int lowest = 400;
    static constexpr int highest = 599;
    [[nodiscard]] static std::size_t index_of(int status)
    {
        return static_cast<std::size_t>(std::clamp(status, lowest, highest) - lowest);
    }

    std::atomic<std::int64_t> minute_{-1};
    std::atomic<std::int64_t> admitted_{0};
    std::array<std::atomic<std::uint64_t>, highest - lowest + 1> unrecorded_{};
};

} // namespace herd::app
