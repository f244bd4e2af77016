#include "net/datagram.hpp"

#include "base/log.hpp"
#include "net/raw_address.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace herd::net {

namespace {

// From linux/in6.h, which cannot be included beside netinet/in.h.
constexpr int ipv6_multicast_all = 29;
constexpr std::size_t receive_bytes = 2048;
constexpr int batch_limit = 256; ///< datagrams read before others on the loop get their turn

base::IpAddress from_in(const ::in_addr& in)
{
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &in, bytes.size());
    return base::IpAddress::v4(bytes);
}

base::IpAddress from_in6(const ::in6_addr& in, std::uint32_t scope)
{
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in, bytes.size());
    return base::IpAddress::v6(bytes, scope);
}

bool set(int fd, int level, int name, int value) { return ::setsockopt(fd, level, name, &value, sizeof value) == 0; }

bool configure(int fd, bool v6, const UdpOptions& options)
{
    bool ok = true;
    if (options.reuse_address) {
        ok = ok && set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    ok = ok && set(fd, SOL_SOCKET, SO_BROADCAST, options.broadcast ? 1 : 0);
    if (v6) {
        ok = ok && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) && set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
            && set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) && set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, options.ttl)
            && set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, options.ttl);
        // Helpful, not needed: old kernels lack one or the other.
        (void)set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        (void)set(fd, IPPROTO_IPV6, ipv6_multicast_all, 0);
    } else {
        ok = ok && set(fd, IPPROTO_IP, IP_PKTINFO, 1) && set(fd, IPPROTO_IP, IP_RECVTTL, 1)
            && set(fd, IPPROTO_IP, IP_TTL, options.ttl) && set(fd, IPPROTO_IP, IP_MULTICAST_TTL, options.ttl);
        (void)set(fd, IPPROTO_IP, IP_RECVERR, 1);
        (void)set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    }
    (void)set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    if (options.receive_buffer_bytes > 0) {
        (void)set(fd, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes); // the kernel caps it at rmem_max
    }
    return ok;
}

base::Error os_error(int code, const base::Endpoint& at)
{
    const std::error_code cause(code, std::generic_category());
    return {base::errc_of(cause), base::Source::self, base::Retry::always, at.text(), cause};
}

template <class T>
T control_value(const ::cmsghdr& control)
{
    T value{};
    std::memcpy(&value, CMSG_DATA(&control), sizeof value); // NOLINT: the macro
    return value;
}

} // namespace

base::Result<BoundSocket> bind_udp(const base::Endpoint& at, const UdpOptions& options)
{
    const bool v6 = at.address.is_v6();
    Fd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid() || !configure(fd.get(), v6, options)) {
        return std::unexpected(os_error(errno, at));
    }
    const RawAddress address(at);
    if (::bind(fd.get(), address.address(), address.length) != 0) {
        return std::unexpected(os_error(errno, at));
    }
    RawAddress bound;
    if (::getsockname(fd.get(), bound.address(), &bound.length) != 0) {
        return std::unexpected(os_error(errno, at));
    }
    return BoundSocket{std::move(fd), bound.endpoint()};
}

struct DatagramSocket::State : std::enable_shared_from_this<DatagramSocket::State> {
    using Udp = ::asio::ip::udp;
    using Socket = ::asio::basic_datagram_socket<Udp, Executor>;

    State(Loop& loop, BoundSocket bound, OnReceive receive, OnUnreachable unreachable)
        : socket(loop.context()), local(bound.local), on_receive(std::move(receive)),
          on_unreachable(std::move(unreachable))
    {
        socket.assign(local.address.is_v6() ? Udp::v6() : Udp::v4(), bound.fd.release());
    }

    [[nodiscard]] int fd() { return socket.native_handle(); }

    void wait()
    {
        socket.async_wait(Socket::wait_read, [self = shared_from_this()](std::error_code error) {
            if (self->closed || error == ::asio::error::operation_aborted) {
                return;
            }
            self->read_batch();
            if (!self->closed) {
                self->wait();
            }
        });
    }

    void read_batch()
    {
        for (int i = 0; i < batch_limit && !closed; ++i) {
            const auto state = read_one();
            if (state == Read::nothing) {
                break;
            }
        }
        if (!closed) {
            drain_errors();
        }
    }

    enum class Read : std::uint8_t { one, error, nothing };

