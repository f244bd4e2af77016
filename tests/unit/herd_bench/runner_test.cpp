// One benchmark from its start to its end, as far as that needs no fleet.
#include "herd/bench/runner.hpp"
#include "net/virtual_clock.hpp"
#include "support/catch.hpp"
#include "support/run.hpp"

#include <optional>

using namespace herd;
using namespace herd::app::bench;

TEST_CASE("a benchmark that is to start while herd stops is refused")
{
    net::VirtualTime time;
    net::Loop loop;
    app::FleetOwner fleet(loop, {.discovery = false}, base::Rng(1));
    std::optional<Answer> said;
    const auto start = [&said](Runner& runner) {
        runner.answer({.what = Inquiry::What::start, .text = "{}"}, [&said](Answer answer) { said = std::move(answer); });
    };
    {
        Runner runner(loop, {.fleet = &fleet});
        start(runner);
        REQUIRE(said);
        CHECK(said->status == 400); // there is nothing to measure
        herd::testing::run(time, loop, runner.stop());
        start(runner);
        CHECK(said->status == 503);
        CHECK(said->body == R"({"error":"herd is stopping"})");
    }
    fleet.stop();
    time.run_for(loop, std::chrono::seconds{1});
}
