#pragma once
// Which models are to be in which nodes' memory, and what to do next about it: a desired set against what the fleet
// shows. One load at a time per node; what fails waits longer each time. Pure: a snapshot, what is running and the time
// go in; states and requests to send come out.
// Source: reference/parity.md 2.9.
#include "base/random.hpp"
#include "fleet/snapshot.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::app::pins {

/// A model that is to stay loaded.
struct Pin {
    std::string model{};       ///< as written
    std::string node{};        ///< name or id; empty: anywhere
    std::uint32_t replicas{1}; ///< on so many nodes; 0: on all that have it on disk
    int num_ctx{0};            ///< tokens to load it with; 0: as its Ollama does
    auto operator<=>(const Pin&) const = default;
};

enum class State : std::uint8_t {
    resident,
    loading,
    waiting, ///< for another load on that node
    failed,  ///< tried again at `next_try`
    absent,  ///< nothing can be done about it now: `reason` says why
};
[[nodiscard]] std::string_view to_string(State state);

/// One pinned model at one node; or, with state absent, perhaps at none.
struct Entry {
    std::string key{};   ///< ModelName::key
    std::string model{}; ///< display name
    fleet::NodeId node{};
    std::string node_name{}; ///< empty: there is no node for it
    State state{State::absent};
    int failures{0};         ///< in a row
    std::string reason{};
    base::Instant next_try{};
};

/// What to ask a node for.
struct Request {
    fleet::NodeId node{};
    std::string node_name{};
    std::string key{};
    std::string model{}; ///< to write into it
    fleet::Address address{};
    bool embeds{false};  ///< /api/embed, else /api/generate
    std::string keep_alive{"-1"};
    int num_ctx{0};      ///< 0: none. One that is loaded says what it is loaded with, else it would be loaded anew
    bool lets_go{false}; ///< it is pinned no longer: the node's own time counts again
    bool preloads{false}; ///< of preload.hpp: it was never pinned
};

struct PlanLimits {
    base::Duration first_retry{std::chrono::seconds{5}};
    base::Duration last_retry{std::chrono::minutes{10}};
    double jitter{0.2};
    base::Duration settled{std::chrono::minutes{1}}; ///< in memory for so long after a failure, and twice the wait: forgotten
    base::Duration pushed{std::chrono::minutes{20}}; ///< gone so soon after it was loaded: that is a failure
    base::Duration touch{std::chrono::seconds{30}};  ///< between two requests that only say "stay"
};

/// Thread: one owner.
class Plan {
public:
    using Pair = std::pair<std::string, fleet::NodeId>; ///< ModelName::key, node

    explicit Plan(base::Rng rng, PlanLimits limits = {}) : rng_(rng), limits_(limits) {}

    /// Another desired set.
    void want(std::vector<Pin> pins);
    [[nodiscard]] const std::vector<Pin>& wanted() const { return wanted_; }
    /// Nothing to look after.
    [[nodiscard]] bool idle() const { return wanted_.empty() && running_.empty() && held_.empty(); }

    /// Looks at the fleet; returns what to ask for now. Each must end with ended().
    [[nodiscard]] std::vector<Request> step(const fleet::Snapshot& snapshot, base::Instant now, base::WallTime wall);
    /// `error` empty: it is in memory.
    void ended(const Request& request, const std::string& error, base::Instant now);
    /// When to look again although nothing changes; nothing: no need.
    [[nodiscard]] std::optional<base::Instant> next_look(base::Instant now) const;

    /// As of the last step(), in the order of the pins.
    [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

private:
    struct Trouble {
        int failures{0};
        std::string reason{};
        base::Duration wait{};
        base::Instant next_try{};
        base::Instant good_since{}; ///< in memory since; 0: it is not
    };
    struct Held {
        base::Instant loaded{};  ///< by us
        base::Instant touched{};
    };
    struct Wanted {
        const Pin* pin{nullptr};
        std::string key{};
        std::string display{};
    };
    void place(const Wanted& wanted, const fleet::Snapshot& snapshot, std::vector<const fleet::NodeView*>& places, std::string& why) const;
    void look_at(const Wanted& wanted, const fleet::NodeView& node, base::Instant now, base::WallTime wall, std::vector<Request>& out);
    void stays(const Request& request, const fleet::LoadedModel& loaded, base::Instant now, base::WallTime wall, std::vector<Request>& out);
    void let_go(const fleet::Snapshot& snapshot, std::vector<Request>& out);
    [[nodiscard]] std::vector<std::string> pinned_at(const fleet::NodeId& node) const;
    [[nodiscard]] bool busy(const fleet::NodeId& node) const;
    void failed(const Pair& pair, const std::string& reason, base::Instant now);

    base::Rng rng_;
    PlanLimits limits_;
    std::vector<Pin> wanted_;
    std::map<Pair, bool> running_; ///< true: it brings the model into memory
    std::map<Pair, Trouble> troubles_;
    std::map<Pair, Held> held_;
    std::vector<Entry> entries_;
};

} // namespace herd::app::pins
