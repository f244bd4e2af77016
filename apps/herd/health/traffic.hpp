#pragma once
// How requests went lately, in little memory: counts of the last hour in steps of five minutes, of the last day in
// steps of an hour and of the last week in days, per node, per model and in all. Percentiles come from logarithmic steps.
#include "base/time.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace herd::app::health {

/// What is counted, of requests, attempts or both; each user knows which ones it fills.
struct Counts {
    std::uint32_t requests{0};
    std::uint32_t measuring{0};    ///< of them: herd's own, to measure the fleet; nobody wanted the model
    std::uint32_t errors{0};       ///< 5xx or an end that the node or a deadline caused
    std::uint32_t retries{0};      ///< attempts beyond the first
    std::uint32_t disconnects{0};  ///< the client left before the end
    std::uint32_t incomplete{0};   ///< the node broke off after the first byte
    std::uint32_t rejected{0};     ///< 429: the queue was full
    std::uint32_t fallbacks{0};    ///< another model than the one asked for ran
    std::uint32_t attempts{0};     ///< at a node
    std::uint32_t bad_attempts{0}; ///< of them: refused, timed out, broken, failed
    std::uint32_t no_connection{0}; ///< of them: refused or timed out while connecting, or broken
    std::uint32_t cold_loads{0};   ///< a load of more than a second came before the answer
    std::uint32_t idle_reloads{0}; ///< of them: nothing but time had put the model out of memory
    std::uint32_t context_reloads{0}; ///< a resident model was seen with another context
    std::uint32_t class_reloads{0};   ///< requests that made a resident model load anew with other options
    std::uint32_t slow_failures{0}; ///< failed or retried, and over 120 s
    std::uint32_t context_full{0}; ///< prompt and answer filled the context
    std::uint32_t context_short{0}; ///< the client asked for more context than the model ran with
    std::uint32_t context_larger{0}; ///< it ran with more than asked for: [scheduler] num_ctx_buckets
    std::uint32_t images{0};        ///< made; of requests that failed see the next
    std::uint32_t images_failed{0};
    std::uint32_t transcriptions{0};
    std::uint32_t transcriptions_failed{0};
    double ttft_ms{0};             ///< sum over `ttft_count`
    std::uint32_t ttft_count{0};

    Counts& operator+=(const Counts& other);
};

/// Counts over the last hour, day and week. What is older than a place's present content is left out: the past may be
/// told late, and then in order. Thread: its owner's.
class Windows {
public:
    static constexpr base::Duration step = std::chrono::minutes{5};

    /// Adds to the last hour, day and week. `now` may lie before the machine started.
    void add(base::Instant now, const Counts& counts);
    /// The last `span`, rounded up to steps of five minutes, at most an hour.
    [[nodiscard]] Counts recent(base::Instant now, base::Duration span = std::chrono::hours{1}) const;
    [[nodiscard]] Counts day(base::Instant now) const;
    [[nodiscard]] Counts week(base::Instant now) const;

private:
    static constexpr std::int64_t no_time = std::numeric_limits<std::int64_t>::min();
    template <std::size_t N>
    struct Ring {
        Ring() { stamps.fill(no_time); }
        std::array<Counts, N> cells{};
        std::array<std::int64_t, N> stamps{};
    };
    template <std::size_t N>
    static void add(Ring<N>& ring, std::int64_t stamp, const Counts& counts);
    template <std::size_t N>
    static Counts sum(const Ring<N>& ring, std::int64_t from, std::int64_t to);

    Ring<12> steps_{};
    Ring<24> hours_{};
    Ring<7> days_{};
};

/// Percentiles of whole numbers from 1 to 16 million within 19 %: four steps to each doubling.
class Spread {
public:
    void add(std::uint64_t value);
    /// The upper edge of the step that holds this share. Nothing when empty.
    [[nodiscard]] std::optional<std::uint64_t> percentile(double share) const;
    [[nodiscard]] std::uint64_t count() const { return count_; }

private:
    static constexpr std::size_t steps = 96;
    std::array<std::uint32_t, steps> counts_{};
    std::uint64_t count_{0};
};

/// A Spread that forgets: two generations of half the time each.
class FadingSpread {
public:
    explicit FadingSpread(base::Duration keep = std::chrono::hours{24 * 7}) : half_(keep / 2) {}
    void add(base::Instant now, std::uint64_t value);
    [[nodiscard]] std::optional<std::uint64_t> percentile(double share) const;
    [[nodiscard]] std::uint64_t count() const { return now_.count() + before_.count(); }

private:
    base::Duration half_;
    base::Instant since_{};
    Spread now_{};
    Spread before_{};
};

} // namespace herd::app::health
