// Waiting: bounds, deadlines, order, cancellation.
#include "base/text.hpp"
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

namespace {

struct Busy { ///< one node with one slot, taken
    explicit Busy(FleetOptions options = {}) : world(1, options)
    {
        world.start(world.add_box("a", {"m"}));
        world.run_for(2s);
        running = world.lease(world.ask("m", "first")).id;
    }
    World world;
    LeaseId running{0};
};

} // namespace

TEST_CASE("a full queue refuses with an estimate from what requests take")
{
    FleetOptions options;
    options.queue_per_model = 3;
    Busy busy{options};
    auto& world = busy.world;
    world.run_for(20s);
    const auto next = world.ask("m");
    world.finish(busy.running); // it took twenty seconds
    for (int i = 0; i < 3; ++i) {
        CHECK(world.waits(world.ask("m")));
    }
    const auto ticket = world.ask("m");
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::queue_full);
    CHECK(world.answer(ticket)->refusal->retry_after >= 76s); // the load is not of the next ones
    CHECK(world.answer(ticket)->refusal->retry_after <= 80s);
    CHECK(world.answer(next)->lease);
}

TEST_CASE("a snapshot shows who waits, by model, however its name is written")
{
    Busy busy;
    auto& world = busy.world;
    CHECK(world.snapshot()->queues.empty());
    world.ask("m");
    world.ask("M:latest");
    const auto queues = world.snapshot()->queues;
    REQUIRE(queues.size() == 1);
    CHECK(base::lower(queues.begin()->second.model) == "m:latest"); // as one of them wrote it
    CHECK(queues.begin()->second.waiting == 2);
    world.finish(busy.running);
    CHECK(world.snapshot()->queues.begin()->second.waiting == 1);
}

TEST_CASE("each model has a queue of its own")
{
    FleetOptions options;
    options.queue_per_model = 1;
    World world{2, options};
    world.start(world.add_box("a", {"m", "n"}));
    world.run_for(2s);
    world.ask("m");
    CHECK(world.waits(world.ask("m")));
    CHECK(world.answer(world.ask("m"))->why() == base::Errc::queue_full);
    world.run_for(2s); // a node loads one model at a time
    CHECK(world.answer(world.ask("n"))->lease);
    CHECK(world.waits(world.ask("n")));
}

TEST_CASE("a deadline in the queue is kept to the moment")
{
    Busy busy;
    auto& world = busy.world;
    auto profile = World::profile_of("m");
    profile.deadline = world.now() + 3s;
    const auto ticket = world.ask(profile);
    world.run_for(2999ms);
    CHECK(world.waits(ticket));
    world.run_for(2ms);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::deadline_passed);
    CHECK(world.answer(ticket)->at == profile.deadline);
}

TEST_CASE("without a deadline of its own a request waits no longer than queue_timeout")
{
    FleetOptions options;
    options.queue_timeout = 10s;
    Busy busy{options};
    const auto ticket = busy.world.ask("m");
    busy.world.run_for(11s);
    CHECK(busy.world.answer(ticket)->why() == base::Errc::deadline_passed);
}

TEST_CASE("a deadline that has passed on arrival is refused even if a place is free")
{
    World world{3};
    world.start(world.add_box("a", {"m"}));
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.deadline = world.now() - 1s;
    CHECK(world.answer(world.ask(profile))->why() == base::Errc::deadline_passed);
    (void)world.ask("m"); // it takes the place: there is a time to come back
    CHECK(world.answer(world.ask(profile))->refusal->retry_after > 0s);
}

TEST_CASE("a cancelled request leaves the queue at once and is answered once")
{
    Busy busy;
    auto& world = busy.world;
    const auto gone = world.ask("m");
    const auto next = world.ask("m");
    world.cancel(gone);
    REQUIRE(world.answer(gone));
    CHECK(world.answer(gone)->why() == base::Errc::cancelled);
    world.cancel(gone);
    world.finish(busy.running);
    CHECK(world.answer(next)->lease);
    CHECK(world.snapshot()->totals.failed == 0);
}

TEST_CASE("a cancellation that crosses its grant changes nothing; the lease is given back by its owner")
{
    World world{4};
    world.start(world.add_box("a", {"m"}));
    world.run_for(2s);
    const auto ticket = world.ask("m");
    world.cancel(ticket);
    CHECK(world.snapshot()->nodes[0].in_flight == 1);
    world.finish(world.lease(ticket).id, Result::cancelled);
    CHECK(world.snapshot()->nodes[0].in_flight == 0);
    world.finish(world.lease(ticket).id, Result::cancelled); // twice: ignored
    CHECK(world.snapshot()->nodes[0].in_flight == 0);
}

TEST_CASE("a freed slot goes to the next in order, but not twice to a client that just had it long")
{
    Busy busy;
    auto& world = busy.world;
    const auto greedy_one = world.ask("m", "greedy");
    const auto greedy_two = world.ask("m", "greedy");
    const auto modest = world.ask("m", "modest");
    world.finish(busy.running);
    CHECK(world.answer(greedy_one));
    world.run_for(150s);
    world.finish(world.lease(greedy_one).id);
    CHECK(world.answer(modest));
    CHECK(world.waits(greedy_two));
}

TEST_CASE("a slot of a node that just failed is not given to the next in the queue")
{
    Busy busy;
    auto& world = busy.world;
    const auto waiting = world.ask("m");
    world.finish(busy.running, Result::refused);
    CHECK(world.waits(waiting));
    world.run_for(1s); // verified: it lives
    CHECK(world.answer(waiting)->lease);
}

TEST_CASE("a node that joins serves those who wait")
{
    Busy busy;
    auto& world = busy.world;
    const auto waiting = world.ask("m");
    world.start(world.add_box("b", {"m"}));
    world.run_for(100ms);
    CHECK(world.lease(waiting).node_name == "b");
}

TEST_CASE("waiting requests are told 404 when the last list with their model loses it")
{
    World world{5};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    world.ask("m");
    const auto waiting = world.ask("m");
    world.feed(ModelsRead{a.id, {}});
    REQUIRE(world.answer(waiting));
    CHECK(world.answer(waiting)->why() == base::Errc::no_such_model);
}

TEST_CASE("requests that wait when their last holder goes are held, not failed")
{
    World world{6};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    const auto running = world.ask("m");
    const auto waiting = world.ask("m");
    world.stop(a);
    world.run_for(20s);
    world.finish(world.lease(running).id, Result::broken);
    CHECK(world.waits(waiting));
    world.restart(a);
    world.run_for(1s);
    CHECK(world.answer(waiting)->lease);
}

TEST_CASE("a request pinned to a name is served when the name comes to mean one free node")
{
    World world{7};
    auto& first = world.add_box("box", {"m"});
    auto& second = world.add_box("box", {"m"});
    world.start(first);
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.node = "box";
    world.ask(profile);
    const auto waiting = world.ask(profile);
    world.start(second);
    world.run_for(100ms); // now the name is ambiguous
    if (world.waits(waiting)) {
        world.feed(NodeRemoved{first.id});
    }
    REQUIRE(world.answer(waiting));
}

TEST_CASE("the same seed and the same events give the same run")
{
    const auto run = [] {
        World world{77};
        world.loss = 0.1;
        for (int i = 0; i < 8; ++i) {
            world.start(world.add_box("n" + std::to_string(i), {"m"}, 2));
        }
        std::string log;
        for (int i = 0; i < 200; ++i) {
            log += world.where("m") + " ";
            world.run_for(50ms);
        }
        return log + std::to_string(world.probes) + " " + std::to_string(world.steps);
    };
    CHECK(run() == run());
}
