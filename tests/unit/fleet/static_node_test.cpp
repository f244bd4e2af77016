// Plain Ollamas without an agent.
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

TEST_CASE("a configured node is unknown until it answered its first poll, then online")
{
    World world{1};
    auto& box = world.add_static("attic", {"m"});
    CHECK(world.state(box) == NodeState::unknown);
    world.run_for(10ms);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.where("m") == "attic");
    const auto picture = world.snapshot();
    CHECK(picture->nodes[0].source == NodeSource::configured);
    CHECK(picture->nodes[0].latency.has_value());
    CHECK(picture->nodes[0].agent.port == 0);
}

TEST_CASE("a configured node that never answered is unreachable and says why")
{
    World world{2};
    auto& box = world.add_static("attic", {"m"});
    box.ollama = false;
    world.run_for(1s);
    CHECK(world.state(box) == NodeState::unreachable);
    CHECK(world.reason(box).find("refused") != std::string::npos);
    box.ollama = true;
    world.run_for(3s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("a configured node that stops answering is suspect, then offline, and comes back by itself")
{
    World world{3};
    auto& box = world.add_static("attic", {"m"});
    world.run_for(3s);
    box.ollama = false;
    world.run_for(1100ms);
    CHECK(world.state(box) == NodeState::suspect);
    world.run_for(2s);
    CHECK(world.state(box) == NodeState::offline);
    box.ollama = true;
    world.run_for(4s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.where("m") == "attic");
}

TEST_CASE("how many failures are offline, and how many answers back, is the node's own")
{
    World world{31};
    auto& box = world.add_static("attic", {"m"});
    auto manner = std::make_shared<Manner>();
    manner->down_after = 2;
    manner->up_after = 3;
    world.feed(StaticAdded{box.id, box.name, "http://" + box.agent.text(), Address{.endpoint = box.agent, .host_header = box.agent.text(), .manner = manner}, {}, {}});
    world.run_for(3s);
    CHECK(world.state(box) == NodeState::online); // the first verdict is at once all the same
    box.ollama = false;
    for (int i = 0; i < 200 && world.state(box) == NodeState::online; ++i) {
        world.run_for(10ms);
    }
    CHECK(world.state(box) == NodeState::suspect);
    world.run_for(350ms);
    CHECK(world.state(box) == NodeState::offline);
    CHECK_FALSE(world.snapshot()->nodes[0].latency); // it told none: no old figure stands for it
    box.ollama = true;
    world.run_for(1s);
    CHECK(world.state(box) == NodeState::offline); // it answers, but not often enough yet
    world.run_for(3s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.snapshot()->nodes[0].latency.has_value());
}

TEST_CASE("a failed attempt at a configured node is followed by a poll at once")
{
    World world{4};
    auto& box = world.add_static("attic", {"m"});
    world.run_for(3s);
    world.finish(world.lease(world.ask("m")).id, Result::refused);
    CHECK(world.state(box) == NodeState::suspect);
    CHECK(world.where("m") == "waits");
    world.run_for(10ms);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("new models of a configured node are seen within ten seconds, and within two while it is in use")
{
    World world{5};
    auto& box = world.add_static("attic", {"m"});
    world.run_for(1s);
    box.models.push_back("new");
    world.run_for(11s);
    CHECK(world.where("new") == "attic");
    box.models.push_back("newer");
    world.run_for(3100ms);
    CHECK(world.where("newer") == "attic");
}

TEST_CASE("another address of a configured node resets the verdict")
{
    World world{6};
    auto& box = world.add_static("attic", {"m"});
    box.ollama = false;
    world.run_for(10s);
    const auto old = box.agent;
    box.agent.address = base::IpAddress::v4({10, 0, 5, 5});
    box.ollama = true;
    world.feed(StaticAdded{box.id, "attic", "http://elsewhere", Address{.endpoint = box.agent}, {}, {}});
    CHECK(world.state(box) == NodeState::unknown);
    world.run_for(10ms);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.lease(world.ask("m")).address.endpoint == box.agent);
    CHECK(old != box.agent);
}

TEST_CASE("a configured node behind another proxy is sent nothing at the old one, with the new one's password")
{
    World world{61};
    auto& box = world.add_static("attic", {"m"});
    box.agent.port = 3128; // that of both proxies
    const auto behind = [&box](const std::string& proxy, const std::string& password) {
        auto manner = std::make_shared<Manner>();
        base::PeerTrust trust;
        trust.tunnel = base::Tunnel{.host = proxy, .port = 3128, .user = "me", .password = password, .to_host = "attic", .to_port = 11434};
        trust.tls = false;
        manner->trust = std::make_shared<const base::PeerTrust>(std::move(trust));
        box.manner = manner;
        // A name: the poll finds where it is.
        return StaticAdded{box.id, box.name, "http://attic:11434", Address{.endpoint = {{}, 3128}, .host_header = "attic:11434", .manner = manner}, {}, {}};
    };
    world.feed(behind("old.lan", "first"));
    world.run_for(100ms);
    CHECK(world.state(box) == NodeState::online);
    world.feed(behind("old.lan", "first")); // a reload that changes nothing
    CHECK(world.state(box) == NodeState::online);
    for (const auto& [proxy, password] : {std::pair{"new.lan", "first"}, std::pair{"new.lan", "second"}}) {
        const auto was = world.snapshot()->find(box.id)->address.endpoint;
        CHECK_FALSE(was.address.is_unspecified());
        world.dropped.clear();
        world.feed(behind(proxy, password));
        CHECK(world.state(box) == NodeState::unknown);
        CHECK(world.snapshot()->find(box.id)->address.endpoint.address.is_unspecified());
        CHECK(world.dropped == std::vector<base::Endpoint>{was});
        world.run_for(100ms);
        CHECK(world.state(box) == NodeState::online);
    }
}

TEST_CASE("a configured node that is added drained takes nothing until it is resumed")
{
    World world{7};
    auto& box = world.add_static("attic", {"m"});
    world.run_for(20ms);
    world.feed(NodeRemoved{box.id});
    world.feed(StaticAdded{box.id, "attic", "http://" + box.agent.text(), Address{.endpoint = box.agent}, {}, 1, true});
    world.run_for(20ms);
    CHECK(world.state(box) == NodeState::draining);
    const auto ticket = world.ask("m");
    CHECK(world.waits(ticket));
    world.feed(DrainNode{box.id, false});
    CHECK(world.lease(ticket).node == box.id);
}

TEST_CASE("slots and labels of a configured node come from its configuration")
{
    World world{7};
    auto& box = world.add_static("attic", {"m"});
    box.slots.reset();
    world.feed(StaticAdded{box.id, "attic", "http://" + box.agent.text(), Address{.endpoint = box.agent}, {"EU"}, 3});
    world.run_for(20ms);
    auto profile = World::profile_of("m");
    profile.labels = {"eu"};
    for (int i = 0; i < 3; ++i) {
        CHECK(world.answer(world.ask(profile))->lease);
    }
    CHECK(world.waits(world.ask(profile)));
}

TEST_CASE("who waits for a node that is replaced by one at another address waits for that one")
{
    World world{8};
    auto& old = world.add_static("old", {"m"});
    world.run_for(2s);
    const auto running = world.ask("m");
    REQUIRE_FALSE(world.waits(running));
    const auto waiting = world.ask("m");
    REQUIRE(world.waits(waiting));
    auto& fresh = world.add_static("new", {"m"}); // as a reload does it: first the new one
    world.feed(NodeRemoved{old.id});
    CHECK(world.waits(waiting));
    world.run_for(50ms);
    CHECK(world.lease(waiting).node == fresh.id);
}

TEST_CASE("a removed node takes nothing new, and its open lease ends without harm")
{
    World world{8};
    auto& box = world.add_static("attic", {"m"});
    world.run_for(2s);
    const auto ticket = world.ask("m");
    const auto waiting = world.ask("m");
    world.feed(NodeRemoved{box.id});
    CHECK(world.snapshot()->nodes.empty());
    REQUIRE_FALSE(world.waits(waiting));
    world.feed(StaticAdded{box.id, "attic", "http://x", Address{.endpoint = box.agent}, {}, {}});
    world.run_for(20ms);
    world.finish(world.lease(ticket).id);
    CHECK(world.snapshot()->nodes[0].in_flight == 0);
}

TEST_CASE("a poll that is never answered counts as failed")
{
    World world{9};
    Effects effects;
    Fleet herd{{}, base::Rng{1}, world.now()};
    base::Rng rng{4};
    const auto id = base::NodeId::random(rng);
    herd.apply(StaticAdded{id, "x", "http://x", {}, {}, {}}, world.now(), {}, effects);
    const auto later = herd.next_deadline();
    REQUIRE(later);
    herd.apply(Tick{}, *later, {}, effects);
    CHECK(herd.snapshot(*later, {})->nodes[0].state == NodeState::unreachable);
    CHECK(herd.next_deadline());
}
