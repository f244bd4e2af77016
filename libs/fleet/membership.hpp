#pragma once
// The state machine of lana.md 5 and 6, as the herd sees one node: is it there, may it be sent requests. It
// owns no socket and no clock; what it wants done (confirm, probe, watch, poll) it asks for as effects and
// learns the answers as events. Every wait has a limit of its own, so that a lost answer cannot stop it.
//
// In six files by what happens: membership.cpp (life: states, timers), sighting.cpp (announcements and leaves),
// inquiry.cpp (answers over TCP: confirmations, moves), silence.cpp (probes, faults, verdicts), polling.cpp (plain
// Ollamas without an agent) and guests.cpp (who may join: approvals, keys).
#include "fleet/ears.hpp"
#include "fleet/fleet.hpp"
#include "fleet/node_table.hpp"

#include <set>

namespace herd::fleet {

class Membership {
public:
    Membership(const FleetOptions& options, base::Rng& rng, NodeTable& nodes, base::Instant now);

    void apply(const NodeSeen& event, Step& step);
    void apply(const NodeLeft& event, Step& step);
    void apply(const NodeConfirmed& event, Step& step);
    void apply(const NodeConfirmFailed& event, Step& step);
    void apply(const ProbeDone& event, Step& step);
    void apply(const CanaryLost& event, Step& step);
    void apply(const NodeChanged& event, Step& step);
    void apply(const StaticAdded& event, Step& step);
    void apply(const StaticPolled& event, Step& step);
    void apply(const NodeRemoved& event, Step& step);
    void apply(const DrainNode& event, Step& step);
    void apply(const NodesConfigured& event, Step& step);
    void apply(const PoolRestored& event, Step& step);
    void apply(const ModelsRead& event, Step& step);
    void apply(const LoadedRead& event, Step& step);
    void apply(const EarsImpaired& event, Step& step);
    void apply(const ApproveNode& event, Step& step);
    void apply(const ProofMade& event, Step& step);
    void apply(const JoinChanged& event, Step& step);
    void tick(Step& step);

    /// An attempt at that node could not connect, went silent or broke: nothing new goes there until TCP is
    /// seen to answer again. `endpoint` and `boot_id` are those of the lease; an older incarnation's fault is
    /// not held against the present one.
    void attempt_failed(const NodeId& id, const base::Endpoint& endpoint, std::uint64_t boot_id, Result result,
                        Step& step);
    /// The catalog was wrong about that node: read its list again.
    void reread(const NodeId& id, Step& step);

    [[nodiscard]] std::optional<base::Instant> next() const { return alarms_.next(); }
    /// False while a node we have reason to expect may yet bring a model: while nodes of the saved pool and
    /// configured ones have not answered for the first time, and after the start until settle_time, unless all
    /// of a saved pool answered.
    [[nodiscard]] bool settled(base::Instant now) const;
    /// Nodes that announced themselves or were saved or configured, and are being asked for the first time.
    [[nodiscard]] std::size_t expected() const { return expected_.size(); }
    /// Until when, at most, a request for a model that nobody known has is worth keeping.
    [[nodiscard]] base::Instant settle_limit(base::Instant now) const;
    /// Nodes that ever answered us.
    [[nodiscard]] std::size_t confirmed() const { return confirmed_; }
    [[nodiscard]] Trust trust_of(const NodeRecord& node) const;
    /// Ids that a human let in, known now or not.
    [[nodiscard]] std::vector<NodeId> approved() const { return {approved_.begin(), approved_.end()}; }
    [[nodiscard]] std::string check() const;

private:
    // membership.cpp: life
    NodeRecord* find(const NodeId& id) { return nodes_.find(id); }
    void settle_state(NodeRecord& node, Step& step);
    void become(NodeRecord& node, Liveness liveness, std::string reason, Step& step);
    void forget(NodeRecord& node, Step& step);
    void rearm(NodeRecord& node, Step& step);
    void ring(NodeRecord& node, Step& step);
    void note_expected(const NodeRecord& node);
    void changed(Step& step) { step.emit(SnapshotChanged{}); }

    // guests.cpp: who may join
    [[nodiscard]] bool must_wait(const NodeRecord& node) const;
    void settle_guest(NodeRecord& node, Step& step);
    static void tell_waiting(NodeRecord& node, Step& step);
    static std::shared_ptr<const NodeFacts> seen_from_the_door(std::shared_ptr<const NodeFacts> facts);

