#pragma once
// A loop is one thread's world: an io_context, the time, and a sweep of deadlines. Whatever lives on a
// loop is touched by that loop's thread alone; other threads only post().
#include "base/time.hpp"
#include "net/asio.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace herd::net {

using Callback = std::move_only_function<void()>;

class Deadline;
class Poller;

class Loop {
public:
    Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop();

    [[nodiscard]] ::asio::io_context& context() { return context_; }
    [[nodiscard]] Executor executor() { return context_.get_executor(); }
    /// Monotonic time of this loop (virtual under VirtualTime). Thread: the loop's.
    [[nodiscard]] base::Instant now() const;
    [[nodiscard]] base::WallTime wall() const;

    /// Runs `work` on the loop, later. Thread: any. (Dropped while the loop is being destroyed.)
    void post(Callback work);
    /// Runs `work` at once when called on the loop's thread, else posts it. Thread: any.
    void dispatch(Callback work);

    /// Lets whatever else is ready go first. Awaited before a write, it makes one pass of the loop read and decide
    /// for everyone, and the next one write for everyone: who waits at the other end on this machine is then woken
    /// once for many writes, which costs as much as everything else that a small request costs. Thread: the loop's.
    [[nodiscard]] Task<void> turn();

    /// Until stop(). Thread: becomes the loop's.
    void run();
    void stop(); ///< Thread: any.

    /// Of this loop's sockets; made when first asked for. Thread: the loop's.
    [[nodiscard]] Poller& poller();

    /// Largest delay seen between "due" and "ran" of the sweep since the last call: how late this loop is.
    [[nodiscard]] base::Duration take_lateness();

private:
    friend class Deadline;
    struct Sweep;
    bool ended_{false};
    // These outlive the context: tasks that end with it may hold deadlines and sockets.
    std::unique_ptr<Sweep> sweep_;
    std::unique_ptr<Poller> poller_;
    // One thread runs it: the reactor needs no locks. (Posting from other threads is still safe.)
    ::asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE_IO};
};

/// A moving deadline, cheap enough to move for every chunk: setting it is a store. Checked by a sweep at most
/// every 100 ms, so it suits limits of a second and more; for shorter ones use Timer.
/// Thread: the loop's. The callback runs once per set(), on the loop; destroying the Deadline disarms it.
class Deadline {
public:
    Deadline(Loop& loop, Callback on_expiry);
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;
    ~Deadline();
    void set(base::Instant when);
    void set_after(base::Duration delay);
    void clear() { when_.reset(); }
    [[nodiscard]] bool expired() const { return expired_; }

private:
    friend class Loop;
    friend struct Loop::Sweep;
    Loop& loop_;
    Callback on_expiry_;
    std::optional<base::Instant> when_;
    Deadline* previous_{nullptr};
    Deadline* next_{nullptr};
    bool expired_{false};
};

/// While alive on a thread, every Loop and Timer of that thread lives in virtual time, which moves only
/// when all of them are idle. For the simulator and for tests. One per thread.
class VirtualTime {
public:
    VirtualTime();
    VirtualTime(const VirtualTime&) = delete;
    VirtualTime& operator=(const VirtualTime&) = delete;
    ~VirtualTime();
    [[nodiscard]] base::Instant now() const { return clock_.now(); }
    /// Runs the loop's work, and time with it, up to `until`. True while something remains to do.
    bool run_until(Loop& loop, base::Instant until);
    bool run_for(Loop& loop, base::Duration span) { return run_until(loop, now() + span); }
    [[nodiscard]] base::ManualClock& clock() { return clock_; }

private:
    base::ManualClock clock_;
};

} // namespace herd::net
