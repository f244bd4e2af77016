#pragma once
// Quantities as people write them: "30s", "1.5h", "64MiB".
#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herd::base {

using Bytes = std::uint64_t;

inline constexpr Bytes kib = 1024;
inline constexpr Bytes mib = 1024 * kib;
inline constexpr Bytes gib = 1024 * mib;

/// A number and one of ns us ms s m h d; "0" needs no unit. Negative or unit-less numbers are refused.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
/// A number and one of B KB MB GB TB KiB MiB GiB TiB; a bare number is bytes.
[[nodiscard]] std::optional<Bytes> parse_bytes(std::string_view text);

[[nodiscard]] std::string format_duration(Duration value); ///< "250ms", "1m30s": parses back
[[nodiscard]] std::string format_bytes(Bytes value);       ///< "512 MiB", for people

} // namespace herd::base
