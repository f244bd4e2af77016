#include "herd/pins/plan.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "herd/pins/at_node.hpp"
#include "herd/pins/room.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace herd::app::pins {

namespace {

constexpr std::chrono::hours for_ever{48}; ///< what stays for longer than that needs no word from us
constexpr std::string_view ollamas_own = "5m";

bool meant(const std::string& name_or_id, const fleet::NodeView& node)
{
    return name_or_id.empty() || base::iequals(name_or_id, node.name) || base::iequals(name_or_id, node.id.text());
}

base::Bytes free_memory(const fleet::NodeView& node)
{
    if (!node.facts) {
        return 0;
    }
    base::Bytes vram = 0;
    for (const fleet::Gpu& gpu : node.facts->gpus) {
        vram += gpu.vram_free.value_or(gpu.vram_total);
    }
    return vram > 0 ? vram : node.facts->host.memory_available;
}

/// Both begin "2026-11-29T20": the hour is exact enough, whatever the zone.
bool ends_soon(const std::string& expires_at, base::WallTime wall)
{
    constexpr std::size_t to_the_hour = 13;
    if (expires_at.size() < to_the_hour) {
        return false;
    }
    const auto limit = std::chrono::duration_cast<std::chrono::seconds>((wall + for_ever).time_since_epoch()).count();
    return expires_at.substr(0, to_the_hour) < fmt::format("{:%Y-%m-%dT%H}", fmt::gmtime(static_cast<std::time_t>(limit)));
}

} // namespace

std::string_view to_string(State state)
{
    switch (state) {
    case State::resident: return "resident";
    case State::loading: return "loading";
    case State::waiting: return "waiting";
    case State::failed: return "failed";
    case State::absent: return "absent";
    }
    return "absent";
}

void Plan::want(std::vector<Pin> pins)
{
    wanted_ = std::move(pins);
    troubles_.clear(); // a person may just have made room
}

bool Plan::busy(const fleet::NodeId& node) const
{
    return std::ranges::any_of(running_, [&node](const auto& each) { return each.second && each.first.second == node; });
}

/// Of this step, so far.
std::vector<std::string> Plan::pinned_at(const fleet::NodeId& node) const
{
    std::vector<std::string> keys;
    for (const Entry& entry : entries_) {
        if (entry.node == node && !entry.node_name.empty()) {
            keys.push_back(entry.key);
        }
    }
    return keys;
}

/// The nodes that are to have it: where it is already, then those at work on it, then those with room.
void Plan::place(const Wanted& wanted, const fleet::Snapshot& snapshot, std::vector<const fleet::NodeView*>& places, std::string& why) const
{
    const std::size_t most = wanted.pin->node.empty() ? wanted.pin->replicas : 1;
    why = wanted.pin->node.empty() ? "no node has it" : "no node is called " + wanted.pin->node;
    for (const fleet::NodeView& node : snapshot.nodes) {
        if (!fills_memory(node) || !meant(wanted.pin->node, node)) {
            continue;
        }
        const auto* found = on_disk(node, wanted.key); // a tool of that name is meant where no node has such a model
        const bool has = found != nullptr && (fleet::tool_of(found->row) == fleet::Tool::none || snapshot.tools.contains(wanted.key));
        const bool may = node.allows(wanted.key);
        if (node.takes_requests() && has && may) {
            places.push_back(&node);
        } else if (has && !may) {
            why = fmt::format("{} may not serve it (models_allow)", node.name);
        } else if (!wanted.pin->node.empty() || has) {
            why = node.takes_requests() ? fmt::format("{} does not have it", node.name)
                                        : fmt::format("{} is {}", node.name, fleet::to_string(node.state));
        }
    }
    const auto rank = [&](const fleet::NodeView* node) {
        const Pair pair{wanted.key, node->id};
        const auto trouble = troubles_.find(pair);
        const int failures = trouble == troubles_.end() ? 0 : std::min(trouble->second.failures, 3);
        const auto others = pinned_at(node->id);
        return std::tuple(in_memory(*node, wanted.key) == nullptr, !running_.contains(pair), failures,
                          shortage(*node, wanted.key, others).has_value(), node->tier(), others.size(), ~free_memory(*node), node->name);
    };
    std::ranges::sort(places, {}, rank);
    if (most != 0 && places.size() > most) {
        places.resize(most);
    }
}

