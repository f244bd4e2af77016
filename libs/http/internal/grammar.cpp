#include "http/internal/grammar.hpp"

#include "base/text.hpp"

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

std::string_view without_port(std::string_view authority, std::string_view port)
{
    const auto colon = authority.rfind(':');
    const bool has_port = colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
    const bool usual = has_port && (authority.substr(colon + 1) == port || colon + 1 == authority.size());
    return usual ? authority.substr(0, colon) : authority;
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

std::optional<AbsoluteForm> absolute_form(std::string_view target)
{
    const auto end = target.find("://");
    const std::string_view scheme = target.substr(0, std::min(end, target.size()));
    const bool tls = base::iequals(scheme, "https");
    if (end == std::string_view::npos || (!tls && !base::iequals(scheme, "http"))) {
        return std::nullopt;
    }
    target.remove_prefix(end + 3);
    const auto path = std::min(target.find_first_of("/?"), target.size());
    const AbsoluteForm form{target.substr(0, path), target.substr(path), tls ? "443" : "80"};
    const bool named = !form.authority.empty() && !form.authority.starts_with(':') && is_host(form.authority);
    const bool plain = std::ranges::all_of(form.rest, [](char c) { return is_visible(c) && c != '#'; });
    return named && plain ? std::optional(form) : std::nullopt;
}

bool same_authority(const AbsoluteForm& target, std::string_view host)
{
    return base::iequals(without_port(target.authority, target.usual_port), without_port(host, target.usual_port));
}

} // namespace herd::http::internal
