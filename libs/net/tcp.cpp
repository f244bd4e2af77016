// The real network: TCP by plain non-blocking system calls. Readiness says when they are worth trying.
#include "base/log.hpp"
#include "net/network.hpp"
#include "net/poller.hpp"
#include "net/raw_address.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace herd::net {

namespace {

using Tcp = ::asio::ip::tcp;
using Side = Readiness::Side;

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

Io failed(int error)
{
    if (would_block(error)) {
        return {Io::State::would_block, 0, {}};
    }
    return {Io::State::failed, 0, std::error_code(error, std::generic_category())};
}

void set_option(int fd, int level, int name, int value) { (void)::setsockopt(fd, level, name, &value, sizeof value); }

class TcpStream final : public Stream {
public:
    TcpStream(Loop& loop, Fd socket, Endpoint peer, bool connecting = false)
        : socket_(loop, std::move(socket), connecting), peer_(peer)
    {
        set_option(socket_.fd(), IPPROTO_TCP, TCP_NODELAY, 1);
    }

    Io try_read(std::span<char> into) override
    {
        for (;;) {
            const auto n = ::recv(socket_.fd(), into.data(), into.size(), 0);
            const int error = n < 0 ? errno : 0;
            if (error == EINTR) {
                continue;
            }
            const auto got = static_cast<std::size_t>(std::max<decltype(n)>(n, 0));
            // Less than asked for is all there was. (But before a byte sent as urgent, which nobody does in HTTP.)
            if (would_block(error) || (got > 0 && got < into.size())) {
                socket_.exhausted(Side::reading);
            }
            return error != 0 ? failed(error) : Io{got > 0 ? Io::State::done : Io::State::end, got, {}};
        }
    }

    Io try_write(std::span<const std::string_view> pieces) override
    {
        std::array<::iovec, 16> vectors; // NOLINT: only the first `count` are read
        const std::size_t count = std::min(pieces.size(), vectors.size());
        for (std::size_t i = 0; i < count; ++i) {
            vectors[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()}; // NOLINT: iovec is not const
        }
        ::msghdr message{};
        message.msg_iov = vectors.data();
        message.msg_iovlen = count;
        for (;;) {
            const auto n = ::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
            if (n >= 0) {
                return {Io::State::done, static_cast<std::size_t>(n), {}};
            }
            const int error = errno;
            if (would_block(error)) {
                socket_.exhausted(Side::writing);
            }
            if (error != EINTR) {
                return failed(error);
            }
        }
    }

    Task<bool> readable() override { return socket_.wait(Side::reading); }
    Task<bool> writable() override { return socket_.wait(Side::writing); }

    void watch(Callback work) override { socket_.watch(Side::reading, std::move(work)); }
    void watch_writable(Callback work) override { socket_.watch(Side::writing, std::move(work)); }
    void unwatch() override { socket_.unwatch(Side::reading); }
    void unwatch_writable() override { socket_.unwatch(Side::writing); }

    void finish_sending() noexcept override
    {
        if (socket_.is_open()) {
            (void)::shutdown(socket_.fd(), SHUT_WR);
        }
    }

    void close() noexcept override { socket_.close(); }

