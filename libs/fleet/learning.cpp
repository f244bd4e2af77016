#include "fleet/learning.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {

void Learning::fit()
{
    constexpr double enough = 5;
    sure = rates.prefill_weight() > enough && rates.decode_weight() > enough;
    if (sure) {
        fitted = rates.speed({});
    }
}

void LoadRate::note(double bytes, double seconds)
{
    if (seconds < seconds_least || bytes < 1) {
        return;
    }
    weight_ = std::min(weight_ + 1, 4.0); // the last few loads count: a file may come from the page cache
    const double seen = std::log(bytes / seconds);
    rate_ = rate_ <= 0 ? std::exp(seen) : std::exp(std::log(rate_) + (seen - std::log(rate_)) / weight_);
}

void LoadRate::restore(double bytes_per_second)
{
    if (bytes_per_second > 0) {
        rate_ = bytes_per_second;
        weight_ = 1;
    }
}

} // namespace herd::fleet
