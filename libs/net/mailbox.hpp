#pragma once
// Values from many threads to one loop, in batches: for what is too frequent to be posted one by one. Putting
// costs a short lock and a move; the loop is woken once per batch, not once per value.
#include "net/timer.hpp"

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace herd::net {

/// Holds at most `limit` values that were not taken yet; more are dropped and counted. A batch is taken `linger`
/// after the first value of it was put, or at once when there are `batch_max`: what is taken soon is still in the
/// processor's cache, and its memory is used again for the next. Thread: put() and dropped() any; construction, drain() and destruction
/// the loop's (or while it does not run).
template <class T>
class Mailbox {
public:
    static constexpr std::size_t batch_max = 256;
    using Take = std::move_only_function<void(std::vector<T>&)>;

    Mailbox(Loop& loop, std::size_t limit, base::Duration linger, Take take)
        : state_(std::make_shared<State>(loop, limit, linger, std::move(take)))
    {
    }
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;
    ~Mailbox()
    {
        state_->timer.cancel();
        state_->take = nullptr; // a wake that is on its way finds nobody
    }

    void put(T&& value)
    {
        bool enough = false;
        {
            const std::lock_guard lock(state_->mutex);
            if (state_->waiting.size() >= state_->limit) {
                ++state_->dropped;
                return;
            }
            state_->waiting.push_back(std::move(value));
            enough = state_->waiting.size() == batch_max;
            if (std::exchange(state_->woken, true) && !enough) {
                return;
            }
        }
        state_->loop.post([state = state_, enough] {
            if (state->take && enough) {
                state->drain();
            } else if (state->take) {
                state->timer.call_after(state->linger, [state = state.get()] { state->drain(); });
            }
        });
    }
    /// Takes what is there now.
    void drain() { state_->drain(); }
    [[nodiscard]] std::size_t dropped() const
    {
        const std::lock_guard lock(state_->mutex);
        return state_->dropped;
    }

private:
    struct State {
        State(Loop& on, std::size_t most, base::Duration rest, Take taker)
            : loop(on), limit(most), linger(rest), take(std::move(taker)), timer(on)
        {
        }
        void drain()
        {
            {
                const std::lock_guard lock(mutex);
                taken.swap(waiting); // both keep their memory for the next batch
                woken = false;
            }
            if (!taken.empty() && take) {
                take(taken);
            }
            taken.clear();
            if (taken.capacity() > 4 * batch_max) {
                std::vector<T>().swap(taken); // a burst is no reason to keep its memory
            }
        }
        Loop& loop;
        const std::size_t limit;
        const base::Duration linger;
        Take take;
        Timer timer;
        std::vector<T> taken;
        mutable std::mutex mutex;
        std::vector<T> waiting; // this and the next two: under the mutex
        bool woken{false};
        std::size_t dropped{0};
    };
    std::shared_ptr<State> state_;
};

} // namespace herd::net
