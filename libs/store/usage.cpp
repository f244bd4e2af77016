#include "store/usage.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace herd::store {

namespace {

constexpr double step = 1.06; // the middle of a step is within 3 % of everything in it
constexpr std::array<std::pair<std::string_view, UsageBy>, 5> names{{{"model", UsageBy::model},
                                                                     {"node", UsageBy::node},
                                                                     {"tag", UsageBy::tag},
                                                                     {"key", UsageBy::key},
                                                                     {"client", UsageBy::client}}};

void add_extremes(UsageCell& cell, const UsageSample& sample)
{
    const bool only_one = cell.requests == 1;
    cell.total_min = only_one ? sample.total : std::min(cell.total_min, sample.total);
    cell.total_max = std::max(cell.total_max, sample.total);
    cell.first = only_one ? sample.at : std::min(cell.first, sample.at);
    cell.last = std::max(cell.last, sample.at);
}

} // namespace

std::optional<UsageBy> parse_usage_by(std::string_view text)
{
    const auto* const found = std::ranges::find(names, text, &std::pair<std::string_view, UsageBy>::first);
    return found == names.end() ? std::nullopt : std::optional{found->second};
}

std::string_view to_string(UsageBy by)
{
    const auto* const found = std::ranges::find(names, by, &std::pair<std::string_view, UsageBy>::second);
    return found == names.end() ? "model_on_node" : found->first;
}

void Spread::add(double value, std::uint32_t count)
{
    if (!(value > 1e-6) || !(value < 1e12)) {
        return;
    }
    add_step(static_cast<std::int16_t>(std::floor(std::log(value) / std::log(step))), count);
}

std::optional<double> Spread::percentile(double share) const
{
    if (count_ == 0) {
        return std::nullopt;
    }
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (const auto& [at, count] : steps_) {
        seen += count;
        if (seen >= wanted) {
            return std::pow(step, at + 0.5);
        }
    }
    return std::pow(step, steps_.rbegin()->first + 0.5);
}

/// Null: there are too many.
UsageCell* UsageSum::cell_of(std::int64_t second, std::string_view name)
{
    const std::int64_t width = std::max<std::int64_t>(query_.bucket.count(), 1);
    Key key{second - second % width, name};
    auto found = cells_.find(key);
    if (found == cells_.end()) {
        if (cells_.size() >= cells_max) {
            return nullptr;
        }
        found = cells_.emplace(std::move(key), UsageCell{}).first;
    }
    return &found->second;
}

void UsageSum::add(const Key& key, const UsageCell& more)
{
    UsageCell* const cell = cell_of(key.first, key.second);
    if (cell == nullptr) {
        left_out_ += more.requests;
        return;
    }
    const bool first = cell->requests == 0;
    cell->requests += more.requests;
    cell->errors += more.errors;
    cell->disconnects += more.disconnects;
    cell->retries += more.retries;
    cell->cold_loads += more.cold_loads;
    cell->prompt_tokens += more.prompt_tokens;
    cell->cached_tokens += more.cached_tokens;
    cell->output_tokens += more.output_tokens;
    cell->total += more.total;
    cell->ttft_ms.add(more.ttft_ms);
    cell->tokens_per_s.add(more.tokens_per_s);
    cell->completed += more.completed;
    cell->fallbacks += more.fallbacks;
    cell->total_min = first ? more.total_min : std::min(cell->total_min, more.total_min);
    cell->total_max = std::max(cell->total_max, more.total_max);
    cell->ttft += more.ttft;
    cell->first = first ? more.first : std::min(cell->first, more.first);
    cell->last = std::max(cell->last, more.last);
    if (query_.lengths) {
        cell->prompt_lengths.add(more.prompt_lengths);
        cell->lengths.add(more.lengths);
        cell->prompt_length_max = std::max(cell->prompt_length_max, more.prompt_length_max);
        cell->length_max = std::max(cell->length_max, more.length_max);
    }
}

void UsageSum::add(const UsageSample& sample)
{
    const std::int64_t second = std::chrono::duration_cast<std::chrono::seconds>(sample.at.time_since_epoch()).count();
    UsageCell* const found = cell_of(second, sample.name);
    if (found == nullptr) {
        ++left_out_;
        return;
    }
    UsageCell& cell = *found;
    ++cell.requests;
    const bool failed = sample.status >= 500 || sample.termination.starts_with('N') || sample.termination.starts_with('T');
    cell.errors += failed ? 1U : 0U;
    cell.disconnects += sample.termination.starts_with('C') ? 1U : 0U;
    cell.retries += sample.attempts > 1 ? sample.attempts - 1 : 0;
    cell.fallbacks += sample.fallback ? 1U : 0U;
    cell.cold_loads += sample.load > std::chrono::seconds{1} ? 1U : 0U;
    cell.prompt_tokens += sample.prompt_tokens;
    cell.cached_tokens += sample.cached_tokens;
    cell.output_tokens += sample.output_tokens;
    cell.total += sample.total;
    add_extremes(cell, sample);
    if (query_.lengths && sample.prompt_tokens > 0) {
        const auto all = sample.prompt_tokens + sample.output_tokens;
        cell.prompt_lengths.add(static_cast<double>(sample.prompt_tokens));
        cell.lengths.add(static_cast<double>(all));
        cell.prompt_length_max = std::max(cell.prompt_length_max, sample.prompt_tokens);
        cell.length_max = std::max(cell.length_max, all);
    }
    if (!failed && sample.status < 400) {
        cell.completed += sample.termination.starts_with('-') ? 1U : 0U;
        cell.ttft += sample.termination.starts_with('-') ? sample.ttft : base::Duration{};
        cell.ttft_ms.add(base::seconds(sample.ttft) * 1000);
        cell.tokens_per_s.add(sample.tokens_per_s);
    }
}

void UsageSum::add(const RequestRecord& record)
{
    if (record.at < query_.since || record.at >= query_.until || !record.wants_model()) {
        return;
    }
    UsageSample sample{.at = record.at,
                       .status = record.status,
                       .termination = record.termination,
                       .attempts = record.tries(),
                       .prompt_tokens = record.prompt_tokens.value_or(0),
                       .cached_tokens = record.cached_tokens.value_or(0),
                       .output_tokens = record.output_tokens.value_or(0),
                       .load = record.load.value_or(base::Duration{}),
                       .ttft = record.ttft,
                       .total = record.total,
                       .tokens_per_s = record.tokens_per_s.value_or(0),
                       .fallback = record.fallback};
    std::string both; // sample.name borrows it
    switch (query_.by) {
    case UsageBy::model: sample.name = record.model; break;
    case UsageBy::node: sample.name = record.node; break;
    case UsageBy::key: sample.name = record.key; break;
    case UsageBy::client: sample.name = record.client; break;
    case UsageBy::model_on_node:
        both = record.node + '\n' + record.model;
        sample.name = both;
        break;
    case UsageBy::tag:
        for (const std::string& tag : record.tags) {
            sample.name = tag;
            add(sample);
        }
        return;
    }
    add(sample);
}

} // namespace herd::store
