#include "herd/bench/plan.hpp"

#include "fleet/model_name.hpp"
#include "herd/pins/at_node.hpp"
#include "herd/pins/room.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace herd::app::bench {

namespace {

constexpr std::size_t targets_max = 32;
constexpr std::size_t workers_per_node = 8;
constexpr std::size_t workers_max = 6;
constexpr double share_of_free = 0.8; ///< of a node's free memory: the rest is for what an estimate misses

/// A model that could be measured, and where.
struct Candidate {
    Target target{};
    base::Bytes size{0};
    bool loaded{false}; ///< somewhere; what has nothing to load is, always
    std::vector<std::size_t> nodes{};
};

/// What Ollama says that a model can do; nothing: it is too old to tell.
std::optional<std::string_view> capabilities_of(std::string_view row)
{
    constexpr std::string_view key = R"("capabilities":[)";
    const auto at = row.find(key);
    if (at == row.npos) {
        return std::nullopt;
    }
    const auto rest = row.substr(at + key.size());
    return rest.substr(0, rest.find(']'));
}

bool can(const fleet::Model& model, fleet::Tool tool, Type type)
{
    if (tool != fleet::Tool::none) {
        return tool == fleet::Tool::image && type == Type::image;
    }
    const bool embeds = pins::embeds(model);
    const auto told = capabilities_of(model.row);
    const auto has = [&told](std::string_view word) { return told && told->find(word) != told->npos; };
    switch (type) {
    case Type::llm: return told ? has(R"("completion")") : !embeds;
    case Type::vision: return has(R"("completion")") && has(R"("vision")");
    case Type::embed: return embeds;
    case Type::image: return has(R"("image")");
    }
    return false;
}

/// What the model is measured as: of the kinds that are wished, the one that fewest models are of.
std::optional<Type> type_of(const fleet::Model& model, fleet::Tool tool, const std::vector<Type>& wished)
{
    for (const Type type : {Type::image, Type::embed, Type::vision, Type::llm}) {
        if (std::ranges::find(wished, type) != wished.end() && can(model, tool, type)) {
            return type;
        }
    }
    return std::nullopt;
}

bool in_cloud(const fleet::NodeView& node, const fleet::Model& model)
{
    return node.address.cloud() || model.remote || fleet::ModelName::parse(model.name).cloud;
}

std::vector<Candidate> candidates_of(const fleet::Snapshot& snapshot, const std::vector<Type>& wished)
{
    std::vector<Candidate> all;
    for (const auto& [key, holders] : snapshot.models) {
        const auto tool = snapshot.tools.find(key);
        const auto kind = tool == snapshot.tools.end() ? fleet::Tool::none : tool->second;
        Candidate one{.target = {.key = key, .tool = kind != fleet::Tool::none, .native = false}};
        for (const fleet::Holder& holder : holders) {
            const fleet::NodeView& node = snapshot.nodes[holder.node];
            if (!node.facts || holder.tool != kind || !node.takes_requests() || !node.allows(key) || in_cloud(node, node.facts->models[holder.model])) {
                continue;
            }
            const fleet::Model& model = node.facts->models[holder.model];
            const auto type = type_of(model, kind, wished);
            if (!type || !pins::allows(node, *type == Type::embed)) {
                continue;
            }
            const bool ollama = node.address.api() == fleet::NodeApi::ollama;
            one.target.model = fleet::ModelName::parse(model.name).display;
            one.target.type = *type;
            one.target.native = one.target.native || ollama;
            one.size = model.size;
            one.loaded = one.loaded || holder.loaded || one.target.tool || !ollama;
            one.nodes.push_back(holder.node);
        }
        if (!one.nodes.empty()) {
            all.push_back(std::move(one));
        }
    }
    return all;
}

/// What is on most nodes comes first, then what is soonest loaded.
auto by_reach(const Candidate* one) { return std::tuple(-static_cast<std::ptrdiff_t>(one->nodes.size()), one->size, one->target.model); }

using Chosen = std::vector<const Candidate*>;

void add_missing_types(const std::vector<const Candidate*>& others, const std::vector<Type>& wished, Chosen& chosen)
{
    for (const Type type : wished) {
        const auto is_of = [type](const Candidate* one) { return one->target.type == type; };
        if (std::ranges::none_of(chosen, is_of)) {
            if (const auto found = std::ranges::find_if(others, is_of); found != others.end()) {
                chosen.push_back(*found);
            }
        }
    }
}

/// What some node has room for beside all that is there and was planned before.
void add_what_fits(const std::vector<const Candidate*>& others, const fleet::Snapshot& snapshot, Chosen& chosen)
{
    std::map<std::size_t, double> planned;
    for (const Candidate* one : others) {
        if (std::ranges::find(chosen, one) != chosen.end()) {
            continue;
        }
        for (const std::size_t node : one->nodes) {
            const auto& facts = *snapshot.nodes[node].facts;
            const auto needs = static_cast<double>(pins::resident_bytes(facts, one->target.key));
            if (needs > 0 && planned[node] + needs <= share_of_free * static_cast<double>(pins::free_bytes(facts))) {
                planned[node] += needs;
                chosen.push_back(one);
                break;
            }
        }
    }
}

bool is_named(const Wish& wish, const std::string& key)
{
    return std::ranges::any_of(wish.models, [&key](const std::string& name) { return fleet::ModelName::parse(name).key == key; });
}

Chosen choose(const std::vector<Candidate>& all, const fleet::Snapshot& snapshot, const Wish& wish)
{
    Chosen chosen;
    std::vector<const Candidate*> others;
    for (const Candidate& one : all) {
        const bool taken = wish.models.empty() ? one.loaded : is_named(wish, one.target.key);
        (taken ? chosen : others).push_back(&one);
    }
    if (wish.models.empty()) {
        std::ranges::sort(others, {}, by_reach);
        add_missing_types(others, wish.types, chosen);
        if (wish.mode == Mode::smart) {
            add_what_fits(others, snapshot, chosen);
        }
    }
    return chosen;
}

} // namespace

