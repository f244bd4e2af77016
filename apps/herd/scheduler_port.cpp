#include "herd/scheduler_port.hpp"

#include "herd/on_loop.hpp"

#include <utility>

namespace herd::app {

SchedulerPort::SchedulerPort(net::Loop& loop, FleetOwner& owner, std::uint16_t index)
    : loop_(loop), owner_(owner), index_(index), snapshot_(std::make_shared<const fleet::Snapshot>())
{
    owner_.attach(*this);
}

bool SchedulerPort::try_acquire(fleet::Ticket ticket, const fleet::Profile& profile, Answer& answer)
{
    asked_ = ticket;
    answer_ = &answer;
    if (!owner_.acquire_now(ticket, profile)) {
        owner_.post(fleet::AcquireWanted{ticket, profile});
    }
    answer_ = nullptr;
    return asked_ == 0;
}

net::Task<SchedulerPort::Answer> SchedulerPort::acquire(fleet::Ticket ticket, fleet::Profile profile)
{
    Waiting waiting(loop_);
    waiting_.emplace(ticket, &waiting);
    if (std::exchange(asked_, 0) != ticket) {
        owner_.post(fleet::AcquireWanted{ticket, std::move(profile)});
    }
    if (!waiting.answer) {
        co_await waiting.event.wait();
    }
    waiting_.erase(ticket);
    if (!waiting.answer) { // our task was cancelled: whatever is granted now goes back in received()
        owner_.post(fleet::AcquireCancelled{ticket});
        co_return std::unexpected(fleet::Refusal{{base::Errc::cancelled, base::Source::self}, {}});
    }
    co_return std::move(*waiting.answer);
}

void SchedulerPort::cancel(fleet::Ticket ticket)
{
    const auto found = waiting_.find(ticket);
    if (found == waiting_.end() || found->second->answer) {
        return;
    }
    found->second->answer = std::unexpected(fleet::Refusal{{base::Errc::cancelled, base::Source::client}, {}});
    found->second->event.notify();
    waiting_.erase(found); // whatever the fleet says now is handled by received()
    owner_.post(fleet::AcquireCancelled{ticket});
}

void SchedulerPort::finished(fleet::LeaseId lease, fleet::Outcome outcome)
{
    owner_.post(fleet::Event(std::in_place_type<fleet::LeaseFinished>, lease, std::move(outcome)));
}

net::Task<fleet::Decision> SchedulerPort::explain(fleet::Profile profile)
{
    auto work = [this, profile = std::move(profile)] { return owner_.explain(profile); };
    co_return co_await on_loop(loop_, owner_.loop(), std::move(work));
}

net::Task<std::optional<fleet::Standing>> SchedulerPort::standing(fleet::Ticket ticket)
{
    auto work = [this, ticket] { return owner_.standing(ticket); };
    co_return co_await on_loop(loop_, owner_.loop(), std::move(work));
}

void SchedulerPort::deliver(fleet::Ticket ticket, Answer&& answer)
{
    if (&loop_ == &owner_.loop()) {
        received(ticket, std::move(answer));
        return;
    }
    loop_.post([this, ticket, answer = std::move(answer)]() mutable { received(ticket, std::move(answer)); });
}

void SchedulerPort::received(fleet::Ticket ticket, Answer&& answer)
{
    if (ticket == asked_ && answer_ != nullptr) {
        *answer_ = std::move(answer);
        asked_ = 0;
        return;
    }
    const auto found = waiting_.find(ticket);
    if (found != waiting_.end() && !found->second->answer) {
        found->second->answer = std::move(answer);
        found->second->event.notify();
        return;
    }
    // The asker left while the grant was on its way: the lease goes back unused.
    if (answer) {
        fleet::Outcome outcome;
        outcome.result = fleet::Result::cancelled;
        finished(answer->id, std::move(outcome));
    }
}

void SchedulerPort::publish(std::shared_ptr<const fleet::Snapshot> snapshot)
{
    loop_.dispatch([this, snapshot = std::move(snapshot)]() mutable { snapshot_ = std::move(snapshot); });
}

net::Task<std::shared_ptr<const fleet::Snapshot>> SchedulerPort::fresh_snapshot()
{
    // Shared with the answer on its way: our task may be cancelled before it arrives.
    const auto done = std::make_shared<net::Event>(loop_);
    owner_.loop().dispatch([this, done] {
        owner_.publish();
        loop_.dispatch([done] { done->notify(); });
    });
    co_await done->wait();
    co_return snapshot_;
}

} // namespace herd::app
