// What the speeds that were learned do to a choice, and where they come from.
#include "support/catch.hpp"

#include "scene.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Box;
using test::Scene;
using test::World;
using test::prefill_rate;

TEST_CASE("an answer is expected to be slow where a prompt is being read, and that one's delay counts in the choice")
{
    Scene scene{23};
    auto& reading = scene.box("reading", {"m"}, 2);
    scene.box("idle", {"m"}, 2);
    scene.settle();
    scene.teach("reading", 110); // the faster one
    scene.teach("idle", 100);
    auto alone = World::profile_of("m");
    CHECK(scene.world.herd().explain(alone, scene.world.now()).chosen == reading.id);
    auto book = World::profile_of("m");
    book.node = "reading";
    book.prompt_bytes = 80'000;
    const auto lease = scene.world.lease(scene.world.ask(book));
    const auto why = scene.world.herd().explain(alone, scene.world.now());
    std::map<std::string, Cost> costs;
    for (const auto& one : why.candidates) {
        costs[one.name] = one.cost;
    }
    CHECK(costs["reading"].decode_s > 2 * costs["idle"].decode_s);
    CHECK(why.chosen != reading.id);
    scene.world.finish(lease.id);
    CHECK(scene.world.herd().explain(alone, scene.world.now()).chosen == reading.id);
}

TEST_CASE("the very first prompt that a node read is believed to be in its cache")
{
    for (const bool loaded : {true, false}) {
        CAPTURE(loaded);
        Scene scene{30};
        auto& box = scene.box("a", {"m"}, 1, loaded);
        scene.settle();
        auto profile = World::profile_of("m");
        profile.prompt_bytes = 80'000;
        profile.prompt = test::chain_of(1000, 20);
        const auto lease = scene.world.lease(scene.world.ask(profile));
        box.loaded = {"m"};
        scene.world.document_changed(box);
        scene.serve(lease, 50, 100, 20'000);
        const auto why = scene.world.herd().explain(profile, scene.world.now());
        REQUIRE(why.candidates.size() == 1);
        CHECK(why.candidates[0].cached_tokens > 10'000);
    }
}

TEST_CASE("what was learned survives a restart of the herd")
{
    Scene scene{19};
    auto& fast = scene.box("fast", {"m"});
    auto& slow = scene.box("slow", {"m"});
    scene.settle();
    scene.teach("fast", 100);
    scene.teach("slow", 10);
    const auto figures = scene.world.herd().learned();
    REQUIRE(figures.size() == 2);
    scene.world.restart_herd(true);
    scene.world.feed(LearnedRestored{figures});
    scene.settle();
    const auto picture = scene.world.snapshot();
    const auto rate = [&](const Box& box) { return picture->find(box.id)->rates.at(0).decode_rate; };
    CHECK(rate(fast) > 5 * rate(slow));
    CHECK(picture->find(fast.id)->rates.at(0).measured);
    CHECK(scene.world.where("m") == "fast");
}

TEST_CASE("answers that tell tokens but no times teach both speeds by our own clock")
{
    Scene scene{29};
    auto& box = scene.box("a", {"m"});
    scene.settle();
    for (int i = 0; i < 20; ++i) {
        auto profile = World::profile_of("m");
        profile.prompt_bytes = 12'000;
        const auto lease = scene.world.lease(scene.world.ask(profile));
        Outcome outcome;
        outcome.status = 200;
        outcome.timings.prompt_tokens = 3000;
        outcome.timings.output_tokens = 20;
        outcome.first_byte = 10s; // 300 tokens a second
        outcome.took = 11s;       // 20 a second: less than a tenth of its time flows
        scene.world.run_for(outcome.took);
        scene.world.feed(LeaseFinished{lease.id, outcome});
    }
    const auto rates = scene.world.snapshot()->find(box.id)->rates.at(0);
    CHECK(rates.measured);
    CHECK(rates.prefill_rate == Approx(300).epsilon(0.2));
    CHECK(rates.decode_rate == Approx(20).epsilon(0.2));
}

TEST_CASE("how fast one box loads is assumed of its like until they loaded, too")
{
    Scene scene{31};
    auto& first = scene.box("first", {"m"}, 1, false);
    auto& second = scene.box("second", {"m"}, 1, false);
    scene.settle();
    const auto load_of = [&](const Box& box) {
        const auto why = scene.world.herd().explain(World::profile_of("m"), scene.world.now());
        for (const auto& one : why.candidates) {
            if (one.node == box.id) {
                return one.cost.load_s;
            }
        }
        return -1.0;
    };
    const double guess = load_of(second);
    auto profile = World::profile_of("m");
    profile.node = "first";
    const auto lease = scene.world.lease(scene.world.ask(profile));
    Outcome outcome;
    outcome.status = 200;
    outcome.timings.load = 40s;
    outcome.timings.prompt_tokens = outcome.timings.output_tokens = 100;
    outcome.timings.prompt_eval = outcome.timings.eval = 1s;
    outcome.timings.total = outcome.took = 42s;
    scene.world.run_for(42s);
    scene.world.feed(LeaseFinished{lease.id, outcome});
    CHECK(load_of(second) > guess);
    first.loaded = {};
    scene.world.document_changed(first);
    scene.world.run_for(1s);
    CHECK(load_of(second) == Approx(load_of(first)));
}

TEST_CASE("an answer without times that mostly loaded says nothing of how long the next one takes")
{
    Scene scene{31};
    auto& box = scene.box("a", {"m"}, 1, false);
    scene.settle();
    const auto expected = [&] { return scene.world.herd().explain(World::profile_of("m"), scene.world.now()); };
    const double load_s = expected().candidates.at(0).cost.load_s;
    REQUIRE(load_s > 0.5);
    const auto serve = [&](double seconds) {
        const auto lease = scene.world.lease(scene.world.ask("m"));
        Outcome outcome;
        outcome.status = 200;
        outcome.timings.prompt_tokens = 100;
        outcome.timings.output_tokens = 100;
        outcome.first_byte = outcome.took = std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(seconds));
        scene.world.run_for(outcome.took);
        scene.world.feed(LeaseFinished{lease.id, outcome});
        box.loaded = {"m"};
    };
    serve(load_s * 1.05); // it loaded in half the predicted time
    CHECK(expected().candidates.at(0).cost.decode_s > load_s * 0.15);
    serve(2);
    CHECK(expected().candidates.at(0).cost.decode_s == Approx(2).epsilon(0.01)); // the first that tells
}

TEST_CASE("a model that no node measured yet is guessed by what it did elsewhere")
{
    Scene scene{20};
    auto& known = scene.box("known", {"m"});
    auto& fresh = scene.box("fresh", {"m"});
    scene.settle();
    scene.teach("known", 7);
    const auto picture = scene.world.snapshot();
    const auto rate = [&](const Box& box) { return picture->find(box.id)->rates.at(0).decode_rate; };
    CHECK(rate(fresh) > 0.7 * rate(known));
    CHECK(rate(fresh) < 1.5 * rate(known));
}
