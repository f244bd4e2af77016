#include "fleet/selection.hpp"

#include "fleet/model_name.hpp"

#include <algorithm>
#include <compare>
#include <tuple>

namespace herd::fleet {
namespace {

bool is_same_class(const ModelOnNode& model, const Profile& profile)
{
    if (larger_serves(model, profile)) {
        return true;
    }
    if (model.options_class) {
        return *model.options_class == profile.options_class;
    }
    // Somebody else loaded it: its context length is all we know of how.
    return profile.num_ctx ? *profile.num_ctx == model.context_length : profile.options_class == 0;
}

} // namespace

bool larger_serves(const ModelOnNode& model, const Profile& profile)
{
    if (!profile.larger_will_do || !profile.num_ctx || model.context_length <= *profile.num_ctx) {
        return false;
    }
    // To Ollama its own number and the same one from a request are one thing.
    return !model.options_class || *model.options_class == profile.options_rest
           || *model.options_class == options_class_of(profile.options_rest, model.context_length);
}

std::string_view to_string(Exclusion exclusion)
{
    switch (exclusion) {
    case Exclusion::none: return "none";
    case Exclusion::not_pinned: return "not_pinned";
    case Exclusion::not_member: return "not_member";
    case Exclusion::not_allowed: return "not_allowed";
    case Exclusion::bound_elsewhere: return "bound_elsewhere";
    case Exclusion::label_missing: return "label_missing";
    case Exclusion::tried: return "tried";
    case Exclusion::not_verified: return "not_verified";
    case Exclusion::suspect: return "suspect";
    case Exclusion::draining: return "draining";
    case Exclusion::offline: return "offline";
    case Exclusion::unreachable: return "unreachable";
    case Exclusion::model_missing: return "model_missing";
    case Exclusion::no_free_slot: return "no_free_slot";
    case Exclusion::cannot_fit: return "cannot_fit";
    case Exclusion::held_back: return "held_back";
    case Exclusion::loading: return "loading";
    case Exclusion::other_api: return "other_api";
    case Exclusion::cloud: return "cloud";
    case Exclusion::reserved: return "reserved";
    case Exclusion::not_loaded: return "not_loaded";
    case Exclusion::other_tier: return "other_tier";
    case Exclusion::model_not_allowed: return "model_not_allowed";
    }
    return "none";
}

bool is_meant(Exclusion exclusion)
{
    switch (exclusion) {
    case Exclusion::label_missing:
    case Exclusion::not_pinned:
    case Exclusion::other_api:
    case Exclusion::cloud:
    case Exclusion::not_member:
    case Exclusion::not_allowed:
    case Exclusion::model_not_allowed: return false;
    default: return true;
    }
}

Exclusion why_not(const NodeRecord& node, const Profile& profile)
{
    if (const Manner* manner = node.address.manner.get()) { // few nodes have one
        if (manner->cloud && (!profile.allow_cloud || profile.need == Need::any)) {
            return Exclusion::cloud; // and nothing is ever pulled to or made there
        }
        if (manner->api == NodeApi::openai && !profile.openai) {
            return Exclusion::other_api;
        }
    }
    if (profile.rules != nullptr && !profile.rules->members.admits(node.id, node.name, node.labels)) {
        return Exclusion::not_member;
    }
    if (node.settings != nullptr && profile.need == Need::slot
        && !(profile.generates ? node.settings->allow_completions : node.settings->allow_embeddings)) {
        return Exclusion::not_allowed;
    }
    if (!node.carries(profile.labels)) {
        return Exclusion::label_missing;
    }
    if (std::ranges::find(profile.exclude, node.id) != profile.exclude.end()) {
        return Exclusion::tried;
    }
    switch (node.state) {
    case NodeState::online: return Exclusion::none;
    case NodeState::unknown: return Exclusion::not_verified;
    case NodeState::suspect: return Exclusion::suspect;
    case NodeState::draining: return Exclusion::draining;
    case NodeState::offline: return Exclusion::offline;
    case NodeState::unreachable: break;
    }
    return Exclusion::unreachable;
}

namespace {

/// A model that the node has knows it. What is yet to be pulled, made there or reached by way of it goes by its name.
bool may_serve(const NodeRecord& node, const ModelOnNode* model, const Profile& profile)
{
    if (model != nullptr) {
        return model->allowed;
    }
    if (node.settings == nullptr || node.settings->models_allow.empty()) {
        return true;
    }
    if (!profile.model_key.empty()) {
        return node.allows(profile.model_key);
    }
    const auto name = ModelName::parse(profile.model);
    return !name.valid || node.allows(name.key);
}

} // namespace

Candidate consider(NodeRecord& node, ModelOnNode* model, const Profile& profile)
{
    Candidate candidate;
    candidate.node = &node;
    candidate.model = model;
    candidate.exclusion = why_not(node, profile);
    if (is_meant(candidate.exclusion) && !may_serve(node, model, profile)) {
        candidate.exclusion = Exclusion::model_not_allowed;
    }
    if (model == nullptr) {
        return candidate;
    }
    candidate.loaded = model->believed_loaded();
    candidate.same_class = candidate.loaded && is_same_class(*model, profile);
    candidate.free_slots = node.free_slots_of(*model);
    if (candidate.exclusion == Exclusion::none && !model->held()) {
        candidate.exclusion = Exclusion::model_missing;
    }
    if (candidate.exclusion == Exclusion::none && profile.resident_only && candidate.must_load()) {
        candidate.exclusion = Exclusion::not_loaded;
    }
    return candidate;
}

std::optional<std::size_t> choose_any(std::span<const Candidate> candidates, base::Rng& rng)
{
    const auto rank = [](const Candidate& c) {
        return std::tuple(c.loaded, -c.node->in_flight, c.node->free_memory());
    };
    std::optional<std::size_t> best;
    std::uint64_t equals = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (candidates[i].exclusion != Exclusion::none) {
            continue;
        }
        const auto order = best ? rank(candidates[i]) <=> rank(candidates[*best]) : std::strong_ordering::greater;
        if (order > 0) {
            best = i;
            equals = 1;
        } else if (order == 0 && rng.between(0, equals++) == 0) {
            best = i; // each of n equals with probability 1/n
        }
    }
    return best;
}

int bucket_of(int num_ctx, std::span<const int> buckets)
{
    const auto at = std::ranges::lower_bound(buckets, num_ctx);
    return num_ctx <= 0 || at == buckets.end() ? num_ctx : *at;
}

} // namespace herd::fleet
