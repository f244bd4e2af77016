#pragma once
// Runs one task to its end on a loop, from a test that is no coroutine.
#include "net/loop.hpp"
#include "support/catch.hpp"

#include <asio/co_spawn.hpp>

#include <chrono>
#include <optional>

namespace herd::testing {

/// In virtual time, for at most `limit` of it.
template <class T>
T run(net::VirtualTime& time, net::Loop& loop, net::Task<T> task, base::Duration limit = std::chrono::hours{1})
{
    std::optional<T> result;
    ::asio::co_spawn(loop.context(), std::move(task), [&result](std::exception_ptr failure, T value) {
        if (!failure) {
            result.emplace(std::move(value));
        }
    });
    const auto until = time.now() + limit;
    while (!result && time.now() < until) {
        time.run_for(loop, std::chrono::milliseconds{10});
    }
    REQUIRE(result.has_value());
    return std::move(*result);
}

inline void run(net::VirtualTime& time, net::Loop& loop, net::Task<void> task, base::Duration limit = std::chrono::hours{1})
{
    bool done = false;
    ::asio::co_spawn(loop.context(), std::move(task), [&done](std::exception_ptr failure) { done = !failure; });
    const auto until = time.now() + limit;
    while (!done && time.now() < until) {
        time.run_for(loop, std::chrono::milliseconds{10});
    }
    REQUIRE(done);
}

/// In real time, until `done` says so or `limit` passed. True when done.
template <class Condition>
bool run_until(net::Loop& loop, Condition done, base::Duration limit = std::chrono::seconds{20})
{
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!done() && std::chrono::steady_clock::now() < until) {
        loop.context().restart();
        loop.context().run_one_for(std::chrono::milliseconds{20});
    }
    return done();
}

/// One task in real time.
template <class T>
T run_real(net::Loop& loop, net::Task<T> task, base::Duration limit = std::chrono::seconds{20})
{
    std::optional<T> result;
    ::asio::co_spawn(loop.context(), std::move(task), [&result](std::exception_ptr failure, T value) {
        if (!failure) {
            result.emplace(std::move(value));
        }
    });
    REQUIRE(run_until(loop, [&] { return result.has_value(); }, limit));
    return std::move(*result);
}

} // namespace herd::testing
