#pragma once
// `herd-node` itself: from checked options to an exit code.
#include "herd-node/command_line.hpp"

namespace herd::node {

/// Binds, becomes a daemon when asked to, serves until told to stop. Returns the exit code; what went wrong
/// is on standard error by then. Thread: main, with no other thread running.
[[nodiscard]] int serve(ServeOptions options);

} // namespace herd::node
