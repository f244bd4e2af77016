#pragma once
// The verbs of `herd-node`: ask the agent that runs here, or check what would keep it from working.
#include "base/error.hpp"
#include "cli/terminal.hpp"
#include "herd-node/command_line.hpp"

#include <string_view>

namespace herd::node {

/// Returns the exit code: 0 fine, 1 failed or (doctor) something is broken. Blocks.
[[nodiscard]] int run_verb(const Verb& verb, const cli::Terminal& terminal);

/// The document of GET /herd/v1/node for people; lenient about what is missing. Errors: malformed.
[[nodiscard]] base::Result<void> print_node(std::string_view body, std::string_view url,
                                            const cli::Terminal& terminal);

/// What its herds make of it, of GET /herd/v1/herds; `node` is its document.
void print_herds(std::string_view body, std::string_view node, const cli::Terminal& terminal);

} // namespace herd::node
