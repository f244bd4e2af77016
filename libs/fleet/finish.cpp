// A place is given back: who may be waiting for it, and what was learned.
#include "fleet/dispatcher.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

constexpr base::Duration trouble_lasts{std::chrono::seconds{60}};
constexpr std::size_t trouble_max = 1024;

bool is_fault(Result result)
{
    return result == Result::refused || result == Result::timed_out || result == Result::broken;
}

} // namespace

void Dispatcher::finish(const LeaseFinished& event, Step& step)
{
    auto* open = leases_.find(event.lease);
    if (open == nullptr) {
        return;
    }
    const auto result = event.outcome.result;
    const auto& lease = *open;
    ++finished_;
    totals_.failed += is_fault(result) && event.outcome.first_byte > base::Duration{} ? 1U : 0U; // after the commit
    if (auto* node = nodes_.find(lease.node); node != nullptr && node->serial == lease.record) {
        --node->in_flight;
        if (lease.need == Need::slot) {
            std::erase(lease.model->running, leases_.place_of(lease));
            vacate(lease, *node, result, step);
            learn_from(lease, *node, event.outcome, step);
            if (!lease.model->listed) {
                nodes_.catalog().tidy(*node, lease.assumed.model_key);
            }
        }
    }
    if (result == Result::served && lease.binding != nullptr) {
        bound_.bind(lease.binding->to, lease.node, step.now + lease.binding->lasts);
    }
    if (is_fault(result)) {
        membership_.attempt_failed(lease.node, lease.endpoint, lease.boot_id, result, step);
    }
    if (auto* node = nodes_.find(lease.node); node != nullptr && result == Result::model_missing) {
        nodes_.catalog().mark_missing(*node, lease.assumed.model_key, step);
        membership_.reread(lease.node, step);
    }
    leases_.close(*open);
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
    if (lease.loads || model.in_flight == 0 || (node.settings != nullptr && node.settings->max_parallel > 0)) {
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

} // namespace herd::fleet
