#include "proxy/memory.hpp"

namespace herd::proxy {

void RouteMemory::add(const base::NodeId& node, std::string_view route, base::Instant now)
{
    if (size_ >= entries_max) {
        entries_.clear();
        size_ = 0;
    }
    auto& nodes = entries_[std::string(route)];
    size_ += nodes.contains(node) ? 0U : 1U;
    nodes[node] = now + kept;
}

std::vector<base::NodeId> RouteMemory::without(std::string_view route, base::Instant now)
{
    std::vector<base::NodeId> nodes;
    const auto found = entries_.find(route);
    if (found == entries_.end()) {
        return nodes;
    }
    size_ -= std::erase_if(found->second, [now](const auto& entry) { return entry.second <= now; });
    for (const auto& [node, until] : found->second) {
        nodes.push_back(node);
    }
    if (found->second.empty()) {
        entries_.erase(found);
    }
    return nodes;
}

void BlobMemory::add(std::string digest, const base::NodeId& node)
{
    const std::scoped_lock lock(mutex_);
    const auto [at, is_new] = nodes_.insert_or_assign(digest, node);
    if (!is_new) {
        return;
    }
    order_.push_back(std::move(digest));
    if (order_.size() > entries_max) {
        nodes_.erase(order_.front());
        order_.pop_front();
    }
}

std::optional<base::NodeId> BlobMemory::find(std::string_view digest) const
{
    const std::scoped_lock lock(mutex_);
    const auto found = nodes_.find(digest);
    return found == nodes_.end() ? std::nullopt : std::optional(found->second);
}

PullMemory::Mark::Mark(PullMemory& memory, std::string model_key, const base::NodeId& node) : memory_(memory)
{
    const std::scoped_lock lock(memory_.mutex_);
    at_ = memory_.running_.emplace(std::move(model_key), Pull{node});
}

PullMemory::Mark::~Mark()
{
    const std::scoped_lock lock(memory_.mutex_);
    memory_.running_.erase(at_);
}

void PullMemory::Mark::progress(int percent)
{
    const std::scoped_lock lock(memory_.mutex_);
    at_->second.percent = percent;
}

std::vector<base::NodeId> PullMemory::nodes(const std::string& model_key) const
{
    const std::scoped_lock lock(mutex_);
    std::vector<base::NodeId> nodes;
    for (auto [at, end] = running_.equal_range(model_key); at != end; ++at) {
        nodes.push_back(at->second.node);
    }
    return nodes;
}

std::optional<PullMemory::Pull> PullMemory::furthest(const std::string& model_key) const
{
    const std::scoped_lock lock(mutex_);
    std::optional<Pull> best;
    for (auto [at, end] = running_.equal_range(model_key); at != end; ++at) {
        if (!best || at->second.percent > best->percent) {
            best = at->second;
        }
    }
    return best;
}

} // namespace herd::proxy
