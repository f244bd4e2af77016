// How a node comes, goes, and comes back: lana.md 5 and 6.
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

TEST_CASE("a node that announces itself and answers is online within milliseconds")
{
    World world{1};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    CHECK(world.run_until([&] { return world.online() == 1; }, 30ms));
    CHECK(world.where("m") == "a");
    CHECK(world.confirms == 1);
}

TEST_CASE("an announcement alone makes nobody routable")
{
    World world{2};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_until([&] { return world.confirms == 1; }, 1s);
    CHECK(world.state(box) == NodeState::unknown);
    CHECK(world.online() == 0);
}

TEST_CASE("a node that announces but does not answer is listed as unreachable and asked ever more rarely")
{
    World world{3};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    box.stranger = true;
    std::vector<base::Instant> asked;
    std::size_t seen = 0;
    world.run_until([&] {
        if (world.confirms != seen) {
            seen = world.confirms;
            asked.push_back(world.now());
        }
        return false;
    }, 60s);
    const auto picture = world.snapshot();
    REQUIRE(picture->nodes.size() == 1);
    CHECK(picture->nodes[0].state == NodeState::unreachable);
    CHECK_FALSE(picture->nodes[0].state_reason.empty());
    REQUIRE(asked.size() >= 6);
    CHECK(asked.size() <= 8);
    CHECK(asked[1] - asked[0] < 150ms);
    CHECK(asked[5] - asked[4] >= 10s);
}

TEST_CASE("with the gateway off the API's own port must answer before a node is online")
{
    World world{4};
    auto& box = world.add_box("a", {"m"});
    box.gateway = false;
    box.ollama = false;
    world.start(box);
    world.run_for(2s);
    CHECK(world.state(box) == NodeState::unreachable);
    CHECK(world.reason(box).find("OLLAMA_HOST") != std::string::npos);
    box.ollama = true;
    world.run_for(4s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.lease(world.ask("m")).address.endpoint == box.api());
}

TEST_CASE("a node is online when its API answers GET /api/version, and not because something listens there")
{
    const bool gateway = GENERATE(true, false);
    World world{41};
    auto& box = world.add_box("a", {"m"});
    box.gateway = gateway;
    box.speaks_ollama = false;
    world.start(box);
    world.run_for(2s);
    CHECK(world.state(box) == NodeState::unreachable);
    CHECK(world.reason(box) == "node announces, but GET /api/version at " + box.api().text() + ": what answers is no Ollama");
    CHECK(world.where("m") != "a");
    box.speaks_ollama = true;
    world.run_for(4s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.reason(box).empty());
}

TEST_CASE("a node that does not say its name is called by its address")
{
    World world{42};
    auto& box = world.add_box("", {"m"});
    world.start(box);
    world.run_for(2s);
    CHECK(world.snapshot()->find(box.id)->name == box.agent.address.text());
    CHECK(world.lease(world.ask("m")).node_name == box.agent.address.text());
}

