#pragma once
// `herd` itself: from checked options to an exit code.
#include "herd/command_line.hpp"

namespace herd::app {

/// Binds, becomes a daemon when asked to, serves until told to stop. Returns the exit code; what went wrong
/// is on standard error by then. Thread: main, with no other thread running.
[[nodiscard]] int serve(ServeOptions options);

} // namespace herd::app
