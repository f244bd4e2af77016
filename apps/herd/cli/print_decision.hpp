#pragma once
// Why a request goes, or went, where it does: `herd route` and `herd why` for people. The decision is the
// object that admin/decision_view.hpp writes.
#include "base/error.hpp"
#include "cli/terminal.hpp"

#include <string>
#include <string_view>

namespace herd::app {

/// The answer of POST /herd/v1/route. Errors: malformed.
[[nodiscard]] base::Result<void> print_decision(std::string_view body, const cli::Terminal& terminal);
/// The answer of GET /herd/v1/requests/{id}: what became of it, attempt by attempt, and the decision behind the
/// last one. Errors: malformed.
[[nodiscard]] base::Result<void> print_record(std::string_view body, const cli::Terminal& terminal);

/// The body to ask with: `text`, an inference body, with `model` in it, and `path` unless that is empty. Empty text:
/// {"model": …} alone.
/// Errors: malformed when it is no JSON object.
[[nodiscard]] base::Result<std::string> question_json(std::string_view text, const std::string& model, const std::string& path = {});

} // namespace herd::app
