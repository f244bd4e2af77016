#include "fleet/profile.hpp"

#include <algorithm>

namespace herd::fleet {

std::string_view to_string(Result result)
{
    switch (result) {
    case Result::served: return "served";
    case Result::cancelled: return "cancelled";
    case Result::refused: return "refused";
    case Result::timed_out: return "timed_out";
    case Result::broken: return "broken";
    case Result::failed: return "failed";
    case Result::busy: return "busy";
    case Result::model_missing: return "model_missing";
    case Result::route_missing: return "route_missing";
    }
    return "failed";
}

double estimate_cached_tokens(const Timings& timings, double prefill_rate)
{
    constexpr double share_min = 0.15; // less is noise
    constexpr double tokens_min = 32;
    if (timings.prompt_tokens <= 0 || timings.prompt_eval <= base::Duration{} || prefill_rate <= 0) {
        return 0;
    }
    const auto prompt = static_cast<double>(timings.prompt_tokens);
    const double cached = prompt - base::seconds(timings.prompt_eval) * prefill_rate;
    return cached < std::max(tokens_min, share_min * prompt) ? 0 : cached;
}

} // namespace herd::fleet
