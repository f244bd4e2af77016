#pragma once
// What a single snapshot cannot tell: what changed lately and how often. Nodes that came and went, models that
// were loaded again and again, queues over some minutes, speeds against a node's own past. Bounded: per node,
// per model on a node, and in all; what is silent for a day is dropped.
#include "base/text_pair.hpp"
#include "fleet/model_name.hpp"
#include "fleet/profile.hpp"
#include "fleet/snapshot.hpp"
#include "herd/health/traffic.hpp"

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app::health {

/// Requests with this tag measure the fleet; herd's own benchmark sends it, and others may.
inline constexpr std::string_view benchmark_tag = "benchmark";

/// One ended exchange that wanted a model, as far as health looks at it.
struct Finished {
    struct Attempt {
        std::string node{};
        fleet::Result outcome{fleet::Result::served};
    };
    std::string node{};
    std::string model{};     ///< what ran; empty when none did
    std::string requested{}; ///< what was asked for
    int status{0};
    std::string termination{"--"};
    std::vector<Attempt> attempts{};
    bool on_several{false};  ///< all at once, on every holder of a model: none is a retry, and `node` is empty
    fleet::Timings timings{};
    base::Duration first_byte{};
    base::Duration total{};
    bool fallback{false};
    bool measures{false};    ///< of a benchmark: tells of the fleet, but not that somebody wants the model
    enum class Kind : std::uint8_t { text, image, transcription, pull };
    Kind kind{Kind::text};
    std::int64_t cached_tokens{-1};  ///< of the prompt; -1: not known
    std::int64_t context_asked{0};   ///< num_ctx; 0: none
    std::int64_t context_used{0};    ///< that the model ran with; 0: not known
    bool other_class{false}; ///< the scheduler knew that the model had to be loaded anew with other options
};

/// One that has not ended and does not move.
struct Stuck {
    std::string id{};
    std::string node{};
    std::string model{};
    char phase{'H'}; ///< as in the access log: H awaiting the head, D data
    base::Duration silent{}; ///< for how long no byte has gone out
};
inline constexpr base::Duration stuck_answering = std::chrono::seconds{60};  ///< in phase D: worth a finding
inline constexpr base::Duration stuck_waiting = std::chrono::seconds{300};   ///< in phase H

/// What an announcement says beside what the fleet keeps of it.
struct Heard {
    base::NodeId id{};
    std::uint64_t boot_id{0};
    bool over_http{false};
    std::optional<int> in_flight{};       ///< as its gateway counts them
    std::optional<base::Duration> skew{}; ///< its clock minus ours
};

/// The speed of one model's answers at one node: the last requests against the hours before.
class Pace {
public:
    static constexpr std::size_t enough = 20;

    void add(base::Instant now, double tokens_per_s);
    /// Median of the last requests, at least `enough` within half an hour.
    [[nodiscard]] std::optional<double> recent(base::Instant now) const;
    /// Median of the medians of past hours, of at most a week; the present hour and the one before do not count.
    [[nodiscard]] std::optional<double> usual(base::Instant now) const;

private:
    struct Sample {
        base::Instant at{};
        float rate{0};
    };
    struct Hour {
        std::int64_t stamp{0};
        float median{0};
    };
    void close_hour();

    std::deque<Sample> recent_; ///< at most 32
    std::vector<float> hour_;   ///< of the present hour, at most 256
    std::int64_t hour_stamp_{0};
    std::deque<Hour> past_;     ///< at most 168
};

/// One model on one node.
struct Pairing {
    Windows windows{};
    Pace pace{};
    FadingSpread tokens{}; ///< prompt and answer together
    base::Instant last_end{};
    base::Instant last_load{};
    int context{0};      ///< as last seen in memory
    int context_other{0}; ///< the one before it
    base::Instant context_at{};      ///< when it was seen last
    base::Instant context_changed{}; ///< when it became another
    double best_share{0}; ///< of the model in VRAM, with `best_context`
    int best_context{0};
    std::string model{}; ///< display name
    struct Ever {             ///< since the start
        std::uint64_t completed{0};
        std::uint64_t failed{0};
        base::Duration total{}; ///< of the completed ones, as all below
        std::int64_t prompt_tokens{0};
        std::int64_t output_tokens{0};
        std::uint64_t cold{0};             ///< that waited for a load
        std::uint64_t cache_samples{0};    ///< of which it is known how much of the prompt was cached
        std::int64_t cache_prompt_tokens{0}; ///< of those
        std::int64_t cached_tokens{0};
    };
    Ever ever{};
};

struct NodeMemory {
    std::string name{};
    fleet::NodeState state{fleet::NodeState::unknown};
    base::Instant state_since{};
    bool down_by_itself{false};     ///< its Ollama is down, by its own account
    base::Instant down_since{};
    bool left{false}; ///< it said goodbye
    std::deque<base::Instant> drops{}; ///< when it stopped being routable without saying goodbye; at most 32
    base::Instant heard_udp{};
    base::Instant heard_http{};
    std::optional<base::Duration> skew{}; ///< the smallest of the last reports
    std::deque<base::Duration> skews{};
    std::uint64_t boot{0};
    std::uint64_t boot_before{0};
    std::deque<base::Instant> boot_swaps{}; ///< back to an older boot: two live senders with one id
    std::optional<int> reported{};          ///< in flight, as its gateway counts
    base::Instant reported_at{};
    std::optional<base::Instant> foreign_since{};
    int foreign{0};
    std::optional<base::Instant> busy_since{}; ///< a GPU works although nobody asked through us
    std::uint64_t gpu_boot{0};
    std::size_t gpus_most{0};                  ///< within gpu_boot
    struct SwapSample {
        base::Instant at{};
        base::Bytes used{0};
    };
    std::deque<SwapSample> swap{}; ///< one a minute, ten minutes
    std::shared_ptr<const fleet::NodeFacts> facts{};
};

struct NodeTraffic {
    Windows windows{};
    base::Instant touched{};
};

struct QueueSample {
    base::Instant at{};
    int queued{0};
};

/// Offline because it said so: in the fleet's own words (Membership, NodeLeft) "left", "left: stopped".
[[nodiscard]] bool said_goodbye(const fleet::NodeView& view);

/// Thread: one owner.
class History {
public:
    static constexpr std::size_t names_max = 8192;    ///< nodes with traffic
    static constexpr std::size_t pairings_max = 8192; ///< models on nodes

    using PairKey = std::pair<std::string, std::string>; ///< node's name, ModelName::key
    using Pairings = std::map<PairKey, Pairing, base::TextPairLess>;

    /// At a modest rate: a few seconds apart.
    void see(const fleet::Snapshot& snapshot, base::Instant now);
    void heard(const Heard& heard, base::Instant now);
    void finished(const Finished& exchange, base::Instant now);
    /// The same of one that an earlier run of herd served, `at` then. Call in order, before all finished().
    void recalled(const Finished& exchange, base::Instant at);
    /// Those that do not move now; all of them that are worth a finding.
    void stuck(std::vector<Stuck> all) { stuck_ = std::move(all); }
    /// The fleet loop was late.
    void late(base::Instant now, base::Duration by);
    /// A file of records could not be written, or records were dropped, `count` times.
    void records_lost(base::Instant now, std::uint64_t count);

    [[nodiscard]] const std::map<base::NodeId, NodeMemory>& nodes() const { return nodes_; }
    [[nodiscard]] const NodeMemory* find(const base::NodeId& id) const;
    [[nodiscard]] const std::map<std::string, NodeTraffic>& traffic() const { return traffic_; }
    [[nodiscard]] const Pairings& pairings() const { return pairings_; }
    [[nodiscard]] const Windows& all() const { return all_; }
    [[nodiscard]] const std::deque<QueueSample>& queue() const { return queue_; }
    [[nodiscard]] const std::vector<Stuck>& stuck() const { return stuck_; }
    [[nodiscard]] std::optional<base::Instant> nobody_since() const { return nobody_since_; }
    [[nodiscard]] const std::map<std::string, Windows>& fallbacks() const { return fallbacks_; }
    struct TurnedAway {
        std::string model{}; ///< display name
        std::uint64_t count{0};
    };
    /// Since the start, by ModelName::key: refused because the queue was full.
    [[nodiscard]] const std::map<std::string, TurnedAway>& turned_away() const { return turned_away_; }
    struct Popular {
        std::string model{}; ///< display name
        double priority{0};  ///< three times the last day's requests, and a day's share of the week's
        std::uint32_t last_hour{0};
    };
    /// Models that are much used, by ModelName::key.
    [[nodiscard]] std::map<std::string, Popular> popular(base::Instant now) const;
    struct TopError {
        std::string what{}; ///< "502 ND": status and termination
        std::uint32_t count{0};
    };
    /// How most of the requests that failed in 24 h ended.
    [[nodiscard]] TopError top_error(base::Instant now) const;
    struct Lateness {
        base::Instant at{};
        base::Duration by{};
    };
    [[nodiscard]] const std::deque<Lateness>& lateness() const { return lateness_; }
    struct Loss {
        base::Instant at{};
        std::uint64_t count{0};
    };
    [[nodiscard]] const std::deque<Loss>& losses() const { return losses_; }

private:
    void see_state(NodeMemory& memory, const fleet::NodeView& view, base::Instant now);
    void see_load(NodeMemory& memory, const fleet::NodeView& view, base::Instant now);
    void see_models(const fleet::NodeView& view, base::Instant now);
    void note_load(const Finished& exchange, Pairing& pair, Counts& counts, base::Instant now);
    Pairing* note(const Finished& exchange, base::Instant at);
    void note_pairing(const Finished& exchange, Pairing& pair, Counts& counts, base::Instant now);
    void note_attempts(const Finished& exchange, const Counts& counts, base::Instant now);
    void note_turned_away(const Finished& exchange);
    static void note_ever(const Finished& exchange, Pairing& pair);
    void sweep(base::Instant now);
    const fleet::ModelName& name_of(std::string_view model);
    Pairing* pairing(const std::string& node, std::string_view model);
    NodeTraffic* traffic_of(const std::string& node);

    std::map<base::NodeId, NodeMemory> nodes_;
    std::map<std::string, NodeTraffic> traffic_;
    Pairings pairings_;
    std::map<std::string, fleet::ModelName, std::less<>> names_; ///< as read, by spelling
    std::map<std::string, Windows> fallbacks_; ///< by the model asked for
    std::map<std::string, Windows> errors_; ///< by status and termination
    std::map<std::string, TurnedAway> turned_away_;
    Windows all_;
    std::deque<QueueSample> queue_;
    std::vector<Stuck> stuck_;
    std::deque<Lateness> lateness_;
    std::deque<Loss> losses_;
    std::optional<base::Instant> nobody_since_;
    base::Instant swept_at_{};
};

} // namespace herd::app::health
