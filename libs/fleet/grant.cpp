// A place is given: the lease, what it takes of the node, and what is assumed of it until its end.
#include "fleet/dispatcher.hpp"

#include "fleet/memory_fit.hpp"
#include "fleet/seconds.hpp"

#include <algorithm>

namespace herd::fleet {

void Dispatcher::grant(Ticket ticket, const Profile& profile, const Task& task, std::span<const Candidate> candidates,
                       std::size_t chosen, base::Duration queued, Step& step)
{
    const auto& choice = candidates[chosen];
    auto& node = *choice.node;
    if (!node.takes_requests() && !node.last_resort()) {
        wrong_ = "a lease on node " + node.id.text() + ", which takes no requests";
    }
    auto& granted = std::get<Granted>(step.effects.emplace_back(std::in_place_type<Granted>)); // nothing else is emitted here
    granted.ticket = ticket;
    auto& lease = granted.lease;
    lease.node = node.id;
    lease.node_name = node.name;
    lease.address = node.address;
    lease.boot_id = node.boot_id;
    lease.was_loaded = choice.loaded;
    lease.queued = queued;
    if (profile.is_fallback) {
        lease.instead = {profile.model_key, profile.model};
    }
    auto& open = leases_.open();
    lease.id = open.id;
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
        lease.tool = choice.model->tool != Tool::none;
        lease.decision = decision_of(profile, task, candidates, chosen, choice.cost.total_s());
        count_reloads(choice, candidates, profile);
        if (choice.loaded && larger_serves(*choice.model, profile)) {
            lease.num_ctx = choice.model->context_length;
        }
        occupy(open, choice, task, step);
        note_rules(open, choice, profile);
        lease.bound = open.binding != nullptr && bound_.find(open.binding->to, step.now) == node.id;
    }
    ++node.in_flight;
    node.last_lease = step.now;
    node.granted_pass = pass_;
    ++granted_;
    ++answered_;
    step.emit(SnapshotChanged{});
}

void Dispatcher::count_reloads(const Candidate& choice, std::span<const Candidate> candidates, const Profile& profile)
{
    if (choice.must_load()) {
        ++totals_.loads;
        totals_.reloads_caused += choice.loaded ? 1U : 0U;
        return;
    }
    if (profile.num_ctx_rounded || larger_serves(*choice.model, profile)) { // what the client wrote would have loaded it anew
        ++totals_.reloads_avoided;
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
    assumed.slots = node.slots_of(model);
    assumed.full = model.in_flight + 1 >= assumed.slots;
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
    if (!lease.loads && larger_serves(model, profile)) {
        model.options_class = options_class_of(profile.options_rest, model.context_length);
    } else {
        model.options_class = profile.options_class;
        model.context_length = profile.num_ctx.value_or(model.context_length);
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

} // namespace herd::fleet
