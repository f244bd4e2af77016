// Answers over TCP from the address asked: they settle every doubt a datagram can raise. Here nodes are
// admitted, change their incarnation or their address, and bring their facts.
#include "fleet/membership.hpp"
#include "fleet/timing.hpp"

#include <algorithm>
#include <utility>

namespace herd::fleet {
namespace {

std::string failure(const NodeRecord& node, base::Errc why, const std::string& hint)
{
    return hint.empty() ? node.agent.text() + " does not answer: " + std::string(base::to_string(why)) : hint;
}

/// The certificate that this node's gateway is known by.
std::optional<std::array<std::uint8_t, 32>> pin_of(const NodeRecord& node)
{
    const auto& trust = node.address.trust();
    return trust ? trust->pin : std::nullopt;
}

std::shared_ptr<const Manner> pinned(const base::Endpoint& api, const std::optional<std::array<std::uint8_t, 32>>& pin)
{
    if (!pin) {
        return nullptr;
    }
    Manner manner;
    manner.trust = std::make_shared<const base::PeerTrust>(base::PeerTrust{.host = api.address.without_scope().text(), .pin = pin});
    return std::make_shared<const Manner>(std::move(manner));
}

} // namespace

/// Asks for the whole document, or with `if_changed` for one that is newer than what we hold. Nothing is held of a node,
/// or of a boot, whose document we never saw: then there is nothing that could be unchanged.
void Membership::ask(NodeRecord& node, base::Duration delay, Step& step, bool if_changed)
{
    const bool have = if_changed && node.ever_confirmed && node.facts->boot_id == node.boot_id && !node.facts_cut
        && !node.list_doubted;
    node.confirm_out = true;
    node.timers.confirm = never;
    node.timers.confirm_limit = step.now + delay + timing::answer_limit;
    node.confirm_copies = 1;
    node.timers.hedge = node.liveness == Liveness::verifying ? step.now + delay + timing::hedges[0] : never;
    step.emit(Confirm{node.id, node.agent, have ? node.boot_id : 0, have ? node.facts->state_rev : 0, delay});
}

/// A newcomer's question is repeated beside the first while that is unanswered: a lost SYN is sent again only
/// after a second, and a node should be routable before.
void Membership::ask_beside(NodeRecord& node, Step& step)
{
    if (!node.confirm_out && node.admission_probe && node.probe_out) {
        ask_api_beside(node, step);
        return;
    }
    const auto copies = static_cast<std::size_t>(node.confirm_copies);
    if (!node.confirm_out || node.liveness != Liveness::verifying || copies > timing::hedges.size()) {
        return;
    }
    ++node.confirm_copies;
    node.timers.hedge = copies < timing::hedges.size() ? step.now + timing::hedges[copies] : never;
    step.emit(Confirm{node.id, node.agent, 0, 0, {}});
}

/// Reads the document; one question at a time, what changes meanwhile is read afterwards.
void Membership::fetch(NodeRecord& node, Step& step)
{
    if (node.confirm_out) {
        node.fetch_again = true;
        return;
    }
    ask(node, {}, step, true);
}

void Membership::apply(const NodeConfirmed& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr || node->is_static()) {
        return;
    }
    if (node->move && event.agent == node->move->agent) {
        node->move->new_facts = std::make_shared<const NodeFacts>(event.facts);
        resolve_move(*node, step);
    } else if (event.agent == node->agent) {
        answered(*node, event, step);
    }
    rearm(*node, step);
}

