#pragma once
// `herd` itself: from checked options to an exit code.
#include "herd/command_line.hpp"

namespace herd::app {

/// Binds, becomes a daemon when asked to, serves until told to stop. Returns the exit code; what went wrong
/// is on standard error by then. Thread: main, with no other thread running.
[[nodiscard]] int serve(ServeOptions options);

/// What serve() would refuse before it binds anything: nodes, keys, certificates, what was changed at run time. Blocks for
/// the files. Makes none. Errors: one sentence.
[[nodiscard]] base::Result<void> check_serve(const HerdOptions& options);

} // namespace herd::app
