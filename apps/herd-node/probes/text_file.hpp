#pragma once
// Small files of /proc and /sys, whose size is not known before they are read. Every reader here takes a
// limit and treats whatever it finds as text written by strangers.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::node {

/// The file's bytes, at most `limit` of them (the rest is left out). Empty optional: cannot be read.
/// Thread: any; blocks as long as the kernel does.
[[nodiscard]] std::optional<std::string> read_text(const std::string& path, std::size_t limit = 64 * 1024);

/// Names in a directory, sorted; empty when it cannot be read. At most 65 536.
[[nodiscard]] std::vector<std::string> list_directory(const std::string& path);

/// Where a symbolic link points, without following further.
[[nodiscard]] std::optional<std::string> read_link(const std::string& path);

/// The number that a one-line file holds ("47850\n", "-5"): sysfs's usual shape.
[[nodiscard]] std::optional<std::int64_t> read_number(const std::string& path);
[[nodiscard]] std::optional<std::int64_t> parse_number(std::string_view text);

/// Digits with a fraction ("0.35"): no exponent, no sign. Empty when anything else is there.
[[nodiscard]] std::optional<double> parse_decimal(std::string_view text);

/// Splits at blanks and tabs, leaving empty pieces out.
[[nodiscard]] std::vector<std::string_view> split_blanks(std::string_view text);
/// The next line of `text` without its newline; `text` moves behind it. Empty optional at the end.
[[nodiscard]] std::optional<std::string_view> next_line(std::string_view& text);

} // namespace herd::node
