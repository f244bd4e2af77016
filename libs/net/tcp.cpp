// The real network: TCP over Asio's reactor. Reads and writes are plain non-blocking system calls; Asio is
// asked only to wait.
#include "base/assert.hpp"
#include "base/log.hpp"
#include "net/network.hpp"
#include "net/timer.hpp"
#include "net/wake.hpp"

#include <array>
#include <cerrno>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace herd::net {

namespace {

using Tcp = ::asio::ip::tcp;
using TcpSocket = ::asio::basic_stream_socket<Tcp, Executor>;
using TcpAcceptor = ::asio::basic_socket_acceptor<Tcp, Executor>;

Endpoint from_tcp(const Tcp::endpoint& e) { return {from_asio(e.address()), e.port()}; }

Io failed(int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK) {
        return {Io::State::would_block, 0, {}};
    }
    return {Io::State::failed, 0, std::error_code(error, std::generic_category())};
}

void set_option(int fd, int level, int name, int value) { (void)::setsockopt(fd, level, name, &value, sizeof value); }

/// Waiting for one direction of a socket. At most one wait is in flight in the reactor, whoever asks: a
/// watch that was removed and set again, or a task that waits where a watch was, costs no system call.
struct Direction {
    explicit Direction(Loop& loop) : task(loop) {}
    Callback watch;
    Wake<bool> task;
    bool in_flight{false};

    void fire(bool ready)
    {
        in_flight = false;
        auto once = ready ? std::exchange(watch, nullptr) : Callback{};
        if (task.waiting()) {
            // Both at once is rare; the task is resumed later so that it may end this object.
            once ? task.wake_later(ready) : task.wake(ready);
        }
        if (once) {
            once();
        }
    }
};

enum class Side : std::uint8_t { reading, writing };

struct Directions {
    explicit Directions(Loop& l) : loop(l), reading(l) {}
    Loop& loop;
    Direction reading;
    std::unique_ptr<Direction> writing; // made when a socket is full for the first time

    Direction& at(Side side)
    {
        if (side == Side::reading) {
            return reading;
        }
        if (!writing) {
            writing = std::make_unique<Direction>(loop);
        }
        return *writing;
    }
};

Task<bool> not_open() { co_return false; }

class TcpStream final : public Stream {
public:
    TcpStream(Loop& loop, TcpSocket socket, Endpoint peer)
        : socket_(std::move(socket)), peer_(peer), directions_(std::make_shared<Directions>(loop))
    {
        std::error_code ignored;
        socket_.native_non_blocking(true, ignored);
        set_option(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, 1);
    }
    ~TcpStream() override { close(); }

    Io try_read(std::span<char> into) override
    {
        for (;;) {
            const auto n = ::recv(socket_.native_handle(), into.data(), into.size(), 0);
            if (n > 0) {
                return {Io::State::done, static_cast<std::size_t>(n), {}};
            }
            if (n == 0) {
                return {Io::State::end, 0, {}};
            }
            if (errno != EINTR) {
                return failed(errno);
            }
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
            const auto n = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
            if (n >= 0) {
                return {Io::State::done, static_cast<std::size_t>(n), {}};
            }
            if (errno != EINTR) {
                return failed(errno);
            }
        }
    }

    Task<bool> readable() override { return wait(Side::reading); }
    Task<bool> writable() override { return wait(Side::writing); }

    void watch(Callback work) override { set_watch(Side::reading, std::move(work)); }
    void watch_writable(Callback work) override { set_watch(Side::writing, std::move(work)); }
    void unwatch() override { directions_->reading.watch = nullptr; }
    void unwatch_writable() override { directions_->at(Side::writing).watch = nullptr; }

    void finish_sending() noexcept override
    {
        if (socket_.is_open()) {
            (void)::shutdown(socket_.native_handle(), SHUT_WR);
        }
    }

    void close() noexcept override
    {
        directions_->reading.watch = nullptr;
        if (directions_->writing) {
            directions_->writing->watch = nullptr;
        }
        std::error_code ignored;
        socket_.close(ignored); // NOLINT(bugprone-unused-return-value): ends the waits in flight
    }

