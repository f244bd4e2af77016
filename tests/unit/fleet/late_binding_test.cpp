// Where a request goes, who waits for a better node, and what keeps a bad one from swallowing them all.
#include "support/catch.hpp"

#include "scene.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Scene;
using test::World;
using test::chain_of;

TEST_CASE("a request goes to the faster of two free nodes once both are known")
{
    Scene scene{1};
    scene.box("fast", {"m"});
    scene.box("slow", {"m"});
    scene.settle();
    scene.teach("fast", 100);
    scene.teach("slow", 10);
    for (int i = 0; i < 5; ++i) {
        CHECK(scene.world.where("m") == "fast");
    }
}

TEST_CASE("a request waits for a fast node rather than start on one that is many times slower")
{
    Scene scene{2};
    scene.box("fast", {"m"});
    scene.box("slow", {"m"});
    scene.settle();
    scene.teach("fast", 100);
    scene.teach("slow", 2);
    const auto first = scene.world.ask("m");
    CHECK(scene.world.lease(first).node_name == "fast");
    const auto second = scene.world.ask("m");
    REQUIRE(scene.world.waits(second));
    const auto standing = scene.world.herd().standing(second, scene.world.now());
    REQUIRE(standing);
    CHECK(standing->ahead == 0);
    CHECK(standing->wait_s > 0);
    CHECK(standing->wait_s < 10);
    const auto why = scene.world.herd().explain(World::profile_of("m"), scene.world.now());
    CHECK_FALSE(why.chosen);
    CHECK_FALSE(why.note.empty());
    scene.serve(scene.world.lease(first), 100);
    CHECK(scene.world.lease(second).node_name == "fast");
}

TEST_CASE("with many waiting for the fast node the slow one is used as well")
{
    Scene scene{3};
    scene.box("fast", {"m"});
    scene.box("slow", {"m"});
    scene.settle();
    scene.teach("fast", 100);
    scene.teach("slow", 20);
    std::vector<Ticket> tickets;
    for (int i = 0; i < 12; ++i) {
        tickets.push_back(scene.world.ask("m"));
    }
    std::set<std::string> used;
    for (const auto ticket : tickets) {
        if (!scene.world.waits(ticket)) {
            used.insert(scene.world.lease(ticket).node_name);
        }
    }
    CHECK(used.size() == 2);
}

TEST_CASE("a decision lists the chosen node first, with its terms")
{
    Scene scene{4};
    scene.box("a", {"m"});
    scene.box("b", {"m"});
    scene.settle();
    const auto lease = scene.world.lease(scene.world.ask("m"));
    REQUIRE(lease.decision);
    REQUIRE(lease.decision->candidates.size() == 2);
    CHECK(lease.decision->chosen == lease.node);
    CHECK(lease.decision->candidates[0].node == lease.node);
    CHECK(lease.decision->candidates[0].cost.decode_s > 0);
    CHECK(lease.decision->predicted_s > 0);
    CHECK(lease.decision->model == "m");
}

TEST_CASE("explain names every node and why it is out, and changes nothing")
{
    Scene scene{5};
    auto& a = scene.box("a", {"m"});
    scene.box("other", {"n"});
    auto& away = scene.box("away", {"m"});
    scene.settle();
    scene.world.feed(DrainNode{away.id, true});
    const auto before = scene.world.snapshot()->totals;
    const auto why = scene.world.herd().explain(World::profile_of("m"), scene.world.now());
    CHECK(why.chosen == a.id);
    REQUIRE(why.candidates.size() == 3);
    CHECK(why.candidates[0].node == a.id);
    std::map<std::string, Exclusion> reasons;
    for (const auto& one : why.candidates) {
        reasons[one.name] = one.exclusion;
    }
    CHECK(reasons["a"] == Exclusion::none);
    CHECK(reasons["other"] == Exclusion::model_missing);
    CHECK(reasons["away"] == Exclusion::draining);
    CHECK(scene.world.snapshot()->totals.requests == before.requests);
    const auto nobody = scene.world.herd().explain(World::profile_of("nope"), scene.world.now());
    CHECK_FALSE(nobody.chosen);
    CHECK(nobody.note.find("not found") != std::string::npos);
}

