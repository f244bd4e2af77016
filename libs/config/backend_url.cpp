#include "config/backend_url.hpp"

#include "base/ip.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace herd::config {

namespace {

struct Pieces {
    std::string scheme{"http"};
    std::string hostport{};
    std::string path{};
    std::uint16_t default_port{0};
};

Pieces cut(std::string_view text, std::uint16_t default_port)
{
    Pieces pieces;
    pieces.default_port = default_port;
    if (const auto at = text.find("://"); at != std::string_view::npos) {
        pieces.scheme = text.substr(0, at);
        text.remove_prefix(at + 3);
        pieces.default_port = pieces.scheme == "https" ? 443 : pieces.scheme == "http" ? 80 : 11434;
    } else if (text == "ollama.com") {
        pieces.scheme = "https";
        pieces.default_port = 443;
    }
    const auto slash = text.find('/');
    pieces.hostport = text.substr(0, slash);
    if (slash != std::string_view::npos) {
        std::string_view path = text.substr(slash);
        while (path.ends_with('/')) {
            path.remove_suffix(1);
        }
        pieces.path = path;
    }
    return pieces;
}

/// Go's net.SplitHostPort: nothing unless there is exactly one host and one port (which may be empty).
std::optional<std::pair<std::string, std::string>> split_host_port(std::string_view text)
{
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view host = text.substr(0, colon);
    if (host.starts_with('[')) {
        if (!host.ends_with(']')) {
            return std::nullopt;
        }
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return std::nullopt;
    }
    if (host.find_first_of("[]") != std::string_view::npos) {
        return std::nullopt;
    }
    return std::pair{std::string{host}, std::string{text.substr(colon + 1)}};
}

std::optional<std::uint16_t> port_of(std::string_view text)
{
    const auto number = base::parse_unsigned(text);
    return number && *number <= 65535 ? std::optional{static_cast<std::uint16_t>(*number)} : std::nullopt;
}

std::string_view without_brackets(std::string_view text)
{
    while (!text.empty() && (text.front() == '[' || text.front() == ']')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == '[' || text.back() == ']')) {
        text.remove_suffix(1);
    }
    return text;
}

/// What a client can call when a listener's address is given.
std::string callable(std::string host)
{
    const auto address = base::IpAddress::parse(host);
    if (host.empty() || (address && address->is_v4() && address->is_unspecified())) {
        return "127.0.0.1";
    }
    if (address && address->is_unspecified()) {
        return "::1";
    }
    return address ? address->text() : host;
}

bool plausible_host(std::string_view host)
{
    if (base::IpAddress::parse(host)) {
        return true;
    }
    return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'
            || c == '.' || c == '_';
    });
}

std::unexpected<base::Error> refuse(std::string why)
{
    return base::fail(base::Errc::bad_config, std::move(why));
}

} // namespace

std::string BackendUrl::authority() const
{
    return fmt::format(fmt::runtime(host.find(':') != std::string::npos ? "[{}]:{}" : "{}:{}"), host, port);
}

std::string BackendUrl::text() const
{
    return fmt::format("{}://{}{}", tls ? "https" : "http", authority(), path);
}

BackendUrl parse_ollama_host(std::string_view value)
{
    value = base::trim(value);
    while (!value.empty() && (value.front() == '"' || value.front() == '\'')) {
        value.remove_prefix(1);
    }
    while (!value.empty() && (value.back() == '"' || value.back() == '\'')) {
        value.remove_suffix(1);
    }
    const Pieces pieces = cut(base::trim(value), 11434);
    BackendUrl url;
    url.tls = pieces.scheme == "https";
    url.path = pieces.path;
    url.port = pieces.default_port;
    if (const auto split = split_host_port(pieces.hostport)) {
        url.host = callable(split->first);
        url.port = port_of(split->second).value_or(pieces.default_port);
    } else {
        const auto bare = without_brackets(pieces.hostport);
        url.host = callable(base::IpAddress::parse(bare) ? std::string{bare} : pieces.hostport);
    }
    return url;
}

std::string ollama_host_fault(const BackendUrl& url)
{
    const std::string_view host = url.host;
    const bool odd = std::ranges::any_of(host, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F || std::string_view{"[]@?#\"'\\<>"}.find(c) != std::string_view::npos; });
    // Colons are of an IPv6 address, with or without the name of an interface.
    const bool colons = host.find(':') != std::string_view::npos && !base::IpAddress::parse(host.substr(0, host.find('%')));
    return odd || colons ? fmt::format("\"{}\" is neither an address nor the name of a host", host) : std::string{};
}

base::Result<BackendUrl> parse_backend_url(std::string_view text, std::uint16_t default_port)
{
    const Pieces pieces = cut(base::trim(text), default_port);
    if (text.find_first_of("@?#") != std::string_view::npos) { // first: what follows repeats parts of it
        return refuse("a user name, query or fragment has no place here");
    }
    if (pieces.scheme != "http" && pieces.scheme != "https") {
        return refuse(fmt::format("the scheme must be http or https, not {}", pieces.scheme));
    }
    BackendUrl url;
    url.tls = pieces.scheme == "https";
    url.path = pieces.path;
    url.port = pieces.default_port;
    std::string host;
    if (const auto split = split_host_port(pieces.hostport)) {
        const auto port = port_of(split->second);
        if (!port || *port == 0) {
            return refuse(fmt::format("\"{}\" is not a port from 1 to 65535", split->second));
        }
        url.port = *port;
        host = split->first;
    } else {
        const auto bare = without_brackets(pieces.hostport);
        host = base::IpAddress::parse(bare) ? std::string{bare} : pieces.hostport;
    }
    if (!plausible_host(host)) {
        return refuse(host.empty() ? "expected a URL such as http://192.168.1.20:11434"
                                   : fmt::format("\"{}\" is not a host", host));
    }
    const bool control = std::ranges::any_of(
        url.path, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; });
    if (control) {
        return refuse("the path may not hold spaces or control characters");
    }
    url.host = callable(host);
    return url;
}

} // namespace herd::config
