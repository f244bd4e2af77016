// A request arrives: it is granted at once, refused, or enters a line.
#include "fleet/dispatcher.hpp"

#include "base/assert.hpp"
#include "fleet/seconds.hpp"

#include <algorithm>

namespace herd::fleet {

void Dispatcher::acquire(Ticket ticket, const Profile& profile, Step& step)
{
    HERD_ASSERT(!waiting_.contains(ticket));
    ++asked_;
    if (profile.attempt > 0 && !retry_is_free(profile)) {
        retry(ticket, profile, step);
        return;
    }
    if (profile.attempt == 0) {
        ++totals_.requests;
        budget_.note_request(step.now);
    }
    seat(ticket, profile, step);
}

/// A second attempt takes of the budget once it has a place or waits for one: who is refused for want of another node
/// leaves it to those who have one.
void Dispatcher::retry(Ticket ticket, const Profile& profile, Step& step)
{
    if (!budget_.allows(step.now, options_.retry_budget, options_.retry_budget_min)) {
        const auto judgement = judge(profile, step.now, false);
        refuse(ticket, base::Errc::attempts_failed,
               judgement.fate == Fate::refuse ? judgement.message : "too many requests are being retried (scheduler.retry_budget)",
               come_back_in, step);
        return;
    }
    const auto failed = totals_.failed; // nobody else is refused by an arrival
    seat(ticket, profile, step);
    if (totals_.failed == failed) {
        budget_.spend(step.now);
    }
}

/// Grants, refuses or lets wait.
void Dispatcher::seat(Ticket ticket, const Profile& profile, Step& step)
{
    if (profile.deadline != base::Instant{} && profile.deadline <= step.now) {
        refuse(ticket, base::Errc::deadline_passed, "the deadline had passed on arrival",
               retry_estimate(profile, step.now), step);
        return;
    }
    auto judgement = judge(profile, step.now, true);
    if (settle_now(ticket, profile, judgement, step)) {
        return;
    }
    if (judgement.fate != Fate::routable && judgement.fate != Fate::settle && fall_back(ticket, profile, step)) {
        return;
    }
    if (judgement.fate == Fate::routable && !fits_somewhere(profile, step.now)) {
        judgement = unfit(profile);
        if (fall_back(ticket, profile, step)) {
            return;
        }
    }
    if (judgement.fate == Fate::refuse) {
        const bool later = judgement.why == base::Errc::no_node || judgement.why == base::Errc::attempts_failed;
        refuse(ticket, judgement.why, judgement.message, later ? come_back_in : base::Duration{}, step);
        return;
    }
    enqueue(ticket, profile, judgement, step);
}

/// Grants at once where that is right; candidates_ are those of the judgement.
bool Dispatcher::settle_now(Ticket ticket, const Profile& profile, const Judgement& judgement, Step& step)
{
    if (judgement.fate != Fate::routable) {
        return false;
    }
    if (profile.need != Need::slot) {
        const auto choice = choose_any(candidates_, rng_);
        if (choice) {
            grant(ticket, profile, {}, candidates_, *choice, {}, step);
        }
        return choice.has_value();
    }
    return (lines_.empty() || !lines_.contains({Need::slot, profile.model_key})) && place_now(ticket, profile, {}, step);
}

/// Nobody waits for this model: the best place, if it is free.
bool Dispatcher::place_now(Ticket ticket, const Profile& profile, base::Duration queued, Step& step)
{
    const auto task = task_of(profile, knowledge_.expect());
    for (auto& candidate : candidates_) {
        if (candidate.exclusion == Exclusion::none) {
            price(candidate, task, knowledge_, step.now);
        }
    }
    ++pass_;
    queues_used_ = 0;
    const auto best = choose(profile, candidates_, {}, queued, step.now);
    if (!best.now) {
        return false;
    }
    grant(ticket, profile, task, candidates_, *best.place, queued, step);
    return true;
}

/// Leaving a node that just died costs the others nothing; only retries away from nodes that live and answer
/// badly can become a storm, and only they are paid for.
bool Dispatcher::retry_is_free(const Profile& profile) const
{
    if (profile.exclude.empty()) {
        return false;
    }
    const auto* last = nodes_.find(profile.exclude.back());
    return last == nullptr || !last->takes_requests();
}

/// Another model, as the client allows: the first that somebody could serve in time.
bool Dispatcher::fall_back(Ticket ticket, const Profile& profile, Step& step)
{
    for (std::size_t i = 0; i < profile.fallbacks.size(); ++i) {
        const auto& other = profile.fallbacks[i];
        if (other.key.empty() || other.key == profile.model_key) {
            continue;
        }
        Profile instead = profile;
        instead.model_key = other.key;
        instead.model = other.model;
        instead.is_fallback = true;
        instead.fallbacks.erase(instead.fallbacks.begin(), instead.fallbacks.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        const auto judgement = judge(instead, step.now, false);
        if (judgement.fate != Fate::routable) {
            continue;
        }
        if (settle_now(ticket, instead, judgement, step)) {
            ++totals_.fallbacks;
            return true;
        }
        const auto line = lines_.find({Need::slot, other.key});
        if (line != lines_.end() && line->second.size() >= options_.queue_per_model) {
            continue;
        }
        ++totals_.fallbacks;
        enqueue(ticket, instead, judgement, step);
        return true;
    }
    return false;
}

/// Whether the queue takes one more; refuses if not.
bool Dispatcher::may_queue(Ticket ticket, const Profile& profile, Step& step)
{
    const auto line = lines_.find({profile.need, profile.model_key});
    const auto waiting = line == lines_.end() ? 0 : line->second.size();
    if (waiting < options_.queue_per_model) {
        return true;
    }
    if (!fall_back(ticket, profile, step)) {
        refuse(ticket, base::Errc::queue_full, "the queue of this model is full",
               retry_estimate(profile, step.now), step);
    }
    return false;
}

void Dispatcher::enqueue(Ticket ticket, const Profile& profile, const Judgement& judgement, Step& step)
{
    const bool room = judgement.fate != Fate::routable || profile.need != Need::slot || room_to_wait();
    if (!room) {
        refuse(ticket, base::Errc::queue_full, "as many wait for these nodes as may",
               retry_estimate(profile, step.now), step);
    }
    if (!room || !may_queue(ticket, profile, step)) {
        return;
    }
    const LineKey key{profile.need, profile.model_key};
    auto& waiter = waiting_[ticket];
    waiter.ticket = ticket;
    waiter.profile = profile;
    waiter.queued_at = step.now;
    waiter.deadline = step.now + options_.queue_timeout;
    if (profile.deadline != base::Instant{}) {
        waiter.deadline = std::min(waiter.deadline, profile.deadline);
    }
    auto& line = lines_[key];
    waiter.ahead = static_cast<int>(line.size());
    double ahead_s = 0;
    line.each([&ahead_s](const Waiter& other) { ahead_s += other.service_s; });
    waiter.start_at = step.now + duration_of(wait_behind(profile, ahead_s, step.now));
    line.add(waiter, step.now);
    pinned_ += profile.node.empty() ? 0U : 1U;
    place(waiter, judgement.fate, step.now);
    step.emit(SnapshotChanged{});
    if (key.need == Need::slot && judgement.fate == Fate::routable) {
        const bool any_free = std::ranges::any_of(nodes_.catalog().holders(key.model), [](const Holding& holding) {
            return holding.model->allowed && holding.node->free_slots_of(*holding.model) > 0;
        });
        if (any_free || waiter.ahead == 0) {
            serve(key, step); // else nobody could be granted, and the line was looked at when it last could
        } else {
            const auto task = task_of(waiter.profile, knowledge_.expect());
            waiter.service_s = expected_service(task, step.now);
            if (!line_alarms_.of(key)) { // those before it were only held so far
                look_again(key, step.now + look_again_in);
            }
        }
        reject_early(ticket, step);
    }
}

/// Notes what the waiter waits for, and until when.
void Dispatcher::place(Waiter& waiter, Fate fate, base::Instant now)
{
    if (fate != Fate::hold) {
        waiter.hold_until = never;
    } else if (waiter.hold_until == never) {
        waiter.hold_until = now + options_.hold_timeout;
    }
    const bool settles = fate == Fate::settle;
    if (settles != (waiter.settle_until != never)) {
        settling_ += settles ? 1U : 0U;
        settling_ -= settles ? 0U : 1U;
        waiter.settle_until = settles ? membership_.settle_limit(now) : never;
    }
    alarms_.set(waiter.ticket, waiter.due());
}

/// On the best of candidates_, whenever it is free.
double Dispatcher::expected_service(const Task& task, base::Instant now)
{
    double best = 0;
    for (auto& candidate : candidates_) {
        if (candidate.exclusion == Exclusion::none) {
            price(candidate, task, knowledge_, now);
            best = best <= 0 ? candidate.service_s() : std::min(best, candidate.service_s());
        }
    }
    return best;
}

} // namespace herd::fleet
