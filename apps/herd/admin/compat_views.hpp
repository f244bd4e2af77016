#pragma once
// What the dashboard of Ollama Herd reads of the past, in its shapes: trends, models, usage, tags, contexts, traces.
// Pure: what the records add up to goes in, JSON comes out. Times are seconds of the epoch, buckets begin at UTC
// boundaries.
// Source: reference/parity.md 2.5, 2.10.
#include "fleet/snapshot.hpp"
#include "proxy/model_rules.hpp"
#include "store/usage.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace herd::app::admin {

using UsageCells = std::map<store::UsageSum::Key, store::UsageCell>;

/// All names together, by the buckets of `cells`.
[[nodiscard]] std::string trends_json(std::uint64_t hours, const UsageCells& cells);
/// `cells`: by model and day.
[[nodiscard]] std::string model_days_json(std::uint64_t days, const UsageCells& cells, const fleet::Snapshot& snapshot);
[[nodiscard]] std::string overview_json(const UsageCells& cells, const fleet::Snapshot& snapshot);
/// `cells`: by UsageBy::model_on_node and day.
[[nodiscard]] std::string node_model_days_json(std::uint64_t days, const UsageCells& cells);
/// `cells`: by tag, any buckets.
[[nodiscard]] std::string tags_json(std::uint64_t days, const UsageCells& cells);
[[nodiscard]] std::string tag_days_json(std::uint64_t days, const UsageCells& cells);
/// `cells`: by model with UsageQuery::lengths, in one bucket; `day`: the same of the last 24 h; `rules`: of models, or null.
[[nodiscard]] std::string contexts_json(std::uint64_t days, const UsageCells& cells, const UsageCells& day,
                                        const fleet::Snapshot& snapshot, const proxy::ModelRules* rules);
/// `cells`: by UsageBy::model_on_node of all time.
[[nodiscard]] std::string model_management_json(const UsageCells& cells, const fleet::Snapshot& snapshot, base::WallTime now);
/// The 19 columns of its request_traces.
[[nodiscard]] std::string traces_json(const std::vector<store::RequestRecord>& records);

} // namespace herd::app::admin
