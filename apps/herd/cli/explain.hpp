#pragma once
// What went wrong between a verb and its herd, in one sentence for the person who typed it.
#include "base/error.hpp"
#include "cli/client.hpp"
#include "herd/command_line.hpp"

#include <string>

namespace herd::app {

/// Why herd could not be asked.
[[nodiscard]] std::string explain(const base::Error& error, const Verb& verb);
/// What an answer that is not a success means.
[[nodiscard]] std::string explain_status(const cli::Answer& answer, const Verb& verb);

} // namespace herd::app
