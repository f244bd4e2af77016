#pragma once
// Public request traces, in the two formats of shared/traces/README.md: Mooncake's JSON lines and Azure's CSV.
// Read strictly line by line; the format is told by the first line.
#include "base/error.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace herd::replay {

struct TraceLine {
    double at{0}; ///< seconds from the first line
    int input{0};
    int output{0};
    std::vector<std::uint64_t> hash_ids{}; ///< of 512-token blocks; empty: not told
    std::size_t number{0};                 ///< in the file: keeps the order of those at one instant
};

/// At most `lines_max` lines, in order of time. Errors: io (cannot be read), malformed (with the line's number).
[[nodiscard]] base::Result<std::vector<TraceLine>> read_trace(const std::string& path, std::size_t lines_max);

} // namespace herd::replay
