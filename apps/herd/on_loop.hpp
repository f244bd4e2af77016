#pragma once
// A question to another loop: the work runs there, its value comes back here.
#include "net/timer.hpp"

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace herd::app {

/// Runs `work` on `there` and returns its value on `here`. When both are one loop it is a plain call.
/// Requires: `there` runs until all loops of the program have ended their tasks.
template <class Work>
[[nodiscard]] net::Task<std::invoke_result_t<Work&>> on_loop(net::Loop& here, net::Loop& there, Work work)
{
    using Value = std::invoke_result_t<Work&>;
    struct Answer {
        explicit Answer(net::Loop& loop) : arrived(loop) {}
        net::Event arrived;
        std::optional<Value> value{};
    };
    const auto answer = std::make_shared<Answer>(here);
    there.dispatch([&here, answer, work = std::move(work)]() mutable {
        here.dispatch([answer, value = work()]() mutable {
            answer->value.emplace(std::move(value));
            answer->arrived.notify();
        });
    });
    while (!answer->value) { // a cancelled task waits on: the answer always comes
        co_await answer->arrived.wait();
    }
    co_return std::move(*answer->value);
}

} // namespace herd::app
