// Verify on silence, faults of the request path, flap damping, self-preservation: lana.md 6.
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

namespace {

/// Enough others that one silent node is not mass silence.
void crowd(World& world, int count)
{
    for (int i = 0; i < count; ++i) {
        world.start(world.add_box("crowd-" + std::to_string(i), {"other"}));
    }
}

} // namespace

TEST_CASE("a host that vanished is out within two seconds of its last beat")
{
    World world{1};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    world.send_announcement(box);
    world.cut(box);
    world.run_for(1400ms);
    CHECK(world.state(box) == NodeState::online);
    world.run_for(520ms);
    CHECK(world.state(box) == NodeState::suspect);
    CHECK(world.where("m") == "waits");
    world.run_for(11s);
    CHECK(world.state(box) == NodeState::offline);
}

TEST_CASE("work at a host that vanished is given up within two and a half seconds, however its death is noticed")
{
    for (const auto asked_after : {0ms, 50ms, 300ms, 600ms, 900ms, 1200ms, 1500ms}) { // 0: nobody asks
        World world{1};
        auto& box = world.add_box("a", {"m"});
        box.slots = 2;
        world.start(box);
        world.run_for(5s);
        const auto pending = world.lease(world.ask("m"));
        world.send_announcement(box);
        world.cut(box);
        const auto cut = world.now();
        if (asked_after > 0ms) {
            world.run_for(asked_after);
            world.finish(world.lease(world.ask("m")).id, Result::timed_out);
        }
        INFO("a request fails after " << asked_after.count() << " ms");
        world.run_for(2500ms - asked_after);
        REQUIRE_FALSE(world.lost_hosts.empty());
        CHECK(world.lost_hosts.front().second == box.api());
        CHECK(world.lost_hosts.front().first - cut > 1400ms);
        world.finish(pending.id, Result::broken);
    }
}

TEST_CASE("an agent that is frozen is out within five seconds, although its kernel accepts connections, and its work is given up")
{
    World world{12};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    const auto pending = world.lease(world.ask("m"));
    world.send_announcement(box);
    box.frozen = true;
    const auto froze = world.now();
    REQUIRE(world.run_until([&] { return !world.lost_hosts.empty(); }, 10s));
    CHECK(world.now() - froze < 5s);
    CHECK(world.state(box) == NodeState::suspect);
    world.finish(pending.id, Result::broken);
    CHECK(world.where("m") == "waits");
    box.frozen = false;
    world.send_announcement(box);
    CHECK(world.run_until([&] { return world.online() == 1; }, 2s));
}

TEST_CASE("a node whose datagrams are filtered is kept while it answers polls")
{
    World world{13};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    box.udp = false;
    world.run_for(20s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.lost_hosts.empty());
}

TEST_CASE("work at a node that is merely suspect is left alone")
{
    World world{2};
    auto& refusing = world.add_box("refusing", {"m"});
    auto& deaf = world.add_box("deaf", {"m"});
    auto& failing = world.add_box("failing", {"f"});
    for (auto* box : {&refusing, &deaf, &failing}) {
        world.start(*box);
    }
    world.run_for(5s);
    deaf.udp = false;
    world.kill(refusing);
    world.finish(world.lease(world.ask("f")).id, Result::timed_out);
    world.run_for(8s);
    CHECK(world.state(refusing) == NodeState::suspect);
    CHECK(world.lost_hosts.empty());
    world.run_for(60s);
    CHECK(world.state(deaf) != NodeState::online);
    for (const auto& [when, where] : world.lost_hosts) {
        CHECK(where != deaf.api());
        CHECK(where != failing.api());
    }
}

TEST_CASE("a single lost beat is answered by the probe and changes nothing")
{
    World world{2};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    box.interval = 2500ms; // it is late, against its promise of a second
    world.run_for(300ms);
    box.interval = 1s;
    world.run_for(20s);
    CHECK(world.flips[NodeState::suspect] == 0);
}

