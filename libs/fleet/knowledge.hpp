#pragma once
// What the fleet learned from answers, put together: the speed of a model on a node (its own figures, else those
// of a sibling with the same GPU, else a guess from the hardware), and what to expect of a request. One door, so
// that the cost model need not know where a figure comes from.
#include "fleet/expectations.hpp"
#include "fleet/learned.hpp"
#include "fleet/node_record.hpp"

#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

namespace herd::fleet {

/// What a finished attempt was assumed to be, as far as learning needs it.
struct Assumed {
    CacheGuess cache{};
    Speed speed{};
    double stretch{1};     ///< prefill predicted, over prefill alone
    double prompt_tokens{0};
    double prompt_bytes{0};
    double others{0};      ///< running beside it on the node, on average
    double load_s{0};
    int images{0};
    int slots{1};          ///< that its model was thought to have
    bool full{false};      ///< it took the last of them
    bool loading{false};   ///< the model was not resident when it was sent
    bool alone{true};      ///< no other request of its model ran beside it
    std::string model_key{};
    std::string tag{};
};

class Knowledge {
public:
    static constexpr std::size_t restored_max = 65'536;
    static constexpr std::size_t siblings_max = 8192;

    /// The speed to count with; `in_vram`: share of the model that fits on the GPU.
    [[nodiscard]] Speed speed_of(const NodeRecord& node, const ModelOnNode& model, double in_vram) const;

    /// A request was served there. `seconds`: from grant to end, by our own clock.
    void note_served(NodeRecord& node, ModelOnNode& model, const Assumed& assumed, const Outcome& outcome,
                     double seconds);

    void restore(const LearnedRestored& event);
    /// A node (again) lists its models: gives them what was kept for them.
    void adopt(NodeRecord& node);
    void append_learned(const NodeRecord& node, std::vector<Learned>& out) const;
    [[nodiscard]] std::vector<RateView> rates_of(const NodeRecord& node) const;

    [[nodiscard]] const Expectations& expect() const { return expect_; }

private:
    /// How far the guess from the hardware is off for a digest, as a factor (its logarithm), wherever it was
    /// measured: a mixture of experts reads a tenth of its weights per token, and its size does not tell.
    struct Calibration {
        double prefill{0};
        double prefill_weight{0};
        double decode{0};
        double decode_weight{0};
    };
    void calibrate(const NodeRecord& node, const ModelOnNode& model, double prefill_each_s, double decode_each_s,
                   double others);
    void note_tokens(NodeRecord& node, ModelOnNode& model, const Assumed& assumed, const Timings& timings);
    void note_own_clock(ModelOnNode& model, const Assumed& assumed, const Outcome& outcome, double seconds);
    static void note_inside_queue(NodeRecord& node, ModelOnNode& model, const Assumed& assumed, const Timings& timings);
    [[nodiscard]] LoadRate* kin_load(const NodeRecord& node);
    [[nodiscard]] Rates* sibling(const NodeRecord& node, const ModelOnNode& model, bool make);

    Expectations expect_{};
    std::map<std::uint64_t, LoadRate> kin_loads_{}; ///< by kind of hardware; nodes point into it, and nothing is taken out
    std::unordered_map<std::uint64_t, Rates> siblings_{};                      ///< by digest and kind of hardware
    std::unordered_map<std::uint64_t, Calibration> calibrations_{};            ///< by digest
    std::map<std::pair<NodeId, std::uint64_t>, Learned> restored_{};           ///< not asked for yet
};

/// Of a manifest's digest; never 0 for a non-empty one.
[[nodiscard]] std::uint64_t digest_hash(std::string_view digest);

} // namespace herd::fleet
