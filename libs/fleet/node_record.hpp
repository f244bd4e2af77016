#pragma once
// Everything the fleet holds about one node, as plain data: what it told us, how we hold it, what runs there.
// Membership writes the first two, capacity the third; nobody outside libs/fleet sees this (they get NodeView).
#include "fleet/alarms.hpp"
#include "fleet/event.hpp"
#include "fleet/hardware.hpp"
#include "fleet/learning.hpp"
#include "fleet/rules.hpp"
#include "fleet/tool.hpp"

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::fleet {

/// The states of lana.md 6. NodeState is derived from this, the announced state and the operator's drain.
enum class Liveness : std::uint8_t { verifying, alive, suspect, gone, unreachable };

/// One model as one node has it.
struct ModelOnNode {
    bool listed{false};  ///< in the node's newest list
    bool missing{false}; ///< the node said 404 although it is listed; until the next fresh list
    bool allowed{true};  ///< the node may serve it: NodeSettings::models_allow
    bool loaded{false};  ///< in the node's newest list of loaded models
    bool warm{false};    ///< served by it since that list was read
    std::optional<int> slots{};
    bool one_slot{false};                         ///< of a kind that Ollama runs one at a time
    Tool tool{Tool::none};                        ///< what is no model takes one request at a time, too
    int context_length{0};
    std::optional<std::uint64_t> options_class{}; ///< what our last request there was loaded with
    std::size_t index{0};                         ///< in facts->models, while listed
    int in_flight{0};                             ///< leases that hold a slot

    std::uint64_t digest{0};            ///< hash of the manifest's digest; 0: not told
    Bytes size{0};                      ///< of the file
    Bytes cache_per_token{0};           ///< of context, from its metadata; 0: not told
    Bytes memory{0};                    ///< taken when it was last seen loaded, with `memory_context` tokens; 0: never seen
    int memory_context{0};
    double in_vram{1};                  ///< share of it that stands on the GPU, while loaded; 1 without one
    std::vector<std::uint32_t> running{}; ///< open leases, as places in the dispatcher's table
    base::Instant load_ends{};          ///< our request is loading it, until about then; default: no
    base::Instant last_used{};
    double uses{0};                     ///< requests lately, fading by half in `use_half_life`
    std::uint64_t wire_hash{0};         ///< LoadedModel::wire_hash while it is loaded
    int foreign{0};                     ///< requests seen in it that are none of ours; where wire_hash is set
    int foreign_before{0};              ///< as NodeRecord::foreign_before
    int slots_seen{0};                  ///< more than so many queued inside the node; 0: not seen since it was loaded
    int full_well{0};                   ///< answers since with all of them taken and nothing queued inside
    std::unique_ptr<Learning> learning{}; ///< null until something was learned
    mutable std::uint64_t pass{0};      ///< scratch of the dispatcher: the pass that `queue` belongs to
    mutable std::size_t queue{0};
    /// Scratch of the dispatcher: how many of those waiting chose this place in that pass over their line, and in the
    /// one before it; by their priority.
    struct Crowd {
        std::uint64_t pass{0};
        std::array<int, 3> now{};
        std::array<int, 3> before{};
    };
    mutable Crowd crowd{};

    [[nodiscard]] bool held() const { return listed && !missing; }
    [[nodiscard]] bool believed_loaded() const { return loaded || warm || in_flight > 0; }
    /// Predicted seconds until our request has loaded it; 0: it has, or should have.
    [[nodiscard]] double load_left(base::Instant now) const
    {
        return load_ends > now ? base::seconds(load_ends - now) : 0;
    }
    Learning& learn();
    void used(base::Instant now);
    /// Requests per second for it here, as of late.
    [[nodiscard]] double use_rate(base::Instant now) const;
    /// It left the node's memory: what was cached is gone with it.
    void unloaded();
};

/// How a silent node is being looked at.
enum class Verify : std::uint8_t {
    none,
    silence,  ///< a probe is out because announcements stopped
    tcp_only, ///< TCP answers, UDP does not: polled each second
};

/// A claim of another address, tested at both ends before it is believed (lana.md 5).
struct Move {
    base::Endpoint agent{};
    base::Endpoint udp{};
    std::uint64_t boot_id{0};
    std::shared_ptr<const NodeFacts> new_facts{}; ///< set once the new address answered
    bool new_failed{false};
    std::optional<bool> old_answers{};
    std::uint64_t old_boot{0};
    bool asked_again{false}; ///< both ends answered, with two boots: the old end is asked whether it still is there
    base::Instant give_up{never};
};

/// Another box that lives under this id too (lana.md 7).
struct Twin {
    base::Endpoint agent{};
    std::uint64_t boot_id{0};
    base::Instant heard_at{};
};

struct NodeTimers {
    base::Instant confirm{never};       ///< try (again) to confirm or fetch
    base::Instant confirm_limit{never}; ///< an answer that never came counts as failed
    base::Instant hedge{never};         ///< the question is unanswered: ask beside it
    base::Instant silence{never};       ///< look whether announcements stopped (armed lazily)
    base::Instant verdict{never};       ///< the probe's time is over
    base::Instant poll{never};          ///< static: next poll; tcp_only: next HTTP poll
    base::Instant poll_limit{never};    ///< static: an answer that never came
    base::Instant probe_again{never};   ///< suspect after a fault: when TCP is tried again
    base::Instant gone{never};
    base::Instant forget{never};
    base::Instant watch{never}; ///< open the canary again
    base::Instant twin{never};  ///< is the twin still heard?

    [[nodiscard]] base::Instant earliest() const;
};

struct NodeRecord {
    // Who it is.
    NodeId id{};
    std::uint64_t serial{0}; ///< of this record: a node removed and added again is another
    std::string name{};
    NodeSource source{NodeSource::lana};
    std::string url{};
    std::vector<std::string> labels{}; ///< lower case, sorted, unique
    std::vector<std::string> own_labels{}; ///< the same without those of `settings`
    std::vector<std::string> configured_labels{};
    std::shared_ptr<const NodeSettings> settings{}; ///< null: nobody set anything for it
    std::optional<int> configured_slots{};
    Address address{};
    base::Endpoint agent{};
    base::Endpoint udp{}; ///< where its datagrams come from; port 0: never heard by UDP

    // What it says.
    std::uint64_t boot_id{0};
    std::uint32_t seq{0};
    AnnouncedState announced{AnnouncedState::init};
    base::Duration interval{std::chrono::seconds{1}};
    int detect_mult{3};
    std::shared_ptr<const NodeFacts> facts{std::make_shared<const NodeFacts>()};
    std::optional<HostLoad> host{}; ///< newer than facts->host
    std::vector<Gpu> gpus{};
    bool load_is_newer{false}; ///< host and gpus are not in `facts` yet
    std::optional<int> reported_in_flight{};

    // How we hold it.
    Liveness liveness{Liveness::verifying};
    std::string liveness_reason{};
    NodeState state{NodeState::unknown};
    std::string reason{};
    base::WallTime since{};
    base::Instant last_seen{}; ///< any sign of life
    base::Instant last_beat{}; ///< an announcement
    std::optional<base::Duration> latency{};
    bool drained_by_operator{false};
    bool waits{false};        ///< for a human's approval
    bool told_waiting{false};
    bool list_doubted{false}; ///< a model of it was not there: it is read again even if it says that nothing changed
    bool facts_cut{false};    ///< it waited when it told them: its models were left out
    std::shared_ptr<const std::string> proof{};
    bool ever_confirmed{false};
    bool saved{false};        ///< from the saved pool, not yet answered
    bool left{false};         ///< gone because it said so
    bool was_last_resort{false};
    bool tcp_proven{false};   ///< the newest TCP evidence about the API is good
    bool needs_tcp{false};    ///< suspect by a TCP fault: an announcement alone does not refute it
    bool confirm_out{false};
    int confirm_copies{0};    ///< of the question that is out
    bool fetch_again{false};  ///< changed while a fetch was out
    bool probe_out{false};
    bool admission_probe{false}; ///< the probe asks whether a confirmed node's API is an Ollama's
    int probe_copies{0};      ///< of that question
    bool api_proven{false};   ///< GET /api/version was answered there since it was last taken in
    bool poll_out{false};
    bool poll_full{false};
    bool poll_again{false};   ///< a fault came while a poll was out: its answer may be older
    bool watching{false};
    int confirm_failures{0};
    int poll_failures{0};
    int poll_answers{0}; ///< in a row, since it was away
    int probe_failures{0};
    int watch_failures{0};
    Verify verify{Verify::none};
    base::Instant probe_started{};
    std::optional<bool> probe_connected{};
    base::Instant tcp_only_limit{never};
    int polls_open{0}; ///< tcp_only: polls in a row that nobody answered
    base::Instant doubt_confirmed_at{};
    base::Instant next_move_at{}; ///< a claim of another address is looked into so often
    base::Instant full_polled_at{};
    bool doubt_out{false};    ///< the question that is out settles a doubtful datagram
    base::Instant last_lease{};
    std::optional<Move> move{};
    std::optional<Twin> twin{};
    std::deque<base::Instant> flaps{}; ///< suspect → alive, of the last minute
    bool fell{false};        ///< it said that its Ollama is down, and has not been let back since
    int beats_in_row{0};     ///< answers to probes are no beats: those half an interval apart count
    base::Instant row_counted_at{};
    NodeTimers timers{};

    // What runs there.
    std::map<std::string, ModelOnNode> models{}; ///< by key
    int in_flight{0};
    base::Instant prefilling_until{}; ///< predicted: what our leases there still load and read
    std::vector<std::pair<std::uint64_t, int>> reported_busy{}; ///< NodeSeen::busy of the last announcement
    int foreign{0};          ///< requests seen there that are none of ours
    int foreign_before{0};   ///< at the announcement before: what is seen twice is believed
    int loads{0};            ///< of our leases, those whose model was not loaded when they were granted
    int resident_most{0};    ///< models ever seen loaded at once
    LoadRate load_rate{};
    const LoadRate* kin_load_rate{nullptr}; ///< of all nodes with such hardware, until its own is known; null: unknown hardware
    Hardware hardware{};
    std::size_t view{0}; ///< place in the newest snapshot
    std::uint64_t granted_pass{0}; ///< scratch of the dispatcher: the pass in which it was last granted

    [[nodiscard]] bool is_static() const { return source == NodeSource::configured; }
    [[nodiscard]] bool takes_requests() const { return state == NodeState::online; }
    /// May serve when no online node can (lana.md D7): suspect, but TCP is known to answer.
    [[nodiscard]] bool last_resort() const;
    [[nodiscard]] bool carries(const std::vector<std::string>& wanted) const;
    void set_labels(std::vector<std::string> own);
    [[nodiscard]] int tier() const { return tier_of(address.cloud(), settings.get()); }
    [[nodiscard]] bool allows(std::string_view model_key) const { return settings == nullptr || settings->allows(model_key); }
    [[nodiscard]] bool switched_off() const { return settings != nullptr && !settings->active; }
    [[nodiscard]] int slots_of(const ModelOnNode& model) const;
    /// Without those that foreign requests are seen to take.
    [[nodiscard]] int free_slots_of(const ModelOnNode& model) const;
    /// Foreign requests as far as they concern this model: none unless it is the one that is loaded.
    [[nodiscard]] int foreign_of(const ModelOnNode& model) const;
    /// VRAM where the node tells of any, else RAM.
    [[nodiscard]] Bytes free_memory() const;
    /// Announcements stopped but TCP answers: counts half in selection.
    [[nodiscard]] bool half_weight() const { return verify == Verify::tcp_only; }
    [[nodiscard]] base::Duration silent_for(base::Instant now) const { return now - last_beat; }
};

} // namespace herd::fleet
