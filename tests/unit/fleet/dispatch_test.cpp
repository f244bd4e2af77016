// Who gets a place, and what the others are told.
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

TEST_CASE("with no node known a request is refused, at once when the start has settled")
{
    World world{1};
    const auto early = world.ask("m");
    CHECK(world.waits(early));
    world.run_for(1600ms);
    REQUIRE(world.answer(early));
    CHECK(world.answer(early)->why() == base::Errc::no_node);
    const auto late = world.ask("m");
    REQUIRE(world.answer(late));
    CHECK(world.answer(late)->why() == base::Errc::no_node);
    CHECK(world.answer(late)->refusal->retry_after > 0s);
}

TEST_CASE("a model on no node is refused in Ollama's words")
{
    World world{2};
    world.start(world.add_box("a", {"m"}));
    world.run_for(2s);
    const auto ticket = world.ask("Nope:7b");
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::no_such_model);
    CHECK(world.answer(ticket)->refusal->error.context == "model 'Nope:7b' not found");
    CHECK(world.answer(ticket)->refusal->retry_after == 0s);
}

TEST_CASE("a known model whose last holder went is held, then refused with a time to come back")
{
    World world{3};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.stop(box);
    world.run_for(1s);
    const auto lost = world.ask("m");
    const auto lucky = world.ask("m");
    world.run_for(29s);
    CHECK(world.waits(lost));
    const auto standing = world.herd().standing(lost, world.now());
    REQUIRE(standing);
    CHECK(standing->held); // no place in a line: its time is how long that may last
    CHECK(standing->wait_s == Approx(1));
    world.cancel(lucky);
    world.run_for(2s);
    REQUIRE(world.answer(lost));
    CHECK(world.answer(lost)->why() == base::Errc::no_node);
    CHECK(world.answer(lost)->refusal->retry_after > 0s);
    const auto again = world.ask("m");
    world.restart(box);
    world.run_for(1s);
    CHECK(world.answer(again)->lease);
    CHECK(world.answer(again)->lease->queued > 0s);
}

TEST_CASE("a request for a model that a confirmed-this-moment node brings waits those milliseconds")
{
    World world{4};
    world.start(world.add_box("a", {"other"}));
    world.run_for(3s);
    auto& box = world.add_box("b", {"m"});
    const auto confirms = world.confirms;
    world.start(box);
    world.run_until([&] { return world.confirms > confirms; }, 1s);
    const auto ticket = world.ask("m");
    CHECK(world.waits(ticket));
    world.run_for(20ms);
    CHECK(world.answer(ticket)->lease);
}

TEST_CASE("with one slot and fifty requests never more than one is in flight")
{
    World world{5};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    std::vector<Ticket> tickets;
    for (int i = 0; i < 50; ++i) {
        tickets.push_back(world.ask("m"));
    }
    int served = 0;
    for (bool progress = true; progress;) {
        progress = false;
        int open = 0;
        for (auto& ticket : tickets) {
            if (ticket != 0 && world.answer(ticket) != nullptr) {
                CHECK(++open == 1);
                world.finish(world.lease(ticket).id);
                ticket = 0;
                ++served;
                progress = true;
                break;
            }
        }
        CHECK(world.snapshot()->nodes[0].in_flight <= 1);
    }
    CHECK(served == 50);
}

TEST_CASE("a burst never sees the same free slot twice")
{
    World world{6};
    world.start(world.add_box("a", {"m"}, 2));
    world.start(world.add_box("b", {"m"}, 3));
    world.run_for(2s);
    std::map<std::string, int> granted;
    int waiting = 0;
    for (int i = 0; i < 9; ++i) {
        const auto ticket = world.ask("m");
        if (world.waits(ticket)) {
            ++waiting;
        } else {
            ++granted[world.lease(ticket).node_name];
        }
    }
    CHECK(granted["a"] == 2);
    CHECK(granted["b"] == 3);
    CHECK(waiting == 4);
}

TEST_CASE("foo and foo:latest share one queue, one slot and one answer")
{
    World world{7};
    world.start(world.add_box("a", {"foo:latest"}));
    world.run_for(2s);
    const auto first = world.ask("foo");
    const auto second = world.ask("FOO:latest");
    CHECK(world.answer(first)->lease);
    CHECK(world.waits(second));
    world.finish(world.lease(first).id);
    CHECK(world.answer(second)->lease);
}

