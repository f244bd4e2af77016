#pragma once
// What the name of a request tells: see make_request_id().
#include "base/time.hpp"

#include <string_view>

namespace herd::base {

/// The millisecond in which make_request_id() made it; for a name that somebody else chose, any moment.
[[nodiscard]] WallTime time_of_request_id(std::string_view id);

} // namespace herd::base
