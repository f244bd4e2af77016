#include "http/url.hpp"

#include "base/ip.hpp"
#include "base/text.hpp"

#include <algorithm>

namespace herd::http {

namespace {

/// Shown without what stands before an @: that is a user name and perhaps a password.
std::unexpected<base::Error> refuse(std::string_view text, std::string_view why)
{
    text.remove_prefix(text.rfind('@') + 1); // npos + 1: nothing
    return base::fail(base::Errc::bad_config, "the URL \"" + std::string(text) + "\" " + std::string(why));
}

std::uint16_t default_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

bool is_host_name(std::string_view host)
{
    return std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    });
}

} // namespace

std::string Url::authority() const
{
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Url::text() const { return scheme + "://" + authority() + path; }

base::Result<Url> Url::parse(std::string_view text)
{
    Url url;
    if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~'; })) {
        return refuse(base::trim(text), "contains a space or a character that is not plain ASCII.");
    }
    const auto scheme_end = text.find("://");
    if (scheme_end == std::string_view::npos) {
        return refuse(text, "lacks its scheme; write http://HOST:PORT.");
    }
    url.scheme = base::lower(text.substr(0, scheme_end));
    if (url.scheme != "http" && url.scheme != "https") {
        return refuse(text, "has a scheme other than http and https.");
    }
    std::string_view rest = text.substr(scheme_end + 3);
    if (rest.find('?') != std::string_view::npos) {
        return refuse(text, "has a query, which makes no sense here.");
    }
    if (rest.find('#') != std::string_view::npos) {
        return refuse(text, "has a fragment, which makes no sense here.");
    }
    const auto slash = rest.find('/');
    const std::string_view authority = rest.substr(0, slash);
    if (authority.find('@') != std::string_view::npos) {
        return refuse(authority.substr(authority.rfind('@') + 1), "was given with a user or password, which is not supported.");
    }
    const auto host = base::HostPort::parse(authority, default_port(url.scheme));
    if (!host || host->port == 0) {
        return refuse(text, "has no host, or a port that is not a number from 1 to 65535.");
    }
    url.host = base::lower(host->host);
    url.port = host->port;
    if (!base::IpAddress::parse(url.host) && !is_host_name(url.host)) {
        return refuse(text, "has a host name with characters that host names do not have.");
    }
    if (slash != std::string_view::npos) {
        std::string_view path = rest.substr(slash);
        while (path.ends_with('/')) {
            path.remove_suffix(1);
        }
        url.path = path;
    }
    return url;
}

} // namespace herd::http
