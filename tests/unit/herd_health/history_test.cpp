#include "world.hpp"

using namespace herd;
using namespace herd::test;

TEST_CASE("windows forget: five minutes, an hour, a day")
{
    Windows windows;
    base::Instant now{std::chrono::hours{500}};
    windows.add(now, {.requests = 3});
    CHECK(windows.recent(now).requests == 3);
    CHECK(windows.recent(now, Windows::step).requests == 3);
    now += 6min;
    CHECK(windows.recent(now, Windows::step).requests == 0);
    CHECK(windows.recent(now).requests == 3);
    now += 1h;
    CHECK(windows.recent(now).requests == 0);
    CHECK(windows.day(now).requests == 3);
    windows.add(now, {.requests = 1});
    CHECK(windows.day(now).requests == 4);
    now += 24h;
    CHECK(windows.day(now).requests == 0);
}

TEST_CASE("windows take the past in order, also what was before the machine started")
{
    Windows windows;
    base::Instant now{10min}; // the machine runs since ten minutes
    for (int hours = 200; hours >= 0; --hours) {
        windows.add(now - std::chrono::hours{hours}, {.requests = 1});
    }
    CHECK(windows.day(now).requests == 24);
    CHECK(windows.recent(now).requests == 1);
    CHECK(windows.recent(now, 2 * Windows::step).requests == 1);
    CHECK(windows.week(now).requests >= 6 * 24);
    CHECK(windows.week(now).requests <= 7 * 24);
    windows.add(now - 48h, {.requests = 100}); // told too late: its hour's place belongs to another day by now
    CHECK(windows.day(now).requests == 24);
}

TEST_CASE("a pull is a request, and no work of its model: no first token, no sample of its queue, no load that took too long")
{
    World world;
    world.node(1);
    world.see();
    Finished pull{.node = "n1", .model = "m:1b", .requested = "m:1b", .status = 502, .termination = "ND"};
    pull.attempts = {{"n1", fleet::Result::broken}};
    pull.first_byte = 5ms;
    pull.total = 30min;
    pull.kind = Finished::Kind::pull;
    world.history.finished(pull, world.now);
    pull.status = 200;
    pull.termination = "--";
    pull.attempts = {{"n1", fleet::Result::served}};
    world.history.finished(pull, world.now);
    const Counts day = world.history.all().day(world.now);
    CHECK(day.requests == 2);
    CHECK(day.errors == 1);
    CHECK(day.ttft_count == 0);
    CHECK(day.slow_failures == 0);
    CHECK(world.history.pairings().empty());
    CHECK(world.history.traffic().at("n1").windows.day(world.now).bad_attempts == 1);
}

TEST_CASE("what an earlier run served counts for health, and not for what is told since the start")
{
    World world;
    world.node(1);
    world.see();
    Finished one{.node = "n1", .model = "m:1b", .requested = "m:1b", .status = 200};
    one.attempts = {{"n1", fleet::Result::served}};
    one.timings = {.load = 5s, .prompt_tokens = 100, .output_tokens = 20};
    for (int i = 0; i < 4; ++i) {
        world.history.recalled(one, world.now - 30min + i * 1min);
    }
    world.history.finished(one, world.now);
    CHECK(world.history.all().day(world.now).requests == 5);
    const Pairing& pair = world.history.pairings().begin()->second;
    CHECK(pair.windows.recent(world.now).cold_loads == 5);
    CHECK(pair.ever.completed == 1);
    CHECK(pair.ever.cold == 1);
    Finished away{.requested = "m:1b", .status = 429, .termination = "PQ"};
    world.history.recalled(away, world.now - 1min);
    world.history.finished(away, world.now);
    REQUIRE(world.history.turned_away().size() == 1);
    CHECK(world.history.turned_away().begin()->second.count == 1);
    CHECK(world.history.turned_away().begin()->second.model == "m:1b");
}

