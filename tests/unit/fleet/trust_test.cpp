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
