#include "fleet/risk.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr double half_life_s = 120;
constexpr double calm_failures = 0.02; ///< what is assumed of a pair that nothing is known of
constexpr double calm_all = 2;

double kept(base::Instant from, base::Instant to)
{
    return from == base::Instant{} ? 0.0 : std::exp2(-std::max(0.0, base::seconds(to - from)) / half_life_s);
}

} // namespace

void Risk::fade(base::Instant now)
{
    const double keep = kept(at_, now);
    failures_ *= keep;
    all_ *= keep;
    at_ = now;
}

void Risk::succeeded(base::Instant now)
{
    fade(now);
    all_ += 1;
    in_row_ = 0;
    holds_ = 0;
    held_until_ = {};
    tried_ = false;
}

void Risk::failed(base::Instant now, bool loading)
{
    fade(now);
    failures_ += 1;
    all_ += 1;
    ++in_row_;
    tried_ = false;
    if (!loading && in_row_ < in_row_max) {
        return;
    }
    const auto first = loading ? hold_load : hold_first;
    held_until_ = now + std::min(hold_most, first * (1 << std::min(holds_, 6)));
    ++holds_;
}

double Risk::chance(base::Instant now) const
{
    const double keep = kept(at_, now);
    return (failures_ * keep + calm_failures) / (all_ * keep + calm_all);
}

} // namespace herd::fleet
