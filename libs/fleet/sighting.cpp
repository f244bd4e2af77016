// What announcements and leaves do to a node. The rule behind all of it: a datagram may keep a confirmed node
// alive, and may make us ask its *source* over TCP; it makes nobody routable and moves nobody by itself.
#include "fleet/membership.hpp"
#include "fleet/timing.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

base::Endpoint agent_of(const NodeSeen& event) { return {event.source.address, event.agent_port}; }

/// Serial arithmetic: seq wraps.
bool is_older(std::uint32_t seq, std::uint32_t than) { return static_cast<std::int32_t>(seq - than) < 0; }

const NodeRecord* least_recent(const NodeRecord* a, const NodeRecord* b)
{
    return a == nullptr || b->last_seen < a->last_seen ? b : a;
}

} // namespace

void Membership::apply(const NodeSeen& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr) {
        first_sighting(event, step);
        return;
    }
    if (node->is_static()) {
        return; // an id derived from a URL: nobody announces that but a liar
    }
    switch (node->liveness) {
    case Liveness::verifying:
    case Liveness::unreachable:
    case Liveness::gone: claim_while_down(*node, event, step); break;
    case Liveness::alive:
    case Liveness::suspect:
        if (event.doubt != Doubt::none || event.boot_id != node->boot_id) {
            doubted(*node, event, step);
        } else {
            beat(*node, event, step);
        }
        break;
    }
    rearm(*node, step);
}

/// Makes place under the caps by forgetting whoever was never confirmed, or is gone, and was heard longest
/// ago. False: the newcomer must wait.
bool Membership::make_room(const base::Endpoint& agent, Step& step)
{
    const bool source_full = options_.ids_per_source > 0 && !agent.address.is_loopback()
        && nodes_.ids_from(agent.address) >= options_.ids_per_source;
    const bool table_full = nodes_.size() >= options_.nodes_max;
    const bool unverified_full = unverified_.size() >= options_.unverified_max;
    if (!source_full && !table_full && !unverified_full) {
        return true;
    }
    const NodeRecord* victim = nullptr;
    if (source_full || table_full) {
        for (const auto& [id, node] : nodes_.all()) {
            const bool replaceable = !node.is_static() && !node.drained_by_operator
                && (unverified_.contains(id) || node.liveness == Liveness::gone);
            if (replaceable && (!source_full || node.agent.address == agent.address)) {
                victim = least_recent(victim, &node);
            }
        }
    } else {
        for (const auto& id : unverified_) {
            victim = least_recent(victim, find(id));
        }
    }
    if (victim == nullptr) {
        return false;
    }
    forget(*find(victim->id), step);
    return true;
}

void Membership::take_claim(NodeRecord& node, const NodeSeen& event)
{
    node.boot_id = event.boot_id;
    node.seq = event.seq;
    node.announced = event.announced;
    node.interval = std::clamp<base::Duration>(event.interval, std::chrono::milliseconds{100},
                                               std::chrono::seconds{60});
    node.detect_mult = std::clamp(event.detect_mult, 2, 10);
    if (!event.via_http) {
        node.udp = event.source;
    }
}

void Membership::first_sighting(const NodeSeen& event, Step& step)
{
    if (!make_room(agent_of(event), step)) {
        return;
    }
    auto& node = nodes_.add(event.id, event.via_http ? NodeSource::http : NodeSource::lana, agent_of(event));
    nodes_.rename(node, event.name.empty() ? agent_of(event).address.text() : event.name);
    node.waits = must_wait(node);
    take_claim(node, event);
    node.last_seen = node.last_beat = step.now;
    node.since = step.wall;
    become(node, Liveness::verifying, "announced, being confirmed", step);
    ask(node, {}, step);
    rearm(node, step);
    changed(step);
}

/// It announces, but does not count as there: confirm it where it says it is, at our own pace.
void Membership::claim_while_down(NodeRecord& node, const NodeSeen& event, Step& step)
{
    const bool same_place = agent_of(event) == node.agent;
    const bool was_gone = node.liveness == Liveness::gone;
    if (was_gone && node.left) {
        if (!routable(event.announced)) {
            return; // copies of its farewell
        }
        if (event.boot_id == node.boot_id && same_place && event.doubt == Doubt::none) {
            take_claim(node, event);
            revive(node, step); // a forged LEAVE costs one beat
            beat(node, event, step);
            return;
        }
    }
    node.last_seen = node.last_beat = step.now;
    const bool same_claim = same_place && event.boot_id == node.boot_id;
    if (was_gone) {
        node.confirm_failures = 0;
        become(node, Liveness::verifying, "announced again, being confirmed", step);
    } else if (node.confirm_out || (same_claim && (node.timers.confirm != never || node.admission_probe))) {
        return; // being asked already, or waiting to be asked again
    } else if (step.now - node.doubt_confirmed_at < timing::doubt_spacing) {
        return;
    }
    node.doubt_confirmed_at = step.now;
    if (!same_place) {
        nodes_.set_agent(node, agent_of(event));
    }
    take_claim(node, event);
    node.timers.confirm = never;
    ask(node, {}, step);
}