TEST_CASE("a node that starts before its Ollama is asked for it when it says that it is ready")
{
    const auto first = GENERATE(AnnouncedState::init, AnnouncedState::backend_down);
    World world{42};
    auto& box = world.add_box("a", {"m"});
    box.announced = first;
    box.speaks_ollama = false;
    world.start(box);
    world.run_for(2s);
    CHECK(world.state(box) == (first == AnnouncedState::init ? NodeState::unknown : NodeState::suspect)); // its own word
    CHECK(world.probes == 0);
    world.announce_state(box, AnnouncedState::ready);
    world.run_for(50ms);
    CHECK(world.state(box) == NodeState::unreachable);
    box.speaks_ollama = true;
    world.run_for(5s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("a node whose API moved to another port is asked there before it serves on")
{
    World world{43};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    REQUIRE(world.state(box) == NodeState::online);
    box.gateway = false; // its Ollama's own port from now on
    box.speaks_ollama = false;
    world.document_changed(box);
    world.run_for(1s);
    CHECK(world.state(box) == NodeState::unreachable);
}

TEST_CASE("a node whose document is fine but whose API refuses is asked ever more rarely")
{
    World world{44};
    auto& box = world.add_box("a", {"m"});
    box.gateway = false;
    box.ollama = false;
    world.start(box);
    world.run_for(60s);
    CHECK(world.state(box) == NodeState::unreachable);
    CHECK(world.confirms <= 10); // 0.1, 0.3, 1, 3, 10, 30, 60 s
    CHECK(world.probes <= 10);
    world.run_for(60s);
    CHECK(world.confirms <= 11);
    box.ollama = true;
    world.run_for(65s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("a node that counts its changes from nought is asked for its document, not whether that changed")
{
    World world{45};
    auto& box = world.add_box("a", {"m"});
    box.state_rev = 0;
    world.start(box);
    CHECK(world.run_until([&] { return world.online() == 1; }, 100ms));
    CHECK(world.where("m") == "a");
    world.restart(box);
    box.state_rev = 0;
    world.run_for(2s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.lease(world.ask("m")).boot_id == box.boot_id);
}

TEST_CASE("a node is routable only in the announced states ready and busy")
{
    World world{5};
    auto& box = world.add_box("a", {"m"});
    box.announced = AnnouncedState::init;
    world.start(box);
    world.run_for(1s);
    CHECK(world.state(box) == NodeState::unknown);
    const auto becomes = [&](AnnouncedState announced, NodeState state) {
        world.announce_state(box, announced);
        world.run_for(20ms);
        CHECK(world.state(box) == state);
    };
    becomes(AnnouncedState::ready, NodeState::online);
    becomes(AnnouncedState::busy, NodeState::online);
    becomes(AnnouncedState::backend_down, NodeState::suspect);
    becomes(AnnouncedState::ready, NodeState::online);
    becomes(AnnouncedState::draining, NodeState::draining);
    becomes(AnnouncedState::maintenance, NodeState::draining);
    becomes(AnnouncedState::other, NodeState::draining);
}

TEST_CASE("an id whose address was given to another node is away as soon as that one is known")
{
    World world{47};
    auto& old = world.add_box("old", {"m"});
    world.start(old);
    world.run_for(5s);
    auto& fresh = world.add_box("fresh", {"n"});
    fresh.agent = old.agent;
    world.kill(old);
    world.start(fresh);
    REQUIRE(world.run_until([&] { return world.state(fresh) == NodeState::online; }, 1s));
    CHECK(world.state(old) == NodeState::offline);
    CHECK(world.reason(old) == "another node answers at " + old.agent.text());
    CHECK(world.where("m") != "old");
    old.agent = {base::IpAddress::v4({10, 9, 9, 9}), 11436}; // it has another address now
    world.restart(old);
    CHECK(world.run_until([&] { return world.online() == 2; }, 2s));
    CHECK(world.where("m") == "old");
}

TEST_CASE("an id at whose address another one answers is away even if that one never announces")
{
    World world{48};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    box.udp = false; // from now on somebody else, who does not announce, has its address
    box.stranger = true;
    CHECK(world.run_until([&] { return world.state(box) == NodeState::offline; }, 4s));
}

TEST_CASE("a node whose Ollama comes and goes must show ever more beats before it is used again")
{
    World world{46};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(3s);
    const auto falls_and_returns = [&] {
        world.announce_state(box, AnnouncedState::backend_down);
        world.run_for(900ms);
        CHECK(world.state(box) == NodeState::suspect);
        world.announce_state(box, AnnouncedState::ready);
        const auto began = world.now();
        CHECK(world.run_until([&] { return world.online() == 1; }, 40s));
        return world.now() - began;
    };
    for (int i = 0; i < 3; ++i) {
        CHECK(falls_and_returns() < 50ms);
    }
    const auto fourth = falls_and_returns();
    CHECK(fourth > 400ms); // two beats
    CHECK(fourth < 2s);
    const auto fifth = falls_and_returns();
    CHECK(fifth > 2s); // four
    CHECK(fifth < 5s);
    CHECK(world.reason(box).empty());
}

TEST_CASE("a node whose Ollama died is not used although its agent lives, not even as a last resort")
{
    World world{6};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(1s);
    world.announce_state(box, AnnouncedState::backend_down);
    world.run_for(20ms);
    CHECK(world.where("m") == "waits");
    world.run_for(60s);
    CHECK(world.state(box) == NodeState::suspect); // while its beats arrive
}

TEST_CASE("a node whose Ollama is down, and which can list no models therefore, is still known to have them")
{
    World world{66};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    box.models.clear();
    world.announce_state(box, AnnouncedState::backend_down);
    world.document_changed(box);
    world.run_for(100ms);
    CHECK(world.where("m") == "waits"); // held, not answered 404: nobody shall start to pull
    world.announce_state(box, AnnouncedState::ready);
    world.document_changed(box);
    world.run_for(100ms);
    CHECK(world.where("m") == "no_such_model");
}

TEST_CASE("a goodbye takes a node out at once, without a timeout")
{
    World world{7};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.stop(box);
    world.run_for(5ms);
    CHECK(world.state(box) == NodeState::draining);
    world.run_for(250ms);
    CHECK(world.state(box) == NodeState::offline);
}

TEST_CASE("a forged goodbye costs a node one beat")
{
    World world{8};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.feed(NodeLeft{box.id, box.boot_id, "forged"});
    CHECK(world.state(box) == NodeState::offline);
    world.run_for(1s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("a goodbye of another boot changes nothing")
{
    World world{9};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.feed(NodeLeft{box.id, box.boot_id + 1, "old"});
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("a late copy of the last words does not bring a node back")
{
    World world{10};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.announce_state(box, AnnouncedState::draining);
    world.run_for(5ms);
    world.feed(NodeLeft{box.id, box.boot_id, "shutdown"});
    world.run_for(200ms); // the second copy of state 3 comes after the LEAVE
    CHECK(world.state(box) == NodeState::offline);
}

TEST_CASE("an answer that a node gave on its way out does not bring it back after its goodbye")
{
    World world{12};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    const auto view = world.snapshot()->nodes.front();
    NodeFacts last = *view.facts;
    last.announced = AnnouncedState::draining;
    last.state_rev += 1;
    world.announce_state(box, AnnouncedState::draining);
    world.feed(NodeLeft{box.id, box.boot_id, "stopped"});
    world.feed(NodeConfirmed{.id = box.id, .agent = view.agent, .facts = last, .round_trip = 1ms});
    CHECK(world.state(box) == NodeState::offline);
    world.run_for(200ms);
    CHECK(world.state(box) == NodeState::offline);
}

TEST_CASE("a node that is gone is kept for a day, then forgotten")
{
    World world{11};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.stop(box);
    world.run_for(23h);
    CHECK(world.snapshot()->nodes.size() == 1);
    world.run_for(2h);
    CHECK(world.snapshot()->nodes.empty());
    CHECK(world.snapshot()->models.empty());
}

TEST_CASE("a restarted node is confirmed again, and its old connections are dropped")
{
    World world{12};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.restart(box);
    world.run_for(1s);
    CHECK(world.state(box) == NodeState::online);
    CHECK(world.lease(world.ask("m")).boot_id == box.boot_id);
    CHECK_FALSE(world.dropped.empty());
}

TEST_CASE("a changed document is read at once through the watch stream")
{
    World world{13};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    CHECK(world.where("new") == "no_such_model");
    box.models.push_back("new");
    world.document_changed(box);
    world.run_for(10ms);
    CHECK(world.where("new") == "a");
    box.models = {"new"};
    world.document_changed(box);
    world.run_for(10ms);
    CHECK(world.where("m") == "no_such_model");
}

TEST_CASE("a changed document is read with the next beat when the watch stream is silent")
{
    World world{14};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    box.models.push_back("new");
    ++box.state_rev;
    world.run_for(1100ms);
    CHECK(world.where("new") == "a");
}

TEST_CASE("who waits for a name is looked at again when another of that name comes or goes, whatever that one's models")
{
    World world{15};
    auto& one = world.add_box("box", {"n"});
    auto& two = world.add_box("box", {"m"}, 1);
    world.start(one);
    world.start(two);
    world.run_for(2s);
    world.stop(one);
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.node = "box";
    CHECK(world.lease(world.ask(profile)).node == two.id);
    const auto waiting = world.ask(profile);
    CHECK(world.waits(waiting));
    world.restart(one);
    world.run_for(2s);
    REQUIRE(world.answer(waiting));
    CHECK(world.answer(waiting)->why() == base::Errc::no_node); // two are called so now
}

TEST_CASE("two hosts with one name stay two nodes")
{
    World world{15};
    auto& one = world.add_box("box", {"m"});
    auto& two = world.add_box("box", {"m"});
    world.start(one);
    world.start(two);
    world.run_for(2s);
    CHECK(world.online() == 2);
    auto profile = World::profile_of("m");
    profile.node = two.id.text();
    const auto first = world.lease(world.ask(profile));
    CHECK(first.node == two.id);
    world.finish(first.id);
    for (const auto& [number, box] : {std::pair{"box-1", one.id < two.id ? &one : &two}, {"box-2", one.id < two.id ? &two : &one}}) {
        profile.node = number;
        const auto lease = world.lease(world.ask(profile));
        CHECK(lease.node == box->id);
        CHECK(world.snapshot()->find(std::string_view(number))->id == box->id); // both books say so
        world.finish(lease.id);
    }
    profile.node = "box-3";
    CHECK(world.answer(world.ask(profile))->why() == base::Errc::no_node);
    profile.node = "box";
    const auto* refused = world.answer(world.ask(profile));
    CHECK(refused->why() == base::Errc::no_node);
    CHECK(refused->refusal->error.context.starts_with("2 nodes are called box: use an id ("));
    CHECK(refused->refusal->error.context.find(two.id.text().substr(0, 8)) != std::string::npos);
    profile.node = two.id.text().substr(0, 8);
    CHECK(world.lease(world.ask(profile)).node == two.id);
    world.stop(two); // as the old entry of a reinstalled box: the one that is there is meant
    world.run_for(2s);
    profile.node = "box";
    CHECK(world.lease(world.ask(profile)).node == one.id);
}
