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

} // namespace

std::optional<UsageBy> parse_usage_by(std::string_view text)
{
    const auto* const found = std::ranges::find(names, text, &std::pair<std::string_view, UsageBy>::first);
    return found == names.end() ? std::nullopt : std::optional{found->second};
}

std::string_view to_string(UsageBy by)
{
    return std::ranges::find(names, by, &std::pair<std::string_view, UsageBy>::second)->first;
}

void Spread::add(double value)
{
    if (!(value > 1e-6) || !(value < 1e12)) {
        return;
    }
    ++steps_[static_cast<std::int16_t>(std::floor(std::log(value) / std::log(step)))];
    ++count_;
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

void UsageSum::add(const UsageSample& sample)
{
    const std::int64_t width = std::max<std::int64_t>(query_.bucket.count(), 1);
    const std::int64_t second = std::chrono::duration_cast<std::chrono::seconds>(sample.at.time_since_epoch()).count();
    Key key{second - second % width, sample.name};
    auto found = cells_.find(key);
    if (found == cells_.end()) {
        if (cells_.size() >= cells_max) {
            ++left_out_;
            return;
        }
        found = cells_.emplace(std::move(key), UsageCell{}).first;
    }
    UsageCell& cell = found->second;
    ++cell.requests;
    const bool failed = sample.status >= 500 || sample.termination.starts_with('N') || sample.termination.starts_with('T');
    cell.errors += failed ? 1U : 0U;
    cell.disconnects += sample.termination.starts_with('C') ? 1U : 0U;
    cell.retries += sample.attempts > 1 ? sample.attempts - 1 : 0;
    cell.cold_loads += sample.load > std::chrono::seconds{1} ? 1U : 0U;
    cell.prompt_tokens += sample.prompt_tokens;
    cell.cached_tokens += sample.cached_tokens;
    cell.output_tokens += sample.output_tokens;
    cell.total += sample.total;
    if (!failed && sample.status < 400) {
        cell.ttft_ms.add(base::seconds(sample.ttft) * 1000);
        cell.tokens_per_s.add(sample.tokens_per_s);
    }
}

void UsageSum::add(const RequestRecord& record)
{
    if (record.at < query_.since || record.at >= query_.until) {
        return;
    }
    UsageSample sample{.at = record.at,
                       .status = record.status,
                       .termination = record.termination,
                       .attempts = record.attempts.size(),
                       .prompt_tokens = record.prompt_tokens.value_or(0),
                       .cached_tokens = record.cached_tokens.value_or(0),
                       .output_tokens = record.output_tokens.value_or(0),
                       .load = record.load.value_or(base::Duration{}),
                       .ttft = record.ttft,
                       .total = record.total,
                       .tokens_per_s = record.tokens_per_s.value_or(0)};
    switch (query_.by) {
    case UsageBy::model: sample.name = record.model; break;
    case UsageBy::node: sample.name = record.node; break;
    case UsageBy::key: sample.name = record.key; break;
    case UsageBy::client: sample.name = record.client; break;
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
