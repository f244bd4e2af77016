#pragma once
// The seven signals that users of Ollama Herd know by name, each backed by a part of our cost: one row each, one
// column a node, no wider than a terminal of 80 columns. For `herd route` and `herd why`.
#include "cli/terminal.hpp"

#include <nlohmann/json_fwd.hpp>

namespace herd::app {

/// Of the candidates that may be chosen, the first six; nothing when the answer has no signals.
void print_signals(const nlohmann::json& candidates, const cli::Terminal& terminal);

} // namespace herd::app
