#include "herd/pins/preload.hpp"

#include "herd/pins/at_node.hpp"
#include "herd/pins/room.hpp"

#include <algorithm>
#include <tuple>

namespace herd::app::pins {

namespace {

/// In memory where it can be asked for, or being brought there by a request.
bool at_hand(const fleet::Snapshot& snapshot, const std::string& key)
{
    const auto holders = snapshot.models.find(key);
    return holders != snapshot.models.end() && std::ranges::any_of(holders->second, [&](const fleet::Holder& holder) {
        return holder.tool == fleet::Tool::none && (holder.loaded || holder.in_flight > 0) && snapshot.nodes[holder.node].takes_requests();
    });
}

} // namespace

void Preload::want(std::vector<Popular> models)
{
    models.resize(std::min(models.size(), limits_.models));
    wanted_ = std::move(models);
    std::erase_if(tried_, [this](const auto& each) { return std::ranges::find(wanted_, each.first.first, &Popular::key) == wanted_.end(); });
}

/// Whether the model fits there beside all that is in memory or pinned. A node that does not tell how much is free has no
/// room that could be known.
bool Preload::takes(const fleet::NodeView& node, const Popular& model, const std::vector<Entry>& pins) const
{
    std::vector<std::string> beside;
    for (const fleet::LoadedModel& loaded : node.facts->loaded) {
        beside.push_back(loaded.key);
    }
    for (const Entry& entry : pins) {
        if (entry.node != node.id || entry.node_name.empty()) {
            continue;
        }
        if (entry.state == State::loading || entry.state == State::waiting || entry.state == State::failed) {
            return false; // that one first
        }
        if (std::ranges::find(beside, entry.key) == beside.end()) {
            beside.push_back(entry.key);
        }
    }
    const auto wanted = static_cast<double>(resident_bytes(*node.facts, model.key, model.num_ctx));
    return wanted > 0 && wanted <= limits_.share * static_cast<double>(free_bytes(*node.facts)) && !shortage(node, model.key, beside);
}

/// The node with most room, of those of the least tier where it fits. Null: there is none now.
const fleet::NodeView* Preload::place(const Popular& model, const fleet::Snapshot& snapshot, const std::vector<Entry>& pins, base::Instant now) const
{
    const auto holders = snapshot.models.find(model.key);
    if (holders == snapshot.models.end()) {
        return nullptr;
    }
    const fleet::NodeView* best = nullptr;
    for (const fleet::Holder& holder : holders->second) {
        const fleet::NodeView& node = snapshot.nodes[holder.node];
        const auto* found = on_disk(node, model.key);
        if (found == nullptr || holder.tool != fleet::Tool::none || found->remote || !node.takes_requests() || !fills_memory(node)) {
            continue;
        }
        const bool loads = std::ranges::any_of(running_, [&node](const auto& each) { return each.second == node.id; });
        const auto tried = tried_.find({model.key, node.id});
        const bool not_again = tried != tried_.end() && (!model.lately || now - tried->second < limits_.again);
        if (loads || not_again || !allows(node, request_of(node, *found).embeds) || !takes(node, model, pins)) {
            continue;
        }
        const auto rank = [](const fleet::NodeView& one) { return std::tuple(-one.tier(), free_bytes(*one.facts)); };
        if (best == nullptr || rank(node) > rank(*best)) {
            best = &node;
        }
    }
    return best;
}

std::vector<Request> Preload::step(const fleet::Snapshot& snapshot, const std::vector<Entry>& pins, base::Instant now)
{
    std::vector<Request> out;
    for (const Popular& model : wanted_) {
        const bool pinned = std::ranges::find(pins, model.key, &Entry::key) != pins.end();
        const bool running = std::ranges::any_of(running_, [&model](const auto& each) { return each.first == model.key; });
        if (running_.size() >= limits_.at_once || pinned || running || at_hand(snapshot, model.key)) {
            continue;
        }
        if (const auto* node = place(model, snapshot, pins, now)) {
            Request request = request_of(*node, *on_disk(*node, model.key));
            request.keep_alive = limits_.keep_alive;
            request.num_ctx = model.num_ctx;
            request.preloads = true;
            running_.emplace(model.key, node->id);
            tried_[{model.key, node->id}] = now;
            out.push_back(std::move(request));
        }
    }
    return out;
}

} // namespace herd::app::pins
