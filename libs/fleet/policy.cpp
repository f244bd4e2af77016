// What a frontend's rules and a node's settings mean for a choice: other policies than cost, conversations bound to a
// node, and how many may wait for a node that has a limit.
#include "fleet/dispatcher.hpp"

#include <algorithm>
#include <limits>

namespace herd::fleet {
namespace {

double weight_of(const NodeRecord& node)
{
    const double named = node.address.manner ? node.address.manner->weight : 1;
    return (node.settings != nullptr ? node.settings->weight : 1) * named;
}

} // namespace

Dispatcher::Pick Dispatcher::choose(const Profile& profile, std::span<Candidate> candidates, const Outlook& outlook,
                                    base::Duration waited, base::Instant now)
{
    return profile.rules == nullptr || profile.rules->policy == Policy::cost
        ? pick(candidates, outlook, waited, now)
        : pick_in_turn(profile, candidates, now);
}

/// By the rules' policy among those that are free; when none is, whoever is free first.
Dispatcher::Pick Dispatcher::pick_in_turn(const Profile& profile, std::span<Candidate> candidates, base::Instant now)
{
    std::optional<std::size_t> best;
    double best_key = std::numeric_limits<double>::max();
    std::optional<std::size_t> soonest;
    double drawn = 0; // weight of the free ones looked at so far
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        auto& candidate = candidates[i];
        if (candidate.exclusion != Exclusion::none) {
            continue;
        }
        candidate.cost.wait_s = ready_in(candidate, now);
        if (!soonest || candidate.cost.wait_s < candidates[*soonest].cost.wait_s) {
            soonest = i;
        }
        if (candidate.cost.wait_s > 0) {
            continue;
        }
        const auto& node = *candidate.node;
        const double weight = weight_of(node);
        if (profile.rules->policy == Policy::random) {
            drawn += weight;
            const auto throw_of = rng_.between(0, 999'999);
            if (static_cast<double>(throw_of) * drawn < weight * 1e6) { // each with its share of the weights
                best = i;
            }
            continue;
        }
        const double key = profile.rules->policy == Policy::least_busy
            ? static_cast<double>(node.in_flight + node.foreign) / weight
            : turns_.place_of(profile.rules->frontend, profile.model_key, node.id);
        if (key < best_key) {
            best = i;
            best_key = key;
        }
    }
    const auto place = best ? best : soonest;
    if (!place) {
        return {};
    }
    const auto& cost = candidates[*place].cost;
    return {place, best.has_value(), false, cost.total_s(), cost.wait_s};
}

namespace {

std::string bound_key(const Profile& profile)
{
    return Bound::key(profile.rules->frontend, profile.session.empty() ? profile.client : profile.session, profile.model_key);
}

bool binds(const Profile& profile)
{
    return profile.rules != nullptr && profile.rules->sticky_ttl > base::Duration{} && profile.need == Need::slot
        && profile.generates;
}

} // namespace

/// A conversation goes on where it was, as long as that node may serve it: the others are left out.
void Dispatcher::keep_to_bound(const Profile& profile, base::Instant now)
{
    if (!binds(profile)) {
        return;
    }
    const auto node = bound_.find(bound_key(profile), now);
    if (!node) {
        return;
    }
    const auto is_bound = [&node](const Candidate& one) {
        return one.exclusion == Exclusion::none && one.node->id == *node;
    };
    if (std::ranges::any_of(candidates_, is_bound)) {
        for (auto& candidate : candidates_) {
            if (candidate.exclusion == Exclusion::none && candidate.node->id != *node) {
                candidate.exclusion = Exclusion::bound_elsewhere;
            }
        }
    }
}

/// What the end of a lease must remember of the rules it was granted under.
void Dispatcher::note_rules(OpenLease& lease, const Candidate& choice, const Profile& profile)
{
    if (profile.rules == nullptr) {
        return;
    }
    if (profile.rules->policy == Policy::round_robin) {
        turns_.taken(profile.rules->frontend, profile.model_key, choice.node->id, weight_of(*choice.node));
    }
    if (binds(profile)) {
        lease.binding = std::make_unique<const Binding>(Binding{bound_key(profile), profile.rules->sticky_ttl});
    }
}

/// False: all who could serve it have as many waiting for them as they may. Requires: candidates_ are this profile's.
bool Dispatcher::room_to_wait() const
{
    const auto counts = [](const Candidate& one) {
        return one.exclusion == Exclusion::none || one.exclusion == Exclusion::bound_elsewhere;
    };
    std::size_t room = 0;
    bool any = false;
    for (const auto& candidate : candidates_) {
        if (!counts(candidate)) {
            continue;
        }
        const auto* settings = candidate.node->settings.get();
        if (settings == nullptr || !settings->queue_limit) {
            return true;
        }
        any = true;
        room += static_cast<std::size_t>(*settings->queue_limit);
    }
    if (!any) {
        return true; // nobody can serve it now: another rule says what becomes of it
    }
    std::size_t waiting = 0;
    for (const auto& [ticket, waiter] : waiting_) {
        const auto waits_for = [&](const Candidate& one) { // of a node of another tier only those wait that name it
            const auto at = one.node->models.find(waiter.profile.model_key);
            return counts(one) && waiter.profile.need == Need::slot && at != one.node->models.end()
                && is_meant_kind(at->second.tool, waiter.profile) && why_not(*one.node, waiter.profile) == Exclusion::none;
        };
        waiting += std::ranges::any_of(candidates_, waits_for) ? 1U : 0U;
    }
    return waiting < room;
}

} // namespace herd::fleet
