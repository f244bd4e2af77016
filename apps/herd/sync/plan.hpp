#pragma once
// Which nodes should have which models, and what to do next about it: a desired set against what the fleet shows.
// Nothing is ever deleted. Pure: a snapshot, what is running and the time go in; states and pulls to start come out.
// Source: reference/parity.md 3.8.
#include "base/random.hpp"
#include "fleet/snapshot.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::app::sync {

/// A model that is to be there.
struct Requirement {
    std::string model{};              ///< as written
    std::size_t replicas{0};          ///< on so many nodes; 0: on all
    std::vector<std::string> nodes{}; ///< names or ids; empty: any
    std::vector<std::string> labels{}; ///< lower case; a node must carry all of them
    std::string frontend{};           ///< id of the one that wants it; empty: [[required]]
    auto operator<=>(const Requirement&) const = default;
};

enum class State : std::uint8_t {
    present,
    missing, ///< nothing is done about it now: `reason` says why
    queued,  ///< waits for other pulls
    pulling,
    failed,  ///< tried again at `next_try`
};
[[nodiscard]] std::string_view to_string(State state);

/// One model that one node should have.
struct Entry {
    std::string key{};   ///< ModelName::key
    std::string model{}; ///< display name
    fleet::NodeId node{};
    std::string node_name{};
    State state{State::missing};
    int percent{0};
    int failures{0};         ///< in a row
    std::string reason{};
    base::Instant next_try{};
};

/// What to ask a node for.
struct Pull {
    fleet::NodeId node{};
    std::string node_name{};
    std::string key{};
    std::string model{}; ///< to write into the request
    fleet::Address address{};
};

struct PlanLimits {
    std::size_t per_node{2};
    std::size_t in_all{4};
    base::Duration first_retry{std::chrono::seconds{30}};
    base::Duration last_retry{std::chrono::hours{1}};
    double jitter{0.2};
    double room_left{0.1}; ///< share of the disk that must stay free
};

/// Of any node that has it; 0: nobody knows.
[[nodiscard]] base::Bytes size_of(const fleet::Snapshot& snapshot, const std::string& key);
/// "no room: …" when less than that share of the node's disk would stay free; empty: it would not, or the node does not tell.
[[nodiscard]] std::string no_room(const fleet::NodeView& node, const std::string& key, const fleet::Snapshot& snapshot, double room_left);
/// After so many failures in a row: twice as long each time.
[[nodiscard]] base::Duration wait_after(int failures, const PlanLimits& limits, base::Rng& rng);

/// Thread: one owner.
class Plan {
public:
    using Pair = std::pair<std::string, fleet::NodeId>; ///< ModelName::key, node

    explicit Plan(base::Rng rng, PlanLimits limits = {}) : rng_(rng), limits_(limits) {}

    /// A desired set; the same again changes nothing. At another one pulls that run go on; what failed or was dropped is
    /// tried anew where it is still wanted.
    void require(std::vector<Requirement> wanted);
    [[nodiscard]] const std::vector<Requirement>& required() const { return wanted_; }
    [[nodiscard]] bool idle() const { return wanted_.empty() && running_.empty(); }
    /// Whether somebody requires it, and no operator dropped it.
    [[nodiscard]] bool requires_model(const std::string& key) const;
    /// An operator deleted it all the same: it is not pulled again until another desired set comes.
    void drop(const std::string& key);

    /// Looks at the fleet; returns what to start now. Each must end with ended().
    [[nodiscard]] std::vector<Pull> step(const fleet::Snapshot& snapshot, base::Instant now);
    void progress(const Pair& pair, int percent);
    /// `error` empty: it went well.
    void ended(const Pair& pair, const std::string& error, base::Instant now);
    /// Forgets the waits after failures; of one model or node only, when named.
    void retry(std::string_view model, std::string_view node);

    /// As of the last step(), by model and node.
    [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

private:
    struct Trouble {
        int failures{0};
        std::string reason{};
        base::Instant next_try{};
    };
    struct Wanted {
        const Requirement* requirement{nullptr};
        std::string key{};
        std::string display{};
    };
    [[nodiscard]] std::vector<const fleet::NodeView*> places(const Wanted& wanted, const fleet::Snapshot& snapshot) const;
    [[nodiscard]] Entry judge(const Wanted& wanted, const fleet::NodeView& node, const fleet::Snapshot& snapshot, base::Instant now);
    void start(std::vector<Pull>& out, const fleet::Snapshot& snapshot);

    base::Rng rng_;
    PlanLimits limits_;
    std::vector<Requirement> wanted_;
    std::vector<std::string> dropped_;
    std::map<Pair, int> running_;      ///< and how far they are, in percent
    std::map<Pair, Trouble> troubles_;
    std::vector<Entry> entries_;
};

} // namespace herd::app::sync