void Membership::answered(NodeRecord& node, const NodeConfirmed& event, Step& step)
{
    const bool copy = !node.confirm_out && !event.not_modified && event.facts.boot_id == node.facts->boot_id
        && event.facts.state_rev == node.facts->state_rev;
    if (copy && node.ever_confirmed) {
        return; // a question asked twice was answered twice
    }
    node.confirm_out = false;
    node.timers.confirm_limit = node.timers.confirm = node.timers.hedge = never;
    if (node.liveness == Liveness::alive || node.liveness == Liveness::suspect) {
        node.confirm_failures = 0; // else when its API answered too: revive()
    }
    node.polls_open = 0;
    node.last_seen = step.now;
    node.latency = event.round_trip;
    if (node.move) {
        node.move->old_answers = true;
        node.move->old_boot = event.not_modified ? node.boot_id : event.facts.boot_id;
    }
    const auto boot_before = node.boot_id;
    if (!event.not_modified && (!node.ever_confirmed || event.facts.boot_id != boot_before)) {
        displace_others(node, step);
    }
    if (!event.not_modified) {
        adopt(node, std::make_shared<const NodeFacts>(event.facts), step);
    }
    if (std::exchange(node.doubt_out, false) || node.boot_id != boot_before) {
        node.last_beat = step.now; // the datagram that made us ask was its own
        set_verify(node, Verify::none);
        node.timers.silence = step.now + node.interval + node.interval / 2;
    }
    if (node.facts->gateway) {
        node.tcp_proven = true;
    }
    if (node.move) {
        resolve_move(node, step);
    }
    // A question that was out when it said goodbye is answered by a node that is shutting down: that is no return.
    const bool on_its_way_out = node.liveness == Liveness::gone && node.left && node.boot_id == boot_before
        && !routable(node.facts->announced);
    if (on_its_way_out) {
        return;
    }
    if (node.liveness == Liveness::verifying || node.liveness == Liveness::unreachable
        || node.liveness == Liveness::gone) {
        if (!event.not_modified || node.ever_confirmed) {
            admit(node, step);
        }
    } else if (unproven(node)) {
        admit(node, step);
    } else {
        settle_state(node, step);
    }
    if (node.fetch_again) {
        node.fetch_again = false;
        fetch(node, step);
    }
}

void Membership::adopt(NodeRecord& node, std::shared_ptr<const NodeFacts> facts, Step& step)
{
    const bool is_new_boot = facts->boot_id != node.boot_id;
    if (is_new_boot) {
        new_incarnation(node, facts->boot_id, step);
    }
    if (is_new_boot || !node.ever_confirmed || static_cast<std::int32_t>(facts->seq - node.seq) >= 0) {
        node.seq = facts->seq;
        node.announced = facts->announced; // else a newer announcement already told
        let_back(node, step.now);
    }
    if (!routable(facts->announced) && facts->models.empty() && !node.facts->models.empty()) {
        auto kept = std::make_shared<NodeFacts>(*facts); // its Ollama is away: the disk is as it was
        kept->models = node.facts->models;
        facts = std::move(kept);
    }
    node.facts_cut = node.waits;
    if (node.waits) {
        facts = seen_from_the_door(std::move(facts));
    }
    node.set_labels(normalized_labels(facts->labels, {}));
    if (!facts->name.empty()) {
        nodes_.rename(node, facts->name);
    }
    const base::Endpoint api{node.agent.address, facts->api_port};
    if (api != node.address.endpoint || facts->tls_pin != pin_of(node)) {
        if (node.address.endpoint.port != 0) {
            step.emit(DropConnections{node.address.endpoint});
        }
        node.address = Address{.endpoint = api, .host_header = api.text(), .manner = pinned(api, facts->tls_pin)};
        node.tcp_proven = facts->gateway;
        node.api_proven = false;
    }
    node.address.proof = facts->gateway ? node.proof : nullptr; // without the gateway that is Ollama itself
    node.host = facts->host;
    node.gpus = facts->gpus;
    node.load_is_newer = false;
    nodes_.catalog().adopt(node, std::move(facts), step);
    changed(step);
}

void Membership::new_incarnation(NodeRecord& node, std::uint64_t boot_id, Step& step)
{
    node.boot_id = boot_id;
    node.watch_failures = 0;
    if (node.address.endpoint.port != 0) {
        step.emit(DropConnections{node.address.endpoint});
    }
    if (node.watching) {
        node.watching = false;
        step.emit(Unwatch{node.id});
        node.timers.watch = step.now;
    }
    if (node.ever_confirmed) {
        step.emit(SavePool{});
    }
}

/// The agent answered. Before requests go there its API must answer too, at the very place where they will go
/// (lana.md 6). A node that says itself that it takes none is asked when it says otherwise.
void Membership::admit(NodeRecord& node, Step& step)
{
    if (unproven(node)) {
        ask_api(node, step);
    } else {
        revive(node, step);
    }
}

/// It waits in `verifying` or `unreachable` for the answer; a probe that is out for another reason is waited for first.
void Membership::ask_api(NodeRecord& node, Step& step)
{
    if (node.liveness == Liveness::alive || node.liveness == Liveness::suspect || node.liveness == Liveness::gone) {
        become(node, Liveness::verifying, "its Ollama is being asked", step);
    }
    if (!node.probe_out) {
        node.admission_probe = true;
        probe(node, false, step);
        node.probe_copies = 1;
        node.timers.hedge = step.now + timing::hedges[0];
    }
}

