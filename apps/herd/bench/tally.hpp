#pragma once
// Adds up what the requests of a benchmark tell, and how busy nodes were meanwhile. Every figure but the count of failures is
// of requests that were answered well. Pure.
#include "fleet/profile.hpp"
#include "fleet/snapshot.hpp"
#include "store/usage.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace herd::app::bench {

/// What took no time that can be told was there as well, and counts as a thousandth.
[[nodiscard]] double milliseconds(base::Duration time);

/// What became of one request, as its client saw it; node and figures as the record of it has them.
struct Told {
    bool well{false};
    bool cut{false};                    ///< it was ended by us: neither well nor failed
    std::string error{};                ///< of one that failed, one sentence
    std::string node{};                 ///< its name
    base::Duration first{};             ///< to the first piece of the answer
    base::Duration total{};
    store::Spread gaps{};               ///< between tokens of a stream, in milliseconds; counts alone, for a node may send any number
    fleet::Timings timings{};
};

struct Sum {
    std::uint64_t requests{0};
    std::uint64_t prompt_tokens{0};
    std::uint64_t output_tokens{0};
    base::Duration total{};
    base::Duration first{};
    void add(const Told& told);
};

/// One figure over time.
struct Gauge {
    double sum{0};
    double peak{0};
    std::uint64_t samples{0};
    void add(double value);
    [[nodiscard]] double mean() const { return samples == 0 ? 0 : sum / static_cast<double>(samples); }
};

struct Utilization {
    Gauge cpu{};    ///< percent
    Gauge memory{}; ///< percent
    Gauge active{}; ///< requests in flight
};

/// Thread: one owner.
class Tally {
public:
    static constexpr std::size_t errors_max = 16;

    /// `target`: whose number of the plan it was.
    void add(std::size_t target, const Told& told);
    void sample(const fleet::Snapshot& snapshot);

    [[nodiscard]] const Sum& all() const { return all_; }
    [[nodiscard]] std::uint64_t failures() const { return failures_; }
    [[nodiscard]] std::uint64_t cold_loads() const { return cold_loads_; }
    [[nodiscard]] Sum of_target(std::size_t target) const;
    [[nodiscard]] const std::map<std::string, Sum>& nodes() const { return nodes_; }
    [[nodiscard]] const std::map<std::string, Utilization>& utilization() const { return utilization_; }
    [[nodiscard]] const std::map<std::string, std::uint64_t>& errors() const { return errors_; }
    /// These three in milliseconds.
    [[nodiscard]] const store::Spread& latency() const { return latency_; }
    [[nodiscard]] const store::Spread& first() const { return first_; }
    [[nodiscard]] const store::Spread& gaps() const { return gaps_; }

private:
    Sum all_{};
    std::uint64_t failures_{0};
    std::uint64_t cold_loads_{0};
    std::map<std::size_t, Sum> targets_{};
    std::map<std::string, Sum> nodes_{};
    std::map<std::string, Utilization> utilization_{};
    std::map<std::string, std::uint64_t> errors_{}; ///< how often each was told
    store::Spread latency_{};
    store::Spread first_{};
    store::Spread gaps_{};
};

} // namespace herd::app::bench
