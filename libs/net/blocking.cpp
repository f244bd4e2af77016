#include "net/blocking.hpp"

#include "base/bounded_queue.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>

#include <pthread.h>
#include <signal.h>

namespace herd::net {

struct Blocking::State {
    explicit State(std::size_t queue_max) : queue(queue_max, base::WhenFull::reject) {}

    void work()
    {
        for (;;) {
            std::unique_lock lock(mutex);
            wakes.wait(lock, [this] { return stopping || !queue.empty(); });
            std::optional<Callback> job = queue.pop();
            lock.unlock();
            if (!job) {
                return;
            }
            (*job)();
        }
    }

    mutable std::mutex mutex;
    std::condition_variable wakes;
    base::BoundedQueue<Callback> queue;
    bool stopping{false};
    std::thread thread;
};

Blocking::Blocking(std::string name, std::size_t queue_max) : state_(std::make_unique<State>(queue_max))
{
    // Signals belong to the loops: a worker that blocks must not be the one to take them.
    ::sigset_t all{};
    ::sigset_t before{};
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before);
    state_->thread = std::thread([state = state_.get()] { state->work(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    name.resize(std::min<std::size_t>(name.size(), 15));
    ::pthread_setname_np(state_->thread.native_handle(), name.c_str());
}

Blocking::~Blocking()
{
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
    }
    state_->wakes.notify_all();
    state_->thread.join();
}

bool Blocking::submit(Callback job)
{
    {
        const std::lock_guard lock(state_->mutex);
        if (state_->stopping || !state_->queue.push(std::move(job))) {
            return false;
        }
    }
    state_->wakes.notify_one();
    return true;
}

std::size_t Blocking::queued() const
{
    const std::lock_guard lock(state_->mutex);
    return state_->queue.size();
}

std::size_t Blocking::rejected() const
{
    const std::lock_guard lock(state_->mutex);
    return state_->queue.dropped();
}

} // namespace herd::net
