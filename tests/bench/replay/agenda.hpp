#pragma once
// Virtual time: what happens next, in order of time and, at one instant, in order of asking. Seconds.
#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace herd::replay {

class Agenda {
public:
    using Action = std::function<void()>;

    [[nodiscard]] double now() const { return now_; }
    /// Not before now.
    void at(double when, Action action) { queue_.push({when < now_ ? now_ : when, ++asked_, std::move(action)}); }
    void in(double seconds, Action action) { at(now_ + seconds, std::move(action)); }
    /// Does the next thing; false when there is none.
    bool step();

private:
    struct Entry {
        double when{0};
        std::uint64_t order{0};
        Action action{};
        bool operator<(const Entry& other) const
        {
            return when != other.when ? when > other.when : order > other.order; // the queue's top is the largest
        }
    };
    std::priority_queue<Entry> queue_{};
    double now_{0};
    std::uint64_t asked_{0};
};

inline bool Agenda::step()
{
    if (queue_.empty()) {
        return false;
    }
    // The top is const only because its order must not change; its action plays no part in that.
    auto action = std::move(const_cast<Entry&>(queue_.top()).action); // NOLINT(cppcoreguidelines-pro-type-const-cast)
    now_ = queue_.top().when;
    queue_.pop();
    action();
    return true;
}

} // namespace herd::replay
