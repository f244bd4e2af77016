// Who gets which slots while several want them: floods, batch, requests around herd.
#include "support/catch.hpp"

#include "scene.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Scene;
using test::World;

TEST_CASE("a flooding client does not keep another from its turn")
{
    Scene scene{16};
    scene.box("a", {"m"});
    scene.settle();
    scene.teach("a", 50);
    for (int i = 0; i < 50; ++i) {
        scene.world.ask("m", "flood");
    }
    const auto modest = scene.world.ask("m", "modest");
    int before = 0;
    while (scene.world.waits(modest) && before < 20) {
        for (Ticket ticket = 1; ticket < modest; ++ticket) {
            const auto* answer = scene.world.answer(ticket);
            const auto lease = answer != nullptr && answer->lease ? answer->lease->id : 0;
            if (lease != 0 && scene.world.snapshot()->totals.in_flight > 0) {
                scene.world.finish(lease);
            }
        }
        ++before;
    }
    CHECK(before <= 3);
}

TEST_CASE("the fastest node is kept from a client that floods while others are about, and from nobody when they are gone")
{
    Scene scene{18};
    scene.box("fast", {"m"});
    const auto slow = {"slow", "slow too", "slow as well"};
    for (const auto* name : slow) {
        scene.box(name, {"m"});
    }
    scene.settle();
    scene.teach("fast", 60);
    for (const auto* name : slow) {
        scene.teach(name, 40);
    }
    std::vector<Ticket> flood;
    std::map<Ticket, LeaseId> open;
    std::map<std::string, int> places;
    const auto round = [&](bool others) {
        // answers take five seconds; the flood asks on and on
        while (scene.world.snapshot()->totals.queued < 20) {
            flood.push_back(scene.world.ask("m", "flood"));
        }
        Ticket person = 0;
        if (others) {
            person = scene.world.ask("m", "person");
            flood.push_back(person);
        }
        for (const auto ticket : flood) {
            const auto* answer = scene.world.answer(ticket);
            if (answer != nullptr && answer->lease && !open.contains(ticket)) {
                open[ticket] = answer->lease->id;
                places[(ticket == person ? "person " : "flood ") + answer->lease->node_name] += 1;
            }
        }
        scene.world.run_for(5s);
        std::vector<LeaseId> ended;
        for (auto& [ticket, lease] : open) {
            if (lease != 0) {
                ended.push_back(lease);
                lease = 0;
            }
        }
        for (const auto lease : ended) {
            scene.world.finish(lease);
        }
    };
    for (int i = 0; i < 40; ++i) {
        round(i % 3 == 0);
    }
    places.clear();
    for (int i = 0; i < 12; ++i) {
        round(i % 3 == 0);
    }
    const auto flood_on_slow = [&] { return places["flood slow"] + places["flood slow too"] + places["flood slow as well"]; };
    CHECK(places["flood fast"] == 0);
    CHECK(flood_on_slow() > 0);
    auto asked = World::profile_of("m");
    asked.client = "flood";
    const auto why = scene.world.herd().explain(asked, scene.world.now());
    CHECK(std::ranges::any_of(why.candidates, [](const Weighed& one) {
        return one.name == "fast" && one.exclusion == Exclusion::reserved;
    }));
    for (int i = 0; i < 90; ++i) {
        round(false);
    }
    places.clear();
    for (int i = 0; i < 6; ++i) {
        round(false);
    }
    CHECK(places["flood fast"] > 0);
    CHECK(flood_on_slow() > 0);
}

TEST_CASE("batch runs in slack: the fastest node is kept from it while others use the fleet, and given when they go")
{
    Scene scene{24};
    scene.box("fast", {"m"});
    for (const auto* name : {"slow", "slower"}) {
        scene.box(name, {"m"});
    }
    scene.settle();
    scene.teach("fast", 60);
    scene.teach("slow", 40);
    scene.teach("slower", 35);
    auto batch = World::profile_of("m");
    batch.priority = Priority::batch;
    batch.client = "nightly";
    std::vector<Ticket> open;
    for (int i = 0; i < 6; ++i) {
        open.push_back(scene.world.ask(batch));
    }
    CHECK(std::ranges::count_if(open, [&](Ticket ticket) { return !scene.world.waits(ticket); }) == 3); // all there is
    const auto person = scene.world.ask("m", "person");
    REQUIRE(scene.world.waits(person));
    scene.world.run_for(1s);
    const auto first = std::ranges::find_if(open, [&](Ticket ticket) { return !scene.world.waits(ticket); });
    scene.world.finish(scene.world.lease(*first).id);
    REQUIRE_FALSE(scene.world.waits(person));
    scene.world.run_for(3s);
    scene.world.finish(scene.world.lease(person).id);
    auto why = scene.world.herd().explain(batch, scene.world.now());
    CHECK(std::ranges::any_of(why.candidates, [](const Weighed& one) {
        return one.name == "fast" && one.exclusion == Exclusion::reserved;
    }));
    scene.world.run_for(1200s); // nobody else has come since
    why = scene.world.herd().explain(batch, scene.world.now());
    CHECK(std::ranges::none_of(why.candidates, [](const Weighed& one) { return one.exclusion == Exclusion::reserved; }));
}

