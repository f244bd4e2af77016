#pragma once
// What a verb is given to send: a file, or what is piped into it.
#include "base/error.hpp"

#include <string>

namespace herd::cli {

/// The content of `path`, or of standard input when that is "-"; at most 64 MiB. Blocks.
/// Errors: not_found, io, too_large; the context is one sentence.
[[nodiscard]] base::Result<std::string> read_input(const std::string& path);

} // namespace herd::cli
