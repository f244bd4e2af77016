#include "fleet/rules.hpp"

#include "base/text.hpp"
#include "fleet/node_record.hpp"

#include <algorithm>

namespace herd::fleet {

std::string_view to_string(Policy policy)
{
    switch (policy) {
    case Policy::cost: return "cost";
    case Policy::round_robin: return "round_robin";
    case Policy::random: return "random";
    case Policy::least_busy: return "least_busy";
    }
    return "cost";
}

Members::Members(const std::optional<std::vector<std::string>>& nodes, const std::vector<std::string>& labels)
    : limited_(nodes.has_value()), labels_(normalized_labels(labels, {}))
{
    for (const auto& node : nodes.value_or(std::vector<std::string>{})) {
        if (const auto id = base::NodeId::parse(node)) {
            ids_.push_back(*id);
        } else {
            names_.push_back(base::lower(node));
        }
    }
    std::ranges::sort(names_);
}

bool Members::admits(const base::NodeId& id, std::string_view name, const std::vector<std::string>& labels) const
{
    if (!std::ranges::includes(labels, labels_)) {
        return false;
    }
    if (only_id_ ? *only_id_ != id : !only_.empty() && !base::iequals(only_, name)) {
        return false;
    }
    return !limited_ || std::ranges::find(ids_, id) != ids_.end()
        || std::ranges::any_of(names_, [name](const std::string& one) { return base::iequals(one, name); });
}

void Members::narrow_to(const std::string& node)
{
    only_ = base::lower(node);
    only_id_ = base::NodeId::parse(node);
}

} // namespace herd::fleet
