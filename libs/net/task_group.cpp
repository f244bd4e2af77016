#include "net/task_group.hpp"

#include "base/assert.hpp"
#include "base/log.hpp"

#include <exception>

namespace herd::net {

TaskGroup::TaskGroup(Loop& loop, std::string name) : loop_(loop), name_(std::move(name)), empty_(loop) {}

TaskGroup::~TaskGroup() { HERD_ASSERT(entries_.empty() || loop_.context().stopped()); }

Task<void> TaskGroup::guarded(Task<void> task)
{
    // Cancellation is an outcome, not an exception.
    co_await ::asio::this_coro::throw_if_cancelled(false);
    co_await std::move(task);
}

void TaskGroup::spawn(const char* name, Task<void> task)
{
    const auto entry = entries_.emplace(entries_.end());
    entry->name = name;
    ::asio::co_spawn(loop_.context(), guarded(std::move(task)),
                     ::asio::bind_cancellation_slot(entry->signal.slot(), [this, entry](std::exception_ptr failure) {
                         if (failure) {
                             std::string what = "unknown";
                             try {
                                 std::rethrow_exception(failure);
                             } catch (const std::exception& e) {
                                 what = e.what();
                             } catch (...) { // NOLINT(bugprone-empty-catch): `what` already says it
                             }
                             log::error("net", "task_failed", {{"group", name_}, {"task", entry->name}, {"what", what}});
                         }
                         entries_.erase(entry);
                         if (entries_.empty() && joining_) {
                             empty_.notify();
                         }
                     }));
}

void TaskGroup::cancel()
{
    for (auto entry = entries_.begin(); entry != entries_.end();) {
        const auto current = entry++; // emitting may end the task and erase its entry
        current->signal.emit(::asio::cancellation_type::terminal);
    }
}

Task<void> TaskGroup::join()
{
    while (!entries_.empty()) {
        joining_ = true;
        co_await empty_.wait();
        const auto state = co_await ::asio::this_coro::cancellation_state;
        if (state.cancelled() != ::asio::cancellation_type::none) {
            cancel(); // whoever waited for them is told to stop, so they are too
        }
    }
    joining_ = false;
}

} // namespace herd::net
