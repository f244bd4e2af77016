#pragma once
// A queue with a limit and a stated policy when full. Every queue of the house is one of these.
#include "base/assert.hpp"

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

namespace herd::base {

enum class WhenFull { reject, drop_oldest };

/// Thread: one owner.
template <class T>
class BoundedQueue {
public:
    BoundedQueue(std::size_t limit, WhenFull policy) : limit_(limit), policy_(policy) { HERD_ASSERT(limit > 0); }

    /// False when the item was rejected. With drop_oldest it is always taken and `dropped()` counts.
    [[nodiscard]] bool push(T item)
    {
        if (items_.size() >= limit_) {
            ++dropped_;
            if (policy_ == WhenFull::reject) {
                return false;
            }
            items_.pop_front();
        }
        items_.push_back(std::move(item));
        return true;
    }
    [[nodiscard]] std::optional<T> pop()
    {
        if (items_.empty()) {
            return std::nullopt;
        }
        std::optional<T> item{std::move(items_.front())};
        items_.pop_front();
        return item;
    }
    [[nodiscard]] std::size_t size() const { return items_.size(); }
    [[nodiscard]] bool empty() const { return items_.empty(); }
    [[nodiscard]] std::size_t dropped() const { return dropped_; }

private:
    std::deque<T> items_;
    std::size_t limit_;
    std::size_t dropped_{0};
    WhenFull policy_;
};

} // namespace herd::base
