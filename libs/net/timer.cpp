#include "net/timer.hpp"

#include "net/virtual_clock.hpp"

#include <set>

#include <asio/basic_waitable_timer.hpp>

namespace herd::net {

namespace {

// How long the reactor may sleep: in virtual time not at all, since VirtualTime moves the clock when idle.
struct WaitTraits {
    static base::Duration to_wait_duration(const base::Duration& d)
    {
        return LoopClock::is_virtual() ? base::Duration::zero() : d;
    }
    static base::Duration to_wait_duration(const base::Instant& t)
    {
        return LoopClock::is_virtual() ? base::Duration::zero() : t - LoopClock::now();
    }
};

using AsioTimer = ::asio::basic_waitable_timer<LoopClock, WaitTraits, Executor>;

// Armed expiries of this thread, kept only in virtual time.
thread_local std::multiset<base::Instant> armed; // NOLINT: part of the VirtualTime seam

class Armed {
public:
    explicit Armed(base::Instant when) : virtual_(LoopClock::is_virtual()), when_(when)
    {
        if (virtual_) {
            armed.insert(when_);
        }
    }
    Armed(const Armed&) = delete;
    Armed& operator=(const Armed&) = delete;
    Armed(Armed&& other) noexcept : virtual_(std::exchange(other.virtual_, false)), when_(other.when_) {}
    Armed& operator=(Armed&&) = delete;
    ~Armed()
    {
        if (virtual_) {
            if (const auto found = armed.find(when_); found != armed.end()) {
                armed.erase(found);
            }
        }
    }

private:
    bool virtual_;
    base::Instant when_;
};

} // namespace

std::optional<base::Instant> LoopClock::next_expiry()
{
    return armed.empty() ? std::nullopt : std::optional{*armed.begin()};
}

struct Timer::State {
    explicit State(Loop& owner) : loop(owner), timer(owner.context()) {}
    Loop& loop;
    AsioTimer timer;
    std::uint64_t generation{0}; // a completion that was already queued when re-armed must not count
};

Timer::Timer(Loop& loop) : state_(std::make_shared<State>(loop)) {}
Timer::~Timer() { cancel(); }

Task<bool> Timer::wait_until(base::Instant when)
{
    const auto state = state_;
    const auto mine = ++state->generation;
    state->timer.expires_at(when);
    const Armed note(when);
    const auto [error] = co_await state->timer.async_wait(as_result);
    co_return !error && mine == state->generation;
}

Task<bool> Timer::wait_for(base::Duration delay) { return wait_until(state_->loop.now() + delay); }

void Timer::call_at(base::Instant when, Callback work)
{
    const auto mine = ++state_->generation;
    state_->timer.expires_at(when);
    state_->timer.async_wait([state = state_, mine, work = std::move(work), note = Armed(when)](std::error_code error) mutable {
        if (!error && mine == state->generation) {
            work();
        }
    });
}

void Timer::call_after(base::Duration delay, Callback work) { call_at(state_->loop.now() + delay, std::move(work)); }

void Timer::cancel()
{
    ++state_->generation;
    state_->timer.cancel();
}

Task<bool> sleep_for(Loop& loop, base::Duration delay)
{
    Timer timer(loop);
    co_return co_await timer.wait_for(delay);
}

Task<void> Event::wait()
{
    if (signalled_) {
        signalled_ = false;
        co_return;
    }
    (void)co_await waiter_.wait();
}

void Event::notify()
{
    if (waiter_.waiting()) {
        // Through the loop: the caller is never re-entered by the task it wakes.
        waiter_.wake_later(true);
    } else {
        signalled_ = true;
    }
}

} // namespace herd::net