/// As with the document: a lost SYN must not cost a second.
void Membership::ask_api_beside(NodeRecord& node, Step& step)
{
    const auto copies = static_cast<std::size_t>(node.probe_copies);
    node.probe_out = false;
    probe(node, false, step);
    ++node.probe_copies;
    node.timers.hedge = copies < timing::hedges.size() ? step.now + timing::hedges[copies] : never;
}

void Membership::api_answered(NodeRecord& node, const ProbeDone& event, Step& step)
{
    node.admission_probe = false;
    node.timers.verdict = node.timers.hedge = never;
    if (node.liveness != Liveness::verifying && node.liveness != Liveness::unreachable) {
        return;
    }
    if (event.connected) {
        node.api_proven = true;
        revive(node, step);
        return;
    }
    ++node.confirm_failures;
    node.timers.confirm = step.now + timing::retry_in(timing::confirm_retry, node.confirm_failures);
    const auto api = node.address.endpoint.text();
    std::string reason = "node announces, " + api + " " + std::string(to_string(event.why));
    if (!event.hint.empty()) {
        reason = "node announces, but GET /api/version at " + api + ": " + event.hint;
    } else if (!node.facts->gateway) {
        reason += ": Ollama bound to 127.0.0.1? start it with OLLAMA_HOST=0.0.0.0 or use the gateway";
    }
    become(node, Liveness::unreachable, std::move(reason), step);
}

void Membership::apply(const NodeConfirmFailed& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr || node->is_static()) {
        return;
    }
    if (node->move && event.agent == node->move->agent) {
        node->move->new_failed = true;
        resolve_move(*node, step);
    } else if (event.agent == node->agent && node->confirm_out) {
        const bool others_out = --node->confirm_copies > 0;
        if (!others_out || event.why == base::Errc::refused) {
            not_answered(*node, event.why, event.hint, step);
        }
    }
    rearm(*node, step);
}

void Membership::not_answered(NodeRecord& node, base::Errc why, const std::string& hint, Step& step)
{
    node.confirm_out = false;
    node.fetch_again = false;
    node.doubt_out = false;
    node.timers.confirm_limit = node.timers.hedge = never;
    ++node.confirm_failures;
    if (node.move) {
        node.move->old_answers = false;
        resolve_move(node, step);
        if (node.confirm_out || node.confirm_failures == 0) {
            return;
        }
    }
    node.timers.confirm = step.now + timing::retry_in(timing::confirm_retry, node.confirm_failures);
    const auto reason = failure(node, why, hint);
    if (why == base::Errc::forbidden && (node.liveness == Liveness::alive || node.liveness == Liveness::suspect)) {
        become(node, Liveness::unreachable, reason, step); // it is no member, or not any more
        return;
    }
    if (why == base::Errc::conflict && node.liveness != Liveness::verifying && node.liveness != Liveness::unreachable) {
        displaced(node, step);
        return;
    }
    switch (node.liveness) {
    case Liveness::verifying:
        if (node.saved && node.confirm_failures < timing::saved_tries_max) {
            note_expected(node);
            break;
        }
        become(node, node.saved ? Liveness::gone : Liveness::unreachable, reason, step);
        break;
    case Liveness::unreachable: become(node, Liveness::unreachable, reason, step); break;
    case Liveness::gone: break;
    case Liveness::suspect: break;
    case Liveness::alive:
        if (why == base::Errc::refused && node.facts->gateway) {
            node.tcp_proven = false;
            fault(node, reason, step);
        } else {
            probe(node, true, step); // the agent may be down without its Ollama
        }
        break;
    }
}

/// Another agent lives at its address now: what is sent there, and deleted there, would be sent to somebody else.
void Membership::displaced(NodeRecord& node, Step& step)
{
    node.timers.confirm = never;
    if (node.liveness != Liveness::gone) {
        become(node, Liveness::gone, "another node answers at " + node.agent.text(), step);
    }
}

/// It has just answered at its address, for the first time or in a new life: whoever else was said to be there is not.
void Membership::displace_others(const NodeRecord& node, Step& step)
{
    for (auto& [id, other] : nodes_.all()) {
        if (&other != &node && !other.is_static() && other.agent == node.agent
            && (other.liveness == Liveness::alive || other.liveness == Liveness::suspect)) {
            displaced(other, step);
            rearm(other, step);
        }
    }
}