TEST_CASE("a node whose port refuses is out at the probe's first answer")
{
    World world{3};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    world.kill(box);
    world.run_for(10ms);
    CHECK(world.state(box) == NodeState::suspect);
    CHECK(world.where("m") == "waits");
}

TEST_CASE("a node that TCP reaches stays routable without announcements for thirty seconds")
{
    World world{4};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    box.udp = false;
    world.run_for(27s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.where("m") == "a");
    world.run_for(6s);
    CHECK(world.state(box) == NodeState::suspect);
    CHECK(world.where("m") == "a"); // still a last resort: TCP answers
    box.udp = true;
    world.run_for(1s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("a node polled over HTTP only is out when TCP fails too")
{
    World world{5};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    box.udp = false;
    world.run_for(10s);
    CHECK(world.state(box) == NodeState::online);
    world.cut(box);
    world.run_for(3500ms);
    CHECK(world.state(box) == NodeState::suspect);
}

TEST_CASE("the JSON twin keeps a node alive whose datagrams are filtered")
{
    World world{6};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    box.udp = false;
    for (int i = 0; i < 90; ++i) {
        NodeSeen twin;
        twin.id = box.id;
        twin.source = {box.agent.address, 50'000};
        twin.boot_id = box.boot_id;
        twin.seq = ++box.seq;
        twin.state_rev = box.state_rev;
        twin.announced = AnnouncedState::ready;
        twin.interval = 1s;
        twin.api_port = twin.agent_port = 11436;
        twin.via_http = true;
        world.feed(twin);
        world.run_for(1s);
    }
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.flips[NodeState::suspect] == 0);
}

TEST_CASE("an agent that restarts with the gateway off causes no failed request")
{
    World world{7};
    auto& box = world.add_box("a", {"m"});
    box.gateway = false;
    world.start(box);
    world.run_for(5s);
    world.kill(box); // Ollama keeps serving
    for (int i = 0; i < 20; ++i) {
        world.run_for(1s);
        CHECK(world.where("m") == "a");
    }
    world.restart(box);
    world.run_for(2s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("after a refused attempt the next request does not go there")
{
    World world{8};
    auto& a = world.add_box("a", {"m"});
    auto& b = world.add_box("b", {"m"});
    world.start(a);
    world.start(b);
    world.run_for(3s);
    for (const auto result : {Result::refused, Result::timed_out, Result::broken}) {
        const auto ticket = world.ask("m");
        const auto& hit = world.lease(ticket).node == a.id ? a : b;
        world.finish(world.lease(ticket).id, result);
        CHECK(world.where("m") == (&hit == &a ? "b" : "a"));
        world.run_for(2s); // verified: TCP answers, it announces
        CHECK(world.state(hit) == NodeState::online);
        world.run_for(70s);
    }
}

TEST_CASE("announcements alone do not bring a node back whose port refuses")
{
    World world{9};
    auto& box = world.add_box("a", {"m"});
    box.gateway = false;
    world.start(box);
    world.run_for(3s);
    const auto ticket = world.ask("m");
    box.ollama = false;
    world.finish(world.lease(ticket).id, Result::refused);
    world.run_for(20s);
    CHECK(world.state(box) == NodeState::suspect);
    box.ollama = true;
    world.run_for(4s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("a fault of an earlier incarnation is not held against the present one")
{
    World world{10};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(3s);
    const auto ticket = world.ask("m");
    world.restart(box);
    world.run_for(1s);
    world.finish(world.lease(ticket).id, Result::broken);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("an answer of 5xx or a cancelled attempt is no sign of death")
{
    World world{11};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(3s);
    for (const auto result : {Result::served, Result::failed, Result::busy, Result::cancelled, Result::route_missing}) {
        world.finish(world.lease(world.ask("m")).id, result);
        CHECK(world.state(box) == NodeState::online);
    }
}

TEST_CASE("a lost canary makes the herd look at once")
{
    World world{12};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(3s);
    const auto before = world.probes;
    world.feed(CanaryLost{box.id, box.boot_id});
    CHECK(world.probes == before + 1);
    world.run_for(3s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.flips[NodeState::suspect] == 0);
}

TEST_CASE("an agent whose listener outlived its canary by a moment is found dead all the same, before its silence")
{
    World world{12};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(3s);
    world.feed(CanaryLost{box.id, box.boot_id}); // the probe that follows is still accepted
    world.run_for(10ms);
    CHECK(world.state(box) == NodeState::online);
    box.running = false;
    CHECK(world.run_until([&] { return world.state(box) == NodeState::suspect; }, 600ms));
}

TEST_CASE("a node that flaps must announce itself in a row before it is used again")
{
    World world{13};
    auto& box = world.add_box("a", {"m"});
    crowd(world, 8);
    world.start(box);
    world.run_for(3s);
    for (int i = 0; i < 3; ++i) {
        world.finish(world.lease(world.ask("m")).id, Result::broken);
        world.run_for(2s);
        CHECK(world.state(box) == NodeState::online);
    }
    world.finish(world.lease(world.ask("m")).id, Result::broken);
    world.run_for(900ms);
    CHECK(world.state(box) == NodeState::suspect);
    CHECK(world.reason(box).find("flapping") != std::string::npos);
    CHECK(world.where("m") == "a"); // as a last resort
    world.run_for(2s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("when many fall silent in one window nobody is evicted for ten seconds, but a request decides for itself")
{
    World world{14};
    crowd(world, 10);
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    for (auto* b : world.boxes()) {
        world.cut(*b);
    }
    world.run_for(5s);
    CHECK(world.online() >= 10);
    const auto ticket = world.ask("m");
    if (world.answer(ticket) != nullptr) {
        world.finish(world.lease(ticket).id, Result::timed_out);
        CHECK(world.where("m") == "waits");
    }
    world.run_for(20s);
    CHECK(world.online() == 0); // a lasting partition is believed in the end
}

TEST_CASE("while our own ears are bad nobody is evicted by silence")
{
    World world{15};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    world.cut(box);
    world.run_for(1s);
    world.feed(EarsImpaired{"link lost"});
    world.run_for(9s);
    CHECK(world.state(box) == NodeState::online);
    world.run_for(5s);
    CHECK(world.state(box) == NodeState::suspect);
}

TEST_CASE("a loop that was stopped for twenty seconds evicts nobody when it goes on")
{
    World world{16};
    std::vector<test::Box*> boxes;
    for (int i = 0; i < 5; ++i) {
        boxes.push_back(&world.add_box("n" + std::to_string(i), {"m"}));
        world.start(*boxes.back());
    }
    world.run_for(5s);
    Effects effects;
    const auto later = world.now() + 20s;
    world.herd().apply(Tick{}, later, {}, effects);
    for (const auto& effect : effects) {
        CHECK_FALSE(std::holds_alternative<StateFlipped>(effect));
    }
    CHECK(world.herd().snapshot(later, {})->routable().size() == 5);
}

TEST_CASE("a beat that was overtaken does not undo what a newer one said")
{
    World world{17};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(3s);
    NodeSeen old;
    old.id = box.id;
    old.source = {box.agent.address, 40'000};
    old.boot_id = box.boot_id;
    old.seq = box.seq;
    old.state_rev = box.state_rev;
    old.announced = AnnouncedState::ready;
    old.interval = 1s;
    old.api_port = old.agent_port = 11436;
    world.announce_state(box, AnnouncedState::draining);
    world.run_for(5ms);
    REQUIRE(world.state(box) == NodeState::draining);
    world.feed(old);
    CHECK(world.state(box) == NodeState::draining);
}

TEST_CASE("the request path never picks a node one step after it is known lost")
{
    World world{18};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.start(world.add_box("b", {"m"}));
    world.run_for(3s);
    world.feed(ProbeDone{.id = a.id, .connected = false, .why = base::Errc::refused});
    for (int i = 0; i < 10; ++i) {
        CHECK(world.where("m") == "b");
    }
}
