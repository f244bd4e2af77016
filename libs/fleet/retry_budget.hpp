#pragma once
// Retries must not become a storm of their own: at most a share of recent requests, and always a few, may be
// second attempts. Source: scheduling.md 5. Also here: which ends of an attempt another node could mend.
#include "base/time.hpp"
#include "fleet/profile.hpp"

#include <array>
#include <cstdint>

namespace herd::fleet {

/// A sliding minute in buckets of five seconds.
class RetryBudget {
public:
    void note_request(base::Instant now);
    /// Whether one more retry is within `share` of the requests of the last minute, or within `at_least`.
    [[nodiscard]] bool allows(base::Instant now, double share, int at_least);
    void spend(base::Instant now);

private:
    static constexpr base::Duration bucket_width{std::chrono::seconds{5}};
    static constexpr std::size_t bucket_count = 12;
    struct Bucket {
        std::int64_t number{-1};
        std::uint64_t requests{0};
        std::uint64_t retries{0};
    };
    Bucket& bucket(base::Instant now);

    std::array<Bucket, bucket_count> buckets_{};
};

/// Could another node do better, as far as the way it ended tells? Whether the route may be replayed, and
/// whether something was committed already, is the proxy's to know. Never: 400, 401, 403, 413, 499.
[[nodiscard]] bool worth_another_node(Result result, int status);

} // namespace herd::fleet
