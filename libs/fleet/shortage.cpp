#include "fleet/shortage.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr double half_life_s = 60;
constexpr double worth_keeping_s = 0.1;

} // namespace

double Shortage::Sum::now_worth(base::Instant now) const
{
    return seconds * std::exp2(-base::seconds(now - at) / half_life_s);
}

void Shortage::waited(const std::string& model, double seconds, base::Instant now)
{
    if (seconds <= 0) {
        return;
    }
    if (sums_.size() >= models_max && !sums_.contains(model)) {
        std::erase_if(sums_, [now](const auto& entry) { return entry.second.now_worth(now) < worth_keeping_s; });
        if (sums_.size() >= models_max) {
            return;
        }
    }
    auto& sum = sums_[model];
    sum = {sum.now_worth(now) + seconds, now};
}

double Shortage::of(const std::string& model, base::Instant now) const
{
    const auto at = sums_.find(model);
    return at == sums_.end() ? 0 : at->second.now_worth(now);
}

void Shortage::spend(const std::string& model, double seconds, base::Instant now)
{
    if (const auto at = sums_.find(model); at != sums_.end()) {
        at->second = {std::max(0.0, at->second.now_worth(now) - seconds), now};
    }
}

} // namespace herd::fleet