TEST_CASE("a conversation goes back to the node that has it in its cache")
{
    Scene scene{6};
    scene.box("a", {"m"});
    scene.box("b", {"m"});
    scene.settle();
    scene.teach("a", 100);
    scene.teach("b", 100);
    auto profile = World::profile_of("m");
    profile.prompt = chain_of(1000, 20);
    profile.prompt_bytes = 80'000;
    const auto first = scene.world.lease(scene.world.ask(profile));
    scene.serve(first, 100, 100, 20'000);
    for (int i = 0; i < 4; ++i) {
        const auto ticket = scene.world.ask(profile);
        CHECK(scene.world.lease(ticket).node == first.node);
        CHECK(scene.world.lease(ticket).decision->candidates[0].cached_tokens > 10'000);
        scene.world.finish(scene.world.lease(ticket).id, Result::cancelled);
    }
    scene.world.feed(LoadedRead{first.node, {}}); // unloaded: what was cached is gone with it
    const auto why = scene.world.herd().explain(profile, scene.world.now());
    for (const auto& one : why.candidates) {
        CHECK(one.cached_tokens == 0);
    }
}

TEST_CASE("a session goes back to its node when the prompt tells nothing")
{
    Scene scene{7};
    scene.box("a", {"m"});
    scene.box("b", {"m"});
    scene.settle();
    scene.teach("a", 100);
    scene.teach("b", 100);
    auto profile = World::profile_of("m");
    profile.session = "talk";
    profile.prompt_bytes = 80'000;
    const auto first = scene.world.lease(scene.world.ask(profile));
    scene.world.finish(first.id, Result::cancelled);
    for (int i = 0; i < 4; ++i) {
        const auto lease = scene.world.lease(scene.world.ask(profile));
        CHECK(lease.node == first.node);
        scene.world.finish(lease.id, Result::cancelled);
    }
}

TEST_CASE("a node that fails at once attracts nobody, and is tried again after a while")
{
    Scene scene{8};
    auto& bad = scene.box("bad", {"m"});
    scene.box("good", {"m"});
    scene.settle();
    int at_bad = 0;
    for (int i = 0; i < 40; ++i) {
        const auto lease = scene.world.lease(scene.world.ask("m"));
        if (lease.node == bad.id) {
            ++at_bad;
            Outcome outcome;
            outcome.result = Result::failed;
            outcome.status = 500;
            outcome.took = 5ms;
            scene.world.run_for(5ms);
            scene.world.feed(LeaseFinished{lease.id, outcome});
        } else {
            scene.serve(lease, 100);
        }
    }
    CHECK(at_bad <= 6);
    CHECK(scene.world.state(bad) == NodeState::online);
}

TEST_CASE("the last holder is never held back")
{
    Scene scene{9};
    scene.box("only", {"m"});
    scene.settle();
    for (int i = 0; i < 10; ++i) {
        const auto ticket = scene.world.ask("m");
        REQUIRE_FALSE(scene.world.waits(ticket));
        scene.world.finish(scene.world.lease(ticket).id, Result::failed);
    }
    const auto why = scene.world.herd().explain(World::profile_of("m"), scene.world.now());
    CHECK(why.chosen);
}

TEST_CASE("a request that would wait past its deadline is told at once, with a time to come back")
{
    Scene scene{14};
    scene.box("a", {"m"});
    scene.settle();
    scene.teach("a", 10); // ten seconds each
    scene.world.ask("m");
    scene.world.ask("m");
    auto profile = World::profile_of("m");
    profile.deadline = scene.world.now() + 2s;
    const auto ticket = scene.world.ask(profile);
    REQUIRE(scene.world.answer(ticket));
    CHECK(scene.world.answer(ticket)->why() == base::Errc::deadline_passed);
    CHECK(scene.world.answer(ticket)->refusal->retry_after >= 1s);
    CHECK(scene.world.snapshot()->totals.early_refusals == 1);
}

TEST_CASE("a fallback is taken only when nobody has the model or it would come too late, and the lease says so")
{
    Scene scene{15};
    scene.box("a", {"m", "small"}, 1);
    scene.settle();
    auto profile = World::profile_of("m");
    profile.fallbacks = {{"registry.ollama.ai/library/small:latest", "small"}};
    const auto plain = scene.world.lease(scene.world.ask(profile));
    CHECK(plain.instead.key.empty());
    scene.serve(plain, 100);
    auto missing = World::profile_of("absent");
    missing.fallbacks = profile.fallbacks;
    const auto other = scene.world.lease(scene.world.ask(missing));
    CHECK(other.instead.model == "small");
    CHECK(other.instead.key == "registry.ollama.ai/library/small:latest");
    scene.serve(other, 100);
    scene.teach("a", 10);
    scene.world.ask("m");
    profile.deadline = scene.world.now() + 2s;
    const auto late = scene.world.ask(profile);
    REQUIRE(scene.world.answer(late));
    REQUIRE(scene.world.answer(late)->lease);
    CHECK(scene.world.lease(late).instead.model == "small");
    CHECK(scene.world.snapshot()->totals.fallbacks == 2);
}

TEST_CASE("a question tells of the fallback that would run, in the same cases in which one does")
{
    Scene scene{15};
    scene.box("a", {"m", "small"}, 1);
    scene.settle();
    const auto explain = [&scene](const Profile& profile) {
        return scene.world.herd().explain(profile, scene.world.now());
    };
    const ModelChoice small{"registry.ollama.ai/library/small:latest", "small"};
    const ModelChoice nowhere{"registry.ollama.ai/library/nowhere:latest", "nowhere"};
    auto profile = World::profile_of("m");
    profile.fallbacks = {small};
    auto told = explain(profile);
    CHECK(told.model == "m");
    CHECK(told.chosen);

    auto missing = World::profile_of("absent");
    missing.fallbacks = {nowhere, small};
    told = explain(missing);
    CHECK(told.model == "small");
    CHECK(told.chosen);
    CHECK(told.note.empty());
    CHECK(scene.world.snapshot()->totals.fallbacks == 0); // looking changes nothing

    missing.fallbacks = {nowhere};
    told = explain(missing);
    CHECK(told.model == "absent");
    CHECK_FALSE(told.chosen);
    CHECK(told.note == "model 'absent' not found; none of the fallback models can take its place");

    scene.teach("a", 10); // ten seconds each
    scene.world.ask("m");
    profile.deadline = scene.world.now() + 2s;
    told = explain(profile);
    CHECK(told.model == "small");
    profile.deadline = scene.world.now() + 60s; // worth the wait for the model itself
    told = explain(profile);
    CHECK(told.model == "m");
    CHECK(told.note == "would wait for a slot");
}

TEST_CASE("an Ollama that was too busy is not held back for it")
{
    Scene scene{23};
    scene.box("a", {"m"});
    scene.settle();
    for (int i = 0; i < 6; ++i) { // as many failures would eject it
        const auto lease = scene.world.lease(scene.world.ask("m"));
        scene.world.feed(LeaseFinished{lease.id, {.result = Result::busy, .status = 503}});
    }
    const auto told = scene.world.herd().explain(World::profile_of("m"), scene.world.now());
    CHECK(told.chosen);
    CHECK(told.candidates.at(0).cost.risk_s < 0.1);
    CHECK(scene.world.snapshot()->find("a")->state == NodeState::online);
}

TEST_CASE("a request that was held for its model falls back when the hold ends and a fallback has come")
{
    Scene scene{27, {.hold_timeout = 5s}};
    auto& box = scene.box("a", {"m"});
    scene.settle();
    const auto running = scene.world.ask("m");
    auto profile = World::profile_of("m");
    profile.fallbacks = {{"registry.ollama.ai/library/small:latest", "small"}};
    const auto held = scene.world.ask(profile);
    REQUIRE(scene.world.waits(held));
    scene.world.finish(scene.world.lease(running).id, Result::broken);
    scene.world.kill(box);
    scene.world.run_for(1s);
    scene.box("b", {"small"});
    scene.world.run_for(8s);
    REQUIRE(scene.world.answer(held));
    REQUIRE(scene.world.answer(held)->lease);
    CHECK(scene.world.lease(held).instead.model == "small");
}

TEST_CASE("who leaves the queue leaves at once, and nobody behind is held up")
{
    Scene scene{21};
    scene.box("a", {"m"});
    scene.settle();
    const auto running = scene.world.ask("m");
    const auto gone = scene.world.ask("m");
    const auto next = scene.world.ask("m");
    CHECK(scene.world.herd().standing(next, scene.world.now())->ahead == 1);
    scene.world.cancel(gone);
    CHECK_FALSE(scene.world.herd().standing(gone, scene.world.now()));
    scene.world.finish(scene.world.lease(running).id);
    CHECK_FALSE(scene.world.waits(next));
}