    void abort() noexcept override
    {
        if (socket_.is_open()) {
            const ::linger now{1, 0};
            (void)::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close();
    }

    void acknowledge_within(base::Duration limit) noexcept override
    {
        const auto ms = static_cast<int>(base::milliseconds(limit));
        if (ms != user_timeout_ms_) { // a kept connection has it already
            user_timeout_ms_ = ms;
            set_option(socket_.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, ms);
        }
    }

    [[nodiscard]] bool is_open() const override { return socket_.is_open(); }
    [[nodiscard]] Endpoint peer() const override { return peer_; }
    [[nodiscard]] Endpoint local() const override
    {
        std::error_code error;
        const auto endpoint = socket_.local_endpoint(error);
        return error ? Endpoint{} : from_tcp(endpoint);
    }

private:
    void arm(Direction& direction, Side side)
    {
        if (!direction.in_flight) {
            direction.in_flight = true;
            const auto type = side == Side::reading ? TcpSocket::wait_read : TcpSocket::wait_write;
            socket_.async_wait(type, [all = directions_, side](std::error_code error) {
                all->at(side).fire(error != ::asio::error::operation_aborted);
            });
        }
    }

    Task<bool> wait(Side side)
    {
        if (!socket_.is_open()) {
            return not_open();
        }
        Direction& direction = directions_->at(side);
        HERD_ASSERT(!direction.task.waiting());
        arm(direction, side);
        return direction.task.wait();
    }

    void set_watch(Side side, Callback work)
    {
        if (socket_.is_open()) {
            Direction& direction = directions_->at(side);
            direction.watch = std::move(work);
            arm(direction, side);
        }
    }

    TcpSocket socket_;
    int user_timeout_ms_{0};
    Endpoint peer_;
    std::shared_ptr<Directions> directions_; // shared with the waits in flight
};

class TcpListener final : public Listener {
public:
    TcpListener(Loop& loop, BoundSocket socket)
        : loop_(loop), acceptor_(loop.context()), pause_(loop), local_(socket.local)
    {
        acceptor_.assign(local_.address.is_v6() ? Tcp::v6() : Tcp::v4(), socket.fd.release());
    }

    Task<Result<std::unique_ptr<Stream>>> accept() override
    {
        for (;;) {
            TcpSocket socket(loop_.context());
            Tcp::endpoint peer;
            const auto [error] = co_await acceptor_.async_accept(socket, peer, as_result);
            if (!error) {
                const Endpoint from = from_tcp(peer);
                co_return std::unique_ptr<Stream>(std::make_unique<TcpStream>(loop_, std::move(socket), from));
            }
            if (error == ::asio::error::operation_aborted || !acceptor_.is_open()) {
                co_return base::fail(base::Errc::cancelled);
            }
            // Out of descriptors or memory: existing streams matter more than new ones, so pause.
            if (!complained_) {
                complained_ = true;
                log::warn("net", "accept_paused", {{"listen", local_.text()}, {"why", error.message()}});
            }
            (void)co_await pause_.wait_for(std::chrono::milliseconds{100});
        }
    }

    void close() noexcept override
    {
        std::error_code ignored;
        acceptor_.close(ignored); // NOLINT(bugprone-unused-return-value)
        pause_.cancel();
    }

    [[nodiscard]] Endpoint local() const override { return local_; }

private:
    Loop& loop_;
    TcpAcceptor acceptor_;
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
        const Tcp::endpoint target{to_asio(to.address), to.port};
        TcpSocket socket(loop_.context());
        std::error_code error;
        socket.open(target.protocol(), error); // NOLINT(bugprone-unused-return-value)
        if (error) {
            co_return connect_failed(to, error, false);
        }
        // A backstop for hosts that vanish while a request waits for its first token; membership is faster.
        set_option(socket.native_handle(), SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(socket.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, 5);
        set_option(socket.native_handle(), IPPROTO_TCP, TCP_KEEPINTVL, 1);
        set_option(socket.native_handle(), IPPROTO_TCP, TCP_KEEPCNT, 3);
        bool expired = false;
        Timer timer(loop_);
        timer.call_at(deadline, [&] {
            expired = true;
            std::error_code ignored;
            socket.cancel(ignored); // NOLINT(bugprone-unused-return-value)
        });
        const auto [failure] = co_await socket.async_connect(target, as_result);
        timer.cancel();
        if (failure || expired) {
            co_return connect_failed(to, failure, expired);
        }
        forget_writing(socket, target);
        co_return std::unique_ptr<Stream>(std::make_unique<TcpStream>(loop_, std::move(socket), to));
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
    /// Waiting for the connection left the reactor interested in when the socket can be written to, for good; and as
    /// it always can, every later wait for input would be woken once for nothing. Registered anew, it is not.
    void forget_writing(TcpSocket& socket, const Tcp::endpoint& target)
    {
        std::error_code error;
        const int fd = socket.release(error);
        if (!error) {
            socket.assign(target.protocol(), fd, error); // NOLINT(bugprone-unused-return-value)
            if (error) {
                ::close(fd); // the stream is made closed; its first use tells
            }
        }
    }

    static std::unexpected<base::Error> connect_failed(const Endpoint& to, std::error_code cause, bool expired)
    {
        if (cause.category() == ::asio::error::get_system_category()) {
            // Asio's own category does not compare with std::errc.
            cause = std::error_code(cause.value(), std::system_category());
        }
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
