#pragma once
// The smallest wait there is: one task sleeps, something else wakes it with a value. Streams, and whatever
// waits for "one of several things", are built on it. Unlike Event nothing is remembered, and the task runs
// at once, inside wake().
#include "net/loop.hpp"

#include <asio/associated_cancellation_slot.hpp>

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
                handler_ = [h = std::move(handler)](T value) mutable { std::move(h)(std::move(value)); };
                if (slot_.is_connected()) {
                    slot_.assign([this](::asio::cancellation_type) { wake_later(T{}); });
                }
            },
            use_task);
    }
    [[nodiscard]] bool waiting() const { return static_cast<bool>(handler_); }

    /// Runs the waiting task now, up to its next wait: `this` may be gone when it returns.
    /// Nothing happens when nobody waits.
    void wake(T value)
    {
        if (handler_) {
            auto handler = std::exchange(handler_, nullptr);
            forget(std::exchange(slot_, {}));
            handler(std::move(value));
        }
    }
    /// The same through the loop's queue, for callers that must not be re-entered.
    void wake_later(T value)
    {
        if (handler_) {
            loop_.post([handler = std::exchange(handler_, nullptr), slot = std::exchange(slot_, {}),
                        v = std::move(value)]() mutable {
                forget(slot);
                handler(std::move(v));
            });
        }
    }

private:
    static void forget(::asio::cancellation_slot slot)
    {
        if (slot.is_connected()) {
            slot.clear();
        }
    }

    Loop& loop_;
    std::move_only_function<void(T)> handler_;
    ::asio::cancellation_slot slot_;
};

} // namespace herd::net