TEST_CASE("batch waits for interactive work, but not for ever")
{
    Scene scene{17};
    scene.box("a", {"m"});
    scene.settle();
    const auto running = scene.world.ask("m");
    auto batch = World::profile_of("m");
    batch.priority = Priority::batch;
    const auto patient = scene.world.ask(batch);
    auto urgent = World::profile_of("m");
    urgent.priority = Priority::interactive;
    const auto first = scene.world.ask(urgent);
    scene.world.finish(scene.world.lease(running).id);
    CHECK_FALSE(scene.world.waits(first));
    CHECK(scene.world.waits(patient));
    scene.world.run_for(FleetOptions{}.patience + 1s);
    scene.world.ask(urgent);
    scene.world.finish(scene.world.lease(first).id);
    CHECK_FALSE(scene.world.waits(patient));
}

TEST_CASE("requests that reach an Ollama around herd take its slots")
{
    Scene scene{18};
    auto& box = scene.box("a", {"m"}, 2);
    scene.settle();
    const auto tell = [&](int in_flight) { scene.tell(box, in_flight); };
    tell(2);
    tell(2);
    const auto ticket = scene.world.ask("m");
    CHECK(scene.world.waits(ticket));
    tell(1);
    CHECK_FALSE(scene.world.waits(ticket));
}

TEST_CASE("requests around herd take the slots of their own model where several are loaded and the runners tell")
{
    Scene scene{30};
    auto& box = scene.world.add_box("a", {"m", "n"}, 1);
    box.loaded = {"m", "n"};
    box.counts = true;
    scene.world.start(box);
    scene.settle();
    const auto tell = [&](int in_m, int in_n) { scene.tell(box, in_m + in_n, {{1, in_m}, {2, in_n}}); };
    tell(0, 1);
    tell(0, 1);
    const auto in_n = scene.world.ask("n");
    CHECK(scene.world.waits(in_n));
    const auto in_m = scene.world.ask("m");
    REQUIRE_FALSE(scene.world.waits(in_m));
    tell(1, 1); // ours is counted there, too
    tell(1, 1);
    CHECK(scene.world.waits(in_n));
    tell(1, 0);
    CHECK_FALSE(scene.world.waits(in_n));
}

TEST_CASE("slots that answers seem to lack are one fewer for a burst, come back, and are forgotten with the model")
{
    Scene scene{28};
    auto& box = scene.box("a", {"m"}, 4);
    scene.settle();
    const auto slots = [&] { return scene.world.snapshot()->models.begin()->second.at(0).slots; };
    REQUIRE(slots() == 4);
    const auto burst = [&](base::Duration inside) {
        std::vector<Lease> leases;
        for (int i = 0; i < slots(); ++i) {
            leases.push_back(scene.world.lease(scene.world.ask("m")));
        }
        scene.world.run_for(2s + inside);
        for (const auto& lease : leases) {
            Outcome outcome;
            outcome.status = 200;
            outcome.timings = {.total = 2s + inside, .load = {}, .prompt_eval = 1s, .eval = 1s, .prompt_tokens = 100, .output_tokens = 100};
            outcome.took = 2s + inside;
            scene.world.feed(LeaseFinished{lease.id, outcome});
        }
    };
    burst(4s);
    CHECK(slots() == 3);
    burst(4s);
    CHECK(slots() == 2);
    for (int i = 0; i < 80 && slots() < 4; ++i) {
        burst(0s);
    }
    CHECK(slots() == 4);
    burst(4s);
    CHECK(slots() == 3);
    box.loaded.clear();
    scene.world.document_changed(box);
    scene.settle();
    box.loaded = {"m"};
    scene.world.document_changed(box);
    scene.settle();
    CHECK(slots() == 4);
}
