#include "net/socket.hpp"

#include "net/raw_address.hpp"

#include <algorithm>
#include <cerrno>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace herd::net {

namespace {

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
    const RawAddress address(at);
    ok = ok && ::bind(fd.get(), address.address(), address.length) == 0;
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
        local.port = local_endpoint(probe->get()).port;
    }
    std::vector<BoundSocket> sockets;
    for (int i = 0; i < copies; ++i) {
        auto fd = bind_one(local, copies > 1);
        if (!fd) {
            return std::unexpected(fd.error());
        }
        local.port = local_endpoint(fd->get()).port;
        sockets.push_back({std::move(*fd), local});
    }
    return sockets;
}

} // namespace herd::net
