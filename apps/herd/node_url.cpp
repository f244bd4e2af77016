#include "herd/node_url.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace herd::app {

namespace {

std::string_view without_dot(std::string_view host) { return host.ends_with('.') ? host.substr(0, host.size() - 1) : host; }

/// Where clouds hand out credentials to whoever asks from inside.
bool is_metadata(std::string_view host)
{
    static constexpr std::array<std::string_view, 4> names{"metadata", "metadata.google.internal", "metadata.goog",
                                                           "instance-data"};
    static const std::array addresses{*base::IpAddress::parse("fd00:ec2::254"), *base::IpAddress::parse("100.100.100.200")};
    const auto address = base::IpAddress::parse(host);
    return address ? std::ranges::find(addresses, *address) != addresses.end()
                   : std::ranges::find(names, without_dot(host)) != names.end();
}

} // namespace

bool is_cloud_host(const http::Url& url)
{
    const auto host = without_dot(url.host);
    return host == "ollama.com" || host == "api.ollama.com";
}

bool is_cloud_origin(const http::Url& url) { return url.scheme == "https" && url.port == 443 && is_cloud_host(url); }

std::string why_no_node(const http::Url& url, const std::vector<base::Endpoint>& own_listeners,
                        const std::vector<base::IpAddress>& own_addresses)
{
    if (is_metadata(url.host)) {
        return "is a metadata service of a cloud, not a node";
    }
    auto address = base::IpAddress::parse(url.host);
    if (address && address->is_link_local()) {
        return "is a link-local address, which nodes cannot have";
    }
    if (address && (address->is_multicast() || address->is_limited_broadcast())) {
        return "is not the address of one host";
    }
    if (!address && without_dot(url.host) == "localhost") {
        address = base::IpAddress::loopback();
    }
    if (address && address->is_unspecified()) {
        address = base::IpAddress::loopback(); // which is where a connect to it ends
    }
    const bool here = address && (address->is_loopback() || std::ranges::find(own_addresses, *address) != own_addresses.end());
    for (const base::Endpoint& own : own_listeners) {
        const bool same = address && (own.address == *address || (own.address.is_unspecified() && here));
        if (same && own.port == url.port) {
            return "is this herd's own address";
        }
    }
    return {};
}

} // namespace herd::app