void Plan::failed(const Pair& pair, const std::string& reason, base::Instant now)
{
    Trouble& trouble = troubles_[pair];
    ++trouble.failures;
    trouble.reason = reason;
    trouble.good_since = {};
    const double doubled = base::seconds(limits_.first_retry) * std::exp2(std::min(trouble.failures - 1, 20));
    const double wait = std::min(doubled, base::seconds(limits_.last_retry)) * (1 + limits_.jitter * (2 * rng_.unit() - 1));
    trouble.wait = std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(wait));
    trouble.next_try = now + trouble.wait;
}

/// It is in memory. Clients that send a keep_alive of their own take ours back: then it is said again.
void Plan::stays(const Request& request, const fleet::LoadedModel& loaded, base::Instant now, base::WallTime wall, std::vector<Request>& out)
{
    const Pair pair{request.key, request.node};
    if (const auto trouble = troubles_.find(pair); trouble != troubles_.end()) {
        if (trouble->second.good_since == base::Instant{}) {
            trouble->second.good_since = now;
        } else if (now - trouble->second.good_since >= std::max(limits_.settled, 2 * trouble->second.wait)) {
            troubles_.erase(trouble);
        }
    }
    const auto held = held_.find(pair);
    const bool told = held != held_.end() && now - held->second.touched < limits_.touch;
    if (!told && ends_soon(loaded.expires_at, wall)) {
        running_[pair] = false;
        out.push_back(request);
    }
}

void Plan::look_at(const Wanted& wanted, const fleet::NodeView& node, base::Instant now, base::WallTime wall, std::vector<Request>& out)
{
    Request request = request_of(node, *on_disk(node, wanted.key));
    Entry entry{.key = wanted.key, .model = request.model, .node = node.id, .node_name = node.name};
    if (fleet::tool_of(on_disk(node, wanted.key)->row) != fleet::Tool::none) { // there is nothing to load
        entry.state = State::resident;
        entries_.push_back(std::move(entry));
        return;
    }
    const Pair pair{wanted.key, node.id};
    const auto running = running_.find(pair);
    const auto* loaded = in_memory(node, wanted.key);
    request.num_ctx = loaded != nullptr ? loaded->context_length : wanted.pin->num_ctx;
    if (running != running_.end() && running->second) {
        entry.state = State::loading;
    } else if (loaded != nullptr) {
        entry.state = State::resident;
        if (running == running_.end()) {
            stays(request, *loaded, now, wall, out);
        }
    } else {
        if (const auto held = held_.find(pair); held != held_.end()) {
            if (const auto lasted = now - held->second.loaded; lasted < limits_.pushed) {
                failed(pair, fmt::format("it was out of {}'s memory again {:.0f} s after it was loaded", node.name, base::seconds(lasted)), now);
            }
            held_.erase(held);
        }
        const auto trouble = troubles_.find(pair);
        if (trouble != troubles_.end() && now < trouble->second.next_try) {
            entry.state = State::failed;
        } else if (busy(node.id) || running != running_.end()) {
            entry.state = State::waiting;
            entry.reason = "another model is being loaded there";
        } else {
            entry.state = State::loading;
            running_[pair] = true;
            out.push_back(request);
        }
    }
    if (const auto trouble = troubles_.find(pair); trouble != troubles_.end()) {
        entry.failures = trouble->second.failures;
        entry.reason = entry.state == State::resident ? std::string{} : trouble->second.reason;
        entry.next_try = trouble->second.next_try;
    }
    entries_.push_back(std::move(entry));
}

