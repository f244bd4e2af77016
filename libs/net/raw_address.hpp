#pragma once
// An Endpoint as the kernel wants it.
#include "base/ip.hpp"

#include <sys/socket.h>

namespace herd::net {

struct RawAddress {
    RawAddress() = default; ///< room for the kernel to fill
    /// `interface`: where a link-local address without a scope is meant.
    explicit RawAddress(const base::Endpoint& endpoint, unsigned interface = 0);

    [[nodiscard]] const ::sockaddr* address() const { return reinterpret_cast<const ::sockaddr*>(&storage); } // NOLINT
    [[nodiscard]] ::sockaddr* address() { return reinterpret_cast<::sockaddr*>(&storage); }                   // NOLINT
    [[nodiscard]] int family() const { return storage.ss_family; }
    [[nodiscard]] base::Endpoint endpoint() const;

    ::sockaddr_storage storage{};
    ::socklen_t length{sizeof(::sockaddr_storage)};
};

/// Where the socket is bound; an empty endpoint if it is not.
[[nodiscard]] base::Endpoint local_endpoint(int fd);

} // namespace herd::net
