#include "herd/health/traffic.hpp"

#include <algorithm>
#include <cmath>

namespace herd::app::health {

namespace {

/// Rounded down, also before the machine started: what is remembered may be older than it.
std::int64_t stamp_of(base::Instant now, base::Duration step)
{
    const auto whole = now.time_since_epoch() / step;
    return now.time_since_epoch() % step < base::Duration{} ? whole - 1 : whole;
}

} // namespace

Counts& Counts::operator+=(const Counts& other)
{
    requests += other.requests;
    measuring += other.measuring;
    errors += other.errors;
    retries += other.retries;
    disconnects += other.disconnects;
    incomplete += other.incomplete;
    rejected += other.rejected;
    fallbacks += other.fallbacks;
    attempts += other.attempts;
    bad_attempts += other.bad_attempts;
    no_connection += other.no_connection;
    cold_loads += other.cold_loads;
    idle_reloads += other.idle_reloads;
    context_reloads += other.context_reloads;
    class_reloads += other.class_reloads;
    slow_failures += other.slow_failures;
    context_full += other.context_full;
    context_short += other.context_short;
    context_larger += other.context_larger;
    images += other.images;
    images_failed += other.images_failed;
    transcriptions += other.transcriptions;
    transcriptions_failed += other.transcriptions_failed;
    ttft_ms += other.ttft_ms;
    ttft_count += other.ttft_count;
    return *this;
}

template <std::size_t N>
void Windows::add(Ring<N>& ring, std::int64_t stamp, const Counts& counts)
{
    constexpr auto size = static_cast<std::int64_t>(N);
    const auto place = static_cast<std::size_t>((stamp % size + size) % size);
    if (ring.stamps[place] > stamp) {
        return; // too old to matter
    }
    if (ring.stamps[place] != stamp) {
        ring.stamps[place] = stamp;
        ring.cells[place] = {};
    }
    ring.cells[place] += counts;
}

template <std::size_t N>
Counts Windows::sum(const Ring<N>& ring, std::int64_t from, std::int64_t to)
{
    Counts total;
    for (std::size_t i = 0; i < N; ++i) {
        if (ring.stamps[i] >= from && ring.stamps[i] <= to) {
            total += ring.cells[i];
        }
    }
    return total;
}

void Windows::add(base::Instant now, const Counts& counts)
{
    add(steps_, stamp_of(now, step), counts);
    add(hours_, stamp_of(now, std::chrono::hours{1}), counts);
    add(days_, stamp_of(now, std::chrono::hours{24}), counts);
}

Counts Windows::recent(base::Instant now, base::Duration span) const
{
    const auto last = stamp_of(now, step);
    const auto count = std::clamp<std::int64_t>((span + step - base::Duration{1}) / step, 1, 12);
    return sum(steps_, last - count + 1, last);
}

Counts Windows::day(base::Instant now) const
{
    const auto last = stamp_of(now, std::chrono::hours{1});
    return sum(hours_, last - 23, last);
}

Counts Windows::week(base::Instant now) const
{
    const auto last = stamp_of(now, std::chrono::hours{24});
    return sum(days_, last - 6, last);
}

void Spread::add(std::uint64_t value)
{
    const double position = 4 * std::log2(static_cast<double>(std::max<std::uint64_t>(value, 1)));
    const auto place = std::min(static_cast<std::size_t>(std::ceil(position - 1e-9)), steps - 1);
    ++counts_[place];
    ++count_;
}

namespace {

std::uint64_t edge(std::size_t place)
{
    return static_cast<std::uint64_t>(std::floor(std::exp2(static_cast<double>(place) / 4) + 1e-9));
}

} // namespace

std::optional<std::uint64_t> Spread::percentile(double share) const
{
    if (count_ == 0) {
        return std::nullopt;
    }
    auto left = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(count_)));
    for (std::size_t i = 0; i < steps; ++i) {
        left -= counts_[i];
        if (left <= 0 && counts_[i] > 0) {
            return edge(i);
        }
    }
    return edge(steps - 1);
}

void FadingSpread::add(base::Instant now, std::uint64_t value)
{
    if (since_ == base::Instant{}) {
        since_ = now;
    }
    if (now - since_ >= half_) {
        before_ = now - since_ < 2 * half_ ? now_ : Spread{};
        now_ = {};
        since_ = now;
    }
    now_.add(value);
}

std::optional<std::uint64_t> FadingSpread::percentile(double share) const
{
    const auto a = now_.percentile(share);
    const auto b = before_.percentile(share);
    return a && b ? std::max(*a, *b) : (a ? a : b); // errs on the careful side
}

} // namespace herd::app::health