/// What is pinned no longer, and in memory because of us, may go when the node's own time is over.
void Plan::let_go(const fleet::Snapshot& snapshot, std::vector<Request>& out)
{
    std::erase_if(held_, [&](const auto& each) {
        const auto& [key, id] = each.first;
        const bool wanted = std::ranges::any_of(entries_, [&](const Entry& entry) {
            return entry.key == key && entry.node == id && entry.state != State::absent; // pinned there, where it may not be any more
        });
        const fleet::NodeView* node = snapshot.find(id);
        if (wanted || running_.contains(each.first) || (node != nullptr && !node->takes_requests())) {
            return false; // one that is away for a moment still holds it
        }
        const auto* model = node == nullptr ? nullptr : on_disk(*node, key);
        const auto* loaded = node == nullptr ? nullptr : in_memory(*node, key);
        if (model != nullptr && loaded != nullptr) {
            Request request = request_of(*node, *model);
            request.num_ctx = loaded->context_length;
            request.lets_go = true;
            request.keep_alive = node->facts->settings.keep_alive.empty() ? std::string{ollamas_own} : node->facts->settings.keep_alive;
            running_[each.first] = false;
            out.push_back(std::move(request));
        }
        return true;
    });
}

std::vector<Request> Plan::step(const fleet::Snapshot& snapshot, base::Instant now, base::WallTime wall)
{
    entries_.clear();
    std::vector<Request> out;
    std::map<Pair, bool> seen; // two pins may want the same
    for (const bool named : {true, false}) { // who has no choice comes first
        for (const Pin& pin : wanted_) {
            if (pin.node.empty() == named) {
                continue;
            }
            const auto name = fleet::ModelName::parse(pin.model);
            const Wanted wanted{&pin, name.key, name.display};
            std::vector<const fleet::NodeView*> places;
            std::string why;
            place(wanted, snapshot, places, why);
            for (const fleet::NodeView* node : places) {
                if (seen.emplace(Pair{name.key, node->id}, true).second) {
                    look_at(wanted, *node, now, wall, out);
                }
            }
            if (places.empty() || places.size() < (named ? 1 : pin.replicas)) {
                Entry entry{.key = name.key, .model = name.display, .reason = places.empty() ? why : "no further node has it"};
                if (const auto* node = named ? snapshot.find(std::string_view(pin.node)) : nullptr; node != nullptr) {
                    entry.node = node->id;
                    entry.node_name = node->name;
                }
                entries_.push_back(std::move(entry));
            }
        }
    }
    std::erase_if(troubles_, [&seen, &snapshot](const auto& each) { // of a node that is away: kept until it is back
        const fleet::NodeView* node = snapshot.find(each.first.second);
        return !seen.contains(each.first) && (node == nullptr || node->takes_requests());
    });
    let_go(snapshot, out);
    return out;
}

void Plan::ended(const Request& request, const std::string& error, base::Instant now)
{
    const Pair pair{request.key, request.node};
    const auto running = running_.find(pair);
    const bool loads = running != running_.end() && running->second;
    running_.erase(pair);
    if (request.lets_go) {
        return;
    }
    if (error.empty()) {
        Held& held = held_[pair];
        held.touched = now;
        held.loaded = loads || held.loaded == base::Instant{} ? now : held.loaded;
    } else if (loads) {
        failed(pair, error, now);
    } else {
        held_[pair].touched = now; // it is in memory; the node will be asked again
    }
}

std::optional<base::Instant> Plan::next_look(base::Instant now) const
{
    std::optional<base::Instant> next;
    const auto at = [&next](base::Instant when) { next = next ? std::min(*next, when) : when; };
    for (const Entry& entry : entries_) {
        if (entry.state == State::failed) {
            at(std::max(entry.next_try, now));
        } else if (entry.state == State::resident) {
            at(now + limits_.touch); // what a client said of keep_alive may not be a change that is told
        }
    }
    return next;
}

} // namespace herd::app::pins
