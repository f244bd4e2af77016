#pragma once
// Which sockets are ready. A loop has an epoll of its own for them, inside Asio's: a socket is registered once and
// tells each change once (edge-triggered), and what it told is remembered here. Asio's own wait would ask the kernel
// anew each time, one system call for every chunk that is relayed, and keeps half a kilobyte per socket.
#include "net/loop.hpp"
#include "net/socket.hpp"
#include "net/wake.hpp"

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include <asio/posix/stream_descriptor.hpp>
#include <sys/epoll.h>

namespace herd::net {

class Poller;

/// A socket and who waits for it. It is told what reads and writes found, for the kernel tells only what changed.
/// Thread: its loop's. At most one task and one watch wait for each direction.
class Readiness {
public:
    enum class Side : std::uint8_t { reading, writing };

    /// Takes over a non-blocking socket that listens or is connected. One that is `connecting` can be written to when
    /// that has ended, well or not. Closed at once where the kernel watches too many sockets already.
    Readiness(Loop& loop, Fd fd, bool connecting = false);
    Readiness(const Readiness&) = delete;
    Readiness& operator=(const Readiness&) = delete;
    ~Readiness() { close(); }

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] bool is_open() const { return fd_.valid(); }
    /// Until the socket is worth trying. False: closed by us, or the task was cancelled.
    [[nodiscard]] Task<bool> wait(Side side);
    /// Runs `work` once when it is, not before the caller has returned.
    void watch(Side side, Callback work);
    void unwatch(Side side);
    /// Whoever tried found nothing to read, or no room to write, or knows that a second try would.
    void exhausted(Side side);
    /// Ends every wait.
    void close() noexcept;

private:
    friend class Poller;
    struct Direction {
        explicit Direction(Loop& loop) : task(loop) {}
        Callback watch;
        Wake<bool> task;
        bool ready{false};
    };
    Direction& at(Side side);
    // Whoever is woken may destroy this object.
    void changed(Side side); ///< the kernel says that it is ready now
    void fire(Direction& direction);
    void fire_watch(Side side); ///< if it is still ready and still watched

    Loop& loop_;
    Fd fd_;
    bool ended_{false}; ///< the peer will send no more, which is told only once
    Direction reading_;
    std::unique_ptr<Direction> writing_; // none: nobody waits, as nobody found the socket full
};

/// The epoll of one loop. Thread: the loop's.
class Poller {
public:
    explicit Poller(Loop& loop);
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;
    ~Poller() = default;
    /// Before the loop's context ends; what is registered stays so.
    void stop();

    [[nodiscard]] bool add(Readiness& one);
    void remove(Readiness& one) noexcept;
    /// Its watches are run, soon but not now, if it is ready then.
    void tell_again(Readiness& one);

private:
    void arm();
    void take();
    void take_again();

    Loop& loop_;
    Fd epoll_;
    std::optional<::asio::posix::basic_stream_descriptor<Executor>> in_asio_;
    // Whoever runs may destroy any other: remove() takes it out of these.
    std::array<::epoll_event, 128> batch_{};
    int batch_size_{0};
    std::vector<Readiness*> again_;
};

} // namespace herd::net
