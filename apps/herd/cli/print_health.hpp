#pragma once
// What `herd doctor` prints: what is wrong, what to do, and the score.
#include "base/error.hpp"
#include "cli/terminal.hpp"

#include <string_view>

namespace herd::app {

/// The answer of GET /herd/v1/health, worst first. Errors: malformed, when it is not that.
[[nodiscard]] base::Result<void> print_health(std::string_view body, const cli::Terminal& terminal);
/// Whether any check in that answer is critical.
[[nodiscard]] bool any_critical(std::string_view body);

} // namespace herd::app
