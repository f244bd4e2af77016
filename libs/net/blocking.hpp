#pragma once
// Work that blocks (files, SQLite, NVML) leaves the loop: a closure over values goes to a worker thread, and
// the value it makes comes back to the loop that asked. Nothing else is shared.
#include "net/loop.hpp"
#include "net/timer.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace herd::net {

/// One worker thread with a bounded queue; jobs run in order. When the queue is full a job is rejected: the
/// caller decides what to lose. Thread: submit from any; destroy on one, before the loops that get answers.
class Blocking {
public:
    /// `name` (at most 15 characters count) is what tools like top show for the thread.
    explicit Blocking(std::string name, std::size_t queue_max = 1024);
    Blocking(const Blocking&) = delete;
    Blocking& operator=(const Blocking&) = delete;
    /// Finishes what is queued, then ends the thread.
    ~Blocking();

    /// Runs `job` on the worker. False: queue full or stopping. `job` must not throw.
    [[nodiscard]] bool submit(Callback job);

    /// Runs `work` on the worker and `done(value)` on `loop`. False: not taken, `done` never runs.
    template <class Work, class Done>
    [[nodiscard]] bool run(Loop& loop, Work work, Done done)
    {
        return submit([&loop, work = std::move(work), done = std::move(done)]() mutable {
            if constexpr (std::is_void_v<std::invoke_result_t<Work&>>) {
                work();
                loop.post(std::move(done));
            } else {
                loop.post([done = std::move(done), value = work()]() mutable { done(std::move(value)); });
            }
        });
    }

    /// As run(), for a task: the value, or nothing when the queue was full. The wait ends with the work, not
    /// before (a file write has no deadline of ours). `work` must return a value.
    template <class Work>
    [[nodiscard]] Task<std::optional<std::invoke_result_t<Work&>>> ask(Loop& loop, Work work)
    {
        using Value = std::invoke_result_t<Work&>;
        struct Answer {
            explicit Answer(Loop& owner) : arrived(owner) {}
            Event arrived;
            std::optional<Value> value{};
        };
        const auto answer = std::make_shared<Answer>(loop);
        const bool taken = run(loop, std::move(work), [answer](Value value) {
            answer->value = std::move(value);
            answer->arrived.notify();
        });
        if (taken) {
            co_await answer->arrived.wait();
        }
        co_return std::move(answer->value);
    }

    [[nodiscard]] std::size_t queued() const;
    [[nodiscard]] std::size_t rejected() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace herd::net
