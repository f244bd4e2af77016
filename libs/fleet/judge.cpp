// What becomes of a request now: somebody may serve it, or a reason. Looked at when it arrives and whenever
// something changed that concerns it; reads, and changes nothing but the dispatcher's scratch.
#include "fleet/dispatcher.hpp"

#include "base/units.hpp"
#include "fleet/called.hpp"
#include "fleet/memory_fit.hpp"
#include "fleet/words.hpp"

#include <algorithm>

namespace herd::fleet {

void Dispatcher::gather_one(NodeRecord& node, const Profile& profile)
{
    if (profile.need == Need::any) {
        candidates_.push_back(consider(node, nullptr, profile));
        return;
    }
    const auto at = node.models.find(profile.model_key);
    if (at != node.models.end() && at->second.held() && is_meant_kind(at->second.tool, profile)) {
        candidates_.push_back(consider(node, &at->second, profile));
    }
}

bool Dispatcher::gather(const Profile& profile)
{
    candidates_.clear();
    if (!profile.node.empty()) {
        const auto pinned = nodes_.find(profile.node);
        if (pinned.node != nullptr) {
            gather_one(*pinned.node, profile);
        }
        return pinned.node != nullptr;
    }
    if (profile.need == Need::any) {
        for (auto& [id, node] : nodes_.all()) {
            gather_one(node, profile);
        }
        return true;
    }
    for (const auto& holding : nodes_.catalog().holders(profile.model_key)) {
        if (is_meant_kind(holding.model->tool, profile)) {
            candidates_.push_back(consider(*holding.node, holding.model, profile));
        }
    }
    leave_to_tools(profile);
    return true;
}

/// Where models and tools of one name do the same work, all of them may; but no model that says it cannot do it.
void Dispatcher::leave_to_tools(const Profile& profile)
{
    const auto is_tool = [](const Candidate& c) { return c.model->tool != Tool::none; };
    if (profile.tool == Tool::none || std::ranges::none_of(candidates_, is_tool)) {
        return; // of a name that only models have, their server says what they cannot do
    }
    std::erase_if(candidates_, [&](const Candidate& c) {
        return !is_tool(c) && lacks_skill_of(profile.tool, c.node->facts->models[c.model->index].row);
    });
}

/// Turns "suspect" into eligible on a last resort. Whether somebody may serve the request.
bool Dispatcher::mark(const Profile& profile, bool last_resort, base::Instant now)
{
    bool routable = false;
    for (auto& candidate : candidates_) {
        if (last_resort && candidate.exclusion == Exclusion::suspect && candidate.node->last_resort()) {
            candidate.exclusion = Exclusion::none;
        }
        routable = routable || candidate.exclusion == Exclusion::none;
    }
    if (routable && profile.need == Need::slot) {
        hold_back(now);
    }
    keep_to_tier(profile, now);
    return routable;
}

/// The least tier that can do the work does it, busy or not: what comes after it (last of all what is outside of this
/// LAN) is for when nobody of it can. Who failed lately is set aside before, else a node that fails fast would get all.
void Dispatcher::keep_to_tier(const Profile& profile, base::Instant now)
{
    const auto eligible = [](const Candidate& c) { return c.exclusion == Exclusion::none; };
    int least = tier_max + 1;
    int most = 0;
    for (const auto& candidate : candidates_) {
        if (eligible(candidate)) {
            least = std::min(least, candidate.node->tier());
            most = std::max(most, candidate.node->tier());
        }
    }
    if (least >= most) {
        return;
    }
    least = most;
    for (auto& candidate : candidates_) {
        if (eligible(candidate) && !fits(candidate, profile, now)) {
            candidate.exclusion = Exclusion::cannot_fit; // it is there, but not for this
        } else if (eligible(candidate)) {
            least = std::min(least, candidate.node->tier());
        }
    }
    for (auto& candidate : candidates_) {
        if (eligible(candidate) && candidate.node->tier() > least) {
            candidate.exclusion = Exclusion::other_tier;
        }
    }
}

/// Sets those aside that failed lately, but never the last one: then the one that may soonest be tried again.
void Dispatcher::hold_back(base::Instant now)
{
    Candidate* soonest = nullptr;
    bool others = false;
    for (auto& candidate : candidates_) {
        if (candidate.exclusion != Exclusion::none) {
            continue;
        }
        const auto* learning = candidate.model->learning.get();
        if (learning == nullptr || !learning->risk.held_back(now)) {
            others = true;
            continue;
        }
        candidate.exclusion = Exclusion::held_back;
        if (soonest == nullptr || learning->risk.held_until() < soonest->model->learning->risk.held_until()) {
            soonest = &candidate;
        }
    }
    if (!others && soonest != nullptr) {
        soonest->exclusion = Exclusion::none;
    }
}

Dispatcher::Judgement Dispatcher::judge(const Profile& profile, base::Instant now, bool may_settle)
{
    const bool pin_known = gather(profile);
    for (const bool last_resort : {false, true}) {
        if (mark(profile, last_resort, now)) {
            keep_to_bound(profile, now);
            return {Fate::routable, {}, {}};
        }
    }
    if (std::ranges::any_of(candidates_, is_meant, &Candidate::exclusion)) {
        return judge_taken(profile);
    }
    return judge_absent(profile, now, may_settle, !pin_known);
}

/// Known nodes have the model, none of them takes requests now.
Dispatcher::Judgement Dispatcher::judge_taken(const Profile& profile) const
{
    const bool tried = std::ranges::any_of(candidates_, [](const Candidate& c) {
        return c.exclusion == Exclusion::tried;
    });
    if (tried || profile.attempt > 0) {
        return {Fate::refuse, base::Errc::attempts_failed, "no other node can serve this request"};
    }
    return {Fate::hold, base::Errc::no_node, {}};
}

/// A node that might serve it if it were set up: the one that is named, or the cloud where that is allowed.
const NodeRecord* Dispatcher::lacking_node(const Profile& profile) const
{
    const auto lacks = [](const NodeRecord& node) { return node.address.manner && !node.address.manner->lacking.empty(); };
    if (!profile.node.empty()) {
        const auto* pinned = nodes_.find(profile.node).node;
        return pinned != nullptr && lacks(*pinned) ? pinned : nullptr;
    }
    if (profile.allow_cloud) {
        for (const auto& [id, node] : nodes_.all()) {
            if (lacks(node) && node.address.cloud() && node.carries(profile.labels)) {
                return &node;
            }
        }
    }
    return nullptr;
}

/// Nobody known is meant.
Dispatcher::Judgement Dispatcher::judge_absent(const Profile& profile, base::Instant now, bool may_settle,
                                               bool pin_unknown) const
{
    if (may_settle && (!membership_.settled(now) || membership_.expected() > 0)) {
        return {Fate::settle, base::Errc::no_node, {}};
    }
    if (const auto* node = lacking_node(profile)) {
        return {Fate::refuse, base::Errc::bad_config, "node '" + node->name + "' cannot be used: " + node->address.manner->lacking};
    }
    if (membership_.confirmed() == 0) {
        return {Fate::refuse, base::Errc::no_node, "no node is known"};
    }
    // Of a node that the frontend does not have: as of one that nobody knows. A 404 would make `ollama run` pull the model.
    const auto* pinned = profile.node.empty() || profile.rules == nullptr ? nullptr : nodes_.find(profile.node).node;
    if (pin_unknown || (pinned != nullptr && !profile.rules->members.admits(pinned->id, pinned->name, pinned->labels))) {
        const auto several = nodes_.find(profile.node).several;
        return {Fate::refuse, base::Errc::no_node,
                several.empty() ? "no single node is called '" + profile.node + "'" : why_nobody(profile.node, several)};
    }
    const auto meant = [&profile](const NodeRecord& node) { // others are as if they were not there
        return profile.rules == nullptr || profile.rules->members.admits(node.id, node.name, node.labels);
    };
    for (const auto& label : profile.labels) {
        const bool carried = std::ranges::any_of(nodes_.all(), [&](const auto& entry) {
            return meant(entry.second) && std::ranges::binary_search(entry.second.labels, label);
        });
        if (!carried) {
            return {Fate::refuse, base::Errc::no_such_label, "no node carries the label '" + label + "'"};
        }
    }
    const auto carries_all = [&](const auto& entry) { return meant(entry.second) && entry.second.carries(profile.labels); };
    if (!profile.labels.empty() && std::ranges::none_of(nodes_.all(), carries_all)) { // no 404 either
        return {Fate::refuse, base::Errc::no_such_label, "no node carries all the labels asked for"};
    }
    if (std::ranges::any_of(candidates_, [](const Candidate& c) { return c.exclusion == Exclusion::not_allowed; })) {
        return {Fate::refuse, base::Errc::forbidden,
                std::string("no node allows ") + (profile.generates ? "completions" : "embeddings") + " with model '" + profile.model + "'"};
    }
    const bool closed = std::ranges::any_of(candidates_, [](const Candidate& c) { return c.exclusion == Exclusion::model_not_allowed; });
    if (profile.need == Need::any && closed) {
        return {Fate::refuse, base::Errc::forbidden, "no node may serve model '" + profile.model + "' (models_allow)"};
    }
    if (profile.need == Need::any && profile.rules != nullptr && profile.labels.empty()) {
        return {Fate::refuse, base::Errc::no_node, "frontend '" + profile.rules->frontend + "' has no node that is known"};
    }
    if (profile.need == Need::any) {
        return {Fate::refuse, base::Errc::no_node, "no node carries all the labels asked for"};
    }
    std::string message = "model '" + profile.model + "' not found";
    message += closed ? may_not_serve : "";
    return {Fate::refuse, base::Errc::no_such_model, std::move(message)};
}

bool Dispatcher::fits(const Candidate& candidate, const Profile& profile, base::Instant now)
{
    return profile.need != Need::slot || candidate.loaded
        || fit_of(*candidate.node, *candidate.model, profile.num_ctx.value_or(0), now).fits;
}

bool Dispatcher::fits_somewhere(const Profile& profile, base::Instant now) const
{
    if (profile.need != Need::slot) {
        return true;
    }
    return std::ranges::any_of(candidates_, [&](const Candidate& c) {
        return c.exclusion != Exclusion::cannot_fit && is_meant(c.exclusion) && fits(c, profile, now);
    });
}

/// Everybody who could serve it lacks the memory.
Dispatcher::Judgement Dispatcher::unfit(const Profile& profile) const
{
    Bytes size = 0;
    for (const auto& candidate : candidates_) {
        size = std::max(size, candidate.model == nullptr ? Bytes{0} : candidate.model->size);
    }
    return {Fate::refuse, base::Errc::no_node,
            "model '" + profile.model + "' (" + base::format_bytes(size) + ") fits into the memory of no node"};
}

bool Dispatcher::means(const Profile& profile, const NodeRecord& node)
{
    return profile.node.empty() || nodes_.find(profile.node).node == &node;
}

} // namespace herd::fleet
