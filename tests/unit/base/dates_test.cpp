#include "base/dates.hpp"

#include "support/catch.hpp"

using namespace herd::base;

TEST_CASE("only what differs changes a date, and the beginning stays")
{
    const WallTime first{1s};
    const WallTime later{9s};
    CHECK(rewritten({}, true, first) == Dates{first, first});
    CHECK(rewritten({}, false, first) == std::nullopt);
    CHECK(rewritten(Dates{first, first}, true, later) == Dates{first, later});
    CHECK(rewritten(Dates{first, first}, false, later) == Dates{first, first});
}

TEST_CASE("two parts of one thing are as old as the older one and as new as the newer one")
{
    const Dates a{WallTime{2s}, WallTime{3s}};
    const Dates b{WallTime{1s}, WallTime{5s}};
    CHECK(joined(a, b) == Dates{WallTime{1s}, WallTime{5s}});
    CHECK(joined(a, {}) == a);
    CHECK(joined({}, b) == b);
    CHECK(joined({}, {}) == std::nullopt);
}

TEST_CASE("a time that people read is RFC 3339 in UTC; years of other than four digits are none")
{
    CHECK(timestamp(WallTime{1'767'323'045'678'999us}) == "2026-01-02T03:04:05.678Z");
    CHECK(timestamp(WallTime{}) == "1970-01-01T00:00:00.000Z");
    CHECK(timestamp(last_date) == "9999-12-31T23:59:59.000Z");
    CHECK(is_date(last_date));
    CHECK_FALSE(is_date(last_date + 1us));
    CHECK_FALSE(is_date(WallTime{-1us}));
}
