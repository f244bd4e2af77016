#include "fleet/node_table.hpp"

#include "base/assert.hpp"
#include "base/text.hpp"
#include "fleet/called.hpp"

#include <algorithm>

namespace herd::fleet {

NodeRecord* NodeTable::find(const NodeId& id)
{
    const auto at = nodes_.find(id);
    return at == nodes_.end() ? nullptr : &at->second;
}

const NodeRecord* NodeTable::find(const NodeId& id) const
{
    const auto at = nodes_.find(id);
    return at == nodes_.end() ? nullptr : &at->second;
}

/// As Snapshot::find().
NodeTable::Named NodeTable::find(std::string_view name_or_id)
{
    if (const auto id = NodeId::parse(name_or_id)) {
        return {find(*id), {}};
    }
    const auto [begin, end] = by_name_.equal_range(base::lower(name_or_id));
    const bool exact = std::any_of(begin, end, [&](const auto& entry) { return entry.second->name == name_or_id; });
    std::vector<NodeRecord*> all;
    for (auto at = begin; at != end; ++at) {
        if (!exact || at->second->name == name_or_id) {
            all.push_back(at->second);
        }
    }
    if (NodeRecord* const one = all.empty() ? numbered(name_or_id) : nullptr) {
        return {one, {}};
    }
    if (all.empty() && may_begin_id(name_or_id)) {
        for (auto& [id, node] : nodes_) {
            if (id.text().starts_with(name_or_id)) {
                all.push_back(&node);
            }
        }
    }
    const auto there = [](const NodeRecord* node) { return is_there(node->state); };
    if (all.size() == 1 || std::ranges::count_if(all, there) == 1) {
        return {all.size() == 1 ? all.front() : *std::ranges::find_if(all, there), {}};
    }
    Named nobody;
    for (const NodeRecord* node : all) {
        nobody.several.push_back(node->id);
    }
    return nobody;
}

/// The one of several with one name that has this number (called.hpp).
NodeRecord* NodeTable::numbered(std::string_view word) const
{
    const auto asked = parse_numbered(word);
    if (!asked) {
        return nullptr;
    }
    std::vector<NodeRecord*> bearers;
    const auto [begin, end] = by_name_.equal_range(base::lower(asked->name));
    for (auto at = begin; at != end; ++at) {
        if (at->second->name == asked->name) {
            bearers.push_back(at->second);
        }
    }
    std::ranges::sort(bearers, {}, &NodeRecord::id);
    const auto place = place_of(*asked, bearers.size(), [this](const std::string& name) { return by_name_.contains(base::lower(name)); });
    return place ? bearers[*place] : nullptr;
}

bool NodeTable::shares_name(const NodeRecord& node) const { return by_name_.count(base::lower(node.name)) > 1; }

NodeRecord& NodeTable::add(const NodeId& id, NodeSource source, const base::Endpoint& agent)
{
    const auto [at, is_new] = nodes_.try_emplace(id);
    HERD_ASSERT(is_new);
    auto& node = at->second;
    node.id = id;
    node.serial = ++last_serial_;
    node.source = source;
    node.agent = agent;
    if (source != NodeSource::configured) {
        count_source(agent.address, 1);
    }
    apply_settings(node);
    return node;
}

void NodeTable::remove(NodeRecord& node, Step& step)
{
    catalog_.remove(node, step);
    rename(node, {});
    if (!node.is_static()) {
        count_source(node.agent.address, -1);
    }
    step.touched.push_back(node.id);
    const auto id = node.id;
    nodes_.erase(id);
}

void NodeTable::rename(NodeRecord& node, const std::string& name)
{
    if (node.name == name) {
        return;
    }
    names_changed_ = true;
    if (!node.name.empty()) {
        const auto [begin, end] = by_name_.equal_range(base::lower(node.name));
        for (auto at = begin; at != end; ++at) {
            if (at->second == &node) {
                by_name_.erase(at);
                break;
            }
        }
    }
    node.name = name;
    if (!name.empty()) {
        by_name_.emplace(base::lower(name), &node);
    }
    apply_settings(node);
}

/// By id, else by name. Whether they are others than before.
bool NodeTable::apply_settings(NodeRecord& node)
{
    if (settings_by_id_.empty() && settings_by_name_.empty() && node.settings == nullptr) {
        return false;
    }
    std::shared_ptr<const NodeSettings> settings;
    if (const auto by_id = settings_by_id_.find(node.id); by_id != settings_by_id_.end()) {
        settings = by_id->second;
    } else if (const auto by_name = settings_by_name_.find(base::lower(node.name)); by_name != settings_by_name_.end()) {
        settings = by_name->second;
    }
    const bool same = settings == node.settings || (settings != nullptr && node.settings != nullptr && *settings == *node.settings);
    node.settings = std::move(settings);
    node.set_labels(std::move(node.own_labels));
    if (!same) {
        for (auto& [key, model] : node.models) {
            model.allowed = node.allows(key);
        }
    }
    return !same;
}

std::vector<NodeRecord*> NodeTable::set_settings(const SettingsOf& settings)
{
    settings_by_id_.clear();
    settings_by_name_.clear();
    for (const auto& [node, one] : settings) {
        auto shared = std::make_shared<const NodeSettings>(one);
        if (const auto id = NodeId::parse(node)) {
            settings_by_id_[*id] = std::move(shared);
        } else {
            settings_by_name_[base::lower(node)] = std::move(shared);
        }
    }
    std::vector<NodeRecord*> differ;
    for (auto& [id, node] : nodes_) {
        if (apply_settings(node)) {
            differ.push_back(&node);
        }
    }
    return differ;
}

void NodeTable::set_agent(NodeRecord& node, const base::Endpoint& agent)
{
    if (!node.is_static()) {
        count_source(node.agent.address, -1);
        count_source(agent.address, 1);
    }
    node.agent = agent;
}

int NodeTable::ids_from(const base::IpAddress& address) const
{
    const auto at = by_source_.find(address);
    return at == by_source_.end() ? 0 : at->second;
}

void NodeTable::count_source(const base::IpAddress& address, int by)
{
    auto& count = by_source_[address];
    count += by;
    if (count <= 0) {
        by_source_.erase(address);
    }
}

} // namespace herd::fleet
