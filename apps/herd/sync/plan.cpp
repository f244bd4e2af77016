#include "herd/sync/plan.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace herd::app::sync {

namespace {

constexpr std::size_t troubles_max = 65536;

bool has(const fleet::NodeView& node, const std::string& key)
{
    return node.facts && std::ranges::find(node.facts->models, key, &fleet::Model::key) != node.facts->models.end();
}

bool names(const std::vector<std::string>& list, const fleet::NodeView& node)
{
    return list.empty() || std::ranges::any_of(list, [&node](const std::string& each) {
               return base::iequals(each, node.name) || base::iequals(each, node.id.text());
           });
}

bool carries(const std::vector<std::string>& labels, const fleet::NodeView& node)
{
    return std::ranges::all_of(labels, [&node](const std::string& label) {
        return std::ranges::any_of(node.labels, [&label](const std::string& own) { return base::iequals(own, label); });
    });
}

base::Bytes room(const fleet::NodeView& node)
{
    return node.facts ? node.facts->disk_free.value_or(0) : 0;
}

double in_gib(base::Bytes bytes) { return static_cast<double>(bytes) / static_cast<double>(base::gib); }

/// What it has counts, though nothing more may be sent there now.
bool around(const fleet::NodeView& node)
{
    using enum fleet::NodeState;
    return node.state == online || node.state == draining || node.state == suspect;
}

} // namespace

base::Bytes size_of(const fleet::Snapshot& snapshot, const std::string& key)
{
    base::Bytes most = 0;
    if (const auto holders = snapshot.models.find(key); holders != snapshot.models.end()) {
        for (const fleet::Holder& holder : holders->second) {
            const auto& facts = snapshot.nodes[holder.node].facts;
            if (facts && holder.model < facts->models.size()) {
                most = std::max(most, facts->models[holder.model].size);
            }
        }
    }
    return most;
}

std::string no_room(const fleet::NodeView& node, const std::string& key, const fleet::Snapshot& snapshot, double room_left)
{
    if (!node.facts || !node.facts->disk_free || !node.facts->disk_total || *node.facts->disk_total == 0) {
        return {}; // a plain Ollama does not tell
    }
    const base::Bytes size = size_of(snapshot, key);
    const auto keep = static_cast<base::Bytes>(room_left * static_cast<double>(*node.facts->disk_total));
    if (*node.facts->disk_free >= size + keep) {
        return {};
    }
    return fmt::format("no room: {:.1f} GiB free{}, and {:.0f} % of the disk must stay free", in_gib(*node.facts->disk_free),
                       size > 0 ? fmt::format(", the model takes {:.1f} GiB", in_gib(size)) : "", 100 * room_left);
}

base::Duration wait_after(int failures, const PlanLimits& limits, base::Rng& rng)
{
    const double doubled = base::seconds(limits.first_retry) * std::exp2(std::min(failures - 1, 20));
    const double wait = std::min(doubled, base::seconds(limits.last_retry)) * (1 + limits.jitter * (2 * rng.unit() - 1));
    return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(wait));
}

std::string_view to_string(State state)
{
    switch (state) {
    case State::present: return "present";
    case State::missing: return "missing";
    case State::queued: return "queued";
    case State::pulling: return "pulling";
    case State::failed: return "failed";
    }
    return "missing";
}

void Plan::require(std::vector<Requirement> wanted)
{
    if (wanted != wanted_) {
        wanted_ = std::move(wanted);
        troubles_.clear();
        dropped_.clear();
    }
}

bool Plan::requires_model(const std::string& key) const
{
    if (std::ranges::find(dropped_, key) != dropped_.end()) {
        return false;
    }
    return std::ranges::any_of(wanted_, [&key](const Requirement& each) { return fleet::ModelName::parse(each.model).key == key; });
}

void Plan::drop(const std::string& key)
{
    if (requires_model(key)) {
        dropped_.push_back(key);
    }
}

/// The nodes that count for a requirement: all that fit it, or, where a number is asked for, those that have the model
/// first, then those at work on it, then those with the most room.
std::vector<const fleet::NodeView*> Plan::places(const Wanted& wanted, const fleet::Snapshot& snapshot) const
{
    const Requirement& requirement = *wanted.requirement;
    std::vector<const fleet::NodeView*> fitting;
    for (const fleet::NodeView& node : snapshot.nodes) {
        // Models are pulled to Ollamas of this LAN alone.
        const bool pulls = !node.address.cloud() && node.address.api() == fleet::NodeApi::ollama;
        // Who may not serve it is none of "all"; of a node that is named the entry says so.
        const bool may = node.allows(wanted.key) || !requirement.nodes.empty();
        if (pulls && may && names(requirement.nodes, node) && carries(requirement.labels, node)) {
            fitting.push_back(&node);
        }
    }
    if (requirement.replicas == 0 || fitting.size() <= requirement.replicas) {
        return fitting;
    }
    const auto rank = [&](const fleet::NodeView* node) {
        const bool there = around(*node);
        const bool at_work = running_.contains({wanted.key, node->id});
        const auto trouble = troubles_.find({wanted.key, node->id});
        const int failures = trouble == troubles_.end() ? 0 : std::min(trouble->second.failures, 3);
        return std::tuple(!node->allows(wanted.key), !(there && has(*node, wanted.key)), !at_work, !there, failures, ~room(*node), node->name);
    };
    std::ranges::sort(fitting, {}, rank);
    fitting.resize(requirement.replicas);
    return fitting;
}