    // sighting.cpp: announcements
    [[nodiscard]] bool make_room(const base::Endpoint& agent, Step& step);
    void first_sighting(const NodeSeen& event, Step& step);
    void claim_while_down(NodeRecord& node, const NodeSeen& event, Step& step);
    void doubted(NodeRecord& node, const NodeSeen& event, Step& step);
    void beat(NodeRecord& node, const NodeSeen& event, Step& step);
    static void take_claim(NodeRecord& node, const NodeSeen& event);

    // inquiry.cpp: confirmations
    void ask(NodeRecord& node, base::Duration delay, Step& step, bool if_changed = false);
    void ask_beside(NodeRecord& node, Step& step);
    void fetch(NodeRecord& node, Step& step);
    void answered(NodeRecord& node, const NodeConfirmed& event, Step& step);
    void adopt(NodeRecord& node, std::shared_ptr<const NodeFacts> facts, Step& step);
    void new_incarnation(NodeRecord& node, std::uint64_t boot_id, Step& step);
    void admit(NodeRecord& node, Step& step);
    void ask_api(NodeRecord& node, Step& step);
    void ask_api_beside(NodeRecord& node, Step& step);
    void api_answered(NodeRecord& node, const ProbeDone& event, Step& step);
    [[nodiscard]] static bool unproven(const NodeRecord& node) { return !node.api_proven && routable(node.announced); }
    void not_answered(NodeRecord& node, base::Errc why, const std::string& hint, Step& step);
    void resolve_move(NodeRecord& node, Step& step);
    void has_twin(NodeRecord& node, const Move& move, Step& step);
    void look_for_twin(NodeRecord& node, Step& step);
    void end_twin(NodeRecord& node, Step& step);
    void open_watch(NodeRecord& node, Step& step);

    // silence.cpp: probes and verdicts
    void probe(NodeRecord& node, bool with_udp, Step& step);
    void look_at_silence(NodeRecord& node, Step& step);
    void verdict(NodeRecord& node, Step& step);
    void silent(NodeRecord& node, std::string reason, Step& step);
    void tcp_failed_again(NodeRecord& node, base::Errc why, Step& step);
    void fault(NodeRecord& node, std::string reason, Step& step);
    void refute(NodeRecord& node, Step& step);
    void displaced(NodeRecord& node, Step& step);
    void displace_others(const NodeRecord& node, Step& step);
    static int beats_lacking(NodeRecord& node, base::Instant now);
    static void note_flap(NodeRecord& node, base::Instant now);
    static void let_back(NodeRecord& node, base::Instant now);
    void revive(NodeRecord& node, Step& step);
    void poll_by_http(NodeRecord& node, Step& step);
    void set_verify(NodeRecord& node, Verify verify);
    [[nodiscard]] static int beats_wanted(const NodeRecord& node);
    [[nodiscard]] bool is_fresh(const NodeRecord& node, base::Instant now) const;

    // polling.cpp: static nodes
    [[nodiscard]] static bool full_poll_is_due(const NodeRecord& node, base::Instant now);
    void poll(NodeRecord& node, bool full, Step& step);
    void poll_failed(NodeRecord& node, base::Errc why, const std::string& hint, Step& step);
    void poll_answered(NodeRecord& node, const StaticPolled& event, Step& step);

    const FleetOptions& options_;
    base::Rng& rng_;
    NodeTable& nodes_;
    Ears ears_{};
    Alarms<NodeId> alarms_{};
    base::Instant settles_at_;
    bool pool_keeps_word_{false}; ///< there is a saved pool, and nobody of it failed to answer
    std::set<NodeId> expected_{};            ///< see expected()
    std::set<NodeId> pledged_{};             ///< of these: saved or configured, not only announced
    std::set<NodeId> saved_drains_{};        ///< drained static nodes of the saved pool, not configured yet
    std::set<NodeId> unverified_{};          ///< announced, never confirmed
    std::size_t verifying_silence_{0};       ///< nodes with Verify::silence
    std::size_t live_{0};                    ///< nodes with Liveness::alive
    base::Instant load_told_at_{};
    std::size_t confirmed_{0};               ///< nodes with ever_confirmed
    std::set<NodeId> approved_{};            ///< by a human; bounded by approvals_max
    bool approval_;                          ///< as options.approval, until JoinChanged
    bool keyed_;
};

} // namespace herd::fleet
