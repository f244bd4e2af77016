#pragma once
// Everything that can happen to the fleet, and everything it can ask for, as values. The app translates
// between these and the rooms that wait; so the whole of libs/fleet is deterministic.
#include "fleet/learned.hpp"
#include "fleet/profile.hpp"
#include "fleet/rules.hpp"
#include "fleet/snapshot.hpp"

#include <variant>

namespace herd::fleet {

// ---- what happens -----------------------------------------------------------------------------------

/// Why a datagram is not taken at its word but confirmed over HTTP first.
enum class Doubt : std::uint8_t { none, new_id, new_boot, address_change, seq_jump };

/// An announcement that passed all parse rules.
struct NodeSeen {
    NodeId id{};
    base::Endpoint source{};   ///< where the datagram came from (UDP)
    std::uint64_t boot_id{0};
    std::uint32_t seq{0};
    std::uint32_t state_rev{0};
    AnnouncedState announced{AnnouncedState::init};
    base::Duration interval{}; ///< the sender's promise
    int detect_mult{3};
    std::uint16_t api_port{0};
    std::uint16_t agent_port{0};
    std::string name{};        ///< empty: not told
    std::optional<HostLoad> host{};
    std::vector<Gpu> gpus{};   ///< names unknown here; matched by order
    std::optional<int> in_flight{}; ///< as the gateway counts them
    /// Requests in each loaded model by LoadedModel::wire_hash; told where several are loaded.
    std::vector<std::pair<std::uint64_t, int>> busy{};
    Doubt doubt{Doubt::none};
    bool via_http{false};      ///< the JSON twin: keeps a UDP-filtered node alive
};
/// LEAVE, matching boot and source.
struct NodeLeft {
    NodeId id{};
    std::uint64_t boot_id{0};
    std::string reason{};
};
/// The answer to Confirm or Fetch: the document, over TCP from the address asked.
struct NodeConfirmed {
    NodeId id{};
    base::Endpoint agent{};
    NodeFacts facts{};
    base::Duration round_trip{};
    bool not_modified{false}; ///< 304: facts are those we had
};
struct NodeConfirmFailed {
    NodeId id{};
    base::Endpoint agent{};
    base::Errc why{base::Errc::refused};
    std::string hint{}; ///< one sentence for the operator
};
/// The end of a Probe: what TCP said. (A UDP answer arrives as NodeSeen.)
struct ProbeDone {
    NodeId id{};
    bool connected{false};
    base::Errc why{base::Errc::refused}; ///< when not connected
    base::Duration round_trip{};
    bool asked{false};  ///< Probe::ask: `connected` means that it answered as Ollama does
    std::string hint{}; ///< one sentence for the operator; may be empty
};
/// The canary connection to the agent ended.
struct CanaryLost {
    NodeId id{};
    std::uint64_t boot_id{0};
};
/// A line on the watch stream, or a poll, says the document changed.
struct NodeChanged {
    NodeId id{};
};
/// A configured plain Ollama (flag, file, admin API).
struct StaticAdded {
    NodeId id{}; ///< derived from the URL by the app
    std::string name{};
    std::string url{};
    Address address{};
    std::vector<std::string> labels{};
    std::optional<int> slots{};
    bool drained{false}; ///< a new one takes nothing until DrainNode says so: what it may do is still to be settled
};
/// A poll of a static node: facts, or why not. An unresolved name is a failure too.
struct StaticPolled {
    NodeId id{};
    std::optional<NodeFacts> facts{};
    Address address{}; ///< as resolved now
    base::Duration round_trip{};
    base::Errc why{base::Errc::refused};
    std::string hint{};
};
struct NodeRemoved {
    NodeId id{};
};
/// A human lets an announced node in, or takes that back (lana.md 5, join mode `approve`).
struct ApproveNode {
    NodeId id{};
    bool approve{true};
};
/// What the requests to a node's agent must show from now on; null: nothing.
struct ProofMade {
    NodeId id{};
    std::shared_ptr<const std::string> proof{};
};
/// Who may join has changed. `ask_again`: nobody who announced himself is believed until he has answered once more.
struct JoinChanged {
    bool approval{false};
    bool keyed{false};
    bool ask_again{false};
};
struct DrainNode {
    NodeId id{};
    bool drain{true}; ///< false: resume
};
/// What a person set for nodes, all of it: whoever is not named has no settings.
struct NodesConfigured {
    SettingsOf settings{};
};
/// The saved pool at start.
struct SavedNode {
    NodeId id{};
    std::string name{};
    base::Endpoint agent{};
    std::uint64_t boot_id{0};
    bool drained{false};
};
struct PoolRestored {
    std::vector<SavedNode> nodes{};
    std::vector<NodeId> approved{}; ///< by a human, whether known now or not
};
/// The figures of Fleet::learned(), kept by the app over a restart. Bounded by who restores them.
struct LearnedRestored {
    std::vector<Learned> figures{};
};
/// A node's model list or loaded list was read afresh (after create, copy, delete, pull; by /api/ps), or is
/// remembered from before a restart (names only, until the node tells).
struct ModelsRead {
    NodeId id{};
    std::vector<Model> models{};
};
struct LoadedRead {
    NodeId id{};
    std::vector<LoadedModel> loaded{};
};
/// Our own ears were bad: loop late, link lost, resumed from suspend. Nobody is evicted by silence for a while.
struct EarsImpaired {
    std::string why{};
};
struct AcquireWanted {
    Ticket ticket{0};
    Profile profile{};
};
struct AcquireCancelled {
    Ticket ticket{0};
};
struct LeaseFinished {
    LeaseId lease{0};
    Outcome outcome{};
};
/// Time passed; see Fleet::next_deadline().
struct Tick {};

using Event = std::variant<NodeSeen, NodeLeft, NodeConfirmed, NodeConfirmFailed, ProbeDone, CanaryLost, NodeChanged,
                           StaticAdded, StaticPolled, NodeRemoved, DrainNode, ApproveNode, ProofMade, JoinChanged, NodesConfigured, PoolRestored, ModelsRead, LoadedRead,
                           EarsImpaired, LearnedRestored, AcquireWanted, AcquireCancelled, LeaseFinished,
                           Tick>;

// ---- what the fleet asks for ------------------------------------------------------------------------

/// GET /herd/v1/node at `agent`, ≤ 300 ms; `etag_*` as known (0: none). Answer: NodeConfirmed/-Failed.
struct Confirm {
    NodeId id{};
    base::Endpoint agent{};
    std::uint64_t boot_id{0};
    std::uint32_t state_rev{0};
    base::Duration delay{}; ///< spread after a restart
};
/// Five unicast BEACON+SOLICIT to `udp` (port 0: skip) and a TCP connect to `tcp`, 300 ms. Answer: ProbeDone.
/// With `ask` it is not enough that something listens there: GET /api/version, 300 ms.
struct Probe {
    NodeId id{};
    base::Endpoint udp{};
    base::Endpoint tcp{};
    std::shared_ptr<const Address> ask{};
};
/// Hold a canary connection to the agent (GET /herd/v1/watch). Answers: NodeChanged, CanaryLost.
struct Watch {
    NodeId id{};
    base::Endpoint agent{};
    std::uint64_t boot_id{0};
};
struct Unwatch {
    NodeId id{};
};
/// Read /api/version, /api/ps, /api/tags of a static node. Answer: StaticPolled.
struct PollStatic {
    NodeId id{};
    bool full{true}; ///< false: /api/version only
};
struct Granted {
    Ticket ticket{0};
    Lease lease{};
};
struct Refused {
    Ticket ticket{0};
    Refusal refusal{};
};
/// A flip worth one log line (and, later, an event for viewers).
struct StateFlipped {
    NodeId id{};
    std::string name{};
    NodeState from{NodeState::unknown};
    NodeState to{NodeState::unknown};
    std::string reason{};
};
/// A node that answered waits for a human's approval, or no longer does. Told once.
struct ApprovalWanted {
    NodeId id{};
    std::string name{};
    base::Endpoint agent{};
    bool wanted{true};
};
/// Two boxes announce one id, and both answer for it. The one that was known first goes on; who announces with
/// `boot_id` is told that it must take another id (lana.md 7). boot_id 0: that one is not heard any more.
struct DuplicateId {
    NodeId id{};
    std::string name{};
    base::Endpoint kept{};    ///< the agent that goes on
    base::Endpoint younger{};
    std::uint64_t boot_id{0};
};
/// Idle connections to that endpoint are of no more use. `host_lost`: neither are those in use, for neither UDP
/// nor TCP reaches the host; whoever waits for an answer from there should stop waiting (lana.md 14, T4).
struct DropConnections {
    base::Endpoint endpoint{};
    bool host_lost{false};
};
/// The pool changed in a way worth saving.
struct SavePool {};
/// A new snapshot should be published (coalesced by the app). Told once, then not again until it is asked for.
struct SnapshotChanged {};

using Effect = std::variant<Confirm, Probe, Watch, Unwatch, PollStatic, Granted, Refused, StateFlipped,
                            ApprovalWanted, DuplicateId, DropConnections, SavePool, SnapshotChanged>;
using Effects = std::vector<Effect>;

} // namespace herd::fleet
