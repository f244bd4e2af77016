#pragma once
// `herd top`: the fleet live in the terminal; once, as plain text, when the output is no terminal.
#include "base/time.hpp"
#include "cli/client.hpp"
#include "cli/terminal.hpp"

namespace herd::app {

/// `json`: what herd answered to the questions behind one picture, as it is, in one object; once.
/// Returns the exit code: 0 when the person leaves, 1 when herd did not answer at the start. Blocks.
[[nodiscard]] int run_top(const cli::Server& server, const cli::Terminal& terminal, const base::Clock& clock, bool json);

} // namespace herd::app
