#include "base/dates.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace herd::base {

std::string timestamp(WallTime time)
{
    const auto ms = milliseconds(time.time_since_epoch());
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

} // namespace herd::base
