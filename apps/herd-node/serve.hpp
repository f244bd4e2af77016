#pragma once
// `herd-node` itself: from checked options to an exit code.
#include "herd-node/command_line.hpp"

namespace herd::node {

/// What only reading the files tells that the settings name, for --check-config. Errors: bad_config, one sentence.
[[nodiscard]] base::Result<void> check_serve(const NodeOptions& options);

/// Binds, becomes a daemon when asked to, serves until told to stop. Returns the exit code; what went wrong
/// is on standard error by then. Thread: main, with no other thread running.
[[nodiscard]] int serve(ServeOptions options);

} // namespace herd::node