TEST_CASE("a spread finds percentiles within a step")
{
    Spread spread;
    CHECK_FALSE(spread.percentile(0.5));
    for (std::uint64_t i = 1; i <= 1000; ++i) {
        spread.add(i);
    }
    const auto middle = spread.percentile(0.5).value();
    CHECK((middle >= 500 && middle <= 595));
    CHECK(spread.percentile(1).value() >= 1000);
    spread.add(0);
    spread.add(std::uint64_t{1} << 60);
    CHECK(spread.percentile(1).has_value());
}

TEST_CASE("a fading spread forgets within its time")
{
    FadingSpread spread(10h);
    base::Instant now{std::chrono::hours{500}};
    spread.add(now, 10000);
    now += 6h;
    spread.add(now, 10);
    CHECK(spread.percentile(0.99).value() >= 10000);
    now += 6h;
    spread.add(now, 10);
    CHECK(spread.percentile(0.99).value() < 100);
}

TEST_CASE("pace needs enough answers, and does not take the present for its past")
{
    Pace pace;
    base::Instant now{std::chrono::hours{500}};
    for (int i = 0; i < 19; ++i) {
        pace.add(now, 40);
    }
    CHECK_FALSE(pace.recent(now));
    pace.add(now, 40);
    CHECK(pace.recent(now) == 40.0);
    CHECK_FALSE(pace.usual(now));
    CHECK_FALSE(pace.recent(now + 31min));
    now += 2h;
    pace.add(now, 10);
    CHECK(pace.usual(now) == 40.0);
}

TEST_CASE("what is gone from the fleet is gone from memory; strangers are not remembered")
{
    World w;
    w.node(1);
    w.see();
    CHECK(w.history.nodes().size() == 1);
    w.history.heard({.id = id_of(9), .boot_id = 1}, w.now);
    CHECK(w.history.nodes().size() == 1);
    w.fleet.nodes.clear();
    w.see();
    CHECK(w.history.nodes().empty());
}

TEST_CASE("memory of models on nodes is bounded")
{
    World w;
    for (std::size_t i = 0; i < History::pairings_max + 100; ++i) {
        w.request(served("n1", "m" + std::to_string(i)));
    }
    CHECK(w.history.pairings().size() == History::pairings_max);
}

TEST_CASE("a change on several nodes at once is no retry, and fails where it failed")
{
    World world;
    world.node(1);
    world.node(2);
    world.see();
    Finished one{.model = "m:1b", .requested = "m:1b", .status = 500};
    one.attempts = {{"n1", fleet::Result::failed}, {"n2", fleet::Result::served}};
    one.on_several = true;
    world.history.finished(one, world.now);
    CHECK(world.history.all().day(world.now).retries == 0);
    CHECK(world.history.all().day(world.now).errors == 1);
    const auto& nodes = world.history.traffic();
    CHECK(nodes.at("n1").windows.day(world.now).bad_attempts == 1);
    CHECK(nodes.at("n2").windows.day(world.now).bad_attempts == 0);
}

TEST_CASE("what a benchmark asks tells of the fleet, but makes no model popular")
{
    World world;
    world.node(1);
    world.see();
    Finished measuring = served("n1", "measured:1b");
    measuring.measures = true;
    world.request(measuring, 100);
    world.request(served("n1", "wanted:1b"), 10);
    Finished both = served("n1", "both:1b");
    world.request(both, 9);
    both.measures = true;
    world.request(both, 50);
    const auto popular = world.history.popular(world.now);
    CHECK_FALSE(popular.contains(fleet::ModelName::parse("measured:1b").key));
    REQUIRE(popular.contains(fleet::ModelName::parse("wanted:1b").key));
    REQUIRE(popular.contains(fleet::ModelName::parse("both:1b").key));
    CHECK(popular.at(fleet::ModelName::parse("both:1b").key).last_hour == 9);
    CHECK(world.history.all().day(world.now).requests == 169);
}
