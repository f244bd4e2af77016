#include "fleet/turns.hpp"

#include <algorithm>

namespace herd::fleet {

double Turns::place_of(const std::string& frontend, const std::string& model, const base::NodeId& node) const
{
    const auto wheel = wheels_.find({frontend, model});
    if (wheel == wheels_.end()) {
        return 0;
    }
    const auto place = wheel->second.places.find(node);
    return place == wheel->second.places.end() ? wheel->second.now : std::max(place->second, wheel->second.now);
}

void Turns::taken(const std::string& frontend, const std::string& model, const base::NodeId& node, double weight)
{
    if (wheels_.size() >= wheels_max) {
        wheels_.clear(); // turns begin anew
    }
    const double place = place_of(frontend, model, node);
    auto& wheel = wheels_[{frontend, model}];
    wheel.now = std::max(wheel.now, place);
    wheel.places[node] = place + 1 / std::max(weight, 0.01);
    std::erase_if(wheel.places, [&wheel](const auto& one) { return one.second < wheel.now; });
}

std::string Bound::key(const std::string& frontend, const std::string& conversation, const std::string& model)
{
    std::string key = frontend;
    key.push_back('\0');
    key.append(conversation).push_back('\0');
    return key.append(model);
}

std::optional<base::NodeId> Bound::find(const std::string& key, base::Instant now) const
{
    const auto at = by_key_.find(key);
    return at == by_key_.end() || at->second->until <= now ? std::nullopt : std::optional(at->second->node);
}

void Bound::bind(const std::string& key, const base::NodeId& node, base::Instant until)
{
    if (const auto at = by_key_.find(key); at != by_key_.end()) {
        at->second->node = node;
        at->second->until = until;
        entries_.splice(entries_.begin(), entries_, at->second);
        return;
    }
    if (entries_.size() >= entries_max_) {
        by_key_.erase(entries_.back().key);
        entries_.pop_back();
    }
    entries_.push_front({key, node, until});
    by_key_.emplace(key, entries_.begin());
}

} // namespace herd::fleet
