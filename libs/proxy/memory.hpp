#pragma once
// What a relay loop remembers between exchanges: which node does not know which route (its Ollama is too
// old), and which node was given which blob. Both are bounded, and only ever hints. Pure.
#include "base/ids.hpp"
#include "base/time.hpp"

#include <cstddef>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::proxy {

/// Nodes whose Ollama answered a route with a text 404. Forgotten after a while, for people update.
class RouteMemory {
public:
    void add(const base::NodeId& node, std::string_view route, base::Instant now);
    [[nodiscard]] bool empty() const { return entries_.empty(); }
    /// The nodes that do not know `route`.
    [[nodiscard]] std::vector<base::NodeId> without(std::string_view route, base::Instant now);

private:
    static constexpr std::size_t entries_max = 1024;
    static constexpr base::Duration kept = std::chrono::minutes{10};
    std::map<std::string, std::map<base::NodeId, base::Instant>, std::less<>> entries_;
    std::size_t size_{0};
};

/// Which node has a blob that was uploaded through us: create must go there too. The oldest is forgotten.
/// Thread: any. Upload and create may come over connections of different loops.
class BlobMemory {
public:
    void add(std::string digest, const base::NodeId& node);
    [[nodiscard]] std::optional<base::NodeId> find(std::string_view digest) const;

private:
    static constexpr std::size_t entries_max = 4096;
    mutable std::mutex mutex_; // tidy: allow(banned-call) two loops, a rare and tiny critical section
    std::map<std::string, base::NodeId, std::less<>> nodes_;
    std::list<std::string> order_;
};

} // namespace herd::proxy
