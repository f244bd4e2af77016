// The seven signals of Ollama Herd 0.6 (parity.md 2.7), by themselves: what it knows of a node and a model in, points out.
#pragma once

#include <array>
#include <limits>
#include <numeric>
#include <optional>
#include <string_view>

namespace herd::replay {

struct SignalFacts {
    double bandwidth{0};        ///< of memory, GB/s; 0: unknown
    double median_bandwidth{0}; ///< of the nodes that tell theirs; 0: none does
    double ram{0};              ///< GiB, as the next two
    double available{0};
    double size{0};             ///< of the model, context not counted
    bool loaded{false};
    double unloaded_for{std::numeric_limits<double>::infinity()}; ///< seconds
    double depth{0};            ///< requests of this model waiting or in flight at the node
    std::optional<double> p75{}; ///< of its latencies, seconds; none: no history
    int context{0};             ///< of the loaded copy; 0: unknown
    double tokens{0};           ///< of the prompt, estimated; 0: not told
};

/// S1 hotness, S2 memory fit, S3 queue depth, S4 wait time, S5 role affinity, S6 availability trend (0: nobody learns it
/// here), S7 context fit.
using SevenSignals = std::array<double, 7>;

[[nodiscard]] SevenSignals seven_signals(const SignalFacts& facts);
[[nodiscard]] inline double total(const SevenSignals& signals) { return std::accumulate(signals.begin(), signals.end(), 0.0); }

/// GiB, by the first part of a lower-case name that is known.
[[nodiscard]] double size_by_name(std::string_view name);

} // namespace herd::replay
