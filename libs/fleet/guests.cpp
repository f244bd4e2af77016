// Who may join (lana.md 5). In the join mode `approve` a node that announced itself and answered is shown as waiting
// and gets no work until a human lets it in; its models count for nothing until then, so that nobody waits for a
// model that only a stranger has. With a key the MACs decide before anything comes here; what is kept of that is the
// proof that a node's agent wants to see with each request.
#include "fleet/membership.hpp"
#include "fleet/timing.hpp"

#include <utility>

namespace herd::fleet {
namespace {

constexpr std::size_t approvals_max = 65536;

} // namespace

bool Membership::must_wait(const NodeRecord& node) const
{
    return approval_ && !node.is_static() && !approved_.contains(node.id);
}

Trust Membership::trust_of(const NodeRecord& node) const
{
    if (node.is_static()) {
        return Trust::configured;
    }
    if (node.waits) {
        return Trust::waiting;
    }
    if (approval_) {
        return Trust::approved;
    }
    return node.facts->authenticated ? Trust::key : keyed_ ? Trust::unauthenticated : Trust::open;
}

std::shared_ptr<const NodeFacts> Membership::seen_from_the_door(std::shared_ptr<const NodeFacts> facts)
{
    auto cut = std::make_shared<NodeFacts>(*facts);
    cut->models.clear();
    cut->loaded.clear();
    return cut;
}

/// Only of nodes that answered: an id alone is not worth a human's time.
void Membership::tell_waiting(NodeRecord& node, Step& step)
{
    if (node.waits && node.liveness != Liveness::alive) {
        return;
    }
    node.told_waiting = node.waits;
    step.emit(ApprovalWanted{node.id, node.name, node.agent, node.waits});
}

/// After its approval came or went.
void Membership::settle_guest(NodeRecord& node, Step& step)
{
    const bool waited = std::exchange(node.waits, must_wait(node));
    if (waited == node.waits) {
        return;
    }
    if (node.waits) {
        node.facts_cut = true;
        nodes_.catalog().adopt(node, seen_from_the_door(node.facts), step);
    } else if (node.liveness == Liveness::alive || node.liveness == Liveness::suspect) {
        fetch(node, step); // now its models count
    }
    settle_state(node, step);
    step.touched.push_back(node.id);
    changed(step);
}

void Membership::apply(const ApproveNode& event, Step& step)
{
    const bool known = approved_.contains(event.id);
    if (known == event.approve || (event.approve && approved_.size() >= approvals_max)) {
        return;
    }
    if (event.approve) {
        approved_.insert(event.id);
    } else {
        approved_.erase(event.id);
    }
    if (auto* node = find(event.id)) {
        settle_guest(*node, step);
        rearm(*node, step);
    }
    step.emit(SavePool{});
}

void Membership::apply(const ProofMade& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr || node->is_static()) {
        return;
    }
    const bool news = (node->proof == nullptr) != (event.proof == nullptr);
    node->proof = event.proof;
    node->address.proof = node->facts->gateway ? node->proof : nullptr;
    if (news) {
        changed(step); // what only renews it goes with the next picture
    }
}

void Membership::apply(const JoinChanged& event, Step& step)
{
    approval_ = event.approval;
    keyed_ = event.keyed;
    const auto spread_ms = nodes_.size() / 4; // as after a restart
    for (auto& [id, node] : nodes_.all()) {
        if (node.is_static()) {
            continue;
        }
        settle_guest(node, step);
        const bool there = node.liveness == Liveness::alive || node.liveness == Liveness::suspect;
        if (event.ask_again && there) {
            become(node, Liveness::verifying, "the rules of joining changed: being asked again", step);
            ask(node, std::chrono::milliseconds{rng_.between(0, spread_ms)}, step);
        }
        rearm(node, step);
    }
    changed(step);
}

} // namespace herd::fleet
