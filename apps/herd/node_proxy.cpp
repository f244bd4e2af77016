#include "herd/node_proxy.hpp"

#include "base/ip.hpp"
#include "base/text.hpp"

#include <algorithm>

namespace herd::app {

namespace {

constexpr std::size_t name_bytes_max = 255; // SOCKS counts them in one byte
constexpr const char* expected = "expected http://HOST:PORT or socks5://HOST:PORT";

struct Parts {
    std::string scheme{};
    std::string_view login{}; ///< "user:password" as written; empty: none
    std::string_view where{};
};

Parts parts_of(std::string_view text)
{
    Parts parts;
    const auto colon = text.find("://");
    if (colon == std::string_view::npos) {
        return parts;
    }
    parts.scheme = base::lower(text.substr(0, colon));
    parts.where = text.substr(colon + 3);
    if (const auto at = parts.where.rfind('@'); at != std::string_view::npos) {
        parts.login = parts.where.substr(0, at);
        parts.where.remove_prefix(at + 1);
    }
    if (parts.where.ends_with('/')) {
        parts.where.remove_suffix(1);
    }
    return parts;
}

std::unexpected<base::Error> refuse(std::string why) { return base::fail(base::Errc::bad_config, std::move(why)); }

bool printable(std::string_view text)
{
    return text.size() <= name_bytes_max && std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

} // namespace

base::Result<base::Tunnel> parse_proxy(std::string_view text, const http::Url& node)
{
    const Parts parts = parts_of(text);
    base::Tunnel tunnel{.to_host = node.host, .to_port = node.port};
    if (parts.scheme == "socks5" || parts.scheme == "socks5h") { // names are never looked up here, so both mean the same
        tunnel.kind = base::Tunnel::Kind::socks5;
    } else if (parts.scheme != "http") {
        return refuse(expected);
    }
    // As a URL of http it is checked like that of a node: host, port, nothing else.
    const auto where = base::HostPort::parse(parts.where, 0);
    const auto url = http::Url::parse("http://" + std::string{parts.where});
    if (!where || where->port == 0 || !url || !url->path.empty()) {
        return refuse(expected);
    }
    tunnel.host = url->host;
    tunnel.port = url->port;
    const auto colon = parts.login.find(':');
    const auto user = base::percent_decoded(parts.login.substr(0, colon));
    const auto password = base::percent_decoded(colon == std::string_view::npos ? std::string_view{} : parts.login.substr(colon + 1));
    tunnel.user = user.value_or("");
    tunnel.password = password.value_or("");
    if (!user || !password || !printable(tunnel.user) || !printable(tunnel.password) || (tunnel.user.empty() && !parts.login.empty())
        || (tunnel.kind == base::Tunnel::Kind::connect && tunnel.user.find(':') != std::string::npos)) {
        return refuse("its user and password must be percent-encoded, at most 255 bytes each");
    }
    if (node.host.size() > name_bytes_max) {
        return refuse("the node's name is too long for it");
    }
    return tunnel;
}

std::string masked_proxy(std::string_view text)
{
    const auto at = text.rfind('@');
    const auto colon = text.find("://");
    if (at == std::string_view::npos || colon == std::string_view::npos || colon > at) {
        return std::string{text};
    }
    return std::string{text.substr(0, colon + 3)} + "***" + std::string{text.substr(at)};
}

} // namespace herd::app
