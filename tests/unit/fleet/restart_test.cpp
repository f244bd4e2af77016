// What a restart of the coordinator must not cost, and drains.
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

TEST_CASE("after a restart a request for a saved node's model waits and is served, it is not answered 404")
{
    World world{1};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(3s);
    world.restart_herd(true);
    const auto ticket = world.ask("m");
    CHECK(world.waits(ticket));
    world.run_for(200ms);
    CHECK(world.lease(ticket).node == box.id);
}

TEST_CASE("after a restart without a saved pool a request waits for the nodes to announce themselves")
{
    World world{2};
    world.start(world.add_box("a", {"m"}));
    world.run_for(3s);
    world.restart_herd(false);
    const auto ticket = world.ask("m");
    CHECK(world.waits(ticket));
    world.run_for(1s);
    CHECK(world.answer(ticket)->lease);
}

TEST_CASE("with all of the saved pool heard of, an unknown model is refused before the settle time is over")
{
    World world{2};
    world.start(world.add_box("a", {"m"}));
    world.start(world.add_box("b", {"other"}));
    world.run_for(3s);
    world.restart_herd(true);
    const auto ticket = world.ask("unheard");
    CHECK(world.waits(ticket));
    world.run_for(500ms);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::no_such_model);
}

TEST_CASE("a saved node that does not answer holds up nothing once it had three chances")
{
    World world{3};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.start(world.add_box("b", {"other"}));
    world.run_for(3s);
    world.kill(a);
    world.restart_herd(true);
    const auto ticket = world.ask("m");
    world.run_for(1400ms);
    CHECK(world.waits(ticket)); // the settle time
    world.run_for(2s);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::no_such_model);
    CHECK(world.state(a) == NodeState::offline);
}

TEST_CASE("after a restart a model that only an absent node had is held for it, not told as unknown")
{
    World world{3};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.start(world.add_box("b", {"other"}));
    world.run_for(3s);
    world.kill(a);
    world.restart_herd(true);
    world.feed(ModelsRead{a.id, {Model{.name = "m"}}}); // as the app remembers it
    const auto early = world.ask("m");
    world.run_for(15s);
    CHECK(world.state(a) == NodeState::offline);
    CHECK(world.waits(early));
    const auto late = world.ask("m");
    world.run_for(16s);
    REQUIRE(world.answer(early));
    CHECK(world.answer(early)->why() == base::Errc::no_node);
    CHECK(world.waits(late));
    world.start(a);
    world.run_for(3s);
    CHECK(world.lease(late).node == a.id);
    CHECK(world.where("unheard") == "no_such_model");
}

TEST_CASE("a change of a node's models is worth saving, a change of what is loaded is not")
{
    World world{4};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(3s);
    const auto saves = [&world](const Event& event) {
        Effects effects;
        world.herd().apply(event, world.now(), {}, effects);
        return std::ranges::any_of(effects, [](const Effect& e) { return std::holds_alternative<SavePool>(e); });
    };
    CHECK(saves(ModelsRead{a.id, {Model{.name = "m"}, Model{.name = "pulled"}}}));
    CHECK_FALSE(saves(ModelsRead{a.id, {Model{.name = "m"}, Model{.name = "pulled"}}}));
    CHECK_FALSE(saves(LoadedRead{a.id, {LoadedModel{.name = "m"}}}));
    CHECK(saves(ModelsRead{a.id, {Model{.name = "m"}}}));
}

TEST_CASE("a pool of a thousand saved nodes is asked over a spread of time")
{
    Fleet herd{{}, base::Rng{1}, base::Instant{100s}};
    base::Rng rng{2};
    PoolRestored pool;
    for (unsigned i = 0; i < 1000; ++i) {
        pool.nodes.push_back({base::NodeId::random(rng), "n", {base::IpAddress::v4({10, 1, static_cast<std::uint8_t>(i >> 8U), static_cast<std::uint8_t>(i)}), 11436}, 5, false});
    }
    Effects effects;
    herd.apply(pool, base::Instant{100s}, {}, effects);
    std::size_t asked = 0;
    base::Duration latest{};
    for (const auto& effect : effects) {
        if (const auto* confirm = std::get_if<Confirm>(&effect)) {
            ++asked;
            latest = std::max(latest, confirm->delay);
        }
    }
    CHECK(asked == 1000);
    CHECK(latest > 200ms);
    CHECK(latest <= 250ms);
}

TEST_CASE("a drain by the operator outlasts beats, polls and a restart")
{
    World world{4};
    auto& lana = world.add_box("a", {"m"});
    auto& plain = world.add_static("attic", {"m"});
    world.start(lana);
    world.run_for(2s);
    world.feed(DrainNode{lana.id, true});
    world.feed(DrainNode{plain.id, true});
    world.run_for(20s);
    CHECK(world.state(lana) == NodeState::draining);
    CHECK(world.state(plain) == NodeState::draining);
    CHECK(world.where("m") == "waits");
    world.restart_herd(true);
    world.run_for(5s);
    CHECK(world.state(lana) == NodeState::draining);
    CHECK(world.state(plain) == NodeState::draining);
    world.feed(DrainNode{lana.id, false});
    CHECK(world.state(lana) == NodeState::online);
    CHECK(world.where("m") == "a");
}

TEST_CASE("a draining node finishes what it has")
{
    World world{5};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    const auto ticket = world.ask("m");
    const auto waiting = world.ask("m");
    world.feed(DrainNode{box.id, true});
    world.finish(world.lease(ticket).id);
    CHECK(world.waits(waiting));
    world.feed(DrainNode{box.id, false});
    CHECK(world.answer(waiting)->lease);
}

TEST_CASE("without discovery and without configured nodes nothing is waited for")
{
    FleetOptions options;
    options.discovery = false;
    World world{6, options};
    CHECK(world.where("m") == "no_node");
}

TEST_CASE("a saved node that had said goodbye is told so after a restart, and asked for all the same")
{
    World world{11};
    auto& stays_away = world.add_box("a", {"m"});
    auto& comes_back = world.add_box("b", {"m"});
    world.start(stays_away);
    world.start(comes_back);
    world.run_for(2s);
    world.stop(stays_away);
    world.stop(comes_back);
    world.run_for(2s);
    const auto pool = world.herd().saved_pool();
    world.restart(comes_back);
    world.cut(comes_back); // not heard, until it is asked
    world.restart_herd(true);
    for (const auto& saved : pool) { // as the app does
        world.feed(NodeLeft{saved.id, saved.boot_id, "before this herd started"});
    }
    CHECK(world.state(stays_away) == NodeState::offline);
    CHECK(world.reason(stays_away) == "left: before this herd started");
    world.heal(comes_back);
    CHECK(world.run_until([&] { return world.state(comes_back) == NodeState::online; }, 10s));
    world.run_for(60s);
    CHECK(world.state(stays_away) == NodeState::offline);
    CHECK(world.reason(stays_away) == "left: before this herd started");
}

TEST_CASE("the saved pool holds confirmed nodes and drained configured ones")
{
    World world{7};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    auto& plain = world.add_static("attic", {"m"});
    world.add_static("cellar", {"m"});
    world.run_for(2s);
    world.feed(DrainNode{plain.id, true});
    const auto pool = world.herd().saved_pool();
    REQUIRE(pool.size() == 2);
    for (const auto& saved : pool) {
        CHECK((saved.id == a.id ? saved.agent == a.agent && !saved.drained : saved.id == plain.id && saved.drained));
    }
}
