#include "herd/bench/tally.hpp"

#include <algorithm>

namespace herd::app::bench {

namespace {
constexpr base::Duration cold_load = std::chrono::seconds{1}; ///< as health counts them
constexpr double least_ms = 0.001;
} // namespace

double milliseconds(base::Duration time) { return std::max(base::seconds(time) * 1000, least_ms); }

void Sum::add(const Told& told)
{
    ++requests;
    prompt_tokens += static_cast<std::uint64_t>(std::max<std::int64_t>(told.timings.prompt_tokens, 0));
    output_tokens += static_cast<std::uint64_t>(std::max<std::int64_t>(told.timings.output_tokens, 0));
    total += told.total;
    first += told.first;
}

void Gauge::add(double value)
{
    sum += value;
    peak = std::max(peak, value);
    ++samples;
}

void Tally::add(std::size_t target, const Told& told)
{
    if (told.cut) {
        return;
    }
    if (!told.well) {
        ++failures_;
        if (errors_.size() < errors_max || errors_.contains(told.error)) {
            ++errors_[told.error];
        }
        return;
    }
    all_.add(told);
    targets_[target].add(told);
    nodes_[told.node].add(told);
    cold_loads_ += told.timings.load > cold_load ? 1 : 0;
    latency_.add(milliseconds(told.total));
    first_.add(milliseconds(told.first));
    gaps_.add(told.gaps);
}

void Tally::sample(const fleet::Snapshot& snapshot)
{
    for (const fleet::NodeView& node : snapshot.nodes) {
        if (!node.takes_requests() || !node.facts) {
            continue;
        }
        const fleet::HostLoad& host = node.facts->host;
        Utilization& one = utilization_[node.name];
        if (host.cpu_busy) {
            one.cpu.add(100 * *host.cpu_busy);
        }
        if (host.memory_total > 0) {
            one.memory.add(100 * (1 - static_cast<double>(host.memory_available) / static_cast<double>(host.memory_total)));
        }
        one.active.add(node.in_flight);
    }
}

Sum Tally::of_target(std::size_t target) const
{
    const auto found = targets_.find(target);
    return found == targets_.end() ? Sum{} : found->second;
}

} // namespace herd::app::bench
