#pragma once
// `herd pull` and `herd rm`: models on a node, on all nodes, or where herd thinks best.
#include "cli/terminal.hpp"
#include "herd/command_line.hpp"

namespace herd::app {

/// Pulls `verb.words[0]`: on `verb.node`, on every node that takes requests (`verb.all`, one after the other), or where herd
/// chooses. `live`: `terminal.out` is a terminal to draw on. Blocks. The exit code; failures are said on `terminal.err`.
[[nodiscard]] int pull_model(const Verb& verb, const cli::Terminal& terminal, bool live);
/// Deletes it on `verb.node`, or on every node that has it.
[[nodiscard]] int remove_model(const Verb& verb, const cli::Terminal& terminal);

} // namespace herd::app
