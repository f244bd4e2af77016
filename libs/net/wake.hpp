#pragma once
// The smallest wait there is: one task sleeps, something else wakes it with a value. Streams, and whatever
// waits for "one of several things", are built on it. Unlike Event nothing is remembered, and the task runs
// at once, inside wake().
#include "net/loop.hpp"

#include <asio/associated_cancellation_slot.hpp>

#include <optional>
#include <utility>

namespace herd::net {

/// One waiting task. Thread: the loop's. Cancelling the task's group wakes it with T{}.
/// Requires: whoever destroys it has woken the task before.
template <class T>
class Wake {
public:
    explicit Wake(Loop& loop) : loop_(loop) {}
    Wake(const Wake&) = delete;
    Wake& operator=(const Wake&) = delete;

    [[nodiscard]] Task<T> wait()
    {
        return ::asio::async_initiate<decltype(use_task), void(T)>(
            [this](auto handler) {
                slot_ = ::asio::get_associated_cancellation_slot(handler);
                handler_.emplace(std::move(handler));
                if (slot_.is_connected()) {
                    slot_.assign([this](::asio::cancellation_type) { wake_later(T{}); });
                }
            },
            use_task);
    }
    [[nodiscard]] bool waiting() const { return handler_.has_value(); }

    /// Runs the waiting task now, up to its next wait: `this` may be gone when it returns.
    /// Nothing happens when nobody waits.
    void wake(T value)
    {
        if (handler_) {
            auto handler = take();
            forget(std::exchange(slot_, {}));
            std::move(handler)(std::move(value));
        }
    }
    /// The same through the loop's queue, for callers that must not be re-entered.
    void wake_later(T value)
    {
        if (handler_) {
            loop_.post([handler = take(), slot = std::exchange(slot_, {}), v = std::move(value)]() mutable {
                forget(slot);
                std::move(handler)(std::move(v));
            });
        }
    }

private:
    using Handler = typename ::asio::async_result<::asio::use_awaitable_t<Executor>, void(T)>::handler_type;

    Handler take()
    {
        Handler handler = std::move(*handler_);
        handler_.reset();
        return handler;
    }
    static void forget(::asio::cancellation_slot slot)
    {
        if (slot.is_connected()) {
            slot.clear();
        }
    }

    Loop& loop_;
    std::optional<Handler> handler_;
    ::asio::cancellation_slot slot_;
};

} // namespace herd::net