/// A live node, but something about the datagram must be settled over TCP first. It is not applied.
void Membership::doubted(NodeRecord& node, const NodeSeen& event, Step& step)
{
    if (node.move && step.now >= node.move->give_up) {
        node.move.reset();
    }
    if (node.twin && node.twin->boot_id == event.boot_id && node.twin->agent == agent_of(event)) {
        node.twin->heard_at = step.now;
    }
    if (agent_of(event) == node.agent) {
        if (!node.confirm_out && step.now - node.doubt_confirmed_at >= timing::doubt_spacing) {
            node.doubt_confirmed_at = step.now;
            node.doubt_out = true;
            ask(node, {}, step);
        }
        return;
    }
    if (node.move || step.now < node.next_move_at) {
        return;
    }
    node.next_move_at = step.now + timing::move_cooldown;
    node.move = Move{agent_of(event), event.via_http ? base::Endpoint{} : event.source, event.boot_id, {}, false,
                     {}, 0, false, step.now + timing::answer_limit};
    step.emit(Confirm{node.id, node.move->agent, 0, 0, {}});
    if (!node.confirm_out) {
        ask(node, {}, step);
    }
}

/// A fresh valid announcement of a node we hold. The hot path: no set, no map and no allocation is touched
/// unless something changed.
void Membership::beat(NodeRecord& node, const NodeSeen& event, Step& step)
{
    if (is_older(event.seq, node.seq) && step.now - node.last_beat < std::chrono::seconds{1}) {
        return; // late: what it tells is past
    }
    const auto old_interval = node.interval;
    const bool announced_changed = node.announced != event.announced;
    const bool gap = step.now - node.last_beat > node.interval + node.interval / 2;
    if (gap || step.now - node.row_counted_at >= node.interval / 2) {
        node.beats_in_row = gap ? 1 : node.beats_in_row + 1;
        node.row_counted_at = step.now;
    }
    take_claim(node, event);
    if (!routable(node.announced)) {
        node.beats_in_row = 0; // those that count say that it takes requests
    }
    const bool fell = node.fell;
    let_back(node, step.now);
    node.last_seen = node.last_beat = step.now;
    node.reported_in_flight = event.in_flight;
    node.reported_busy = event.busy;
    if (event.host || !event.gpus.empty()) {
        node.host = event.host ? event.host : node.host;
        node.gpus = event.gpus;
        for (std::size_t i = 0; i < node.gpus.size() && i < node.facts->gpus.size(); ++i) {
            node.gpus[i].name = node.facts->gpus[i].name;
            node.gpus[i].memory_gb_per_s = node.facts->gpus[i].memory_gb_per_s;
            node.gpus[i].vendor = node.gpus[i].vendor.empty() ? node.facts->gpus[i].vendor : node.gpus[i].vendor;
        }
        node.load_is_newer = true;
        if (step.now - load_told_at_ >= timing::load_spacing) {
            load_told_at_ = step.now; // a thousand beats a second are not a thousand pictures
            changed(step);
        }
    }
    if (!event.name.empty() && event.name != node.name) {
        nodes_.rename(node, event.name);
        step.touched.push_back(node.id);
        changed(step);
    }
    if (node.verify != Verify::none) {
        set_verify(node, Verify::none);
        node.timers.poll = never;
        node.tcp_only_limit = never;
        node.liveness_reason.clear();
        settle_state(node, step);
    }
    if (node.timers.silence == never || node.interval < old_interval) {
        node.timers.silence = step.now + node.interval + node.interval / 2;
    }
    const bool stale = node.facts->boot_id != event.boot_id || node.facts->state_rev != event.state_rev;
    if (stale && node.timers.confirm == never) {
        fetch(node, step);
    }
    if (node.liveness == Liveness::suspect) {
        refute(node, step);
    } else if (unproven(node)) {
        admit(node, step); // it takes requests for the first time
    } else if (announced_changed || fell != node.fell) {
        settle_state(node, step);
    }
}

void Membership::apply(const NodeLeft& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr || node->is_static() || node->boot_id != event.boot_id
        || node->liveness == Liveness::gone) {
        return;
    }
    if (!node->ever_confirmed && !node->saved) {
        forget(*node, step);
        return;
    }
    become(*node, Liveness::gone, event.reason.empty() ? "left" : "left: " + event.reason, step);
    node->left = true;
    rearm(*node, step);
    step.emit(SavePool{});
}

} // namespace herd::fleet
