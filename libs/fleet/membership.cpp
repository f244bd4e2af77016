#include "fleet/membership.hpp"

#include "fleet/timing.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

struct Shown {
    NodeState state;
    std::string reason;
};

/// What an alive node is to the outside: what it announces and what the operator wants may hold it back.
Shown shown_while_alive(const NodeRecord& node)
{
    if (node.drained_by_operator) {
        return {NodeState::draining, "drained by the operator"};
    }
    if (node.switched_off()) {
        return {NodeState::draining, "disabled"};
    }
    switch (node.announced) {
    case AnnouncedState::ready:
    case AnnouncedState::busy:
        if (node.fell) {
            return {NodeState::suspect, node.liveness_reason};
        }
        return {NodeState::online, node.twin && node.liveness_reason.empty()
                                       ? "another node at " + node.twin->agent.text() + " uses the same id"
                                       : node.liveness_reason};
    case AnnouncedState::draining: return {NodeState::draining, "node is shutting down"};
    case AnnouncedState::maintenance: return {NodeState::draining, "node is in maintenance"};
    case AnnouncedState::backend_down: return {NodeState::suspect, "node says its Ollama is down"};
    case AnnouncedState::init: return {NodeState::unknown, "node is starting"};
    case AnnouncedState::other: break;
    }
    return {NodeState::draining, "node announces a state that this herd does not know"};
}

Shown shown(const NodeRecord& node)
{
    switch (node.liveness) {
    case Liveness::verifying: return {NodeState::unknown, node.liveness_reason};
    case Liveness::alive:
        return node.waits ? Shown{NodeState::unknown, "waits for approval: herd nodes approve " + node.id.text()} : shown_while_alive(node);
    case Liveness::suspect: return {NodeState::suspect, node.liveness_reason};
    case Liveness::gone: return {NodeState::offline, node.liveness_reason};
    case Liveness::unreachable: return {NodeState::unreachable, node.liveness_reason};
    }
    return {NodeState::unknown, {}};
}

} // namespace

Membership::Membership(const FleetOptions& options, base::Rng& rng, NodeTable& nodes, base::Instant now)
    : options_(options), rng_(rng), nodes_(nodes), settles_at_(now + options.settle_time), approval_(options.approval),
      keyed_(options.keyed)
{
}

bool Membership::settled(base::Instant now) const
{
    return (!options_.discovery || pool_keeps_word_ || now >= settles_at_) && pledged_.empty();
}

base::Instant Membership::settle_limit(base::Instant now) const
{
    const auto soon = now + (pledged_.empty() ? options_.settle_time : timing::answer_limit);
    return settled(now) || !pledged_.empty() ? soon : std::max(settles_at_, now);
}

/// Derives the state that others see; tells of a flip.
void Membership::settle_state(NodeRecord& node, Step& step)
{
    auto [state, reason] = shown(node);
    if (state != node.state) {
        step.emit(StateFlipped{node.id, node.name, node.state, state, reason});
        node.state = state;
        node.since = step.wall;
        step.touched.push_back(node.id);
        changed(step);
    }
    node.reason = std::move(reason);
    if (node.waits != node.told_waiting) {
        tell_waiting(node, step);
    }
}

void Membership::become(NodeRecord& node, Liveness liveness, std::string reason, Step& step)
{
    const auto was = node.liveness;
    node.liveness = liveness;
    node.liveness_reason = std::move(reason);
    if (was != liveness) {
        live_ += liveness == Liveness::alive ? 1U : 0U;
        live_ -= was == Liveness::alive ? 1U : 0U;
    }
    if (liveness != Liveness::alive && node.verify != Verify::none) {
        set_verify(node, Verify::none);
        node.timers.poll = node.is_static() ? node.timers.poll : never;
    }
    if (liveness == Liveness::suspect && was != Liveness::suspect && !node.is_static()) {
        node.beats_in_row = 0;
        node.timers.gone = step.now + std::max(timing::gone_min, 10 * node.interval);
    }
    if (liveness != Liveness::alive && liveness != Liveness::suspect) {
        end_twin(node, step); // whoever answers for this id now is welcome to it
        node.api_proven = false;
    }
    if (liveness == Liveness::alive) {
        node.left = false;
        node.timers.gone = never;
        node.timers.forget = never;
    }
    if (liveness == Liveness::gone && was != Liveness::gone) {
        node.timers.hedge = node.timers.gone = node.timers.silence = node.timers.probe_again = node.timers.watch = never;
        node.timers.forget = node.is_static() ? never : step.now + timing::forget_after;
        node.needs_tcp = false;
        if (node.watching) {
            node.watching = false;
            step.emit(Unwatch{node.id});
        }
        step.emit(DropConnections{node.address.endpoint});
    }
    note_expected(node);
    settle_state(node, step);
}

