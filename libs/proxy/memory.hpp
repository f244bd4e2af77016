#pragma once
// What a relay loop remembers between exchanges: which node does not know which route (its Ollama is too
// old), which node was given which blob, and who pulls what. All are bounded, and only ever hints. Pure.
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

/// Which node is pulling which model now, and how far it is: a second pull of it goes there too, where Ollama joins the two.
/// Thread: any.
class PullMemory {
public:
    struct Pull {
        base::NodeId node{};
        int percent{0}; ///< as far as it is herd's own
    };
    /// As long as it lives, the node is pulling the model. The memory outlives it.
    class Mark {
    public:
        Mark(PullMemory& memory, std::string model_key, const base::NodeId& node);
        Mark(const Mark&) = delete;
        Mark& operator=(const Mark&) = delete;
        ~Mark();
        void progress(int percent);

    private:
        PullMemory& memory_;
        std::multimap<std::string, Pull>::iterator at_;
    };
    [[nodiscard]] std::vector<base::NodeId> nodes(const std::string& model_key) const;
    /// The one that is furthest.
    [[nodiscard]] std::optional<Pull> furthest(const std::string& model_key) const;

private:
    mutable std::mutex mutex_; // tidy: allow(banned-call) two loops, a rare and tiny critical section
    std::multimap<std::string, Pull> running_;
};

} // namespace herd::proxy
