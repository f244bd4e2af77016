#pragma once
// Percentiles of times from a microsecond to hours within one percent, in the same little memory for any number of them.
#include "base/time.hpp"

#include <cstdint>
#include <vector>

namespace herd::app::bench {

/// Thread: one owner.
class Percentiles {
public:
    void add(base::Duration time);
    /// Milliseconds; 0 when there are none. `share`: 0.5 is the median.
    [[nodiscard]] double ms(double share) const;
    [[nodiscard]] std::uint64_t count() const { return count_; }

private:
    std::vector<std::uint32_t> steps_{}; ///< each two percent wide; as many as the longest time needs
    std::uint64_t count_{0};
    double least_us_{0};
    double most_us_{0};
};

} // namespace herd::app::bench
