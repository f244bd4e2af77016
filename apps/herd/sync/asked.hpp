#pragma once
// Models that requests name and no node of theirs has: which node is to pull one, what is pulled or waits for its turn,
// and what failed lately and so is not tried again yet. Pure.
// Source: reference/parity.md OH-15.
#include "herd/sync/plan.hpp"
#include "proxy/auto_pull.hpp"
#include "proxy/memory.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace herd::app::sync {

struct AskedLimits {
    std::size_t at_once{2};       ///< pulls, besides those of what is required
    std::size_t waiting{16};      ///< for their turn
    std::size_t nodes{16};        ///< tried one after the other, before it is told that it failed
    std::size_t failures{1024};   ///< remembered
    PlanLimits pulls{};           ///< when what failed is tried again; room on the disk
};

/// Thread: one owner.
class Asked {
public:
    using Pair = Plan::Pair;

    struct Failure {
        std::string model{}; ///< display name
        int failures{0};     ///< in a row
        std::string reason{}; ///< of the last node that was tried
        std::vector<fleet::NodeId> tried{}; ///< none of these again before `next_try`
        base::Instant next_try{};
    };
    struct Pending {
        Pull pull{};
        std::string frontend{}; ///< of whoever asked first
        std::uint64_t turn{0};
        bool running{false};
    };

    explicit Asked(base::Rng rng, AskedLimits limits = {}) : rng_(rng), limits_(limits) {}

    /// The pull that brings it: a new one, or one that is on its way to a node that will do. Where it failed lately it is
    /// not tried again yet, but at another node.
    /// Errors: as PullWait::answer() says.
    [[nodiscard]] base::Result<Pair> ask(const proxy::WantedModel& wanted, const proxy::PullMemory& pulls, base::Instant now);
    /// What to start now, in the order of asking. Each must end with ended().
    [[nodiscard]] std::vector<Pull> start();
    /// `error` empty: it went well. Returns the sentence for those who wait; empty: it is there.
    std::string ended(const Pair& pair, const std::string& error, base::Instant now);
    /// Forgets the waits after failures; of one model only, when named.
    void retry(std::string_view model);

    [[nodiscard]] const std::map<Pair, Pending>& pending() const { return pending_; }
    /// By model and frontend.
    [[nodiscard]] const std::map<std::pair<std::string, std::string>, Failure>& failures() const { return failures_; }

private:
    [[nodiscard]] std::string unfit(const fleet::NodeView& node, const proxy::WantedModel& wanted) const;
    [[nodiscard]] const fleet::NodeView* choose(const proxy::WantedModel& wanted, const proxy::PullMemory& pulls, const std::vector<fleet::NodeId>& exclude, std::string& why) const;
    void make_room(base::Instant now);

    base::Rng rng_;
    AskedLimits limits_;
    std::uint64_t last_turn_{0};
    std::map<Pair, Pending> pending_;
    std::map<std::pair<std::string, std::string>, Failure> failures_;
};

} // namespace herd::app::sync