Entry Plan::judge(const Wanted& wanted, const fleet::NodeView& node, const fleet::Snapshot& snapshot, base::Instant now)
{
    Entry entry{.key = wanted.key, .model = wanted.display, .node = node.id, .node_name = node.name};
    const Pair pair{wanted.key, node.id};
    const auto trouble = troubles_.find(pair);
    if (const auto running = running_.find(pair); running != running_.end()) {
        entry.state = State::pulling;
        entry.percent = running->second;
        return entry;
    }
    if (!node.allows(wanted.key)) {
        entry.reason = fmt::format("{} may not serve it (models_allow)", node.name);
        return entry;
    }
    if (has(node, wanted.key)) {
        entry.state = State::present;
        if (trouble != troubles_.end()) {
            troubles_.erase(trouble);
        }
        return entry;
    }
    if (node.state != fleet::NodeState::online || !node.facts) {
        entry.reason = fmt::format("{} is {}", node.name, fleet::to_string(node.state));
        return entry;
    }
    if (trouble != troubles_.end()) {
        entry.failures = trouble->second.failures;
        entry.reason = trouble->second.reason;
        entry.next_try = trouble->second.next_try;
        entry.state = now < entry.next_try ? State::failed : State::queued;
    } else {
        entry.state = State::queued;
    }
    if (entry.state == State::queued) {
        if (auto why = no_room(node, wanted.key, snapshot, limits_.room_left); !why.empty()) {
            entry.state = State::failed;
            entry.reason = std::move(why);
            entry.next_try = now + limits_.first_retry;
            if (trouble == troubles_.end() && troubles_.size() < troubles_max) {
                troubles_[pair] = {1, entry.reason, entry.next_try};
            } else if (trouble != troubles_.end()) {
                trouble->second = {trouble->second.failures + 1, entry.reason, entry.next_try};
            }
            entry.failures = troubles_.contains(pair) ? troubles_[pair].failures : 1;
        }
    }
    return entry;
}

void Plan::start(std::vector<Pull>& out, const fleet::Snapshot& snapshot)
{
    for (Entry& entry : entries_) {
        if (entry.state != State::queued || running_.size() >= limits_.in_all) {
            continue;
        }
        const auto here = static_cast<std::size_t>(
            std::ranges::count_if(running_, [&entry](const auto& each) { return each.first.second == entry.node; }));
        const fleet::NodeView* node = snapshot.find(entry.node);
        if (here >= limits_.per_node || node == nullptr) {
            continue;
        }
        running_[{entry.key, entry.node}] = 0;
        entry.state = State::pulling;
        out.push_back({entry.node, entry.node_name, entry.key, entry.model, node->address});
    }
}

std::vector<Pull> Plan::step(const fleet::Snapshot& snapshot, base::Instant now)
{
    entries_.clear();
    std::map<Pair, bool> seen; // two requirements may want the same
    for (const Requirement& requirement : wanted_) {
        const auto name = fleet::ModelName::parse(requirement.model);
        if (!name.valid || name.cloud || std::ranges::find(dropped_, name.key) != dropped_.end()) {
            continue;
        }
        const Wanted wanted{&requirement, name.key, name.display};
        for (const fleet::NodeView* node : places(wanted, snapshot)) {
            if (seen.emplace(Pair{name.key, node->id}, true).second) {
                entries_.push_back(judge(wanted, *node, snapshot, now));
            }
        }
    }
    std::erase_if(troubles_, [&seen](const auto& each) { return !seen.contains(each.first); });
    std::vector<Pull> out;
    start(out, snapshot);
    return out;
}

void Plan::progress(const Pair& pair, int percent)
{
    if (const auto running = running_.find(pair); running != running_.end()) {
        running->second = std::clamp(percent, 0, 100);
    }
}

void Plan::ended(const Pair& pair, const std::string& error, base::Instant now)
{
    running_.erase(pair);
    if (error.empty()) {
        troubles_.erase(pair);
        return;
    }
    const auto known = troubles_.find(pair);
    const int failures = known == troubles_.end() ? 1 : known->second.failures + 1;
    troubles_[pair] = {failures, error, now + wait_after(failures, limits_, rng_)};
}

void Plan::retry(std::string_view model, std::string_view node)
{
    const std::string key = fleet::ModelName::parse(model).key;
    for (const Entry& entry : entries_) {
        const bool fits = (model.empty() || entry.key == key)
                          && (node.empty() || base::iequals(entry.node_name, node) || base::iequals(entry.node.text(), node));
        if (const auto trouble = troubles_.find({entry.key, entry.node}); fits && trouble != troubles_.end()) {
            trouble->second.next_try = {};
        }
    }
}

} // namespace herd::app::sync
