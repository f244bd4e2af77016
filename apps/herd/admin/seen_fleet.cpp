#include "herd/admin/seen_fleet.hpp"

#include "proxy/frontend.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace herd::app::admin {

std::shared_ptr<const fleet::Snapshot> seen_by(std::shared_ptr<const fleet::Snapshot> all, const proxy::Key* key, const proxy::ProxyOptions& options)
{
    if (key == nullptr || key->frontends.empty()) {
        return all;
    }
    std::vector<const proxy::Frontend*> frontends;
    for (const std::string& name : key->frontends) {
        const auto* found = options.frontends != nullptr ? options.frontends->find(name) : nullptr;
        if (found != nullptr) {
            frontends.push_back(found);
        }
    }
    auto seen = std::make_shared<fleet::Snapshot>(*all);
    seen->nodes.clear();
    seen->models.clear();
    std::vector<std::optional<std::size_t>> places; // of each node of `all`
    for (const fleet::NodeView& node : all->nodes) {
        const bool member = std::ranges::any_of(frontends, [&node](const proxy::Frontend* frontend) {
            return frontend->rules == nullptr || frontend->rules->members.admits(node.id, node.name, node.labels);
        });
        places.push_back(member ? std::optional(seen->nodes.size()) : std::nullopt);
        if (member) {
            seen->nodes.push_back(node);
        }
    }
    for (const auto& [model, holders] : all->models) {
        for (fleet::Holder holder : holders) {
            if (const auto place = places[holder.node]) {
                holder.node = *place;
                seen->models[model].push_back(holder);
            }
        }
    }
    std::erase_if(seen->queues, [&](const auto& queue) { return !seen->models.contains(queue.first); });
    return seen;
}

} // namespace herd::app::admin
