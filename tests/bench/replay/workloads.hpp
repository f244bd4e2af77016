#pragma once
// The rows of the table: which fleet, which requests. A row and a seed make one workload, always the same.
#include "base/random.hpp"
#include "traces.hpp"
#include "workload.hpp"

#include <functional>
#include <string>
#include <vector>

namespace herd::replay {

struct RowOptions {
    std::string traces{};        ///< folder of the public traces
    std::size_t requests_max{0}; ///< 0: all
};

struct Row {
    std::string name{};
    std::string title{}; ///< a phrase for the table
    std::function<base::Result<Workload>(std::uint64_t seed, const RowOptions& options)> make{};
    std::string alone{}; ///< another row's name: the same without the disturbance, for comparing
};

[[nodiscard]] const std::vector<Row>& rows();
/// A trace of either format on the eight mixed nodes.
[[nodiscard]] Row trace_row(const std::string& path, double load, int slots);

// ---- pieces ----

/// The eight nodes of scheduling.md 6.
[[nodiscard]] std::vector<NodeSpec> mixed_nodes(int slots);
/// Requests per second that the nodes could serve if each were always busy and nothing were cached.
[[nodiscard]] double capacity(const Workload& workload, const std::vector<TraceLine>& lines);
/// The same order of nodes would favour whoever breaks ties by it.
void shuffle_nodes(Workload& workload, base::Rng& rng);
/// exp(normal) with that median and that sigma.
[[nodiscard]] double log_normal(base::Rng& rng, double median, double sigma);
[[nodiscard]] double exponential(base::Rng& rng, double mean);
/// Blocks of a text of `tokens` whose k-th block is `identity(k)`; equal identities, equal text.
[[nodiscard]] std::vector<Block> chain_of(int tokens, const std::function<std::uint64_t(int)>& identity);

// ---- by hand (workloads_made.cpp) ----
[[nodiscard]] Workload agents(std::uint64_t seed, std::size_t requests_max);
[[nodiscard]] Workload zipf(std::uint64_t seed, std::size_t requests_max);
[[nodiscard]] Workload contexts(std::uint64_t seed, std::size_t requests_max);
[[nodiscard]] Workload flood(std::uint64_t seed, std::size_t requests_max, bool with_flood);
enum class Trouble : std::uint8_t { none, slow_node, failing_node, churn };
[[nodiscard]] Workload chats(std::uint64_t seed, std::size_t requests_max, Trouble trouble);

} // namespace herd::replay
