#pragma once
// A LAN in virtual time around one real Fleet: boxes that announce, answer, die and lose packets, and clients
// that ask for places. It plays the app's part: carries out effects, brings back events. One seed, one run.
#include "base/random.hpp"
#include "base/time.hpp"
#include "fleet/fleet.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace herd::test {

using base::Duration;
using base::Instant;

/// A simulated node: herd-node and its Ollama, or with `is_static` a plain Ollama.
struct Box {
    base::NodeId id{};
    std::string name{};
    base::Endpoint agent{}; ///< its address with the agent's port; a plain Ollama: its API
    std::uint64_t boot_id{1};
    std::uint32_t seq{0};
    std::uint32_t state_rev{1};
    fleet::AnnouncedState announced{fleet::AnnouncedState::ready};
    std::vector<std::string> models{};
    std::vector<std::string> loaded{};
    std::map<std::string, std::string> rows{}; ///< of `models`, where one tells more than a name
    std::vector<std::string> labels{};
    std::optional<int> slots{};
    base::Bytes memory{16 * base::gib};
    Duration interval{std::chrono::seconds{1}};
    bool gateway{true};
    bool running{true};   ///< the agent process
    bool ollama{true};    ///< with the gateway off, or plain: the API port accepts
    bool speaks_ollama{true}; ///< false: whatever listens at its API, GET /api/version is not answered as Ollama does
    bool frozen{false};   ///< SIGSTOP: its kernel accepts connections, nobody answers or announces
    bool cabled{true};    ///< false: partitioned, nothing passes either way
    bool udp{true};       ///< false: datagrams are filtered
    bool stranger{false}; ///< who answers at its address is not it
    bool member{true};    ///< false: it cannot prove that it belongs to the fleet, and that is asked for
    bool keyed{false};    ///< it tells its facts under a MAC
    bool counts{false};   ///< it tells how many requests each loaded model has, named by its place in the list, from 1
    bool is_static{false};
    std::shared_ptr<const fleet::Manner> manner{}; ///< as it is configured, where the poll reads it again
    [[nodiscard]] base::Endpoint api() const;
};

/// What became of a ticket.
struct Answer {
    std::optional<fleet::Lease> lease{};
    std::optional<fleet::Refusal> refusal{};
    Instant at{};
    [[nodiscard]] base::Errc why() const { return refusal ? refusal->error.code : base::Errc::internal; }
};

class World {
public:
    explicit World(std::uint64_t seed, fleet::FleetOptions options = {});

    // ---- the LAN ----
    Box& add_box(const std::string& name, std::vector<std::string> models = {}, int slots = 1);
    /// A configured plain Ollama; already added to the fleet.
    Box& add_static(const std::string& name, std::vector<std::string> models = {});
    /// The configuration (again) names this plain Ollama.
    void configure(const Box& box);
    /// Announces with the start burst, then heartbeats until it stops running.
    void start(Box& box);
    void stop(Box& box);    ///< LEAVE, then no more
    void kill(Box& box);    ///< SIGKILL of the agent: the kernel closes its connections
    void restart(Box& box); ///< a new boot
    void cut(Box& box) { box.cabled = false; }
    void heal(Box& box) { box.cabled = true; }
    /// A changed state, announced at once and twice.
    void announce_state(Box& box, fleet::AnnouncedState state);
    /// A changed document (models, loaded, labels): told by the watch stream.
    void document_changed(Box& box);
    void send_announcement(Box& box);
    [[nodiscard]] Box& box(const base::NodeId& id) { return *boxes_.at(id); }
    [[nodiscard]] std::vector<Box*> boxes();
    /// The coordinator is killed and started again, with or without its saved pool.
    void restart_herd(bool with_saved_pool);

    double loss{0};         ///< of each packet, each way
    double duplicates{0};   ///< of each datagram
    Duration latency{std::chrono::milliseconds{1}};
    Duration jitter{};      ///< reorders datagrams
    int check_every{1};     ///< steps between two calls of Fleet::check

