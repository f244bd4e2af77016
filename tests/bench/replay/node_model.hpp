#pragma once
// An Ollama node in virtual time: one load at a time, a runner per model and context length, slots with a FIFO
// behind them, a card shared by all that runs, and a prompt cache. It knows nothing of who sends it requests.
// Sources: reference/ollama-api.md 3.2 to 3.5, reference/parity.md 6.4; README.md says what is left out.
#include "agenda.hpp"
#include "prompt_cache.hpp"

#include <deque>
#include <functional>
#include <memory>

namespace herd::replay {

enum class End : std::uint8_t {
    served,
    failed,  ///< a 500 before the first token
    broken,  ///< the connection ended: the node was killed
    refused, ///< nobody listens
};

/// How a request ended, as the node's own clock tells it. Seconds.
struct Ended {
    End end{End::served};
    double total{0};
    double load{0};
    double prefill{0}; ///< of what was not cached
    double decode{0};
    int input{0};
    int output{0};
    int cached{0};     ///< known to the statistics and the oracle; a real Ollama does not say
    bool first_token_sent{false};
};

struct Counters {
    int loads{0};
    int reloads{0}; ///< of these: the model was there with another context length
    int evictions{0};
    std::int64_t input{0};
    std::int64_t cached{0};
};

/// Seconds that a request takes alone on a node, without noise: the prompt but for `cached` tokens, and the answer.
[[nodiscard]] double prefill_seconds(const NodeSpec& node, const ModelSpec& model, double input, double cached);
[[nodiscard]] double decode_seconds(const NodeSpec& node, const ModelSpec& model, double input, double output);
/// What `n` concurrent decodes of a runner yield together, in decodes alone.
[[nodiscard]] double batch_gain(double n);

/// A model in memory, as /api/ps tells.
struct Resident {
    int model{0};
    int context{0};
    double gib{0};
    double used_at{0};
};

class NodeModel {
public:
    /// Called when the node has settled into its new state; may submit again.
    struct Ears {
        std::function<void(int request)> first_token{};
        std::function<void(int request, const Ended&)> ended{};
        std::function<void()> memory_changed{};
    };

    NodeModel(Agenda& agenda, const Workload& workload, int index, std::uint64_t seed, Ears ears);

    void submit(int request);
    /// Loads a model as an empty request does, with default options.
    void preload(int model);
    void kill();
    void revive() { alive_ = true; }

    [[nodiscard]] bool alive() const { return alive_; }
    [[nodiscard]] const NodeSpec& spec() const { return spec_; }
    [[nodiscard]] const Counters& counters() const { return counters_; }
    [[nodiscard]] std::vector<Resident> residents() const;
    [[nodiscard]] double memory_used_gib() const;
    [[nodiscard]] double size_gib(int model, int context) const;
    [[nodiscard]] int context_of(const Request& request) const;

    // ---- the truth, for the oracle alone ----
    /// When that request would end if it were sent now and nothing else came.
    [[nodiscard]] double would_end(int request) const;

private:
    struct Job {
        int request{-1}; ///< −1: a preload
        int model{0};
        int context{0};
        double submitted{0};
        double placed{0};     ///< a runner was there
        double begun{0};
        double prefilled{0};
        double work{0};       ///< seconds left in this phase, alone
        double decode_work{0};
        int cached{0};
        bool decoding{false};
    };
    struct Runner {
        explicit Runner(int tokens) : cache(tokens) {}
        int model{0};
        int context{0};
        double gib{0};
        bool loading{true};
        double used_at{0};
        double ready_at{0};
        std::vector<Job> active{};
        std::deque<Job> waiting{};
        PromptCache cache;
        [[nodiscard]] bool idle() const { return !loading && active.empty() && waiting.empty(); }
    };
    using RunnerPtr = std::unique_ptr<Runner>;
    struct Message {
        int request{0};
        bool is_end{false};
        Ended ended{};
    };

    [[nodiscard]] Runner* find(int model);
    [[nodiscard]] double prefill_seconds(const Request& request, int cached) const;
    [[nodiscard]] double decode_seconds(const Request& request) const;
    [[nodiscard]] double load_seconds(double gib) const;
    [[nodiscard]] double noise(int request, std::uint64_t salt) const;
    void enter(Runner& runner, Job job);
    void fill_slots(Runner& runner);
    void schedule_pending();
    [[nodiscard]] bool make_room(double gib);
    void start_load(int model, int context, bool again);
    void advance();
    void set_alarm();
    void settle();
    [[nodiscard]] double speed(const Runner& runner, bool decoding) const;
    void finish(Runner& runner, const Job& job);
    void tell();

    Agenda& agenda_;
    const Workload& workload_;
    const NodeSpec& spec_;
    int index_;
    std::uint64_t seed_;
    Ears ears_;
    bool alive_{true};
    std::vector<RunnerPtr> runners_{};
    std::deque<Job> pending_{};
    std::deque<Message> messages_{};
    bool telling_{false};
    bool memory_changed_{false};
    double advanced_to_{0};
    std::uint64_t alarm_{0}; ///< the newest; older ones ring in vain
    std::uint64_t life_{0};
    Counters counters_{};
};

} // namespace herd::replay
