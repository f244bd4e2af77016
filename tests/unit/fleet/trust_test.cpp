// What a stranger on the LAN cannot do with datagrams: lana.md 5 and 7, caps of 3.
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

namespace {

NodeSeen forged(const test::Box& box, base::Endpoint from)
{
    NodeSeen seen;
    seen.id = box.id;
    seen.source = from;
    seen.boot_id = box.boot_id;
    seen.seq = box.seq + 1;
    seen.announced = AnnouncedState::ready;
    seen.interval = 1s;
    seen.api_port = seen.agent_port = 11436;
    return seen;
}

base::Endpoint address(std::uint8_t last) { return {base::IpAddress::v4({10, 9, 9, last}), 5000}; }

} // namespace

TEST_CASE("a claim of another address moves nobody while the old address answers")
{
    World world{1};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    auto lie = forged(box, address(1));
    lie.doubt = Doubt::address_change;
    world.feed(lie);
    world.run_for(3s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.lease(world.ask("m")).address.endpoint == box.agent);
}

TEST_CASE("a node whose address changed is one node at the new address within a second")
{
    World world{2};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    const auto old = box.agent;
    box.agent = {base::IpAddress::v4({10, 0, 77, 1}), 11436};
    world.send_announcement(box);
    world.run_for(1s);
    CHECK(world.snapshot()->nodes.size() == 1);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.lease(world.ask("m")).address.endpoint == box.agent);
    CHECK(std::find(world.dropped.begin(), world.dropped.end(), old) != world.dropped.end());
}

TEST_CASE("two live boxes with one id: the older stays and the operator is told")
{
    World world{3};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    auto twin = forged(box, address(7));
    twin.boot_id = 999'999;
    twin.doubt = Doubt::new_boot;
    Effects effects;
    world.feed(twin);
    NodeFacts facts;
    facts.boot_id = 999'999;
    facts.api_port = 11436;
    world.feed(NodeConfirmed{box.id, {address(7).address, 11436}, facts, 1ms, false});
    world.run_for(100ms);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.reason(box).find("same id") != std::string::npos);
    CHECK(world.lease(world.ask("m")).boot_id == box.boot_id);
}

namespace {

/// Another machine that lives under the id of `box`: a copied disk.
test::Box& clone_of(World& world, const test::Box& box, std::uint64_t boot_id)
{
    auto& clone = world.add_box("clone", {"m"});
    clone.id = box.id;
    clone.boot_id = boot_id;
    return clone;
}

void beat(World& world, test::Box& box, int times)
{
    for (int i = 0; i < times; ++i) {
        world.send_announcement(box);
        world.run_for(1s);
    }
}

} // namespace

TEST_CASE("the younger of two live boxes with one id is named, once, and the word is taken back when it is gone")
{
    const bool boots_like_the_older_one = GENERATE(false, true);
    World world{31};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    auto& clone = clone_of(world, box, boots_like_the_older_one ? box.boot_id - 500 : box.boot_id + 500);
    beat(world, clone, 25);
    REQUIRE(world.twins.size() == 1);
    CHECK(world.twins[0].id == box.id);
    CHECK(world.twins[0].kept == box.agent);
    CHECK(world.twins[0].younger == clone.agent);
    CHECK(world.twins[0].boot_id == clone.boot_id);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.reason(box) == "another node at " + clone.agent.text() + " uses the same id");
    CHECK(world.lease(world.ask("m")).address.endpoint == box.agent);
    CHECK(world.flips[NodeState::suspect] == 0);
    world.kill(clone);
    world.run_for(11s);
    CHECK(world.reason(box).empty());
    REQUIRE(world.twins.size() == 2);
    CHECK(world.twins[1].boot_id == 0);
}

TEST_CASE("a box that starts again at another address is no twin of its former self")
{
    World world{32};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    // Its old life answers a last time while the new one, on the other wire, answers already.
    auto& next = clone_of(world, box, box.boot_id + 1);
    world.send_announcement(next);
    world.run_until([&] { return world.confirms >= 3; }, 100ms);
    world.run_for(2ms);
    world.kill(box);
    beat(world, next, 12);
    CHECK(world.twins.empty());
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.lease(world.ask("m")).address.endpoint == next.agent);
}

TEST_CASE("when the older of two boxes with one id goes away, the younger may have the id")
{
    World world{33};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    auto& clone = clone_of(world, box, box.boot_id + 500);
    beat(world, clone, 3);
    REQUIRE(world.twins.size() == 1);
    world.kill(box);
    beat(world, clone, 30);
    REQUIRE(world.twins.size() == 2);
    CHECK(world.twins[1].boot_id == 0);
    CHECK(world.reason(box).empty());
    CHECK(world.lease(world.ask("m")).address.endpoint == clone.agent);
}

TEST_CASE("doubtful datagrams cause no more than ten questions a second")
{
    World world{4};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    const auto before = world.confirms;
    for (int i = 0; i < 1000; ++i) {
        auto lie = forged(box, {box.agent.address, 5000});
        lie.boot_id = 5000 + static_cast<std::uint64_t>(i);
        lie.doubt = Doubt::new_boot;
        world.feed(lie);
        world.run_for(1ms);
    }
    CHECK(world.confirms - before <= 11);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("a doubt that the node itself settles counts as its announcement")
{
    World world{5};
    auto& box = world.add_box("a", {"m"});
    box.udp = false;
    world.start(box);
    auto first = forged(box, {box.agent.address, 5000});
    world.feed(first);
    world.run_for(100ms);
    CHECK(world.state(box) == NodeState::online);
    for (int i = 0; i < 60; ++i) {
        auto jump = forged(box, {box.agent.address, 5000});
        jump.seq = 100'000;
        jump.doubt = Doubt::seq_jump;
        world.feed(jump);
        world.run_for(1s);
    }
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.flips[NodeState::suspect] == 0);
}

TEST_CASE("one address cannot fill the table: at most eight ids, the oldest unconfirmed gives way")
{
    World world{6};
    base::Rng rng{1};
    for (int i = 0; i < 100; ++i) {
        NodeSeen seen;
        seen.id = base::NodeId::random(rng);
        seen.source = address(3);
        seen.boot_id = 1;
        seen.interval = 1s;
        seen.agent_port = seen.api_port = 11436;
        world.feed(seen);
    }
    CHECK(world.snapshot()->nodes.size() == 8);
}

TEST_CASE("a flood of unconfirmed ids stays under its cap and harms no confirmed node")
{
    FleetOptions options;
    options.unverified_max = 20;
    options.nodes_max = 40;
    World world{7, options};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(1s);
    base::Rng rng{1};
    for (unsigned i = 0; i < 2000; ++i) {
        NodeSeen seen;
        seen.id = base::NodeId::random(rng);
        seen.source = {base::IpAddress::v4({10, 8, static_cast<std::uint8_t>(i >> 8U), static_cast<std::uint8_t>(i)}), 1};
        seen.boot_id = 1;
        seen.interval = 1s;
        seen.agent_port = seen.api_port = 11436;
        world.feed(seen);
    }
    CHECK(world.snapshot()->nodes.size() <= 21);
    CHECK(world.state(box) == NodeState::online);
    world.run_for(90s);
    CHECK(world.snapshot()->nodes.size() == 1);
}

TEST_CASE("a configured node is not taken over by an announcement of its id")
{
    World world{8};
    auto& box = world.add_static("attic", {"m"});
    world.run_for(1s);
    world.feed(forged(box, address(9)));
    CHECK(world.lease(world.ask("m")).address.endpoint == box.agent);
}
