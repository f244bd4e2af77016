#pragma once
// `herd requests`: which ones, and --follow.
#include "base/error.hpp"
#include "cli/client.hpp"
#include "cli/terminal.hpp"
#include "herd/cli/print_requests.hpp"
#include "herd/command_line.hpp"

#include <string>

namespace herd::app {

/// The path to ask, with the filters that were given.
[[nodiscard]] std::string requests_path(const Verb& verb);

/// Prints the last few, then each request as it ends; with --json one record per line. Goes on after a cut, without
/// gaps while herd lives. Blocks until herd ends or cannot be reached any more. Errors: as cli::listen().
[[nodiscard]] base::Result<void> follow_requests(const Verb& verb, const cli::Server& server, const cli::Terminal& terminal);

} // namespace herd::app
