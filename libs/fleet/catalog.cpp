#include "fleet/catalog.hpp"

#include "fleet/knowledge.hpp"
#include "fleet/model_name.hpp"
#include "fleet/one_slot.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

const std::vector<Holding> nobody{};

auto place_of(std::vector<Holding>& holders, const NodeId& id)
{
    return std::ranges::lower_bound(holders, id, {}, [](const Holding& h) { return h.node->id; });
}

} // namespace

std::string key_of(const std::string& key, const std::string& name)
{
    if (!key.empty()) {
        return key;
    }
    const auto parsed = ModelName::parse(name);
    return parsed.valid ? parsed.key : std::string{};
}

const std::vector<Holding>& Catalog::holders(const std::string& key) const
{
    const auto at = entries_.find(key);
    return at == entries_.end() ? nobody : at->second.holders;
}

void Catalog::add_holder(NodeRecord& node, const std::string& key, ModelOnNode& model, Step& step)
{
    auto& holders = entries_[key].holders;
    const auto at = place_of(holders, node.id);
    if (at == holders.end() || at->node != &node) {
        holders.insert(at, Holding{&node, &model});
        step.models_changed.push_back(key);
    }
}

void Catalog::remove_holder(const NodeRecord& node, const std::string& key, Step& step)
{
    const auto entry = entries_.find(key);
    if (entry == entries_.end()) {
        return;
    }
    auto& holders = entry->second.holders;
    const auto at = place_of(holders, node.id);
    if (at != holders.end() && at->node == &node) {
        holders.erase(at);
        step.models_changed.push_back(key);
    }
    if (holders.empty()) {
        entries_.erase(entry);
    }
}

void Catalog::read_loaded(NodeRecord& node)
{
    for (auto& [key, model] : node.models) {
        model.loaded = model.tool != Tool::none;
        model.warm = false;
        model.slots.reset();
        model.wire_hash = 0;
        if (model.in_flight == 0) {
            model.context_length = 0;
        }
    }
    node.resident_most = std::max(node.resident_most, static_cast<int>(node.facts->loaded.size()));
    for (const auto& row : node.facts->loaded) {
        const auto key = key_of(row.key, row.name);
        const auto at = node.models.find(key);
        if (at == node.models.end()) {
            continue; // deleted while loaded: nobody may ask for it
        }
        auto& model = at->second;
        model.loaded = true;
        model.slots = row.slots;
        model.wire_hash = row.wire_hash;
        model.load_ends = {};
        if (row.context_length > 0) {
            model.context_length = row.context_length;
        }
        if (row.size > 0) {
            model.memory = row.size;
            model.memory_context = row.context_length;
            model.in_vram = std::clamp(static_cast<double>(row.size_vram) / static_cast<double>(row.size), 0.0, 1.0);
        }
    }
    for (auto& [key, model] : node.models) {
        if (!model.believed_loaded()) {
            model.unloaded();
        }
    }
}

void Catalog::adopt(NodeRecord& node, std::shared_ptr<const NodeFacts> facts, Step& step)
{
    const bool restarted = node.facts->boot_id != facts->boot_id;
    node.facts = std::move(facts);
    node.list_doubted = false;
    node.hardware = hardware_of(*node.facts);
    for (auto& [key, model] : node.models) {
        model.listed = false;
        if (restarted && model.learning != nullptr) {
            model.learning->belief.clear();
        }
    }
    for (std::size_t i = 0; i < node.facts->models.size(); ++i) {
        const auto& row = node.facts->models[i];
        const auto key = key_of(row.key, row.name);
        if (key.empty()) {
            continue;
        }
        auto& model = node.models[key];
        model.listed = true;
        model.missing = false;
        model.allowed = node.allows(key);
        model.index = i;
        model.digest = digest_hash(row.digest);
        model.size = row.size;
        model.cache_per_token = row.cache_per_token;
        model.tool = tool_of(row.row);
        model.one_slot = model.tool != Tool::none || is_one_slot(row.row);
        add_holder(node, key, model, step);
    }
    for (auto at = node.models.begin(); at != node.models.end();) {
        if (!at->second.listed) {
            remove_holder(node, at->first, step);
        }
        at = !at->second.listed && at->second.in_flight == 0 ? node.models.erase(at) : std::next(at);
    }
    read_loaded(node);
    step.touched.push_back(node.id);
}

void Catalog::adopt_loaded(NodeRecord& node, std::shared_ptr<const NodeFacts> facts, Step& step)
{
    node.facts = std::move(facts);
    read_loaded(node);
    step.touched.push_back(node.id);
}

void Catalog::mark_missing(NodeRecord& node, const std::string& key, Step& step)
{
    const auto at = node.models.find(key);
    if (at != node.models.end() && at->second.held()) {
        at->second.missing = true;
        node.list_doubted = true;
        remove_holder(node, key, step);
    }
}

void Catalog::remove(NodeRecord& node, Step& step)
{
    for (const auto& [key, model] : node.models) {
        remove_holder(node, key, step);
    }
    node.models.clear();
}

void Catalog::tidy(NodeRecord& node, const std::string& key)
{
    const auto at = node.models.find(key);
    if (at != node.models.end() && !at->second.listed && at->second.in_flight == 0) {
        node.models.erase(at);
    }
}

} // namespace herd::fleet
