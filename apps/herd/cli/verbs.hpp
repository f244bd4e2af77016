#pragma once
// The verbs of `herd`: each asks a running herd over HTTP and prints what it says.
#include "base/time.hpp"
#include "cli/terminal.hpp"
#include "herd/command_line.hpp"

#include <span>
#include <string>

namespace herd::app {

struct VerbInfo {
    std::string name{};
    std::string usage{}; ///< "drain NODE"
    std::string sentence{};
    std::string details{}; ///< further lines of its help
};

/// In the order of the help.
[[nodiscard]] std::span<const VerbInfo> verbs();
/// What is wrong with the words behind the verb; empty when nothing.
[[nodiscard]] std::string check_words(const Verb& verb);

/// Runs the verb. Returns the exit code: 0 fine, 1 failed (said on `terminal.err`).
/// Blocks until the answer is printed; `stop` until the port is closed.
[[nodiscard]] int run_verb(const Verb& verb, const cli::Terminal& terminal, const base::Clock& clock);

} // namespace herd::app