TEST_CASE("the queued time is from the question to the grant")
{
    World world{8};
    world.start(world.add_box("a", {"m"}));
    world.run_for(2s);
    const auto first = world.ask("m");
    const auto second = world.ask("m");
    world.run_for(7s);
    world.finish(world.lease(first).id);
    CHECK(world.lease(second).queued == 7s);
    CHECK(world.lease(first).queued == 0s);
}

TEST_CASE("a retry frees the old place, takes a new one elsewhere and never the one tried")
{
    World world{9};
    auto& a = world.add_box("a", {"m"});
    auto& b = world.add_box("b", {"m"});
    world.start(a);
    world.start(b);
    world.run_for(2s);
    const auto first = world.lease(world.ask("m"));
    world.finish(first.id, Result::failed);
    auto profile = World::profile_of("m");
    profile.attempt = 1;
    profile.exclude = {first.node};
    const auto second = world.lease(world.ask(profile));
    CHECK(second.node != first.node);
    const auto snapshot = world.snapshot(); // named: before g++ 15 a range-for drops what its range hangs on
    for (const auto& view : snapshot->nodes) {
        CHECK(view.in_flight == (view.id == second.node ? 1 : 0));
    }
}

TEST_CASE("when every node was tried the attempt is refused as failed")
{
    World world{10};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.attempt = 1;
    profile.exclude = {a.id};
    const auto ticket = world.ask(profile);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::attempts_failed);
}

TEST_CASE("retries away from living nodes are paid from the budget, away from dead ones they are free")
{
    World world{11};
    auto& a = world.add_box("a", {"m"}, 50);
    auto& b = world.add_box("b", {"m"}, 50);
    world.start(a);
    world.start(b);
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.attempt = 1;
    profile.exclude = {a.id};
    int granted = 0;
    for (int i = 0; i < 10; ++i) {
        granted += world.answer(world.ask(profile))->lease ? 1 : 0;
    }
    CHECK(granted == 3);
    world.kill(a);
    world.run_for(10ms);
    for (int i = 0; i < 10; ++i) {
        CHECK(world.answer(world.ask(profile))->lease);
    }
}

TEST_CASE("retries of requests that nobody else can serve take nothing of the budget")
{
    World world{11};
    auto& a = world.add_box("a", {"m", "only-a"}, 50);
    world.start(a);
    world.start(world.add_box("b", {"m"}, 50));
    world.run_for(2s);
    auto lonely = World::profile_of("only-a");
    lonely.attempt = 1;
    lonely.exclude = {a.id};
    for (int i = 0; i < 10; ++i) {
        CHECK(world.answer(world.ask(lonely))->refusal->error.context == "no other node can serve this request");
    }
    auto profile = World::profile_of("m");
    profile.attempt = 1;
    profile.exclude = {a.id};
    for (int i = 0; i < 3; ++i) {
        CHECK(world.answer(world.ask(profile))->lease);
    }
    const auto over = world.ask(profile);
    CHECK(world.answer(over)->why() == base::Errc::attempts_failed);
    CHECK(world.answer(over)->refusal->error.context == "too many requests are being retried (scheduler.retry_budget)");
    CHECK(world.answer(world.ask(lonely))->refusal->error.context == "no other node can serve this request");
}

TEST_CASE("a retry that waits for a place takes of the budget when it begins to wait")
{
    World world{11};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.start(world.add_box("b", {"m"}));
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.attempt = 1;
    profile.exclude = {a.id};
    CHECK(world.answer(world.ask(profile))->lease);
    CHECK(world.waits(world.ask(profile)));
    CHECK(world.waits(world.ask(profile)));
    CHECK(world.answer(world.ask(profile))->why() == base::Errc::attempts_failed);
}

TEST_CASE("a 404 against the catalog corrects the catalog, and the list is read again")
{
    World world{12};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    a.models.clear();
    ++a.state_rev;
    const auto confirms = world.confirms;
    world.finish(world.lease(world.ask("m")).id, Result::model_missing);
    CHECK(world.confirms == confirms + 1);
    CHECK(world.where("m") == "no_such_model");
    CHECK(world.state(a) == NodeState::online);
}

TEST_CASE("a 404 for a model that is there all the same is forgotten when the unchanged list was read again")
{
    World world{14};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    world.finish(world.lease(world.ask("m")).id, Result::model_missing);
    world.run_for(20ms);
    CHECK(world.where("m") == "a");
}

