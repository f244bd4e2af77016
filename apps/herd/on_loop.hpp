#pragma once
// A question to another loop: the work runs there, its value comes back here.
#include "net/timer.hpp"

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace herd::app {

/// Calls `start(done)` on `there` and returns on `here` the value that `done` is called with, once and on `there`, now or
/// later. When both are one loop it is a plain call.
/// Requires: `there` runs until all loops of the program have ended their tasks.
template <class Value, class Start>
[[nodiscard]] net::Task<Value> answer_from(net::Loop& here, net::Loop& there, Start start)
{
    struct Answer {
        explicit Answer(net::Loop& loop) : arrived(loop) {}
        net::Event arrived;
        std::optional<Value> value{};
    };
    const auto answer = std::make_shared<Answer>(here);
    there.dispatch([&here, answer, start = std::move(start)]() mutable {
        start([&here, answer](Value value) {
            here.dispatch([answer, value = std::move(value)]() mutable {
                answer->value.emplace(std::move(value));
                answer->arrived.notify();
            });
        });
    });
    while (!answer->value) { // a cancelled task waits on: the answer always comes
        co_await answer->arrived.wait();
    }
    co_return std::move(*answer->value);
}

/// The same of work that is done at once: its value.
template <class Work>
[[nodiscard]] net::Task<std::invoke_result_t<Work&>> on_loop(net::Loop& here, net::Loop& there, Work work)
{
    return answer_from<std::invoke_result_t<Work&>>(here, there, [work = std::move(work)](auto done) mutable { done(work()); });
}

} // namespace herd::app
