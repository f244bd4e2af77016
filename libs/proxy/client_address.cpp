#include "proxy/client_address.hpp"

#include <algorithm>

namespace herd::proxy {
namespace {

/// "10.0.0.7", and as some write it "10.0.0.7:1234", "[::1]", "[::1]:1234".
std::optional<base::IpAddress> address_of(std::string_view text)
{
    if (const auto endpoint = base::Endpoint::parse(text)) {
        return endpoint->address;
    }
    if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
        text = text.substr(1, text.size() - 2);
    }
    return base::IpAddress::parse(text);
}

} // namespace

base::Endpoint client_of(const http::Fields& fields, const base::Endpoint& peer, const std::vector<base::IpNetwork>& trusted)
{
    const auto is_trusted = [&trusted](const base::IpAddress& address) {
        return std::ranges::any_of(trusted, [&address](const base::IpNetwork& network) { return network.contains(address); });
    };
    base::Endpoint client = peer;
    if (!is_trusted(peer.address)) {
        return client;
    }
    const auto passed_on = fields.list("X-Forwarded-For");
    for (auto at = passed_on.rbegin(); at != passed_on.rend(); ++at) {
        const auto address = address_of(*at);
        if (!address) {
            break;
        }
        client = {*address, 0};
        if (!is_trusted(*address)) {
            break;
        }
    }
    return client;
}

} // namespace herd::proxy
