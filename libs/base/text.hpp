#pragma once
// Small questions about text that more than one room asks. ASCII only: model names, header names, hosts.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace herd::base {

[[nodiscard]] std::string to_hex(std::span<const std::uint8_t> bytes);
/// False unless `hex` is exactly twice as long as `out` and all digits; `out` is unspecified then.
[[nodiscard]] bool from_hex(std::string_view hex, std::span<std::uint8_t> out);

[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] bool iequals_of_one_length(const char* a, const char* b, std::size_t length);
[[nodiscard]] inline bool iequals(std::string_view a, std::string_view b)
{
    return a.size() == b.size() && iequals_of_one_length(a.data(), b.data(), a.size());
}
[[nodiscard]] constexpr std::string_view trim(std::string_view text)
{
    constexpr auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
    while (!text.empty() && is_space(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_space(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}
/// "a, b,,c" → {"a","b","c"}: pieces trimmed, empty ones left out.
[[nodiscard]] std::vector<std::string_view> split_list(std::string_view text, char separator = ',');

/// %XX and, with `plus`, + decoded, as in a URL. Nothing: a bad escape.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text, bool plus = false);

/// Decimal digits only, no sign, no overflow, nothing behind.
[[nodiscard]] std::optional<std::uint64_t> parse_unsigned(std::string_view text);

/// The candidate that a mistyped `word` most likely meant; empty when nothing is near.
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates).
[[nodiscard]] bool is_utf8(std::string_view text);

/// Its beginning, of so many bytes at most and no half character: UTF-8 stays UTF-8. What is none is cut all the same.
[[nodiscard]] std::string_view cut_text(std::string_view text, std::size_t bytes_max);

} // namespace herd::base
