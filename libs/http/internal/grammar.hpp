#pragma once
// Which bytes may stand where (RFC 9110 §5.6, RFC 9112 §2 to §5), as tables and small questions.
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace herd::http::internal {

consteval std::array<bool, 256> token_table()
{
    std::array<bool, 256> table{};
    for (int c = 'a'; c <= 'z'; ++c) {
        table[static_cast<std::size_t>(c)] = true;
        table[static_cast<std::size_t>(c - 'a' + 'A')] = true;
    }
    for (int c = '0'; c <= '9'; ++c) {
        table[static_cast<std::size_t>(c)] = true;
    }
    for (const char c : std::string_view("!#$%&'*+-.^_`|~")) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}

inline constexpr std::array<bool, 256> tokens = token_table();

constexpr bool is_token(char c) { return tokens[static_cast<unsigned char>(c)]; }
/// Visible ASCII.
constexpr bool is_visible(char c) { return c > ' ' && c < '\x7f'; }
/// What a field value may hold: visible, space, tab, and bytes beyond ASCII, which nobody interprets.
constexpr bool is_value(char c)
{
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}
/// The same of every byte. It never leaves early, so that the compiler looks at many at once.
constexpr bool is_value(std::string_view text)
{
    bool all = true;
    for (const char c : text) {
        all &= is_value(c);
    }
    return all;
}
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

[[nodiscard]] bool is_token(std::string_view text); ///< one byte at least
/// "host", "host:port", "[v6]", "[v6]:port" or nothing at all.
[[nodiscard]] bool is_host(std::string_view text);

/// "http://authority/path?query" (RFC 9112 §3.2.2), as views into the target.
struct AbsoluteForm {
    std::string_view authority; ///< a host, never empty, without user
    std::string_view rest;      ///< begins with '/' or '?', or is empty
    std::string_view usual_port;
};
/// Nothing: it is none, or not strictly.
[[nodiscard]] std::optional<AbsoluteForm> absolute_form(std::string_view target);
/// Whether a Host field says the same: in any case, with or without the port that goes without saying.
[[nodiscard]] bool same_authority(const AbsoluteForm& target, std::string_view host);

} // namespace herd::http::internal
