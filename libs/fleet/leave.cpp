// A waiter leaves its line without a place: its client went, its time is up, or it is told at once that it would be.
#include "fleet/dispatcher.hpp"

#include "fleet/seconds.hpp"

#include <cmath>

namespace herd::fleet {

Dispatcher::Taken Dispatcher::take(Waiter& waiter)
{
    const auto line = lines_.find({waiter.profile.need, waiter.profile.model_key});
    line->second.remove(waiter);
    if (line->second.empty()) {
        line_alarms_.clear(line->first);
        lines_.erase(line);
    }
    settling_ -= waiter.settle_until != never ? 1U : 0U;
    pinned_ -= waiter.profile.node.empty() ? 0U : 1U;
    alarms_.clear(waiter.ticket);
    return waiting_.extract(waiter.ticket);
}

void Dispatcher::cancel(const AcquireCancelled& event, Step& step)
{
    const auto at = waiting_.find(event.ticket);
    if (at == waiting_.end()) {
        return; // answered already: a lease that crossed the cancellation is given back by finish()
    }
    (void)take(at->second);
    refuse(event.ticket, base::Errc::cancelled, "cancelled while waiting", {}, step);
}

void Dispatcher::expire(Waiter& waiter, Step& step)
{
    const auto ticket = waiter.ticket;
    if (waiter.deadline <= step.now) {
        const auto retry = retry_estimate(waiter.profile, step.now);
        (void)take(waiter);
        refuse(ticket, base::Errc::deadline_passed, "waited in the queue until the deadline", retry, step);
    } else if (waiter.hold_until <= step.now) {
        const auto taken = take(waiter);
        if (!fall_back(ticket, waiter.profile, step)) {
            refuse(ticket, base::Errc::no_node, nobody_reached(waiter.profile), come_back_in, step);
        }
    } else if (waiter.settle_until <= step.now) {
        const auto judgement = judge(waiter.profile, step.now, false);
        if (judgement.fate == Fate::refuse) {
            const auto taken = take(waiter);
            if (!fall_back(ticket, waiter.profile, step)) {
                refuse(ticket, judgement.why, judgement.message,
                       judgement.why == base::Errc::no_node ? come_back_in : base::Duration{}, step);
            }
        } else {
            place(waiter, judgement.fate, step.now);
            review({waiter.profile.need, waiter.profile.model_key}, step);
        }
    } else {
        alarms_.set(ticket, waiter.due());
    }
}

/// A request that would wait past its deadline is told so now, while its client can still do something else.
void Dispatcher::reject_early(Ticket ticket, Step& step)
{
    const auto at = waiting_.find(ticket);
    if (at == waiting_.end() || at->second.start_at <= at->second.deadline
        || !knowledge_.expect().knows(at->second.profile.model_key)) {
        return;
    }
    const auto taken = take(at->second);
    const auto& waiter = taken.mapped();
    const double wait = base::seconds(waiter.start_at - step.now);
    if (fall_back(ticket, waiter.profile, step)) {
        return;
    }
    ++totals_.early_refusals;
    const double spare = base::seconds(waiter.start_at - waiter.deadline);
    refuse(ticket, base::Errc::deadline_passed,
           "would wait about " + std::to_string(static_cast<int>(std::ceil(wait))) + " s, longer than the deadline allows",
           whole_seconds(spare), step);
}

void Dispatcher::refuse(Ticket ticket, base::Errc why, std::string message, base::Duration retry_after, Step& step)
{
    ++answered_;
    totals_.failed += why == base::Errc::cancelled ? 0U : 1U;
    const bool clients_fault = why == base::Errc::no_such_model || why == base::Errc::no_such_label;
    step.emit(Refused{ticket,
                      {base::Error{why, clients_fault ? base::Source::client : base::Source::self,
                                   base::Retry::never, std::move(message), {}},
                       retry_after}});
    step.emit(SnapshotChanged{});
}

std::string Dispatcher::nobody_reached(const Profile& profile)
{
    std::string traits = profile.model_key.empty() || profile.need == Need::any ? "" : " has model '" + profile.model + "'";
    if (!profile.labels.empty()) {
        traits.append(traits.empty() ? "" : " and").append(profile.labels.size() == 1 ? " carries the label" : " carries the labels");
        for (const auto& label : profile.labels) {
            traits.append(&label == &profile.labels.front() ? " '" : ", '").append(label).append("'");
        }
    }
    return traits.empty() ? "no node takes requests now" : "no node that" + traits + " can be reached";
}

/// How long until a place would be free behind all who wait now.
base::Duration Dispatcher::retry_estimate(const Profile& profile, base::Instant now) const
{
    double ahead_s = 0;
    if (const auto line = lines_.find({profile.need, profile.model_key}); line != lines_.end()) {
        line->second.each([&ahead_s](const Waiter& other) { ahead_s += other.service_s; });
    }
    return whole_seconds(wait_behind(profile, ahead_s, now));
}

} // namespace herd::fleet
