#include "herd/fleet_owner.hpp"

#include "herd/scheduler_port.hpp"

#include <algorithm>

namespace herd::app {

namespace {
/// Snapshots are for readers that tolerate some age; more often would only copy. A large fleet's cost some
/// milliseconds each: they may take a twentieth of the loop's time.
constexpr base::Duration publish_spacing_min = std::chrono::milliseconds{50};
constexpr int publish_share = 20;
} // namespace

FleetOwner::FleetOwner(net::Loop& loop, const fleet::FleetOptions& options, base::Rng rng)
    : loop_(loop), fleet_(options, rng, loop.now()), tick_(loop), publish_(loop)
{
}

void FleetOwner::post(fleet::Event&& event)
{
    if (loop_.executor().running_in_this_thread()) {
        apply(std::move(event)); // as dispatch() would, without wrapping a large event up
        return;
    }
    loop_.dispatch([this, event = std::move(event)]() mutable { apply(std::move(event)); });
}

bool FleetOwner::acquire_now(fleet::Ticket ticket, const fleet::Profile& profile)
{
    if (!loop_.executor().running_in_this_thread() || applying_) {
        return false;
    }
    apply_all([&] { fleet_.acquire(ticket, profile, loop_.now(), loop_.wall(), effects_); });
    return true;
}

void FleetOwner::apply(fleet::Event&& event)
{
    assert_on_loop();
    if (applying_) {
        waiting_.push_back(std::move(event)); // raised by a handler of the event that is being applied
        return;
    }
    apply_all([&] { fleet_.apply(event, loop_.now(), loop_.wall(), effects_); });
}

/// What happened, and what its handlers raise.
template <class Take>
void FleetOwner::apply_all(const Take& first)
{
    applying_ = true;
    step(first);
    while (!waiting_.empty()) {
        const fleet::Event next = std::move(waiting_.front());
        waiting_.pop_front();
        step([&] { fleet_.apply(next, loop_.now(), loop_.wall(), effects_); });
    }
    applying_ = false;
    rearm();
}

template <class Take>
void FleetOwner::step(const Take& take)
{
    effects_.clear();
    take();
    for (fleet::Effect& effect : effects_) { // what handlers raise waits, so nobody else writes here
        carry_out(effect);
    }
}

void FleetOwner::carry_out(fleet::Effect& effect)
{
    if (auto* granted = std::get_if<fleet::Granted>(&effect)) {
        ports_.at(SchedulerPort::index_of(granted->ticket))->deliver(granted->ticket, std::move(granted->lease));
    } else if (const auto* refused = std::get_if<fleet::Refused>(&effect)) {
        ports_.at(SchedulerPort::index_of(refused->ticket))
            ->deliver(refused->ticket, std::unexpected(refused->refusal));
    } else if (std::holds_alternative<fleet::SnapshotChanged>(effect)) {
        snapshot_changed();
    } else if (handler_) {
        handler_(effect);
    }
}

void FleetOwner::rearm()
{
    const auto next = stopped_ ? std::nullopt : fleet_.next_deadline();
    if (next == armed_for_) {
        return;
    }
    armed_for_ = next;
    if (!next) {
        tick_.cancel();
        return;
    }
    tick_.call_at(*next, [this] {
        armed_for_.reset();
        apply(fleet::Tick{});
    });
}

void FleetOwner::snapshot_changed()
{
    if (publish_pending_ || stopped_) {
        return;
    }
    publish_pending_ = true;
    const base::Duration spacing = std::max<base::Duration>(publish_spacing_min, publish_cost_ * publish_share);
    publish_.call_at(std::max(loop_.now(), published_at_ + spacing), [this] { publish(); });
}

std::shared_ptr<const fleet::Snapshot> FleetOwner::publish()
{
    publish_.cancel();
    publish_pending_ = false;
    published_at_ = loop_.now();
    auto snapshot = fleet_.snapshot(loop_.now(), loop_.wall());
    publish_cost_ = loop_.now() - published_at_;
    for (SchedulerPort* port : ports_) {
        port->publish(snapshot);
    }
    if (on_snapshot_) {
        on_snapshot_(snapshot);
    }
    return snapshot;
}

void FleetOwner::stop()
{
    stopped_ = true;
    tick_.cancel();
    publish_.cancel();
}

} // namespace herd::app
