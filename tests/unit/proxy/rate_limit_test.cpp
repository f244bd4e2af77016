#include "proxy/rate_limit.hpp"

#include "support/catch.hpp"

#include <thread>
#include <vector>

using namespace herd;
using namespace std::chrono_literals;

namespace {
const base::Instant start{1000s};
const base::WallTime noon{std::chrono::sys_days{std::chrono::year{2026} / 11 / 20} + 12h};
} // namespace

TEST_CASE("a bucket gives its burst, then one each interval, and says how long to wait")
{
    proxy::RateBucket bucket;
    for (int i = 0; i < 3; ++i) {
        CHECK(bucket.take(start, 20s, 3) == 0s);
    }
    CHECK(bucket.take(start, 20s, 3) == 20s);
    CHECK(bucket.wait(start + 5s, 20s, 3) == 15s);
    CHECK(bucket.take(start + 20s, 20s, 3) == 0s);
    CHECK(bucket.take(start + 20s, 20s, 3) == 20s);
    CHECK(bucket.take(start + 1h, 20s, 3) == 0s); // full again, not fuller
    CHECK(bucket.take(start + 1h, 20s, 3) == 0s);
    CHECK(bucket.take(start + 1h, 20s, 3) == 0s);
    CHECK(bucket.take(start + 1h, 20s, 3) > 0s);
}

TEST_CASE("many threads take exactly the burst of a bucket together")
{
    proxy::RateBucket bucket;
    std::atomic<int> taken{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 1000; ++n) {
                taken += bucket.take(start, 1h, 500) == 0s ? 1 : 0;
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(taken == 500);
}

TEST_CASE("tokens of a day are forgotten when the next begins, and not when the clock is set back")
{
    proxy::DayCount count;
    CHECK(count.today(noon) == 0);
    count.add(noon, 100);
    count.add(noon + 11h, 20);
    CHECK(count.today(noon + 11h) == 120);
    CHECK(count.today(noon + 12h) == 0);
    count.add(noon + 12h, 7);
    CHECK(count.today(noon + 12h) == 7);
    count.add(noon - 48h, 1); // the clock was set back: still the same account
    CHECK(count.today(noon - 48h) == 8);
    CHECK(proxy::DayCount::rest_of_day(noon) == 12h);
    proxy::DayCount later;
    later.restore(count.reading().day, count.reading().amount);
    CHECK(later.today(noon + 12h) == 8);
    CHECK(later.today(noon + 36h) == 0);
}

TEST_CASE("exchanges of an address are counted, and their places come back")
{
    proxy::AddressCounts counts(64, 7);
    const auto one = base::IpAddress::v4({10, 0, 0, 1});
    const auto two = base::IpAddress::v4({10, 0, 0, 2});
    const auto a = counts.enter(one, 2);
    const auto b = counts.enter(one, 2);
    REQUIRE(a);
    REQUIRE(b);
    CHECK_FALSE(counts.enter(one, 2));
    const auto other = counts.enter(two, 2);
    REQUIRE(other);
    counts.leave(*a);
    const auto c = counts.enter(one, 2);
    REQUIRE(c);
    counts.leave(*b);
    counts.leave(*c);
    counts.leave(*other);
    CHECK(counts.places_taken() == 0);
}

TEST_CASE("a table full of addresses refuses further ones and forgets none")
{
    proxy::AddressCounts counts(16, 7);
    std::vector<proxy::AddressCounts::Place> taken;
    for (std::uint8_t i = 0; i < 255; ++i) {
        if (const auto place = counts.enter(base::IpAddress::v4({10, 0, 1, i}), 1)) {
            taken.push_back(*place);
        }
    }
    CHECK(taken.size() >= 16);
    CHECK(taken.size() <= 32);
    CHECK(counts.places_taken() == taken.size());
    for (const auto place : taken) {
        counts.leave(place);
    }
    CHECK(counts.places_taken() == 0);
}

TEST_CASE("two threads that come and go leave nothing behind")
{
    proxy::AddressCounts counts(64, 3);
    std::vector<std::thread> threads;
    for (std::uint8_t t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
            for (int n = 0; n < 20000; ++n) {
                if (const auto place = counts.enter(base::IpAddress::v4({10, 0, 0, static_cast<std::uint8_t>(n % 5)}), 3)) {
                    counts.leave(*place);
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(counts.places_taken() == 0);
}
