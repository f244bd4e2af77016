#pragma once
// The only timer type. It obeys VirtualTime, so that a day of heartbeats passes in milliseconds.
#include "net/loop.hpp"
#include "net/wake.hpp"

namespace herd::net {

/// One-shot, re-armable. Thread: the loop's. Destroying it cancels silently.
class Timer {
public:
    explicit Timer(Loop& loop);
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer();

    /// True when the time came, false when cancelled or re-armed.
    [[nodiscard]] Task<bool> wait_until(base::Instant when);
    [[nodiscard]] Task<bool> wait_for(base::Duration delay);
    /// Calls `work` at `when` unless cancelled or re-armed before. Replaces what was armed.
    void call_at(base::Instant when, Callback work);
    void call_after(base::Duration delay, Callback work);
    void cancel();

private:
    struct State;
    std::shared_ptr<State> state_;
};

/// Sleeps in a task; false when the task was cancelled.
[[nodiscard]] Task<bool> sleep_for(Loop& loop, base::Duration delay);

/// Wakes one waiting task. notify() before wait() is remembered (once).
/// wait() also returns when the task was cancelled, so look at the condition again.
/// Thread: the loop's.
class Event {
public:
    explicit Event(Loop& loop) : waiter_(loop) {}
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    [[nodiscard]] Task<void> wait();
    void notify();

private:
    Wake<bool> waiter_;
    bool signalled_{false};
};

} // namespace herd::net
