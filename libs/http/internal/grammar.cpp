#include "http/internal/grammar.hpp"

#include <algorithm>

namespace herd::http::internal {

namespace {

bool is_port(std::string_view text) { return text.size() <= 5 && std::ranges::all_of(text, is_digit); }

bool is_name_byte(char c)
{
    // Sub-delimiters are legal in a host, but a comma would hide a second one.
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || std::string_view("-._~%!$&'()*+;=").find(c) != std::string_view::npos;
}

bool is_v6_byte(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ':' || c == '.' || c == '%';
}

} // namespace

bool is_token(std::string_view text)
{
    return !text.empty() && std::ranges::all_of(text, [](char c) { return is_token(c); });
}

bool is_host(std::string_view text)
{
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos || end == 1 || !std::ranges::all_of(text.substr(1, end - 1), is_v6_byte)) {
            return false;
        }
        const std::string_view rest = text.substr(end + 1);
        return rest.empty() || (rest.starts_with(':') && is_port(rest.substr(1)));
    }
    const auto colon = text.find(':');
    return std::ranges::all_of(text.substr(0, colon), is_name_byte)
           && (colon == std::string_view::npos || is_port(text.substr(colon + 1)));
}

} // namespace herd::http::internal
