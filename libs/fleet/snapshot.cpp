#include "fleet/snapshot.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace herd::fleet {

const NodeView* Snapshot::find(const NodeId& id) const
{
    const auto at = std::ranges::find(nodes, id, &NodeView::id);
    return at == nodes.end() ? nullptr : &*at;
}

const NodeView* Snapshot::find(std::string_view name_or_id) const
{
    if (const auto id = NodeId::parse(name_or_id)) {
        return find(*id);
    }
    const auto only_one = [this](auto&& fits) -> const NodeView* {
        const NodeView* found = nullptr;
        for (const auto& node : nodes) {
            if (fits(node)) {
                if (found != nullptr) {
                    return nullptr;
                }
                found = &node;
            }
        }
        return found;
    };
    if (name_or_id.empty()) {
        return nullptr;
    }
    const auto exact = std::ranges::count(nodes, name_or_id, &NodeView::name);
    if (exact > 0) {
        return only_one([&](const NodeView& node) { return node.name == name_or_id; });
    }
    return only_one([&](const NodeView& node) { return base::iequals(node.name, name_or_id); });
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
