// Where and when one more copy of a model is loaded.
#include "support/catch.hpp"

#include "scene.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Scene;
using test::World;

TEST_CASE("a load that failed or timed out is not tried on every node at once")
{
    for (const auto& [result, status] : {std::pair{Result::failed, 500}, std::pair{Result::timed_out, 0}}) {
        CAPTURE(to_string(result));
        Scene scene{10};
        for (const auto* name : {"a", "b", "c", "d"}) {
            scene.box(name, {"m"}, 1, false);
        }
        scene.settle();
        Outcome outcome;
        outcome.result = result;
        outcome.status = status;
        scene.world.feed(LeaseFinished{scene.world.lease(scene.world.ask("m")).id, outcome});
        std::vector<Ticket> tickets;
        int loading = 0;
        for (int i = 0; i < 4; ++i) {
            tickets.push_back(scene.world.ask("m"));
            loading += scene.world.waits(tickets.back()) ? 0 : 1;
        }
        CHECK(loading == 1);
    }
}

TEST_CASE("a burst for a cold model does not load it everywhere, and a resident copy is preferred")
{
    Scene scene{11};
    scene.box("warm", {"m"}, 4);
    scene.box("cold", {"m"}, 4, false);
    scene.settle();
    for (int i = 0; i < 4; ++i) {
        CHECK(scene.world.lease(scene.world.ask("m")).node_name == "warm");
    }
    CHECK(scene.world.snapshot()->totals.loads == 0);
}

TEST_CASE("while a model loads, requests that its copy will serve soon enough start no second load")
{
    Scene scene{26};
    for (const auto* name : {"a", "b", "c", "d"}) {
        auto& box = scene.box(name, {"m"}, 1, false);
        scene.settle();
        scene.world.feed(ModelsRead{box.id, {Model{"m", {}, "h", 4 * base::gib, {}, {}}}}); // a load of some seconds
    }
    auto profile = World::profile_of("m");
    profile.output_tokens_max = 3; // short answers: the copy will soon be free
    const auto first = scene.world.ask(profile);
    const auto second = scene.world.ask(profile);
    REQUIRE_FALSE(scene.world.waits(first));
    CHECK(scene.world.waits(second));
    const auto why = scene.world.herd().explain(profile, scene.world.now());
    const auto loading = std::ranges::find(why.candidates, scene.world.lease(first).node_name, &Weighed::name);
    REQUIRE(loading != why.candidates.end());
    CHECK(loading->cost.wait_s > 1);
    CHECK(loading->cost.load_s == 0); // it is in the wait already
    for (int i = 0; i < 40 && scene.world.waits(second); ++i) {
        scene.world.run_for(100ms);
    }
    CHECK(scene.world.snapshot()->totals.loads == 1);
}

TEST_CASE("a request goes to the node that has the model with its options, and the reload avoided is counted")
{
    Scene scene{12};
    scene.box("a", {"m"}, 2);
    scene.box("b", {"m"}, 2);
    scene.settle();
    auto large = World::profile_of("m");
    large.num_ctx = 32'768;
    large.options_class = 7;
    const auto first = scene.world.lease(scene.world.ask(large));
    scene.serve(first, 100);
    CHECK(scene.world.snapshot()->totals.reloads_caused == 1);
    for (int i = 0; i < 5; ++i) {
        const auto lease = scene.world.lease(scene.world.ask(large));
        CHECK(lease.node == first.node);
        scene.serve(lease, 100);
        const auto plain = scene.world.lease(scene.world.ask("m"));
        CHECK(plain.node != first.node);
        scene.serve(plain, 100);
    }
    CHECK(scene.world.snapshot()->totals.reloads_caused == 1);
    CHECK(scene.world.snapshot()->totals.reloads_avoided >= 5);
}

