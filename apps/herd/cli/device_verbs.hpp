#pragma once
// `herd device show|list|allow|disable`: Ollana's devices, at a running herd.
#include "cli/terminal.hpp"
#include "herd/command_line.hpp"

#include <string>
#include <string_view>

namespace herd::app {

/// Runs the verb. `show` prints the id alone on `terminal.out`, and what to do with it on `terminal.err`. Blocks. The
/// exit code; failures are said on `terminal.err`.
[[nodiscard]] int device_verb(const Verb& verb, const cli::Terminal& terminal);

/// What is wrong with the words and options behind `device`; empty when nothing.
[[nodiscard]] std::string check_device_words(const Verb& verb);
/// GET /herd/v1/devices as a table. Errors: malformed.
[[nodiscard]] base::Result<void> print_devices(std::string_view body, const cli::Terminal& terminal);

} // namespace herd::app
