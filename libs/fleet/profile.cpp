#include "fleet/profile.hpp"

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
    case Result::model_missing: return "model_missing";
    case Result::route_missing: return "route_missing";
    }
    return "failed";
}

} // namespace herd::fleet