/// Keeps the sets behind settled() and the caps.
void Membership::note_expected(const NodeRecord& node)
{
    const bool lacks = node.address.manner && !node.address.manner->lacking.empty(); // never asked, so never answers
    const bool waits = !node.ever_confirmed && node.liveness != Liveness::gone && !lacks
        && (node.saved ? node.confirm_failures < timing::saved_tries_max : node.liveness == Liveness::verifying);
    const auto put = [&node](std::set<NodeId>& set, bool in) {
        if (in) {
            set.insert(node.id);
        } else {
            set.erase(node.id);
        }
    };
    pool_keeps_word_ = pool_keeps_word_ && (waits || node.ever_confirmed || !node.saved);
    put(expected_, waits);
    put(pledged_, waits && (node.saved || node.is_static()));
    put(unverified_, !node.ever_confirmed && !node.saved && !node.is_static());
}

void Membership::forget(NodeRecord& node, Step& step)
{
    if (node.told_waiting) {
        step.emit(ApprovalWanted{node.id, node.name, node.agent, false});
    }
    end_twin(node, step);
    if (node.watching) {
        step.emit(Unwatch{node.id});
    }
    if (node.address.endpoint.port != 0) {
        step.emit(DropConnections{node.address.endpoint});
    }
    if (node.liveness == Liveness::alive) {
        --live_;
    }
    if (node.ever_confirmed) {
        --confirmed_;
    }
    set_verify(node, Verify::none);
    alarms_.clear(node.id);
    expected_.erase(node.id);
    pledged_.erase(node.id);
    unverified_.erase(node.id);
    nodes_.remove(node, step);
    step.emit(SavePool{});
    changed(step);
}

/// At the end of whatever happened to a node.
void Membership::rearm(NodeRecord& node, Step& step)
{
    alarms_.set(node.id, node.timers.earliest());
    if (const bool now = node.last_resort(); now != node.was_last_resort) {
        node.was_last_resort = now;
        step.touched.push_back(node.id);
    }
}

void Membership::tick(Step& step)
{
    while (const auto id = alarms_.take_due(step.now)) {
        if (auto* node = find(*id)) {
            ring(*node, step);
        }
    }
}

/// Each moment that has come is cleared before it is acted on: nothing rings twice for one reason.
void Membership::ring(NodeRecord& node, Step& step)
{
    const auto due = [&step](base::Instant& at) {
        const bool is_due = at <= step.now;
        at = is_due ? never : at;
        return is_due;
    };
    auto& timers = node.timers;
    if (due(timers.forget)) {
        forget(node, step);
        return;
    }
    if (due(timers.confirm_limit)) {
        not_answered(node, base::Errc::timed_out, "no answer to GET /herd/v1/node", step);
    }
    if (due(timers.hedge)) {
        ask_beside(node, step);
    }
    if (due(timers.poll_limit)) {
        poll_failed(node, base::Errc::timed_out, "no answer to GET /api/version", step);
    }
    if (due(timers.confirm)) {
        const bool silent_for_long = node.silent_for(step.now) > std::max(timing::gone_min, 10 * node.interval);
        const bool down = node.liveness == Liveness::unreachable || node.liveness == Liveness::verifying;
        if (silent_for_long && down && !node.ever_confirmed && !node.saved) {
            forget(node, step);
            return;
        }
        if (silent_for_long && down && node.ever_confirmed) {
            become(node, Liveness::gone, "silent, and could not be confirmed", step);
        } else if (node.liveness != Liveness::gone || node.saved) {
            fetch(node, step);
        }
    }
    if (due(timers.verdict)) {
        verdict(node, step);
    }
    if (due(timers.silence)) {
        look_at_silence(node, step);
    }
    if (due(timers.poll)) {
        if (node.is_static()) {
            poll(node, full_poll_is_due(node, step.now), step);
        } else {
            poll_by_http(node, step);
        }
    }
    if (due(timers.probe_again) && node.liveness == Liveness::suspect && node.needs_tcp) {
        probe(node, true, step);
    }
    if (due(timers.watch)) {
        open_watch(node, step);
    }
    if (due(timers.twin)) {
        look_for_twin(node, step);
    }
    if (due(timers.gone)) {
        const auto limit = node.last_beat + std::max(timing::gone_min, 10 * node.interval);
        if (limit > step.now) {
            timers.gone = limit; // it announces still: only silence makes it go
        } else {
            become(node, Liveness::gone, "silent since it became suspect", step);
        }
    }
    rearm(node, step);
}

