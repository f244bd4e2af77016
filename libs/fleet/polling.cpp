// Plain Ollamas without an agent, named by a person: polled, since they announce nothing. Never evicted, only
// shown as offline, and asked again each second.
#include "fleet/membership.hpp"
#include "fleet/timing.hpp"

namespace herd::fleet {

namespace {

/// Another proxy, or other words for it, is another way, which the poll finds.
bool same_way(const Address& one, const Address& other)
{
    const auto tunnel = [](const Address& address) { return address.trust() ? address.trust()->tunnel : std::nullopt; };
    return tunnel(one) == tunnel(other);
}

bool lacks_something(const NodeRecord& node) { return node.address.manner && !node.address.manner->lacking.empty(); }

} // namespace

void Membership::apply(const StaticAdded& event, Step& step)
{
    auto* node = find(event.id);
    if (node != nullptr && !node->is_static()) {
        forget(*node, step); // somebody announced this id: what a person configured counts
        node = nullptr;
    }
    if (node == nullptr) {
        if (nodes_.size() >= options_.nodes_max && !make_room(event.address.endpoint, step)) {
            step.emit(StateFlipped{event.id, event.name, NodeState::unknown, NodeState::unknown,
                                   "not added: the limit of nodes is reached"});
            return;
        }
        node = &nodes_.add(event.id, NodeSource::configured, {});
        node->drained_by_operator = saved_drains_.erase(event.id) > 0 || event.drained;
        node->since = step.wall;
    }
    Address address = event.address;
    const bool on_its_way = same_way(node->address, address);
    if (node->url == event.url && on_its_way && address.endpoint.address.is_unspecified()) {
        address.endpoint.address = node->address.endpoint.address; // a name: as it was resolved last
    }
    const bool moved = node->url != event.url || !on_its_way || node->address.endpoint != address.endpoint;
    if (moved && node->address.endpoint.port != 0) {
        step.emit(DropConnections{node->address.endpoint});
    }
    const bool lacked = lacks_something(*node);
    nodes_.rename(*node, event.name);
    node->url = event.url;
    node->address = std::move(address);
    node->announced = AnnouncedState::ready;
    node->configured_labels = event.labels;
    node->configured_slots = event.slots;
    node->set_labels(normalized_labels(event.labels, node->facts->labels));
    step.touched.push_back(node->id);
    if (lacks_something(*node)) {
        node->timers.poll = never;
        become(*node, node->address.cloud() ? Liveness::unreachable : Liveness::verifying, node->address.manner->lacking, step); // and it is sent nothing
    } else if (moved || lacked) {
        node->poll_failures = 0;
        become(*node, Liveness::verifying, "configured, being asked", step); // a new address, a new verdict
        poll(*node, true, step);
    }
    rearm(*node, step);
    changed(step);
}

bool Membership::full_poll_is_due(const NodeRecord& node, base::Instant now)
{
    const bool busy = node.in_flight > 0
        || (node.last_lease != base::Instant{} && now - node.last_lease < timing::static_busy_for);
    return !node.ever_confirmed || node.liveness != Liveness::alive
        || now - node.full_polled_at >= (busy ? timing::static_full_busy : timing::static_full_idle);
}

void Membership::poll(NodeRecord& node, bool full, Step& step)
{
    if (lacks_something(node)) {
        return;
    }
    if (node.poll_out) {
        node.poll_again = true;
        return;
    }
    node.poll_out = true;
    node.poll_full = full;
    node.timers.poll = never;
    node.timers.poll_limit = step.now + 2 * timing::answer_limit;
    step.emit(PollStatic{node.id, full});
}

void Membership::apply(const StaticPolled& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr || !node->is_static()) {
        return;
    }
    const bool was_out = node->poll_out;
    node->poll_out = false;
    node->timers.poll_limit = never;
    if (lacks_something(*node)) {
        node->poll_again = false; // asked before its key was taken away: nothing is known of it any more
    } else if (std::exchange(node->poll_again, false) && was_out) {
        poll(*node, true, step); // something happened since this one was sent
    } else if (event.facts) {
        poll_answered(*node, event, step);
    } else {
        poll_failed(*node, event.why, event.hint, step);
    }
    rearm(*node, step);
}

void Membership::poll_answered(NodeRecord& node, const StaticPolled& event, Step& step)
{
    if (event.address.endpoint.port != 0 && event.address.endpoint != node.address.endpoint) {
        if (node.address.endpoint.port != 0) {
            step.emit(DropConnections{node.address.endpoint});
        }
        node.address = event.address;
    }
    node.poll_failures = 0;
    node.last_seen = node.last_beat = step.now;
    node.latency = event.round_trip;
    node.tcp_proven = true;
    node.announced = AnnouncedState::ready;
    auto facts = std::make_shared<NodeFacts>(*event.facts);
    if (node.poll_full) {
        node.full_polled_at = step.now;
        node.set_labels(normalized_labels(node.configured_labels, facts->labels));
        if (node.name.empty() && !facts->name.empty()) {
            nodes_.rename(node, facts->name);
        }
        nodes_.catalog().adopt(node, std::move(facts), step);
    } else if (facts->ollama_version != node.facts->ollama_version) {
        node.full_polled_at = {}; // another Ollama: read its lists at the next poll
    }
    node.timers.poll = step.now + (node.address.cloud() ? timing::cloud_poll : timing::static_poll);
    const int wanted = node.ever_confirmed && node.address.manner ? node.address.manner->up_after : 1; // the first verdict is at once
    if (node.liveness != Liveness::alive && ++node.poll_answers >= wanted) {
        if (!node.ever_confirmed) {
            node.ever_confirmed = true;
            ++confirmed_;
        }
        become(node, Liveness::alive, {}, step);
    }
    changed(step);
}

void Membership::poll_failed(NodeRecord& node, base::Errc why, const std::string& hint, Step& step)
{
    node.poll_out = false;
    node.poll_again = false;
    ++node.poll_failures;
    node.poll_answers = 0;
    node.tcp_proven = false;
    node.timers.poll = step.now
        + (node.address.cloud() ? timing::cloud_retry : timing::retry_in(timing::probe_retry, node.poll_failures));
    auto reason = hint.empty() ? (node.url.empty() ? node.address.endpoint.text() : node.url) + ": "
                                     + std::string(base::to_string(why))
                               : hint;
    if (!node.ever_confirmed) {
        become(node, Liveness::unreachable, std::move(reason), step);
    } else if (node.poll_failures >= (node.address.manner ? node.address.manner->down_after : Manner{}.down_after) || node.liveness == Liveness::gone) {
        become(node, Liveness::gone, std::move(reason), step);
    } else {
        become(node, Liveness::suspect, std::move(reason), step);
    }
    changed(step);
}

void Membership::reread(const NodeId& id, Step& step)
{
    if (auto* node = find(id)) {
        if (node->is_static()) {
            poll(*node, true, step);
        } else if (node->liveness == Liveness::alive || node->liveness == Liveness::suspect) {
            fetch(*node, step);
        }
        rearm(*node, step);
    }
}

} // namespace herd::fleet
