#include "fleet/dispatcher.hpp"

#include "base/assert.hpp"
#include "fleet/memory_fit.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr base::Duration come_back_in{std::chrono::seconds{5}};
constexpr base::Duration trouble_lasts{std::chrono::seconds{60}};
constexpr std::size_t trouble_max = 1024;

base::Duration whole_seconds(double seconds)
{
    return std::chrono::seconds{static_cast<std::int64_t>(std::clamp(std::ceil(seconds), 1.0, 300.0))};
}

base::Duration duration_of(double seconds)
{
    return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e6)));
}

bool is_fault(Result result)
{
    return result == Result::refused || result == Result::timed_out || result == Result::broken;
}

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
        ++totals_.requests;
        budget_.note_request(step.now);
    } else {
        ++totals_.retries;
        if (!retry_is_free(profile) && !budget_.spend(step.now, options_.retry_budget, options_.retry_budget_min)) {
            refuse(event.ticket, base::Errc::attempts_failed, "too many requests are being retried", come_back_in, step);
            return;
        }
    }
    if (profile.deadline != base::Instant{} && profile.deadline <= step.now) {
        refuse(event.ticket, base::Errc::deadline_passed, "the deadline had passed on arrival", {}, step);
        return;
    }
    auto judgement = judge(profile, step.now, true);
    if (settle_now(event.ticket, profile, judgement, step)) {
        return;
    }
    if (judgement.fate != Fate::routable && judgement.fate != Fate::settle && fall_back(event, step)) {
        return;
    }
    if (judgement.fate == Fate::routable && !fits_somewhere(profile, step.now)) {
        judgement = unfit(profile);
        if (fall_back(event, step)) {
            return;
        }
    }
    if (judgement.fate == Fate::refuse) {
        const bool later = judgement.why == base::Errc::no_node || judgement.why == base::Errc::attempts_failed;
        refuse(event.ticket, judgement.why, judgement.message, later ? come_back_in : base::Duration{}, step);
        return;
    }
    enqueue(event, judgement, step);
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
    const auto best = pick(candidates_, queued, step.now);
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
bool Dispatcher::fall_back(const AcquireWanted& event, Step& step)
{
    for (std::size_t i = 0; i < event.profile.fallbacks.size(); ++i) {
        const auto& other = event.profile.fallbacks[i];
        if (other.key.empty() || other.key == event.profile.model_key) {
            continue;
        }
        AcquireWanted instead = event;
        instead.profile.model_key = other.key;
        instead.profile.model = other.model;
        instead.profile.fallbacks.erase(instead.profile.fallbacks.begin(),
                                        instead.profile.fallbacks.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        const auto judgement = judge(instead.profile, step.now, false);
        if (judgement.fate != Fate::routable) {
            continue;
        }
        if (settle_now(instead.ticket, instead.profile, judgement, step)) {
            ++totals_.fallbacks;
            return true;
        }
        const auto line = lines_.find({Need::slot, other.key});
        if (line != lines_.end() && line->second.size() >= options_.queue_per_model) {
            continue;
        }
        ++totals_.fallbacks;
        enqueue(instead, judgement, step);
        return true;
    }
    return false;
}

/// Whether the queue takes one more; refuses if not.
bool Dispatcher::may_queue(const AcquireWanted& event, Step& step)
{
    const auto line = lines_.find({event.profile.need, event.profile.model_key});
    const auto waiting = line == lines_.end() ? 0 : line->second.size();
    if (waiting < options_.queue_per_model) {
        return true;
    }
    if (!fall_back(event, step)) {
        refuse(event.ticket, base::Errc::queue_full, "the queue of this model is full",
               retry_estimate(event.profile, step.now), step);
    }
    return false;
}

void Dispatcher::enqueue(const AcquireWanted& event, const Judgement& judgement, Step& step)
{
    if (!may_queue(event, step)) {
        return;
    }
    const auto& profile = event.profile;
    const LineKey key{profile.need, profile.model_key};
    auto& waiter = waiting_[event.ticket];
    waiter.ticket = event.ticket;
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
            return holding.node->free_slots_of(*holding.model) > 0;
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
        reject_early(event.ticket, step);
    }
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
    if (fall_back({ticket, waiter.profile}, step)) {
        return;
    }
    ++totals_.early_refusals;
    const double spare = base::seconds(waiter.start_at - waiter.deadline);
    refuse(ticket, base::Errc::deadline_passed,
           "would wait about " + std::to_string(static_cast<int>(std::ceil(wait))) + " s, longer than the deadline allows",
           whole_seconds(spare), step);
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

/// How long until a place would be free behind all who wait now.
base::Duration Dispatcher::retry_estimate(const Profile& profile, base::Instant now) const
{
    double ahead_s = 0;
    if (const auto line = lines_.find({profile.need, profile.model_key}); line != lines_.end()) {
        line->second.each([&ahead_s](const Waiter& other) { ahead_s += other.service_s; });
    }
    return whole_seconds(wait_behind(profile, ahead_s, now));
}

// ---- a place given ----------------------------------------------------------------------------------

void Dispatcher::grant(Ticket ticket, const Profile& profile, const Task& task, std::span<const Candidate> candidates,
                       std::size_t chosen, base::Duration queued, Step& step)
{
    const auto& choice = candidates[chosen];
    auto& node = *choice.node;
    if (!node.takes_requests() && !node.last_resort()) {
        wrong_ = "a lease on node " + node.id.text() + ", which takes no requests";
    }
    Lease lease{0, node.id, node.name, node.address, node.boot_id, choice.loaded, queued, profile.model_key,
                profile.model, nullptr};
    auto& open = leases_.open();
    lease.id = open.id;
    open.ticket = ticket;
    open.node = node.id;
    open.need = profile.need;
    open.endpoint = node.address.endpoint;
    open.boot_id = node.boot_id;
    open.record = node.serial;
    open.model = choice.model;
    open.granted_at = step.now;
    open.assumed.model_key = profile.model_key;
    if (profile.need == Need::slot) {
        if (node.free_slots_of(*choice.model) == 0) {
            wrong_ = "two leases on one slot of node " + node.id.text();
        }
        lease.decision = decision_of(profile, task, candidates, chosen, choice.cost.total_s());
        count_reloads(choice, candidates);
        occupy(open, choice, task, step);
    }
    ++node.in_flight;
    node.last_lease = step.now;
    node.granted_pass = pass_;
    ++granted_;
    ++answered_;
    totals_.failovers += profile.attempt > 0 ? 1U : 0U;
    step.emit(Granted{ticket, std::move(lease)});
    step.emit(SnapshotChanged{});
}

void Dispatcher::count_reloads(const Candidate& choice, std::span<const Candidate> candidates)
{
    if (choice.must_load()) {
        ++totals_.loads;
        totals_.reloads_caused += choice.loaded ? 1U : 0U;
        return;
    }
    for (const auto& other : candidates) {
        if (other.exclusion == Exclusion::none && other.free_slots > 0 && other.loaded && !other.same_class) {
            ++totals_.reloads_avoided;
            return;
        }
    }
}

/// Takes the slot, and notes what is assumed of the request and what it will leave in the node's memory.
void Dispatcher::occupy(OpenLease& lease, const Candidate& choice, const Task& task, Step& step)
{
    const auto& profile = *task.profile;
    auto& node = *choice.node;
    auto& model = *choice.model;
    const auto& cost = choice.cost;
    auto& assumed = lease.assumed;
    assumed.cache = choice.cache;
    assumed.speed = choice.speed;
    assumed.stretch = choice.alone_s > 0 ? std::max(1.0, cost.prefill_s / choice.alone_s) : 1;
    node.prefilling_until = std::max(step.now, node.prefilling_until) + duration_of(cost.load_s + choice.alone_s);
    assumed.prompt_tokens = task.prompt_tokens;
    assumed.prompt_bytes = static_cast<double>(profile.prompt_bytes);
    assumed.images = profile.images;
    assumed.others = node.in_flight + node.foreign;
    assumed.loading = choice.must_load() || model.load_left(step.now) > 0;
    assumed.load_s = cost.load_s;
    assumed.alone = model.in_flight == 0;
    assumed.tag = profile.tag;
    lease.client = profile.client;
    lease.priority = profile.priority;
    lease.service_s = cost.load_s + cost.prefill_s + cost.decode_s;
    lease.until_decode_s = cost.load_s + cost.prefill_s;
    lease.each_s = choice.each_s;
    lease.output_limit = task.output_limit;
    lease.generates = profile.generates;
    lease.answers = model.learning != nullptr && model.learning->service_weight > 0
            && model.learning->rates.decode_weight() <= 0
        ? nullptr
        : task.answers;
    if (choice.must_load()) {
        std::vector<ModelOnNode*> evicted;
        (void)fit_of(node, model, profile.num_ctx.value_or(0), step.now, &evicted);
        for (auto* victim : evicted) {
            victim->unloaded(); // until the node's next list says otherwise
        }
        model.unloaded();
        model.load_ends = step.now + duration_of(load_seconds(node, model));
        ++node.loads;
        lease.loads = true;
    }
    ++model.in_flight;
    model.running.push_back(leases_.place_of(lease));
    model.options_class = profile.options_class;
    if (profile.num_ctx) {
        model.context_length = *profile.num_ctx;
    }
    model.used(step.now);
    if (profile.prompt != nullptr || task.session != 0) {
        auto& belief = model.learn().belief;
        belief.set_capacity(cache_capacity(node, model));
        belief.learn(profile.prompt, task.session, task.prompt_tokens, task.tokens_per_byte);
    }
    if (model.learning != nullptr) {
        model.learning->risk.trying();
    }
}

// ---- a place given back -----------------------------------------------------------------------------

void Dispatcher::finish(const LeaseFinished& event, Step& step)
{
    auto* open = leases_.find(event.lease);
    if (open == nullptr) {
        return;
    }
    const auto result = event.outcome.result;
    const auto lease = std::move(*open);
    ++finished_;
    totals_.failed += is_fault(result) && event.outcome.first_byte > base::Duration{} ? 1U : 0U; // after the commit
    if (auto* node = nodes_.find(lease.node); node != nullptr && node->serial == lease.record) {
        const auto place = leases_.place_of(*open);
        --node->in_flight;
        if (lease.need == Need::slot) {
            std::erase(lease.model->running, place);
            vacate(lease, *node, result, step);
            learn_from(lease, *node, event.outcome, step);
            nodes_.catalog().tidy(*node, lease.assumed.model_key);
        }
    }
    leases_.close(*open);
    if (is_fault(result)) {
        membership_.attempt_failed(lease.node, lease.endpoint, lease.boot_id, result, step);
    }
    if (auto* node = nodes_.find(lease.node); node != nullptr && result == Result::model_missing) {
        nodes_.catalog().mark_missing(*node, lease.assumed.model_key, step);
        membership_.reread(lease.node, step);
    }
    step.emit(SnapshotChanged{});
}

/// The slot is free; who waits for what ended there is to be looked at.
void Dispatcher::vacate(const OpenLease& lease, NodeRecord& node, Result result, Step& step)
{
    auto& model = *lease.model;
    if (node.in_flight == 0) {
        node.prefilling_until = step.now;
    }
    --model.in_flight;
    model.warm = model.warm || result == Result::served;
    if (lease.loads) {
        --node.loads;
        model.load_ends = {};
        if (result != Result::served && model.in_flight == 0) {
            model.warm = false; // Ollama gives up a load whose request went away
        }
    }
    if (lines_.empty()) {
        return;
    }
    step.freed.emplace_back(lease.node, lease.assumed.model_key);
    if (lease.loads || model.in_flight == 0) {
        step.touched_places.push_back(lease.node); // others may load there now
    }
}

void Dispatcher::learn_from(const OpenLease& lease, NodeRecord& node, const Outcome& outcome, Step& step)
{
    auto& model = *lease.model;
    const double seconds = base::seconds(step.now - lease.granted_at);
    const auto result = outcome.result;
    if (result == Result::served) {
        if (outcome.status == 0 || (outcome.status >= 200 && outcome.status < 300)) {
            knowledge_.note_served(node, model, lease.assumed, outcome, seconds);
        }
        if (model.learning != nullptr) {
            model.learning->risk.succeeded(step.now);
        }
    } else if (result == Result::failed || is_fault(result)) {
        const bool load_failed = lease.loads && result != Result::refused
            && (result != Result::failed || outcome.status >= 500);
        model.learn().risk.failed(step.now, load_failed);
        if (load_failed && load_trouble_.size() < trouble_max) {
            load_trouble_[lease.assumed.model_key] = step.now + trouble_lasts;
        }
    } else if (model.learning != nullptr) {
        model.learning->risk.tried();
    }
    if (!lines_.empty() && result == Result::served) {
        if (const auto line = lines_.find({Need::slot, lease.assumed.model_key}); line != lines_.end()) {
            line->second.charge(lease.client, lease.priority, seconds - lease.service_s, step.now);
        }
    }
}

void Dispatcher::restore(const LearnedRestored& event)
{
    knowledge_.restore(event);
    for (auto& [id, node] : nodes_.all()) {
        knowledge_.adopt(node);
    }
}

/// What the node counts beyond our own leases. Seen twice in a row it is believed: one announcement may cross the
/// end of a request of ours.
void Dispatcher::heard(const NodeId& id, Step& step)
{
    auto* node = nodes_.find(id);
    if (node == nullptr || !node->reported_in_flight) {
        return;
    }
    const int seen = std::clamp(*node->reported_in_flight - node->in_flight, 0, 4096);
    const int believed = std::min(seen, node->foreign_before);
    node->foreign_before = seen;
    const bool less = believed < node->foreign;
    node->foreign = believed;
    if (less && !lines_.empty()) {
        step.touched_places.push_back(id);
    }
}

// ---- when something changed -------------------------------------------------------------------------

std::optional<base::Instant> Dispatcher::next() const
{
    const auto a = alarms_.next();
    const auto b = line_alarms_.next();
    return a && b ? std::min(*a, *b) : a ? a : b;
}

void Dispatcher::tick(Step& step)
{
    while (const auto ticket = alarms_.take_due(step.now)) {
        if (const auto at = waiting_.find(*ticket); at != waiting_.end()) {
            expire(at->second, step);
        }
    }
    std::erase_if(load_trouble_, [&step](const auto& entry) { return entry.second <= step.now; });
    while (const auto key = line_alarms_.take_due(step.now)) {
        serve(*key, step);
    }
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
        refuse(ticket, base::Errc::no_node, "no node that has model '" + waiter.profile.model + "' can be reached",
               come_back_in, step);
    } else if (waiter.settle_until <= step.now) {
        const auto judgement = judge(waiter.profile, step.now, false);
        if (judgement.fate == Fate::refuse) {
            const auto taken = take(waiter);
            if (!fall_back({ticket, waiter.profile}, step)) {
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

void Dispatcher::run(Step& step)
{
    const bool pins_may_differ = nodes_.take_names_changed() && pinned_ > 0;
    for (const auto& id : step.touched) {
        if (auto* node = nodes_.find(id)) {
            knowledge_.adopt(*node); // it may list models that were measured before a restart
        }
    }
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
    std::set<LineKey> freed;
    for (const auto& [id, model] : step.freed) {
        freed.insert({Need::slot, model});
    }
    for (const auto& id : step.touched_places) {
        add_lines_of(id, freed);
    }
    for (const auto& key : freed) {
        if (!lines.contains(key)) {
            serve(key, step);
        }
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

/// Looks at every waiter of a line again: may it be served at all? Then serves those who may.
void Dispatcher::review(const LineKey& key, Step& step)
{
    const auto line = lines_.find(key);
    if (line == lines_.end()) {
        return;
    }
    std::optional<Fate> plain;
    std::vector<std::pair<Ticket, Judgement>> leaving; // answered once the line is no longer walked
    line->second.each([&](Waiter& waiter) {
        if (plain && waiter.plain() && key.need == Need::slot) {
            place(waiter, *plain, step.now);
            return;
        }
        auto judgement = judge(waiter.profile, step.now, waiter.settle_until != never && waiter.settle_until > step.now);
        if (judgement.fate == Fate::refuse || (key.need != Need::slot && judgement.fate == Fate::routable)) {
            leaving.emplace_back(waiter.ticket, std::move(judgement));
            return;
        }
        if (waiter.plain()) {
            plain = judgement.fate;
        }
        place(waiter, judgement.fate, step.now);
    });
    for (const auto& [ticket, judgement] : leaving) {
        const auto at = waiting_.find(ticket);
        if (at == waiting_.end()) {
            continue;
        }
        const auto taken = take(at->second);
        const auto& waiter = taken.mapped();
        if (judgement.fate == Fate::refuse) {
            if (!fall_back({ticket, waiter.profile}, step)) {
                refuse(ticket, judgement.why, judgement.message,
                       judgement.why == base::Errc::no_node ? come_back_in : base::Duration{}, step);
            }
            continue;
        }
        (void)judge(waiter.profile, step.now, false);
        if (const auto choice = choose_any(candidates_, rng_)) {
            grant(ticket, waiter.profile, {}, candidates_, *choice, step.now - waiter.queued_at, step);
        }
    }
    serve(key, step);
}

Totals Dispatcher::totals() const
{
    auto out = totals_;
    out.in_flight = static_cast<int>(leases_.size());
    out.queued = static_cast<int>(waiting_.size());
    return out;
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
