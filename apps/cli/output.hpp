#pragma once
// The end of what a program of ours says to standard output: whether it arrived.
#include <cstdio>
#include <ostream>
#include <string_view>

namespace herd::cli {

/// Writes out what is left and returns the exit code: `code`, or 1 and a sentence on `err` if anything of it could not be
/// written, though all else went well. A reader that has left (`| head -1`) has what it wanted: nothing is said then.
[[nodiscard]] int finish_output(std::FILE* out, int code, std::string_view program, std::ostream& err);

} // namespace herd::cli
