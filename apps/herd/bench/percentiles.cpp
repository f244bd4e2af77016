#include "herd/bench/percentiles.hpp"

#include <algorithm>
#include <cmath>

namespace herd::app::bench {

namespace {
constexpr double step = 1.02;
constexpr double longest_us = 1e12;
} // namespace

void Percentiles::add(base::Duration time)
{
    const double us = std::clamp(base::seconds(time) * 1e6, 1.0, longest_us);
    const auto at = static_cast<std::size_t>(std::log(us) / std::log(step));
    if (at >= steps_.size()) {
        steps_.resize(at + 1);
    }
    ++steps_[at];
    least_us_ = count_ == 0 ? us : std::min(least_us_, us);
    most_us_ = std::max(most_us_, us);
    ++count_;
}

double Percentiles::ms(double share) const
{
    const auto rank = std::max<std::uint64_t>(static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_))), 1);
    std::uint64_t below = 0;
    for (std::size_t at = 0; at < steps_.size(); ++at) {
        below += steps_[at];
        if (below >= rank) {
            const double middle = std::pow(step, static_cast<double>(at) + 0.5);
            return std::clamp(middle, least_us_, most_us_) / 1000;
        }
    }
    return 0;
}

} // namespace herd::app::bench
