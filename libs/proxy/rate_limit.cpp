#include "proxy/rate_limit.hpp"

#include <algorithm>
#include <bit>

namespace herd::proxy {
namespace {

constexpr std::size_t window = 16; // places in which an address may stand
constexpr std::uint64_t count_mask = 0xffff;

std::uint64_t mixed(std::uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

std::uint64_t hash_of(const base::IpAddress& address, std::uint64_t seed)
{
    std::uint64_t hash = mixed(seed ^ (address.is_v6() ? 6U : 4U));
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < address.bytes().size(); ++i) {
        word = word << 8 | address.bytes()[i];
        if (i % 8 == 7) {
            hash = mixed(hash ^ word);
            word = 0;
        }
    }
    return mixed(hash ^ address.scope());
}

} // namespace

// ---- RateBucket ------------------------------------------------------------------------------------------

/// How much too early it is, in ns; 0 or less: one is there. `full`: when the bucket would be full.
std::int64_t RateBucket::over(std::int64_t full, std::int64_t now, base::Duration interval, std::uint32_t burst)
{
    const std::int64_t slack = interval.count() * (std::max<std::int64_t>(burst, 1) - 1);
    return std::max(full, now) - slack - now;
}

base::Duration RateBucket::take(base::Instant at, base::Duration interval, std::uint32_t burst)
{
    const std::int64_t now = at.time_since_epoch().count();
    std::int64_t full = full_at_.load(std::memory_order_relaxed);
    for (;;) {
        if (const std::int64_t early = over(full, now, interval, burst); early > 0) {
            return base::Duration{early};
        }
        if (full_at_.compare_exchange_weak(full, std::max(full, now) + interval.count(), std::memory_order_relaxed)) {
            return {};
        }
    }
}

base::Duration RateBucket::wait(base::Instant at, base::Duration interval, std::uint32_t burst) const
{
    const auto early = over(full_at_.load(std::memory_order_relaxed), at.time_since_epoch().count(), interval, burst);
    return base::Duration{std::max<std::int64_t>(early, 0)};
}

// ---- DayCount --------------------------------------------------------------------------------------------

std::uint32_t DayCount::day_of(base::WallTime at)
{
    const auto days = std::chrono::floor<std::chrono::days>(at).time_since_epoch().count();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(days, 0, (1 << 20) - 1));
}

base::Duration DayCount::rest_of_day(base::WallTime now)
{
    return std::chrono::floor<std::chrono::days>(now) + std::chrono::days{1} - now;
}

void DayCount::add(base::WallTime now, std::uint64_t amount)
{
    constexpr std::uint64_t amount_max = (std::uint64_t{1} << amount_bits) - 1;
    const std::uint64_t day = day_of(now);
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    for (;;) {
        const std::uint64_t stored_day = word >> amount_bits;
        const std::uint64_t before = day > stored_day ? 0 : word & amount_max; // a clock set back counts on
        const std::uint64_t sum = std::min(before + std::min(amount, amount_max), amount_max);
        if (word_.compare_exchange_weak(word, std::max(day, stored_day) << amount_bits | sum, std::memory_order_relaxed)) {
            return;
        }
    }
}

DayCount::Reading DayCount::reading() const
{
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    return {static_cast<std::uint32_t>(word >> amount_bits), word & ((std::uint64_t{1} << amount_bits) - 1)};
}

std::uint64_t DayCount::today(base::WallTime now) const
{
    const Reading all = reading();
    return all.day >= day_of(now) ? all.amount : 0;
}

void DayCount::restore(std::uint32_t day, std::uint64_t amount)
{
    constexpr std::uint64_t amount_max = (std::uint64_t{1} << amount_bits) - 1;
    word_.store(std::uint64_t{std::min(day, (1U << 20) - 1)} << amount_bits | std::min(amount, amount_max), std::memory_order_relaxed);
}

// ---- AddressCounts ---------------------------------------------------------------------------------------

AddressCounts::AddressCounts(std::size_t exchanges_max, std::uint64_t seed)
    : mask_(std::bit_ceil(std::max<std::size_t>(exchanges_max, window) * 2) - 1), seed_(seed),
      words_(std::make_unique<std::atomic<std::uint64_t>[]>(mask_ + 1))
{
}

std::optional<AddressCounts::Place> AddressCounts::enter(const base::IpAddress& address, std::uint32_t limit)
{
    const std::uint64_t hash = hash_of(address, seed_);
    const std::uint64_t label = hash & ~count_mask; // the rest of the word
    const std::uint64_t most = std::min<std::uint64_t>(limit, count_mask - 1);
    for (;;) {
        std::optional<Place> free;
        bool again = false;
        for (std::size_t i = 0; i < window && !again; ++i) {
            const auto place = static_cast<Place>((hash + i) & mask_);
            std::uint64_t word = words_[place].load(std::memory_order_relaxed);
            if (word == 0) {
                free = free ? free : place;
                continue;
            }
            while ((word & ~count_mask) == label && (word & count_mask) != 0) {
                if ((word & count_mask) >= most) {
                    return std::nullopt;
                }
                if (words_[place].compare_exchange_weak(word, word + 1, std::memory_order_relaxed)) {
                    return place;
                }
                again = word == 0; // its last one left meanwhile: look from the beginning
            }
        }
        if (again) {
            continue;
        }
        std::uint64_t empty = 0;
        if (!free || most == 0) {
            return std::nullopt;
        }
        if (words_[*free].compare_exchange_strong(empty, label | 1, std::memory_order_relaxed)) {
            return free;
        }
    }
}

void AddressCounts::leave(Place place)
{
    std::uint64_t word = words_[place].load(std::memory_order_relaxed);
    while (!words_[place].compare_exchange_weak(word, (word & count_mask) == 1 ? 0 : word - 1, std::memory_order_relaxed)) {
    }
}

std::size_t AddressCounts::places_taken() const
{
    std::size_t taken = 0;
    for (std::size_t i = 0; i <= mask_; ++i) {
        taken += words_[i].load(std::memory_order_relaxed) != 0 ? 1U : 0U;
    }
    return taken;
}

} // namespace herd::proxy