    Read read_one()
    {
        RawAddress from;
        ::iovec vector{buffer.data(), buffer.size()};
        ::msghdr message{};
        message.msg_name = from.address();
        message.msg_namelen = from.length;
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const auto n = ::recvmsg(fd(), &message, MSG_TRUNC);
        if (n < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                return Read::nothing;
            }
            return Read::error; // a pending ICMP error, reported once; the queue tells whose it was
        }
        Received received;
        received.from = from.endpoint();
        received.truncated = static_cast<std::size_t>(n) > buffer.size();
        received.bytes = {buffer.data(), std::min(static_cast<std::size_t>(n), buffer.size())};
        read_control(message, received);
        on_receive(received);
        return Read::one;
    }

    void read_control(::msghdr& message, Received& received)
    {
        for (::cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) { // NOLINT
            if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
                const auto info = control_value<::in_pktinfo>(*c);
                received.interface = static_cast<unsigned>(info.ipi_ifindex);
                received.to = from_in(info.ipi_addr);
                received.local = from_in(info.ipi_spec_dst);
            } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
                const auto info = control_value<::in6_pktinfo>(*c);
                received.interface = info.ipi6_ifindex;
                received.to = from_in6(info.ipi6_addr, 0);
            } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL)
                       || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
                received.ttl = control_value<int>(*c);
            } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
                overflowed = control_value<std::uint32_t>(*c);
            }
        }
    }

    /// The error queue names the destination of the datagram that an ICMP message came back for.
    void drain_errors()
    {
        for (int i = 0; i < batch_limit && !closed; ++i) {
            RawAddress to;
            ::iovec vector{buffer.data(), buffer.size()};
            ::msghdr message{};
            message.msg_name = to.address();
            message.msg_namelen = to.length;
            message.msg_iov = &vector;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            if (::recvmsg(fd(), &message, MSG_ERRQUEUE) < 0) {
                return;
            }
            for (::cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) { // NOLINT
                const bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
                const bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
                if ((v4 || v6) && on_unreachable
                    && control_value<::sock_extended_err>(*c).ee_errno == ECONNREFUSED) {
                    on_unreachable(to.endpoint());
                }
            }
        }
    }

    int send_once(const base::Endpoint& to, std::span<const std::uint8_t> bytes, unsigned interface, const base::IpAddress& from)
    {
        RawAddress target(to, interface);
        ::iovec vector{const_cast<std::uint8_t*>(bytes.data()), bytes.size()}; // NOLINT: iovec is not const
        ::msghdr message{};
        message.msg_name = target.address();
        message.msg_namelen = target.length;
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        alignas(::cmsghdr) std::array<char, CMSG_SPACE(sizeof(::in6_pktinfo))> info{};
        if (interface != 0 || !from.is_unspecified()) {
            message.msg_control = info.data();
            message.msg_controllen = info.size();
            ::cmsghdr* c = CMSG_FIRSTHDR(&message); // NOLINT: the macro
            if (to.address.is_v4()) {
                ::in_pktinfo choice{};
                choice.ipi_ifindex = static_cast<int>(interface);
                if (from.is_v4()) {
                    std::memcpy(&choice.ipi_spec_dst, from.bytes().data(), sizeof choice.ipi_spec_dst);
                }
                c->cmsg_level = IPPROTO_IP;
                c->cmsg_type = IP_PKTINFO;
                c->cmsg_len = CMSG_LEN(sizeof choice);
                message.msg_controllen = CMSG_SPACE(sizeof choice);
                std::memcpy(CMSG_DATA(c), &choice, sizeof choice);
            } else {
                ::in6_pktinfo choice{};
                choice.ipi6_ifindex = interface;
                c->cmsg_level = IPPROTO_IPV6;
                c->cmsg_type = IPV6_PKTINFO;
                c->cmsg_len = CMSG_LEN(sizeof choice);
                std::memcpy(CMSG_DATA(c), &choice, sizeof choice);
            }
        }
        return ::sendmsg(fd(), &message, MSG_NOSIGNAL) >= 0 ? 0 : errno;
    }

    Socket socket;
    base::Endpoint local;
    OnReceive on_receive;
    OnUnreachable on_unreachable;
    std::array<std::uint8_t, receive_bytes> buffer{};
    alignas(::cmsghdr) std::array<char, 512> control{};
    std::uint64_t overflowed{0};
    bool closed{false};
};

DatagramSocket::DatagramSocket(Loop& loop, BoundSocket socket, OnReceive on_receive, OnUnreachable on_unreachable)
    : state_(std::make_shared<State>(loop, std::move(socket), std::move(on_receive), std::move(on_unreachable)))
{
    state_->wait();
}

DatagramSocket::~DatagramSocket() { close(); }

base::Result<void> DatagramSocket::send(const base::Endpoint& to, std::span<const std::uint8_t> bytes,
                                        unsigned interface, const base::IpAddress& from)
{
    if (state_->closed) {
        return base::fail(base::Errc::cancelled);
    }
    int error = state_->send_once(to, bytes, interface, from);
    if (error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == EINTR) {
        // Usually the pending ICMP answer to an *earlier* datagram, handed to whoever calls next.
        error = state_->send_once(to, bytes, interface, from);
    }
    if (error != 0) {
        return std::unexpected(os_error(error, to));
    }
    return {};
}

bool DatagramSocket::join(const base::IpAddress& group, unsigned interface)
{
    if (state_->closed || !group.is_v6()) {
        return false;
    }
    ::ipv6_mreq request{};
    std::memcpy(&request.ipv6mr_multiaddr, group.bytes().data(), 16);
    request.ipv6mr_interface = interface;
    return ::setsockopt(state_->fd(), IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request) == 0
        || errno == EADDRINUSE;
}

void DatagramSocket::leave(const base::IpAddress& group, unsigned interface)
{
    if (!state_->closed && group.is_v6()) {
        ::ipv6_mreq request{};
        std::memcpy(&request.ipv6mr_multiaddr, group.bytes().data(), 16);
        request.ipv6mr_interface = interface;
        (void)::setsockopt(state_->fd(), IPPROTO_IPV6, IPV6_LEAVE_GROUP, &request, sizeof request);
    }
}

void DatagramSocket::close() noexcept
{
    state_->closed = true;
    std::error_code ignored;
    state_->socket.close(ignored); // NOLINT(bugprone-unused-return-value)
}

const base::Endpoint& DatagramSocket::local() const { return state_->local; }
std::uint64_t DatagramSocket::overflowed() const { return state_->overflowed; }

} // namespace herd::net