    // ---- clients ----
    fleet::Ticket ask(fleet::Profile profile);
    [[nodiscard]] fleet::Ticket next_ticket() const { return last_ticket_ + 1; }
    fleet::Ticket ask(const std::string& model, const std::string& client = "c");
    [[nodiscard]] static fleet::Profile profile_of(const std::string& model, const std::string& client = "c");
    void cancel(fleet::Ticket ticket) { feed(fleet::AcquireCancelled{ticket}); }
    void finish(fleet::LeaseId lease, fleet::Result result = fleet::Result::served);
    [[nodiscard]] const Answer* answer(fleet::Ticket ticket) const;
    /// The lease of a granted ticket; throws when it has none.
    [[nodiscard]] const fleet::Lease& lease(fleet::Ticket ticket) const;
    [[nodiscard]] bool waits(fleet::Ticket ticket) const { return answer(ticket) == nullptr; }
    /// Asks, and gives the place back at once. The node's name, or the refusal's code as text.
    std::string where(const std::string& model);

    // ---- time ----
    void run_for(Duration duration);
    /// Runs until `done` or `limit` has passed; true when done.
    bool run_until(const std::function<bool()>& done, Duration limit);
    void at(Duration in, std::function<void()> action);
    void feed(const fleet::Event& event);
    [[nodiscard]] Instant now() const { return now_; }
    [[nodiscard]] fleet::Fleet& herd() { return *fleet_; }
    [[nodiscard]] std::shared_ptr<const fleet::Snapshot> snapshot() { return fleet_->snapshot(now_, wall()); }
    [[nodiscard]] fleet::NodeState state(const Box& box);
    [[nodiscard]] std::string reason(const Box& box);
    [[nodiscard]] std::size_t online();
    base::Rng& rng() { return rng_; }

    // ---- what was seen ----
    std::map<fleet::NodeState, std::size_t> flips{}; ///< by state flipped to
    std::vector<std::pair<Instant, fleet::StateFlipped>> flip_log{};
    std::size_t probes{0};
    std::size_t confirms{0};
    std::size_t steps{0};
    std::vector<base::Endpoint> dropped{};
    std::vector<fleet::ApprovalWanted> approvals{};
    std::vector<fleet::DuplicateId> twins{};
    std::vector<std::pair<base::Instant, base::Endpoint>> lost_hosts{}; ///< when, and where work was given up
    std::function<void(fleet::Ticket, const Answer&)> on_answer{};

private:
    struct Heard { ///< the listener's memory of a sender
        std::uint64_t boot_id{0};
        std::uint32_t seq{0};
        base::IpAddress address{};
    };
    [[nodiscard]] base::WallTime wall() const;
    [[nodiscard]] bool lost() { return loss > 0 && rng_.chance(loss); }
    void beat(base::NodeId id, std::uint64_t boot_id);
    void deliver(Box& box, std::uint32_t seq);
    void arrive(fleet::NodeSeen seen);
    [[nodiscard]] fleet::NodeSeen datagram(const Box& box) const;
    [[nodiscard]] fleet::NodeFacts facts(const Box& box) const;
    [[nodiscard]] Box* box_at(const base::Endpoint& endpoint, bool api);
    [[nodiscard]] std::optional<base::Errc> connect(const Box* box, bool api);
    void act(const fleet::Effect& effect);
    void act_confirm(const fleet::Confirm& confirm);
    void act_probe(const fleet::Probe& probe);
    void act_poll(const fleet::PollStatic& poll);
    void act_watch(const fleet::Watch& watch);
    void check(const fleet::Event& event);
    void trace(const fleet::Event& event, const fleet::Effects& effects) const;

    fleet::FleetOptions options_;
    base::Rng rng_;
    Instant now_{std::chrono::seconds{100'000}};
    std::unique_ptr<fleet::Fleet> fleet_;
    std::uint64_t life_{0}; ///< of the herd: what an earlier one asked for is not answered
    std::map<base::NodeId, std::unique_ptr<Box>> boxes_{};
    std::multimap<Instant, std::function<void()>> agenda_{};
    std::map<base::NodeId, Heard> heard_{};
    std::map<base::NodeId, std::uint64_t> watched_{};
    std::map<fleet::Ticket, Answer> answers_{};
    std::set<fleet::Ticket> asked_{};
    fleet::Ticket last_ticket_{0};
    unsigned last_address_{0};
};

/// A number from the environment.
[[nodiscard]] std::uint64_t number_or(const char* variable, std::uint64_t otherwise);
/// HERD_SEED, or the default; printed by the caller when a run fails.
[[nodiscard]] inline std::uint64_t seed_or(std::uint64_t otherwise) { return number_or("HERD_SEED", otherwise); }

} // namespace herd::test