    void abort() noexcept override
    {
        if (socket_.is_open()) {
            const ::linger now{1, 0};
            (void)::setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close();
    }

    void acknowledge_within(base::Duration limit) noexcept override
    {
        const auto ms = static_cast<int>(base::milliseconds(limit));
        if (ms != user_timeout_ms_) { // a kept connection has it already
            user_timeout_ms_ = ms;
            set_option(socket_.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, ms);
        }
    }

    [[nodiscard]] bool is_open() const override { return socket_.is_open(); }
    [[nodiscard]] Endpoint peer() const override { return peer_; }
    [[nodiscard]] Endpoint local() const override { return local_endpoint(socket_.fd()); }

    /// Of a socket that is connecting and can be written to now: how it ended.
    [[nodiscard]] std::error_code connected() const
    {
        int error = 0;
        ::socklen_t length = sizeof error;
        (void)::getsockopt(socket_.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
        return std::error_code(error, std::generic_category());
    }

private:
    Readiness socket_;
    int user_timeout_ms_{0};
    Endpoint peer_;
};

class TcpListener final : public Listener {
public:
    TcpListener(Loop& loop, BoundSocket socket)
        : loop_(loop), socket_(loop, std::move(socket.fd)), pause_(loop), local_(socket.local)
    {
    }

    Task<Result<std::unique_ptr<Stream>>> accept() override
    {
        while (socket_.is_open()) {
            co_await loop_.turn(); // a flood of new clients must not keep the old ones from being served
            if (!socket_.is_open()) {
                break;
            }
            RawAddress peer;
            Fd fd(::accept4(socket_.fd(), peer.address(), &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
            int error = fd.valid() ? 0 : errno;
            if (error == 0) {
                auto stream = std::make_unique<TcpStream>(loop_, std::move(fd), peer.endpoint());
                if (stream->is_open()) {
                    co_return std::unique_ptr<Stream>(std::move(stream));
                }
                error = ENOSPC; // no watch could be had; this client is turned away
            }
            if (would_block(error)) {
                socket_.exhausted(Side::reading);
                if (!co_await socket_.wait(Side::reading)) {
                    break;
                }
            } else if (error != EINTR && error != ECONNABORTED) {
                co_await wait_out(std::error_code(error, std::generic_category()));
            }
        }
        co_return base::fail(base::Errc::cancelled);
    }

    void close() noexcept override
    {
        socket_.close();
        pause_.cancel();
    }

    [[nodiscard]] Endpoint local() const override { return local_; }

private:
    /// Out of descriptors or memory: existing streams matter more than new ones, so pause.
    Task<void> wait_out(std::error_code why)
    {
        if (!complained_) {
            complained_ = true;
            log::warn("net", "accept_paused", {{"listen", local_.text()}, {"why", why.message()}});
        }
        (void)co_await pause_.wait_for(std::chrono::milliseconds{100});
    }

    Loop& loop_;
    Readiness socket_;
    Timer pause_;
    Endpoint local_;
    bool complained_{false};
};

class TcpNetwork final : public Network {
public:
    explicit TcpNetwork(Loop& loop) : loop_(loop), resolver_(loop.context()) {}

    Result<std::unique_ptr<Listener>> listen(BoundSocket socket) override
    {
        return std::unique_ptr<Listener>(std::make_unique<TcpListener>(loop_, std::move(socket)));
    }

    Task<Result<std::unique_ptr<Stream>>> connect(Endpoint to, base::Instant deadline) override
    {
        const RawAddress target(to);
        Fd fd(::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (!fd.valid()) {
            co_return connect_failed(to, {errno, std::generic_category()}, false);
        }
        // A backstop for hosts that vanish while a request waits for its first token; membership is faster.
        set_option(fd.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE, 5);
        set_option(fd.get(), IPPROTO_TCP, TCP_KEEPINTVL, 1);
        set_option(fd.get(), IPPROTO_TCP, TCP_KEEPCNT, 3);
        if (::connect(fd.get(), target.address(), target.length) != 0 && errno != EINPROGRESS) {
            co_return connect_failed(to, {errno, std::generic_category()}, false);
        }
        auto stream = std::make_unique<TcpStream>(loop_, std::move(fd), to, true);
        if (!stream->is_open()) {
            co_return connect_failed(to, std::make_error_code(std::errc::no_space_on_device), false);
        }
        bool expired = false;
        Timer timer(loop_);
        timer.call_at(deadline, [&] {
            expired = true;
            stream->close();
        });
        const bool settled = co_await stream->writable();
        stream->unwatch_writable();
        timer.cancel();
        const auto failure = settled ? stream->connected() : std::make_error_code(std::errc::operation_canceled);
        if (failure || expired) {
            co_return connect_failed(to, failure, expired);
        }
        co_return std::unique_ptr<Stream>(std::move(stream));
    }

    Task<Result<std::vector<base::IpAddress>>> resolve(std::string host, base::Instant deadline) override
    {
        if (const auto numeric = base::IpAddress::parse(host)) {
            co_return std::vector{*numeric};
        }
        bool expired = false;
        Timer timer(loop_);
        timer.call_at(deadline, [&] {
            expired = true;
            resolver_.cancel();
        });
        const auto [error, results] = co_await resolver_.async_resolve(host, "", as_result);
        timer.cancel();
        if (expired) {
            co_return base::fail(base::Errc::timed_out, "resolving " + host);
        }
        std::vector<base::IpAddress> addresses;
        for (const auto& entry : results) {
            addresses.push_back(from_asio(entry.endpoint().address()));
        }
        if (error || addresses.empty()) {
            co_return base::fail(base::Errc::unreachable, "no address for " + host);
        }
        co_return addresses;
    }

private:
    static std::unexpected<base::Error> connect_failed(const Endpoint& to, std::error_code cause, bool expired)
    {
        base::Error error{base::errc_of(cause), base::Source::node, base::Retry::always, to.text(), cause};
        if (expired) {
            error.code = base::Errc::timed_out;
            error.cause = {};
        }
        return std::unexpected(std::move(error));
    }

    Loop& loop_;
    ::asio::ip::basic_resolver<Tcp, Executor> resolver_;
};

} // namespace

std::unique_ptr<Network> make_network(Loop& loop) { return std::make_unique<TcpNetwork>(loop); }

} // namespace herd::net
