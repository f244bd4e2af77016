#include "fleet/ears.hpp"

namespace herd::fleet {

void Ears::impaired(base::Instant now)
{
    grace_from_ = now;
    quiet_until_ = now + hush;
}

bool Ears::may_evict(base::Instant now, std::size_t verifying, std::size_t live)
{
    if (now < quiet_until_) {
        return false;
    }
    forget_before(now - window);
    const auto silent = verifying + evicted_.size();
    const auto all = static_cast<double>(live + evicted_.size());
    if (silent >= count_min && static_cast<double>(silent) > share_max * all && now >= rearm_at_) {
        quiet_until_ = now + hush;
        rearm_at_ = now + hush + cooldown;
        return false;
    }
    return true;
}

void Ears::evicted(base::Instant now) { evicted_.push_back(now); }

void Ears::forget_before(base::Instant then)
{
    while (!evicted_.empty() && evicted_.front() < then) {
        evicted_.pop_front();
    }
}

} // namespace herd::fleet
