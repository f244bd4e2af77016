#pragma once
// Counting by many threads without locks: so many a minute, so many tokens a day, so many of one address at once.
// Each object is a few atomic words; none waits for another. Pure but for that: the time comes from the caller.
#include "base/ip.hpp"
#include "base/time.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace herd::proxy {

/// A token bucket as one word: the time at which it would be full again (GCRA, the leaky bucket of ATM).
/// Thread: any.
class RateBucket {
public:
    /// Takes one of `burst` that are there at first and come back one each `interval`. 0: taken. Else nothing was
    /// taken, and so long it takes until one is there.
    [[nodiscard]] base::Duration take(base::Instant now, base::Duration interval, std::uint32_t burst);
    /// What take() would say.
    [[nodiscard]] base::Duration wait(base::Instant now, base::Duration interval, std::uint32_t burst) const;

private:
    [[nodiscard]] static std::int64_t over(std::int64_t full, std::int64_t now, base::Duration interval, std::uint32_t burst);
    std::atomic<std::int64_t> full_at_{0}; // ns of the steady clock
};

/// A sum that begins anew each day (UTC). Thread: any.
class DayCount {
public:
    void add(base::WallTime now, std::uint64_t amount);
    [[nodiscard]] std::uint64_t today(base::WallTime now) const;
    /// What was counted on `day` (days since the epoch), by an earlier life of the program.
    void restore(std::uint32_t day, std::uint64_t amount);
    struct Reading {
        std::uint32_t day{0};
        std::uint64_t amount{0};
    };
    [[nodiscard]] Reading reading() const;
    [[nodiscard]] static std::uint32_t day_of(base::WallTime at);
    /// Until the next day begins.
    [[nodiscard]] static base::Duration rest_of_day(base::WallTime now);

private:
    static constexpr int amount_bits = 44; // and 20 bits of days: until the year 4840
    std::atomic<std::uint64_t> word_{0};
};

/// How many exchanges each client address has in flight: a table of a fixed size, for all loops. Two threads that
/// add the same new address in the same instant may get a place each: such a client may have twice as much, for as
/// long as these exchanges last.
/// Thread: any.
class AddressCounts {
public:
    /// Room for more addresses than there can be exchanges; `seed` keeps clients from choosing collisions.
    AddressCounts(std::size_t exchanges_max, std::uint64_t seed);
    using Place = std::uint32_t;
    /// One more of that address. Nothing: it has `limit` already (or its corner of the table is full).
    [[nodiscard]] std::optional<Place> enter(const base::IpAddress& address, std::uint32_t limit);
    void leave(Place place);
    [[nodiscard]] std::size_t places_taken() const;

private:
    std::size_t mask_;
    std::uint64_t seed_;
    std::unique_ptr<std::atomic<std::uint64_t>[]> words_; // 48 bits of the address's hash, 16 of count; 0: free
};

} // namespace herd::proxy