void Membership::apply(const NodeRemoved& event, Step& step)
{
    if (auto* node = find(event.id)) {
        forget(*node, step);
    }
}

void Membership::apply(const DrainNode& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr || node->drained_by_operator == event.drain) {
        return;
    }
    node->drained_by_operator = event.drain;
    settle_state(*node, step);
    rearm(*node, step);
    step.emit(SavePool{});
    changed(step);
}

void Membership::apply(const NodesConfigured& event, Step& step)
{
    for (auto* node : nodes_.set_settings(event.settings)) {
        settle_state(*node, step);
        rearm(*node, step);
        step.touched.push_back(node->id);
        changed(step);
    }
}

void Membership::apply(const PoolRestored& event, Step& step)
{
    approved_.insert(event.approved.begin(), event.approved.end());
    const auto spread_ms = event.nodes.size() / 4; // U(0, N/4 ms), lana.md 4
    for (const auto& saved : event.nodes) {
        if (saved.agent.port == 0) {
            if (saved.drained) {
                saved_drains_.insert(saved.id); // a configured node: it is added by its own event
            }
            if (auto* node = find(saved.id); node != nullptr && saved.drained) {
                apply(DrainNode{saved.id, true}, step);
            }
            continue;
        }
        if (auto* known = find(saved.id); known != nullptr) {
            if (saved.drained) {
                apply(DrainNode{saved.id, true}, step);
            }
            continue;
        }
        if (nodes_.size() >= options_.nodes_max) {
            break;
        }
        auto& node = nodes_.add(saved.id, NodeSource::lana, saved.agent);
        nodes_.rename(node, saved.name);
        node.boot_id = saved.boot_id;
        node.drained_by_operator = saved.drained;
        node.saved = true;
        pool_keeps_word_ = true;
        node.waits = must_wait(node);
        node.last_seen = node.last_beat = step.now;
        node.since = step.wall;
        become(node, Liveness::verifying, "known from before the restart", step);
        ask(node, std::chrono::milliseconds{rng_.between(0, spread_ms)}, step);
        rearm(node, step);
    }
    changed(step);
}

void Membership::apply(const EarsImpaired& /*event*/, Step& step) { ears_.impaired(step.now); }

std::string Membership::check() const
{
    std::size_t live = 0;
    std::size_t silence = 0;
    std::size_t confirmed = 0;
    for (const auto& [id, node] : nodes_.all()) {
        live += node.liveness == Liveness::alive ? 1U : 0U;
        silence += node.verify == Verify::silence ? 1U : 0U;
        confirmed += node.ever_confirmed ? 1U : 0U;
        if (shown(node).state != node.state) {
            return "node " + id.text() + " is shown as " + std::string(to_string(node.state)) + ", which is stale";
        }
        if (node.state == NodeState::online
            && (node.liveness != Liveness::alive || !routable(node.announced) || node.drained_by_operator || node.waits || node.switched_off())) {
            return "node " + id.text() + " is online although it must not be";
        }
        if (node.liveness == Liveness::alive && !node.is_static() && node.timers.silence == never
            && node.verify == Verify::none && !node.probe_out) {
            return "nobody would notice if node " + id.text() + " fell silent";
        }
    }
    if (live != live_ || silence != verifying_silence_ || confirmed != confirmed_) {
        return "counts of live, silent or confirmed nodes are wrong";
    }
    return nodes_.size() <= options_.nodes_max ? std::string{} : "more nodes than nodes_max";
}

} // namespace herd::fleet