TEST_CASE("lists read afresh by the proxy count at once")
{
    World world{13};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    world.feed(ModelsRead{a.id, {Model{"pulled:7b", {}, "d", 1, {}, {}}}});
    CHECK(world.where("pulled:7b") == "a");
    CHECK(world.where("m") == "no_such_model");
    LoadedModel loaded;
    loaded.name = "pulled:7b";
    world.feed(LoadedRead{a.id, {loaded}});
    CHECK(world.lease(world.ask("pulled:7b")).was_loaded);
}

TEST_CASE("slots come from the running server first, then from the node, then from configuration, else one")
{
    World world{14};
    auto& a = world.add_box("a", {"m"}, 2);
    world.start(a);
    world.run_for(2s);
    const auto slots = [&] { return world.snapshot()->models.begin()->second[0].slots; };
    CHECK(slots() == 2);
    LoadedModel loaded;
    loaded.name = "m";
    loaded.slots = 4;
    world.feed(LoadedRead{a.id, {loaded}});
    CHECK(slots() == 4);
    loaded.slots.reset(); // Ollama's own /api/ps does not tell: what the agent read stays
    world.feed(LoadedRead{a.id, {loaded}});
    CHECK(slots() == 4);
    world.feed(LoadedRead{a.id, {}});
    CHECK(slots() == 2);
}

TEST_CASE("a model of a kind that Ollama runs one at a time has one slot, unless its running server tells otherwise")
{
    World world{14};
    auto& a = world.add_box("a", {"m"}, 4);
    world.start(a);
    world.run_for(2s);
    Model model;
    model.name = "m";
    model.row = R"({"name":"m","details":{"format":"gguf","family":"qwen3next","families":["qwen3next"]}})";
    world.feed(ModelsRead{a.id, {model}});
    const auto slots = [&] { return world.snapshot()->models.begin()->second[0].slots; };
    CHECK(slots() == 1);
    LoadedModel loaded;
    loaded.name = "m";
    loaded.slots = 2;
    world.feed(LoadedRead{a.id, {loaded}});
    CHECK(slots() == 2);
    model.row = R"({"name":"m","details":{"family":"llama"}})";
    world.feed(LoadedRead{a.id, {}});
    world.feed(ModelsRead{a.id, {model}});
    CHECK(slots() == 4);
}

TEST_CASE("more slots on a node serve those who wait")
{
    World world{15};
    auto& a = world.add_box("a", {"m"}, 1);
    world.start(a);
    world.run_for(2s);
    world.ask("m");
    const auto second = world.ask("m");
    CHECK(world.waits(second));
    LoadedModel loaded;
    loaded.name = "m";
    loaded.slots = 2;
    world.feed(LoadedRead{a.id, {loaded}});
    CHECK(world.answer(second)->lease);
}

TEST_CASE("a pin by name or id goes there or nowhere")
{
    World world{16};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.start(world.add_box("b", {"m", "only-b"}));
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.node = "a";
    CHECK(world.lease(world.ask(profile)).node == a.id);
    CHECK(world.waits(world.ask(profile))); // b is free, but not meant
    profile.node = a.id.text();
    CHECK(world.waits(world.ask(profile)));
    profile.node = "nobody";
    CHECK(world.answer(world.ask(profile))->why() == base::Errc::no_node);
    profile = World::profile_of("only-b");
    profile.node = "a";
    CHECK(world.answer(world.ask(profile))->why() == base::Errc::no_such_model);
}

TEST_CASE("a label that no node carries is named in the refusal")
{
    World world{17};
    auto& a = world.add_box("a", {"m"});
    a.labels = {"neutral"};
    world.start(a);
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.labels = {"eu"};
    const auto ticket = world.ask(profile);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::no_such_label);
    CHECK(world.answer(ticket)->refusal->error.context.find("'eu'") != std::string::npos);
}

TEST_CASE("a label that only a node outside the frontend carries is one that no node carries, and no missing model")
{
    World world{17};
    auto& a = world.add_box("a", {"m"});
    auto& b = world.add_box("b", {"m"});
    b.labels = {"eu"};
    world.start(a);
    world.start(b);
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.labels = {"eu"};
    auto with = std::make_shared<Rules>();
    with->frontend = "f";
    with->members = Members(std::vector<std::string>{"a"}, {});
    profile.rules = with;
    const auto ticket = world.ask(profile);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::no_such_label);
    with->members = Members(std::vector<std::string>{"b"}, {});
    CHECK(world.answer(world.ask(profile))->lease);
}