std::size_t Plan::workers_each() const
{
    return std::clamp<std::size_t>(workers_per_node * nodes / std::max<std::size_t>(targets.size(), 1), 1, workers_max);
}

Plan make_plan(const fleet::Snapshot& snapshot, const Wish& wish)
{
    const auto all = candidates_of(snapshot, wish.types);
    Chosen chosen = choose(all, snapshot, wish);
    chosen.resize(std::min(chosen.size(), targets_max));
    Plan plan;
    std::vector<std::size_t> nodes;
    for (const Candidate* one : chosen) {
        plan.targets.push_back(one->target);
        nodes.insert(nodes.end(), one->nodes.begin(), one->nodes.end());
    }
    std::ranges::sort(nodes);
    nodes.erase(std::ranges::unique(nodes).begin(), nodes.end());
    plan.nodes = nodes.size();
    std::ranges::sort(plan.targets, {}, &Target::model);
    return plan;
}

std::vector<std::string> missing(const fleet::Snapshot& snapshot, const Wish& wish)
{
    std::vector<std::string> names;
    for (const std::string& name : wish.models) {
        const auto key = fleet::ModelName::parse(name).key;
        const auto holders = snapshot.models.find(key);
        const bool there = holders != snapshot.models.end()
            && std::ranges::any_of(holders->second, [&](const fleet::Holder& holder) {
                   const fleet::NodeView& node = snapshot.nodes[holder.node];
                   return node.takes_requests() && node.allows(key);
               });
        if (!there) {
            names.push_back(name);
        }
    }
    return names;
}

std::string why_none(const fleet::Snapshot& snapshot, const Wish& wish)
{
    if (snapshot.routable().empty()) {
        return "no node takes requests";
    }
    std::vector<std::string_view> kinds;
    for (const Type type : wish.types) {
        kinds.push_back(to_string(type));
    }
    const std::string of = wish.models.empty() ? std::string{} : fmt::format(" of {}", fmt::join(wish.models, ", "));
    return fmt::format("no node of this LAN has a model{} that can be measured as {}", of, fmt::join(kinds, " or "));
}

} // namespace herd::app::bench
