// When another copy of a model is worth its load.
#include "support/catch.hpp"

#include "fleet/shortage.hpp"

using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {
constexpr herd::base::Instant start{1000s};
} // namespace

TEST_CASE("waiting adds up over all requests of a model and is forgotten by half each minute")
{
    Shortage shortage;
    CHECK(shortage.of("m", start) == 0);
    shortage.waited("m", 6, start);
    shortage.waited("m", 4, start);
    shortage.waited("other", 100, start);
    CHECK(shortage.of("m", start) == Approx(10));
    CHECK(shortage.of("m", start + 60s) == Approx(5));
    CHECK(shortage.of("m", start + 3600s) < 1e-6);
}

TEST_CASE("what a load was begun on account of is spent, and never more than there was")
{
    Shortage shortage;
    shortage.waited("m", 10, start);
    shortage.spend("m", 4, start);
    CHECK(shortage.of("m", start) == Approx(6));
    shortage.spend("m", 40, start);
    CHECK(shortage.of("m", start) == 0);
    shortage.spend("never asked for", 1, start);
    CHECK(shortage.of("never asked for", start) == 0);
}

TEST_CASE("ever new names do not make it grow without bound")
{
    Shortage shortage;
    for (int i = 0; i < 3000; ++i) {
        shortage.waited("model-" + std::to_string(i), 1, start);
    }
    CHECK(shortage.of("model-0", start) == Approx(1));
    CHECK(shortage.of("model-2999", start) == 0); // full of such as still count
    shortage.waited("late", 1, start + 3600s);
    CHECK(shortage.of("late", start + 3600s) == Approx(1));
}
