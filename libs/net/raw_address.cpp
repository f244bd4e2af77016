#include "net/raw_address.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <netinet/in.h>

namespace herd::net {

RawAddress::RawAddress(const base::Endpoint& endpoint, unsigned interface)
{
    if (endpoint.address.is_v4()) {
        ::sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(endpoint.port);
        std::memcpy(&in.sin_addr, endpoint.address.bytes().data(), 4);
        std::memcpy(&storage, &in, sizeof in);
        length = sizeof in;
    } else {
        ::sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(endpoint.port);
        in.sin6_scope_id = endpoint.address.scope() != 0 ? endpoint.address.scope() : interface;
        std::memcpy(&in.sin6_addr, endpoint.address.bytes().data(), 16);
        std::memcpy(&storage, &in, sizeof in);
        length = sizeof in;
    }
}

base::Endpoint RawAddress::endpoint() const
{
    std::array<std::uint8_t, 16> bytes{};
    if (family() == AF_INET) {
        ::sockaddr_in in{};
        std::memcpy(&in, &storage, sizeof in);
        std::memcpy(bytes.data(), &in.sin_addr, 4);
        return {base::IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]}), ntohs(in.sin_port)};
    }
    if (family() == AF_INET6) {
        ::sockaddr_in6 in{};
        std::memcpy(&in, &storage, sizeof in);
        std::memcpy(bytes.data(), &in.sin6_addr, 16);
        return {base::IpAddress::v6(bytes, in.sin6_scope_id), ntohs(in.sin6_port)};
    }
    return {};
}

base::Endpoint local_endpoint(int fd)
{
    RawAddress at;
    return ::getsockname(fd, at.address(), &at.length) == 0 ? at.endpoint() : base::Endpoint{};
}

} // namespace herd::net
