#pragma once
// One run: a workload, a policy, a seed. Requests arrive, nodes work, what fails is tried elsewhere; what
// happened to each request is written down.
#include "policy.hpp"

#include <vector>

namespace herd::replay {

/// What became of a request. Seconds; negative: never.
struct Fate {
    double arrived{-1};
    double first_token{-1};
    double ended{-1};
    int node{-1};
    int attempts{0};
    int cached{0};
    bool served{false};
};

struct Run {
    std::vector<Fate> fates{};       ///< by request
    std::vector<Counters> nodes{};
    std::vector<int> sent_to{};      ///< attempts by node
    double ended_at{0};
    std::string wrong{};             ///< a broken promise of the policy or of the replay itself
};

/// `check`: asks the policy for broken promises now and then.
[[nodiscard]] Run replay(const Workload& workload, const PolicyMaker& make, std::uint64_t seed, bool check);

} // namespace herd::replay
