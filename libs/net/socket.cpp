#include "net/socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace herd::net {

namespace {

struct RawAddress {
    ::sockaddr_storage storage{};
    ::socklen_t length{0};
};

RawAddress raw(const base::Endpoint& endpoint)
{
    RawAddress result;
    if (endpoint.address.is_v4()) {
        ::sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(endpoint.port);
        std::memcpy(&in.sin_addr, endpoint.address.bytes().data(), 4);
        std::memcpy(&result.storage, &in, sizeof in);
        result.length = sizeof in;
    } else {
        ::sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(endpoint.port);
        in.sin6_scope_id = endpoint.address.scope();
        std::memcpy(&in.sin6_addr, endpoint.address.bytes().data(), 16);
        std::memcpy(&result.storage, &in, sizeof in);
        result.length = sizeof in;
    }
    return result;
}

std::uint16_t bound_port(int fd)
{
    ::sockaddr_storage storage{};
    ::socklen_t length = sizeof storage;
    if (::getsockname(fd, reinterpret_cast<::sockaddr*>(&storage), &length) != 0) { // NOLINT
        return 0;
    }
    // Port sits at the same place in both families.
    ::sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof in);
    return ntohs(in.sin_port);
}

base::Result<Fd> bind_one(const base::Endpoint& at, bool share)
{
    Fd fd(::socket(at.address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    const int off = 0;
    bool ok = fd.valid();
    ok = ok && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (share) {
        ok = ok && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    }
    if (at.address.is_v6()) {
        ok = ok && ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
    }
    const RawAddress address = raw(at);
    ok = ok && ::bind(fd.get(), reinterpret_cast<const ::sockaddr*>(&address.storage), address.length) == 0; // NOLINT
    ok = ok && ::listen(fd.get(), 4096) == 0;
    if (!ok) {
        const std::error_code cause(errno, std::generic_category());
        return std::unexpected(
            base::Error{base::errc_of(cause), base::Source::self, base::Retry::never, at.text(), cause});
    }
    return fd;
}

} // namespace

void Fd::reset()
{
    if (fd_ >= 0) {
        ::close(fd_);
        fd_ = -1;
    }
}

base::Result<std::vector<BoundSocket>> bind_tcp(const base::Endpoint& at, int copies)
{
    base::Endpoint local = at;
    if (copies > 1) {
        // SO_REUSEPORT would share the port with another herd of the same user: ask first without it.
        const auto probe = bind_one(at, false);
        if (!probe) {
            return std::unexpected(probe.error());
        }
        local.port = bound_port(probe->get());
    }
    std::vector<BoundSocket> sockets;
    for (int i = 0; i < copies; ++i) {
        auto fd = bind_one(local, copies > 1);
        if (!fd) {
            return std::unexpected(fd.error());
        }
        local.port = bound_port(fd->get());
        sockets.push_back({std::move(*fd), local});
    }
    return sockets;
}

} // namespace herd::net
