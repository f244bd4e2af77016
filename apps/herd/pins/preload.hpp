#pragma once
// Models that are asked for often and are in no node's memory, loaded where they fit beside what is there ([models]
// preload_popular). Nothing is evicted for them, pins go before them, and what nobody has asked for since is not loaded
// a second time. Pure.
// Source: reference/parity.md 2.9.
#include "herd/pins/plan.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace herd::app::pins {

/// A model that is asked for often.
struct Popular {
    std::string key{};  ///< ModelName::key
    bool lately{false}; ///< within the last hour
    int num_ctx{0};     ///< tokens to load it with; 0: as its Ollama does
};

struct PreloadLimits {
    std::size_t models{16};   ///< looked at, the most popular ones
    std::size_t at_once{2};   ///< loads; one per node
    double share{0.8};        ///< of what is free a model takes no more: Ollama would put others out for it
    base::Duration again{std::chrono::minutes{10}}; ///< before the same one is tried at that node a second time
    std::string keep_alive{"1h"}; ///< unless its node needs the memory
};

/// Thread: one owner.
class Preload {
public:
    using Pair = Plan::Pair;

    explicit Preload(PreloadLimits limits = {}) : limits_(std::move(limits)) {}

    /// The most popular first; none: nothing is loaded.
    void want(std::vector<Popular> models);
    [[nodiscard]] bool idle() const { return wanted_.empty() && running_.empty(); }
    /// What to load now, beside the pins as they stand. Each must end with ended().
    [[nodiscard]] std::vector<Request> step(const fleet::Snapshot& snapshot, const std::vector<Entry>& pins, base::Instant now);
    void ended(const Request& request) { running_.erase({request.key, request.node}); }

private:
    [[nodiscard]] const fleet::NodeView* place(const Popular& model, const fleet::Snapshot& snapshot, const std::vector<Entry>& pins, base::Instant now) const;
    [[nodiscard]] bool takes(const fleet::NodeView& node, const Popular& model, const std::vector<Entry>& pins) const;

    PreloadLimits limits_;
    std::vector<Popular> wanted_;
    std::set<Pair> running_;
    std::map<Pair, base::Instant> tried_;
};

} // namespace herd::app::pins
