#pragma once
// The Date field, formatted once per second.
#include "base/time.hpp"

#include <string_view>

namespace herd::http::internal {

/// "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n". Valid until the next call on this thread.
[[nodiscard]] std::string_view date_line(base::WallTime now);

} // namespace herd::http::internal