/// A claim of another address is believed when the new end answers and the old one does not. When both
/// answer with one boot it is one box with two addresses; with two boots, two boxes with one id.
void Membership::resolve_move(NodeRecord& node, Step& step)
{
    auto& move = *node.move;
    if (move.new_failed) {
        if (node.twin && node.twin->agent == move.agent) {
            end_twin(node, step);
            settle_state(node, step);
        }
        node.move.reset();
        return;
    }
    if (!move.new_facts || !move.old_answers) {
        return;
    }
    if (*move.old_answers) {
        const bool duplicate = move.new_facts->boot_id != move.old_boot;
        if (duplicate && !move.asked_again) {
            move.asked_again = true; // a box that restarted between its two answers is no twin of itself
            move.old_answers.reset();
            ask(node, {}, step);
            return;
        }
        if (duplicate) {
            has_twin(node, move, step);
        }
        node.move.reset();
        settle_state(node, step);
        return;
    }
    const auto claim = std::move(move);
    node.move.reset();
    if (node.watching) {
        node.watching = false;
        step.emit(Unwatch{node.id});
    }
    end_twin(node, step);
    nodes_.set_agent(node, claim.agent);
    node.udp = claim.udp;
    node.confirm_out = false;
    node.confirm_failures = 0;
    node.timers.confirm = node.timers.confirm_limit = never;
    node.next_move_at = step.now;
    node.last_seen = node.last_beat = step.now;
    adopt(node, claim.new_facts, step);
    step.emit(SavePool{});
    admit(node, step);
}

/// Two boxes live under this id. The one we know keeps it, whatever their boots say: a stranger that claims to be
/// older must not take a working node's name. The other one is told.
void Membership::has_twin(NodeRecord& node, const Move& move, Step& step)
{
    const bool known = node.twin && node.twin->boot_id == move.new_facts->boot_id && node.twin->agent == move.agent;
    node.twin = Twin{move.agent, move.new_facts->boot_id, step.now};
    node.timers.twin = step.now + timing::twin_window;
    if (!known) {
        step.emit(DuplicateId{node.id, node.name, node.agent, node.twin->agent, node.twin->boot_id});
        changed(step);
    }
}

void Membership::look_for_twin(NodeRecord& node, Step& step)
{
    if (node.twin && step.now - node.twin->heard_at < timing::twin_window) {
        node.timers.twin = node.twin->heard_at + timing::twin_window;
    } else {
        end_twin(node, step);
        settle_state(node, step);
    }
}

void Membership::end_twin(NodeRecord& node, Step& step)
{
    if (node.twin) {
        step.emit(DuplicateId{node.id, node.name, node.agent, node.twin->agent, 0});
        node.twin.reset();
        node.timers.twin = never;
        changed(step);
    }
}

void Membership::open_watch(NodeRecord& node, Step& step)
{
    const bool there = node.liveness == Liveness::alive || node.liveness == Liveness::suspect;
    if (!node.watching && !node.is_static() && there && node.agent.port != 0) {
        node.watching = true;
        step.emit(Watch{node.id, node.agent, node.boot_id});
    }
}

void Membership::apply(const NodeChanged& event, Step& step)
{
    if (auto* node = find(event.id)) {
        node->watch_failures = 0;
        if (node->is_static()) {
            poll(*node, true, step);
        } else {
            fetch(*node, step);
        }
        rearm(*node, step);
    }
}

void Membership::apply(const ModelsRead& event, Step& step)
{
    if (auto* node = find(event.id); node != nullptr && !node->waits) {
        auto facts = std::make_shared<NodeFacts>(*node->facts);
        facts->models = event.models;
        nodes_.catalog().adopt(*node, std::move(facts), step);
        changed(step);
    }
}

void Membership::apply(const LoadedRead& event, Step& step)
{
    if (auto* node = find(event.id)) {
        auto facts = std::make_shared<NodeFacts>(*node->facts);
        facts->loaded = event.loaded;
        for (LoadedModel& row : facts->loaded) { // Ollama's own list does not know of slots; the agent told us
            const auto told = std::ranges::find_if(node->facts->loaded, [&](const LoadedModel& old) {
                return old.key == row.key && old.digest == row.digest;
            });
            if (!row.slots && told != node->facts->loaded.end()) {
                row.slots = told->slots;
            }
        }
        nodes_.catalog().adopt_loaded(*node, std::move(facts), step);
        changed(step);
    }
}

} // namespace herd::fleet
