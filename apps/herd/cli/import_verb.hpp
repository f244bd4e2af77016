#pragma once
// `herd import`: the settings of another program of this kind, printed as a herd.toml; or its history, taken over. Nothing
// of it is changed.
#include "cli/terminal.hpp"
#include "herd/command_line.hpp"

#include <string>

namespace herd::app {

/// What is wrong with the words and flags; empty when nothing.
[[nodiscard]] std::string check_import_words(const Verb& verb);
/// Blocks for the files. The exit code.
[[nodiscard]] int import_settings(const Verb& verb, const cli::Terminal& terminal, const base::Clock& clock);

} // namespace herd::app
