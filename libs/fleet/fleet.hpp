#pragma once
// The truth about the nodes, and every decision. One owner (the fleet loop) feeds it events with the time
// and carries out what it answers. Pure: no clock, no socket, no file; same seed and events, same run.
#include "base/random.hpp"
#include "fleet/event.hpp"

#include <memory>
#include <optional>

namespace herd::fleet {

struct FleetOptions {
    std::size_t nodes_max{4096};
    std::size_t queue_per_model{256};
    base::Duration queue_timeout{std::chrono::seconds{300}};
    base::Duration hold_timeout{std::chrono::seconds{30}};   ///< model known, nobody routable has it
    base::Duration settle_time{std::chrono::seconds{5}}; ///< after start, an unknown model may yet appear
    double retry_budget{0.2};   ///< of recent requests
    int retry_budget_min{3};
    double wait_margin{0.2};    ///< wait for a better node when it is predicted to be better by this share
    double load_margin{0.2};    ///< load another copy when that is predicted to be better by this share
    double aging{1.25};         ///< seconds of cost that one second of waiting makes up for
    base::Duration patience{std::chrono::seconds{200}}; ///< then a waiting request goes before all bands
    double fair_turn_s{30};     ///< a client may use so much more than twice its share and still be in turn
    std::size_t learned_max{16'384};
    bool discovery{true};       ///< false: only static nodes, nothing to settle for
    std::size_t unverified_max{1024}; ///< announced but never confirmed; the least recently heard makes room
    int ids_per_source{8};      ///< per source address, loopback exempt; 0: no limit (keyed mode)
    bool approval{false};       ///< announced nodes wait until a human approves them
    bool keyed{false};          ///< the fleet has a key
};

/// Where a waiting request stands.
struct Standing {
    int ahead{0};        ///< requests that are to be served before it
    double wait_s{0};    ///< predicted, from now; when held: until it is given up
    bool loading{false}; ///< a node is loading its model
    bool held{false};    ///< nobody who could serve it can be reached, or is known yet
};

class Fleet {
public:
    Fleet(FleetOptions options, base::Rng rng, base::Instant now);
    Fleet(const Fleet&) = delete;
    Fleet& operator=(const Fleet&) = delete;
    ~Fleet();

    /// Takes an event, appends what is to be done to `effects` (in order).
    /// Thread: the fleet loop.
    void apply(const Event& event, base::Instant now, base::WallTime wall, Effects& effects);
    /// The same as AcquireWanted, for an asker that keeps its profile.
    void acquire(Ticket ticket, const Profile& profile, base::Instant now, base::WallTime wall, Effects& effects);

    /// When Tick wants to be applied next.
    [[nodiscard]] std::optional<base::Instant> next_deadline() const;

    /// A picture of now. Costs O(nodes + models); the app asks at most some times a second.
    [[nodiscard]] std::shared_ptr<const Snapshot> snapshot(base::Instant now, base::WallTime wall);

    /// What is worth keeping over a restart.
    [[nodiscard]] std::vector<SavedNode> saved_pool() const;
    /// Ids that a human approved, known now or not.
    [[nodiscard]] std::vector<NodeId> approved() const;
    /// Speeds learned, the same; at most `learned_max`, those with most evidence. O(nodes x models).
    [[nodiscard]] std::vector<Learned> learned() const;

    /// Where this request would go now and why, with every known node. Takes and changes nothing.
    [[nodiscard]] Decision explain(const Profile& profile, base::Instant now);
    /// Nothing when the ticket does not wait (answered, or never asked).
    [[nodiscard]] std::optional<Standing> standing(Ticket ticket, base::Instant now) const;

    /// Invariants of architecture.md §5 that can be seen from here; an empty string when all hold.
    /// For the simulator, after every step.
    [[nodiscard]] std::string check(base::Instant now) const;

    void set_options(const FleetOptions& options);

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace herd::fleet
