#pragma once
// Every task has an owner that can stop it and wait for it. There are no detached coroutines.
#include "net/loop.hpp"
#include "net/timer.hpp"

#include <list>
#include <string>

namespace herd::net {

/// Owns running tasks of one loop. Thread: the loop's.
class TaskGroup {
public:
    TaskGroup(Loop& loop, std::string name);
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;
    /// Requires the group to be empty, unless the loop itself has ended.
    ~TaskGroup();

    /// Starts `task` now. An escaped exception is logged with the name.
    void spawn(const char* name, Task<void> task);
    /// Asks every task to stop: waits inside net end with Errc::cancelled. Closing what tasks wait for is
    /// as good; this is the backstop.
    void cancel();
    /// Returns when the group is empty. Cancelling the task that waits here cancels the group.
    [[nodiscard]] Task<void> join();
    [[nodiscard]] std::size_t size() const { return entries_.size(); }

private:
    struct Entry {
        const char* name;
        ::asio::cancellation_signal signal;
    };
    static Task<void> guarded(Task<void> task);
    Loop& loop_;
    std::string name_;
    std::list<Entry> entries_;
    Event empty_;
    bool joining_{false};
};

} // namespace herd::net
