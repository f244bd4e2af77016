#pragma once
// `herd key add|list|revoke`: API keys of a running herd.
#include "cli/terminal.hpp"
#include "herd/command_line.hpp"

#include <string>
#include <string_view>

namespace herd::app {

/// Runs the verb. A new key's secret is the only line on `terminal.out`, so that a script can keep it; what to know
/// about it goes to `terminal.err`. Blocks. The exit code; failures are said on `terminal.err`.
[[nodiscard]] int key_verb(const Verb& verb, const cli::Terminal& terminal);

/// What is wrong with the words and options behind `key`; empty when nothing.
[[nodiscard]] std::string check_key_words(const Verb& verb);
/// The body of POST /herd/v1/keys.
[[nodiscard]] std::string new_key_json(const Verb& verb);
/// GET /herd/v1/keys as a table. Errors: malformed.
[[nodiscard]] base::Result<void> print_keys(std::string_view body, const cli::Terminal& terminal);

} // namespace herd::app
