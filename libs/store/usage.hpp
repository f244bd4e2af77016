#pragma once
// Aggregates over time: how much, how well, how fast, per model, node, tag, key or client and per bucket of time. Of
// requests that want a model (request_class.hpp). Fed record by record, from the database or from memory.
#include "store/request_record.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::store {

/// The order is that of the sums on disk. model_on_node: "node\nmodel", for programs; nobody asks for it by name.
enum class UsageBy : std::uint8_t { model, node, tag, key, client, model_on_node };
[[nodiscard]] std::optional<UsageBy> parse_usage_by(std::string_view text);
[[nodiscard]] std::string_view to_string(UsageBy by);

struct UsageQuery {
    UsageBy by{UsageBy::model};
    std::chrono::seconds bucket{3600};
    base::WallTime since{};
    base::WallTime until{};
    bool lengths{false}; ///< also how long prompts were, and prompts with their answers
};

/// Percentiles of positive numbers within 3 %, in little memory: counts in logarithmic steps.
class Spread {
public:
    void add(double value, std::uint32_t count = 1);
    [[nodiscard]] std::optional<double> percentile(double share) const; ///< share 0…1
    [[nodiscard]] std::uint64_t count() const { return count_; }
    /// The steps and how often each was seen: all that is known.
    [[nodiscard]] const std::map<std::int16_t, std::uint32_t>& steps() const { return steps_; }
    void add_step(std::int16_t step, std::uint32_t count)
    {
        steps_[step] += count;
        count_ += count;
    }
    void add(const Spread& other)
    {
        for (const auto& [step, count] : other.steps_) {
            add_step(step, count);
        }
    }

private:
    std::map<std::int16_t, std::uint32_t> steps_;
    std::uint64_t count_{0};
};

/// One bucket of one name.
struct UsageCell {
    std::uint64_t requests{0};
    std::uint64_t errors{0};       ///< RequestRecord::failed()
    std::uint64_t disconnects{0};  ///< the client left
    std::uint64_t retries{0};
    std::uint64_t cold_loads{0};   ///< load_ms over 1000
    std::int64_t prompt_tokens{0};
    std::int64_t cached_tokens{0};
    std::int64_t output_tokens{0};
    base::Duration total{};
    Spread ttft_ms{};
    Spread tokens_per_s{};
    std::uint64_t completed{0};    ///< answered below 400 and properly ended
    std::uint64_t fallbacks{0};    ///< another model ran than the one asked for
    base::Duration total_min{};
    base::Duration total_max{};
    base::Duration ttft{};         ///< of the completed ones together
    base::WallTime first{};
    base::WallTime last{};
    Spread prompt_lengths{};       ///< only where UsageQuery::lengths asks for them
    Spread lengths{};
    std::int64_t prompt_length_max{0};
    std::int64_t length_max{0};
};

/// What of a record counts. Cheaper to read from the database than a whole one.
struct UsageSample {
    base::WallTime at{};
    std::string_view name{};
    int status{0};
    std::string_view termination{};
    std::uint64_t attempts{0};
    std::int64_t prompt_tokens{0};
    std::int64_t cached_tokens{0};
    std::int64_t output_tokens{0};
    base::Duration load{};
    base::Duration ttft{};
    base::Duration total{};
    double tokens_per_s{0}; ///< 0: not known
    bool fallback{false};
};

/// Thread: one owner.
class UsageSum {
public:
    using Key = std::pair<std::int64_t, std::string>; ///< start of the bucket in seconds of the epoch, name
    static constexpr std::size_t cells_max = 20'000;

    explicit UsageSum(const UsageQuery& query) : query_(query) {}
    void add(const UsageSample& sample);
    /// A whole record counts once per name it has (tags: once per tag); one that wants no model does not.
    void add(const RequestRecord& record);
    /// A sum that was made before, of a time that lies within one bucket, lengths included.
    void add(const Key& key, const UsageCell& cell);
    [[nodiscard]] const std::map<Key, UsageCell>& cells() const { return cells_; }
    /// Requests left out because there were too many cells.
    [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

private:
    UsageCell* cell_of(std::int64_t second, std::string_view name);
    UsageQuery query_;
    std::map<Key, UsageCell> cells_;
    std::uint64_t left_out_{0};
};

} // namespace herd::store
