#include "base/random.hpp"

#include "support/catch.hpp"

using namespace herd::base;

TEST_CASE("the same seed gives the same run, on every platform")
{
    Rng a(42);
    Rng b(42);
    for (int i = 0; i < 100; ++i) {
        CHECK(a.next() == b.next());
    }
    Rng known(1);
    CHECK(known.next() == 12966619160104079557ULL);
}

TEST_CASE("between() stays inside and reaches both ends")
{
    Rng rng(3);
    bool low = false;
    bool high = false;
    for (int i = 0; i < 1000; ++i) {
        const auto value = rng.between(5, 8);
        REQUIRE(value >= 5);
        REQUIRE(value <= 8);
        low = low || value == 5;
        high = high || value == 8;
    }
    CHECK(low);
    CHECK(high);
}

TEST_CASE("unit() lies in [0, 1) with a mean of a half")
{
    Rng rng(9);
    double sum = 0;
    for (int i = 0; i < 10000; ++i) {
        const double value = rng.unit();
        REQUIRE(value >= 0);
        REQUIRE(value < 1);
        sum += value;
    }
    CHECK(sum / 10000 == Approx(0.5).margin(0.02));
}
