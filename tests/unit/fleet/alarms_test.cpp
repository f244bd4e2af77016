#include "support/catch.hpp"

#include "fleet/alarms.hpp"

using namespace herd::fleet;
using namespace std::chrono_literals;

TEST_CASE("an alarm moved later does not ring at its old moment")
{
    const herd::base::Instant t{1000s};
    Alarms<int> alarms;
    alarms.set(1, t);
    alarms.set(2, t + 1s);
    alarms.set(1, t + 2s);
    CHECK(alarms.next() == t + 1s);
    CHECK_FALSE(alarms.take_due(t));
    CHECK(alarms.take_due(t + 5s) == 2);
    CHECK(alarms.take_due(t + 5s) == 1);
    CHECK_FALSE(alarms.take_due(t + 5s));
}

TEST_CASE("an alarm cleared or set to never is gone")
{
    Alarms<int> alarms;
    alarms.set(1, herd::base::Instant{1s});
    alarms.set(1, never);
    alarms.clear(7);
    CHECK_FALSE(alarms.next());
    CHECK(alarms.size() == 0);
}