TEST_CASE("where a larger context will do a model loaded so is not loaded anew, and the lease tells with what")
{
    Scene scene{31};
    scene.box("a", {"m"}, 4);
    scene.settle();
    const auto asking = [](int context, bool larger, std::uint64_t rest = 0) {
        auto profile = World::profile_of("m");
        profile.num_ctx = context;
        profile.options_rest = rest;
        profile.options_class = options_class_of(rest, context);
        profile.larger_will_do = larger;
        return profile;
    };
    const auto ask = [&](const Profile& profile) {
        const auto lease = scene.world.lease(scene.world.ask(profile));
        scene.serve(lease, 100);
        return lease.num_ctx;
    };
    CHECK(ask(asking(16'384, true)) == 0); // loaded so for it
    const auto loads = scene.world.snapshot()->totals.loads;
    CHECK(ask(asking(2048, true)) == 16'384);
    CHECK(ask(asking(16'384, true)) == 0);
    CHECK(ask(asking(16'384, false)) == 0); // and it still counts as loaded with that
    CHECK(scene.world.snapshot()->totals.loads == loads);
    CHECK(scene.world.snapshot()->totals.reloads_avoided == 1);
    CHECK(ask(asking(2048, true, 5)) == 0); // other options besides: a load all the same
    CHECK(scene.world.snapshot()->totals.loads == loads + 1);
    CHECK(ask(asking(1024, false)) == 0);
    CHECK(scene.world.snapshot()->totals.loads == loads + 2);
}

TEST_CASE("a num_ctx that was rounded up to what is loaded counts as a reload avoided")
{
    Scene scene{32};
    scene.box("a", {"m"});
    scene.settle();
    auto profile = World::profile_of("m");
    profile.num_ctx = 8192;
    profile.options_class = options_class_of(0, 8192);
    scene.serve(scene.world.lease(scene.world.ask(profile)), 100);
    CHECK(scene.world.snapshot()->totals.reloads_avoided == 0);
    profile.num_ctx_rounded = true;
    scene.serve(scene.world.lease(scene.world.ask(profile)), 100);
    CHECK(scene.world.snapshot()->totals.reloads_avoided == 1);
}

TEST_CASE("a model larger than all memory is refused with that reason")
{
    Scene scene{13};
    auto& box = scene.box("a", {"m"});
    scene.settle();
    scene.world.feed(ModelsRead{box.id, {Model{"huge:400b", {}, "h", 400 * base::gib, {}, {}}}});
    const auto why = scene.world.herd().explain(World::profile_of("huge:400b"), scene.world.now());
    REQUIRE(why.candidates.size() == 1);
    CHECK(why.candidates[0].exclusion == Exclusion::cannot_fit);
    const auto ticket = scene.world.ask("huge:400b");
    REQUIRE(scene.world.answer(ticket));
    CHECK(scene.world.answer(ticket)->why() == base::Errc::no_node);
    CHECK(scene.world.answer(ticket)->refusal->error.context.find("memory") != std::string::npos);
}

TEST_CASE("a model larger than the memory of all nodes that may serve it is refused, whatever others have")
{
    Scene scene{14};
    auto& small = scene.box("small", {"m"});
    auto& large = scene.box("large", {"m"});
    scene.world.feed(NodesConfigured{{{"small", {.labels = {"eu"}}}}});
    scene.settle();
    for (const auto& [box, size] : {std::pair{&small, 400 * base::gib}, std::pair{&large, base::gib}}) {
        scene.world.feed(ModelsRead{box->id, {Model{"huge:400b", {}, "h", size, {}, {}}}});
    }
    auto profile = World::profile_of("huge:400b");
    profile.labels = {"eu"};
    const auto ticket = scene.world.ask(profile);
    REQUIRE(scene.world.answer(ticket));
    CHECK(scene.world.answer(ticket)->why() == base::Errc::no_node);
}

TEST_CASE("a second try for which nothing is to be loaded goes only where the model is in memory")
{
    Scene scene{22};
    auto& first = scene.box("a", {"m"});
    scene.box("b", {"m"}, 1, false);
    scene.settle();
    auto profile = World::profile_of("m");
    profile.exclude = {scene.world.snapshot()->find(first.name)->id};
    profile.attempt = 1;
    profile.resident_only = true;
    const auto ticket = scene.world.ask(profile);
    REQUIRE(scene.world.answer(ticket));
    CHECK(scene.world.answer(ticket)->why() == base::Errc::attempts_failed);
    const auto told = scene.world.herd().explain(profile, scene.world.now());
    CHECK(std::ranges::any_of(told.candidates, [](const Weighed& one) {
        return one.name == "b" && one.exclusion == Exclusion::not_loaded;
    }));
    scene.box("c", {"m"});
    scene.settle();
    CHECK(scene.world.lease(scene.world.ask(profile)).node_name == "c");
}

TEST_CASE("another copy is loaded once requests have waited as long, all together, as the load takes")
{
    Scene scene{22};
    for (auto* box : {&scene.box("warm", {"m"}), &scene.box("cold", {"m"}, 1, false)}) {
        scene.settle();
        scene.world.feed(ModelsRead{box->id, {Model{"m", {}, "h", 8 * base::gib, {}, {}}}}); // nine seconds
    }
    scene.teach("warm", 100); // answers of a second
    const auto ask_and_serve = [&](int waiting) {
        std::vector<Ticket> tickets;
        for (int i = 0; i <= waiting; ++i) {
            tickets.push_back(scene.world.ask("m"));
        }
        bool on_cold = false;
        for (std::size_t served = 0; served < tickets.size();) {
            for (auto& ticket : tickets) {
                if (ticket != 0 && !scene.world.waits(ticket)) {
                    const auto lease = scene.world.lease(ticket);
                    on_cold = on_cold || lease.node_name == "cold";
                    scene.serve(lease, 100);
                    ticket = 0;
                    ++served;
                }
            }
        }
        return on_cold;
    };
    CHECK_FALSE(ask_and_serve(1)); // one that waits for a second is no reason for a load of many
    scene.world.run_for(600s);
    int rounds = 0;
    while (!ask_and_serve(2) && rounds < 20) {
        ++rounds; // three seconds of waiting each
    }
    CHECK(rounds >= 1);
    CHECK(rounds < 10);
    CHECK(scene.world.snapshot()->totals.loads == 1);
}