TEST_CASE("labels that no node carries together are refused as a label, not as a model that could be pulled")
{
    World world{17};
    auto& a = world.add_box("a", {"m"});
    auto& b = world.add_box("b", {"m"});
    a.labels = {"eu"};
    b.labels = {"fast"};
    world.start(a);
    world.start(b);
    world.run_for(2s);
    auto profile = World::profile_of("m");
    profile.labels = {"eu", "fast"};
    const auto ticket = world.ask(profile);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::no_such_label);
    profile.labels = {"fast"};
    const auto one = world.ask(profile);
    REQUIRE(world.answer(one));
    CHECK(world.answer(one)->lease);
}

TEST_CASE("a label whose carriers cannot be reached is held, then refused as no node")
{
    World world{18};
    auto& a = world.add_box("a", {"m"});
    a.labels = {"EU"};
    world.start(a);
    world.start(world.add_box("b", {"m"}));
    world.run_for(2s);
    world.stop(a);
    world.run_for(1s);
    auto profile = World::profile_of("m");
    profile.labels = {"eu"};
    const auto ticket = world.ask(profile);
    CHECK(world.waits(ticket));
    world.run_for(31s);
    CHECK(world.answer(ticket)->why() == base::Errc::no_node);
    CHECK(world.answer(ticket)->refusal->error.context == "no node that has model 'm' and carries the label 'eu' can be reached"); // b has it, without
    Profile pull;
    pull.need = Need::any;
    pull.labels = {"eu"};
    const auto any = world.ask(pull);
    world.run_for(31s);
    CHECK(world.answer(any)->refusal->error.context == "no node that carries the label 'eu' can be reached");
}

TEST_CASE("what any node may do, and none takes, is not refused for a model that need not be there")
{
    World world{53};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    world.feed(DrainNode{a.id, true});
    auto pull = World::profile_of("brandnew:1b");
    pull.need = Need::any;
    const auto ticket = world.ask(pull);
    world.run_for(31s);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::no_node);
    CHECK(world.answer(ticket)->refusal->error.context == "no node takes requests now");
}

TEST_CASE("a suspect node serves only when no online node has the model")
{
    World world{19};
    auto& a = world.add_box("a", {"m"});
    auto& b = world.add_box("b", {"m"});
    world.start(a);
    world.start(b);
    world.run_for(3s);
    a.udp = false;
    b.interval = 1s;
    world.run_for(34s);
    REQUIRE(world.state(a) == NodeState::suspect);
    const auto first = world.ask("m");
    CHECK(world.lease(first).node == b.id);
    CHECK(world.waits(world.ask("m"))); // b is busy but online: a suspect node is not for overflow
    world.stop(b);
    world.run_for(300ms);
    CHECK(world.where("m") == "waits"); // a's only slot went to the one who waited
    CHECK(world.snapshot()->find(a.id)->in_flight == 1);
}

TEST_CASE("requests that need no slot do not wait for one")
{
    World world{20};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    world.ask("m");
    auto show = World::profile_of("m");
    show.need = Need::model;
    CHECK(world.answer(world.ask(show))->lease);
    CHECK(world.answer(world.ask(show))->lease);
    Profile pull;
    pull.need = Need::any;
    const auto any = world.ask(pull);
    CHECK(world.answer(any)->lease);
    CHECK(world.snapshot()->nodes[0].in_flight == 4);
    world.finish(world.lease(any).id);
    CHECK(world.snapshot()->nodes[0].in_flight == 3);
}

TEST_CASE("a request for any node is held while none is routable")
{
    World world{21};
    auto& a = world.add_box("a", {"m"});
    world.start(a);
    world.run_for(2s);
    world.feed(DrainNode{a.id, true});
    Profile pull;
    pull.need = Need::any;
    const auto ticket = world.ask(pull);
    CHECK(world.waits(ticket));
    world.feed(DrainNode{a.id, false});
    CHECK(world.answer(ticket)->lease);
}

TEST_CASE("after a first request the model is believed loaded there")
{
    World world{22};
    world.start(world.add_box("a", {"m"}, 4));
    world.start(world.add_box("b", {"m"}, 4));
    world.run_for(2s);
    const auto first = world.lease(world.ask("m"));
    CHECK_FALSE(first.was_loaded);
    const auto second = world.lease(world.ask("m"));
    CHECK(second.node == first.node);
    CHECK(second.was_loaded);
}
