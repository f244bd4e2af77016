#include "fleet/retry_budget.hpp"

namespace herd::fleet {

RetryBudget::Bucket& RetryBudget::bucket(base::Instant now)
{
    const auto number = static_cast<std::int64_t>(now.time_since_epoch() / bucket_width);
    auto& bucket = buckets_[static_cast<std::size_t>(number) % bucket_count];
    if (bucket.number != number) {
        bucket = Bucket{number, 0, 0};
    }
    return bucket;
}

void RetryBudget::note_request(base::Instant now) { ++bucket(now).requests; }

bool RetryBudget::allows(base::Instant now, double share, int at_least)
{
    const auto& current = bucket(now);
    std::uint64_t requests = 0;
    std::uint64_t retries = 0;
    for (const auto& b : buckets_) {
        if (b.number > current.number - static_cast<std::int64_t>(bucket_count)) {
            requests += b.requests;
            retries += b.retries;
        }
    }
    return static_cast<double>(retries) < share * static_cast<double>(requests)
        || retries < static_cast<std::uint64_t>(at_least < 0 ? 0 : at_least);
}

void RetryBudget::spend(base::Instant now) { ++bucket(now).retries; }

bool worth_another_node(Result result, int status)
{
    switch (result) {
    case Result::served:
    case Result::cancelled: return false;
    case Result::refused:
    case Result::timed_out:
    case Result::broken:
    case Result::busy:
    case Result::model_missing:
    case Result::route_missing: return true;
    case Result::failed: break;
    }
    return status >= 500 && status != 501 && status != 505;
}

} // namespace herd::fleet
