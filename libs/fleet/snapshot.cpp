#include "fleet/snapshot.hpp"

#include "base/text.hpp"
#include "fleet/called.hpp"

#include <algorithm>

namespace herd::fleet {

const NodeView* Snapshot::find(const NodeId& id) const
{
    const auto at = std::ranges::find(nodes, id, &NodeView::id);
    return at == nodes.end() ? nullptr : &*at;
}

namespace {

/// All that are meant: those called exactly so, else those that differ in case alone, else those whose id begins so.
std::vector<const NodeView*> called(const std::vector<NodeView>& nodes, std::string_view name)
{
    std::vector<const NodeView*> out;
    const auto take = [&](auto&& fits) {
        for (const auto& node : nodes) {
            if (fits(node)) {
                out.push_back(&node);
            }
        }
        return !out.empty();
    };
    if (!name.empty() && !take([&](const NodeView& node) { return node.name == name; })
        && !take([&](const NodeView& node) { return base::iequals(node.name, name); }) && may_begin_id(name)) {
        take([&](const NodeView& node) { return node.id.text().starts_with(name); });
    }
    return out;
}

} // namespace

const NodeView* Snapshot::find(std::string_view name_or_id) const
{
    if (const auto id = NodeId::parse(name_or_id)) {
        return find(*id);
    }
    auto all = called(nodes, name_or_id);
    if (all.size() > 1) {
        std::erase_if(all, [](const NodeView* node) { return !is_there(node->state); });
    }
    return all.size() == 1 ? all.front() : nullptr;
}

bool may_begin_id(std::string_view text)
{
    return text.size() >= short_id_length
        && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'; });
}

std::string word_for(const Snapshot& snapshot, const NodeView& node)
{
    return snapshot.find(std::string_view(node.name)) == &node ? node.name : node.id.text();
}

std::string why_nobody(std::string_view name, const std::vector<NodeId>& ids)
{
    if (ids.size() < 2) {
        return "no node is called " + std::string(name);
    }
    constexpr std::size_t told_most = 8;
    std::string out = std::to_string(ids.size()) + " nodes are called " + std::string(name) + ": use an id (";
    for (std::size_t i = 0; i < std::min(ids.size(), told_most); ++i) {
        out += (i == 0 ? "" : ", ") + ids[i].text().substr(0, short_id_length);
    }
    return out + (ids.size() > told_most ? ", …)" : ")");
}

std::string why_nobody(const Snapshot& snapshot, std::string_view name_or_id)
{
    std::vector<NodeId> ids;
    for (const auto* node : called(snapshot.nodes, name_or_id)) {
        ids.push_back(node->id);
    }
    return why_nobody(name_or_id, ids);
}

std::vector<const NodeView*> Snapshot::routable() const
{
    std::vector<const NodeView*> out;
    for (const auto& node : nodes) {
        if (node.takes_requests()) {
            out.push_back(&node);
        }
    }
    return out;
}

} // namespace herd::fleet
