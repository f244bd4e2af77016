#include "fleet/dispatcher.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr base::Duration come_back_in{std::chrono::seconds{5}};
constexpr double service_guess_s = 5;

} // namespace

Dispatcher::Dispatcher(const FleetOptions& options, base::Rng& rng, NodeTable& nodes, Membership& membership)
    : options_(options), rng_(rng), nodes_(nodes), membership_(membership)
{
}

// ---- arriving and leaving ---------------------------------------------------------------------------

void Dispatcher::acquire(const AcquireWanted& event, Step& step)
{
    HERD_ASSERT(!waiting_.contains(event.ticket));
    ++asked_;
    const auto& profile = event.profile;
    if (profile.attempt == 0) {
        ++requests_;
        budget_.note_request(step.now);
    } else if (!retry_is_free(profile) && !budget_.spend(step.now, options_.retry_budget, options_.retry_budget_min)) {
        refuse(event.ticket, base::Errc::attempts_failed, "too many requests are being retried", come_back_in, step);
        return;
    }
    if (profile.deadline != base::Instant{} && profile.deadline <= step.now) {
        refuse(event.ticket, base::Errc::deadline_passed, "the deadline had passed on arrival", {}, step);
        return;
    }
    const auto judgement = judge(profile, step.now, true);
    switch (judgement.fate) {
    case Fate::granted: grant(event.ticket, profile, judgement.choice, {}, step); break;
    case Fate::refuse: {
        const bool later = judgement.why == base::Errc::no_node || judgement.why == base::Errc::attempts_failed;
        refuse(event.ticket, judgement.why, judgement.message, later ? come_back_in : base::Duration{}, step);
        break;
    }
    case Fate::queue:
    case Fate::hold:
    case Fate::settle: enqueue(event, judgement, step); break;
    }
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

void Dispatcher::enqueue(const AcquireWanted& event, const Judgement& judgement, Step& step)
{
    const auto& profile = event.profile;
    auto& line = lines_[{profile.need, profile.model_key}];
    if (line.size() >= options_.queue_per_model) {
        const auto wait = retry_estimate(profile, line.size());
        if (line.empty()) {
            lines_.erase({profile.need, profile.model_key});
        }
        refuse(event.ticket, base::Errc::queue_full, "the queue of this model is full", wait, step);
        return;
    }
    auto& waiter = waiting_[event.ticket];
    waiter.ticket = event.ticket;
    waiter.profile = profile;
    waiter.queued_at = step.now;
    waiter.deadline = step.now + options_.queue_timeout;
    if (profile.deadline != base::Instant{}) {
        waiter.deadline = std::min(waiter.deadline, profile.deadline);
    }
    line.add(waiter);
    pinned_ += profile.node.empty() ? 0U : 1U;
    place(waiter, judgement.fate, step.now);
    step.emit(SnapshotChanged{});
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

void Dispatcher::drop(Waiter& waiter)
{
    const LineKey key{waiter.profile.need, waiter.profile.model_key};
    const auto line = lines_.find(key);
    line->second.remove(waiter);
    if (line->second.empty()) {
        lines_.erase(line);
    }
    settling_ -= waiter.settle_until != never ? 1U : 0U;
    pinned_ -= waiter.profile.node.empty() ? 0U : 1U;
    alarms_.clear(waiter.ticket);
    const auto ticket = waiter.ticket;
    waiting_.erase(ticket);
}

void Dispatcher::cancel(const AcquireCancelled& event, Step& step)
{
    const auto at = waiting_.find(event.ticket);
    if (at == waiting_.end()) {
        return; // answered already: a lease that crossed the cancellation is given back by finish()
    }
    drop(at->second);
    refuse(event.ticket, base::Errc::cancelled, "cancelled while waiting", {}, step);
}

void Dispatcher::grant(Ticket ticket, const Profile& profile, const Candidate& choice, base::Duration queued,
                       Step& step)
{
    auto& node = *choice.node;
    if (!node.takes_requests() && !node.last_resort()) {
        wrong_ = "a lease on node " + node.id.text() + ", which takes no requests";
    }
    ++node.in_flight;
    node.last_lease = step.now;
    if (profile.need == Need::slot) {
        auto& model = *choice.model;
        if (node.free_slots_of(model) == 0) {
            wrong_ = "two leases on one slot of node " + node.id.text();
        }
        ++model.in_flight;
        model.options_class = profile.options_class; // loaded so, if it was not
    }
    ++granted_;
    ++answered_;
    const auto id = ++last_lease_;
    leases_.emplace(id, OpenLease{ticket, node.id, profile.need, profile.model_key, node.address.endpoint,
                                  node.boot_id, node.serial, step.now});
    step.emit(Granted{ticket, Lease{id, node.id, node.name, node.address, node.boot_id, choice.loaded, queued,
                               profile.model_key, profile.model, nullptr}});
    step.emit(SnapshotChanged{});
}

void Dispatcher::refuse(Ticket ticket, base::Errc why, std::string message, base::Duration retry_after, Step& step)
{
    ++answered_;
    failed_ += why == base::Errc::cancelled ? 0U : 1U;
    const bool clients_fault = why == base::Errc::no_such_model || why == base::Errc::no_such_label;
    step.emit(Refused{ticket,
                      {base::Error{why, clients_fault ? base::Source::client : base::Source::self,
                                   base::Retry::never, std::move(message), {}},
                       retry_after}});
    step.emit(SnapshotChanged{});
}

/// How long until a place would be free behind `ahead` others, from what requests of this model took lately.
base::Duration Dispatcher::retry_estimate(const Profile& profile, std::size_t ahead)
{
    int slots = 0;
    for (const auto& holding : nodes_.catalog().holders(profile.model_key)) {
        slots += holding.node->takes_requests() ? holding.node->slots_of(*holding.model) : 0;
    }
    const double known = nodes_.catalog().mean_service(profile.model_key);
    const double mean = known > 0 ? known : service_guess_s;
    const double wait = std::ceil(mean * static_cast<double>(ahead + 1) / std::max(slots, 1));
    return std::chrono::seconds{static_cast<std::int64_t>(std::clamp(wait, 1.0, 300.0))};
}

void Dispatcher::finish(const LeaseFinished& event, Step& step)
{
    const auto at = leases_.find(event.lease);
    if (at == leases_.end()) {
        return;
    }
    const auto lease = std::move(at->second);
    leases_.erase(at);
    ++finished_;
    const auto result = event.outcome.result;
    const bool is_fault = result == Result::refused || result == Result::timed_out || result == Result::broken;
    failed_ += is_fault && event.outcome.first_byte > base::Duration{} ? 1U : 0U; // after the commit
    if (auto* node = nodes_.find(lease.node); node != nullptr && node->serial == lease.record) {
        --node->in_flight;
        const auto model = node->models.find(lease.model_key);
        if (lease.need == Need::slot && model != node->models.end() && model->second.in_flight > 0) {
            --model->second.in_flight;
            model->second.warm = model->second.warm || result == Result::served;
            nodes_.catalog().tidy(*node, lease.model_key);
        }
        step.freed.emplace_back(lease.node, lease.model_key);
    }
    if (result == Result::served && lease.need == Need::slot) {
        nodes_.catalog().note_service(lease.model_key, base::seconds(step.now - lease.granted_at));
    }
    if (is_fault) {
        membership_.attempt_failed(lease.node, lease.endpoint, lease.boot_id, result, step);
    }
    if (auto* node = nodes_.find(lease.node); node != nullptr && result == Result::model_missing) {
        nodes_.catalog().mark_missing(*node, lease.model_key, step);
        membership_.reread(lease.node, step);
    }
    step.emit(SnapshotChanged{});
}

// ---- when something changed -------------------------------------------------------------------------

void Dispatcher::tick(Step& step)
{
    while (const auto ticket = alarms_.take_due(step.now)) {
        if (const auto at = waiting_.find(*ticket); at != waiting_.end()) {
            expire(at->second, step);
        }
    }
}

void Dispatcher::expire(Waiter& waiter, Step& step)
{
    const auto ticket = waiter.ticket;
    const auto profile = waiter.profile;
    if (waiter.deadline <= step.now) {
        const auto ahead = lines_[{profile.need, profile.model_key}].size();
        drop(waiter);
        refuse(ticket, base::Errc::deadline_passed, "waited in the queue until the deadline",
               retry_estimate(profile, ahead), step);
    } else if (waiter.hold_until <= step.now) {
        drop(waiter);
        refuse(ticket, base::Errc::no_node, "no node that has model '" + profile.model + "' can be reached",
               come_back_in, step);
    } else if (waiter.settle_until <= step.now) {
        const auto judgement = judge(profile, step.now, false);
        if (judgement.fate == Fate::refuse) {
            drop(waiter);
            refuse(ticket, judgement.why, judgement.message,
                   judgement.why == base::Errc::no_node ? come_back_in : base::Duration{}, step);
        } else if (judgement.fate == Fate::granted) {
            const auto queued = step.now - waiter.queued_at;
            drop(waiter);
            grant(ticket, profile, judgement.choice, queued, step);
        } else {
            place(waiter, judgement.fate, step.now);
        }
    } else {
        alarms_.set(ticket, waiter.due());
    }
}

void Dispatcher::run(Step& step)
{
    const bool pins_may_differ = nodes_.take_names_changed() && pinned_ > 0;
    if (lines_.empty()) {
        return;
    }
    std::set<LineKey> lines;
    for (const auto& id : step.touched) {
        add_lines_of(id, lines);
    }
    for (const auto& key : step.models_changed) {
        lines.insert({Need::slot, key});
        lines.insert({Need::model, key});
    }
    const bool nobody_expected = membership_.settled(step.now) && membership_.expected() == 0;
    if (pins_may_differ || (settling_ > 0 && nobody_expected)) {
        for (const auto& [key, line] : lines_) {
            lines.insert(key);
        }
    }
    for (const auto& key : lines) {
        review(key, step);
    }
    for (const auto& [id, model] : step.freed) {
        serve_freed(id, model, step);
    }
}

void Dispatcher::add_lines_of(const NodeId& id, std::set<LineKey>& lines) const
{
    lines.insert({Need::any, {}});
    const auto* node = nodes_.find(id);
    if (node == nullptr) {
        return; // its models are in step.models_changed
    }
    if (lines_.size() <= node->models.size()) {
        for (const auto& [key, line] : lines_) {
            if (node->models.contains(key.model)) {
                lines.insert(key);
            }
        }
    } else {
        for (const auto& [model, held] : node->models) {
            for (const auto need : {Need::slot, Need::model}) {
                if (lines_.contains({need, model})) {
                    lines.insert({need, model});
                }
            }
        }
    }
}

/// Looks at every waiter of a line again, in order of service.
void Dispatcher::review(const LineKey& key, Step& step)
{
    for (auto line = lines_.find(key); line != lines_.end(); line = lines_.find(key)) {
        std::optional<Fate> plain;
        std::vector<std::pair<Ticket, Judgement>> refused;
        Judgement judgement;
        auto* served = line->second.first(step.now, [&](Waiter& waiter) {
            if (plain && waiter.plain()) {
                place(waiter, *plain, step.now);
                return false;
            }
            judgement = judge(waiter.profile, step.now, waiter.settle_until > step.now);
            if (judgement.fate == Fate::granted) {
                return true;
            }
            if (judgement.fate == Fate::refuse) {
                refused.emplace_back(waiter.ticket, judgement);
                return false;
            }
            if (waiter.plain()) {
                plain = judgement.fate;
            }
            place(waiter, judgement.fate, step.now);
            return false;
        });
        for (const auto& [ticket, why] : refused) {
            if (const auto at = waiting_.find(ticket); at != waiting_.end()) {
                drop(at->second);
                refuse(ticket, why.why, why.message, why.why == base::Errc::no_node ? come_back_in : base::Duration{},
                       step);
            }
        }
        if (served == nullptr) {
            return;
        }
        const auto ticket = served->ticket;
        const auto queued = step.now - served->queued_at;
        const auto profile = served->profile;
        drop(*served);
        grant(ticket, profile, judgement.choice, queued, step);
    }
}

bool Dispatcher::means(const Profile& profile, const NodeRecord& node)
{
    return profile.node.empty() || nodes_.find(profile.node).node == &node;
}

/// One slot became free: whoever is first in its line and may use it gets it.
void Dispatcher::serve_freed(const NodeId& id, const std::string& model, Step& step)
{
    const LineKey key{Need::slot, model};
    auto* node = nodes_.find(id);
    if (node == nullptr || !lines_.contains(key)) {
        return;
    }
    if (!node->takes_requests()) {
        if (node->last_resort()) {
            review(key, step);
        }
        return;
    }
    const auto at = node->models.find(model);
    if (at == node->models.end() || !at->second.held()) {
        return;
    }
    while (node->free_slots_of(at->second) > 0) {
        const auto line = lines_.find(key);
        if (line == lines_.end()) {
            return;
        }
        auto* served = line->second.first(step.now, [&](const Waiter& waiter) {
            return why_not(*node, waiter.profile) == Exclusion::none && means(waiter.profile, *node);
        });
        if (served == nullptr) {
            return;
        }
        const auto profile = served->profile;
        const auto ticket = served->ticket;
        const auto queued = step.now - served->queued_at;
        drop(*served);
        grant(ticket, profile, consider(*node, &at->second, profile), queued, step);
    }
}

Totals Dispatcher::totals() const
{
    return {requests_, failed_, static_cast<int>(leases_.size()), static_cast<int>(waiting_.size())};
}

void Dispatcher::count_queued(std::vector<NodeView>& views)
{
    for (const auto& [ticket, waiter] : waiting_) {
        const auto& holders = nodes_.catalog().holders(waiter.profile.model_key);
        if (!waiter.profile.node.empty()) {
            if (const auto* node = nodes_.find(waiter.profile.node).node) {
                ++views[node->view].queued;
            }
        } else if (holders.size() == 1) {
            ++views[holders.front().node->view].queued;
        }
    }
}

} // namespace herd::fleet
