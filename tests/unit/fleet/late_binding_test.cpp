// Where a request goes, who waits for a better node, and what keeps a bad one from swallowing them all.
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Box;
using test::World;

namespace {

constexpr auto prefill_rate = 1000.0;

/// A world of boxes that answer as fast as they are told.
struct Scene {
    explicit Scene(std::uint64_t seed, FleetOptions options = {}) : world(seed, options) {}

    Box& box(const std::string& name, std::vector<std::string> models, int slots = 1, bool loaded = true)
    {
        auto& out = world.add_box(name, models, slots);
        if (loaded) {
            out.loaded = std::move(models);
        }
        world.start(out);
        return out;
    }
    void settle() { world.run_for(2s); }
    /// Ends a lease after it ran for as long as such a node takes.
    void serve(const Lease& lease, double decode_rate, int output = 100, int prompt = 100)
    {
        Outcome outcome;
        outcome.status = 200;
        outcome.timings.prompt_tokens = prompt;
        outcome.timings.prompt_eval = 1ms * static_cast<std::int64_t>(prompt / prefill_rate * 1000);
        outcome.timings.output_tokens = output;
        outcome.timings.eval = 1ms * static_cast<std::int64_t>(output / decode_rate * 1000);
        outcome.timings.total = outcome.timings.eval + outcome.timings.prompt_eval;
        outcome.took = outcome.timings.total;
        world.run_for(outcome.timings.total);
        world.feed(LeaseFinished{lease.id, outcome});
    }
    /// Lets the fleet learn how fast the named box is.
    void teach(const std::string& name, double decode_rate, int times = 12)
    {
        for (int i = 0; i < times; ++i) {
            auto profile = World::profile_of("m");
            profile.node = name;
            serve(world.lease(world.ask(profile)), decode_rate);
        }
    }
    /// What the box announces of its requests now, herd's own ones among them.
    void tell(Box& box, int in_flight, std::vector<std::pair<std::uint64_t, int>> busy = {})
    {
        NodeSeen seen;
        seen.id = box.id;
        seen.source = {box.agent.address, 40'000};
        seen.boot_id = box.boot_id;
        seen.seq = box.seq += 1;
        seen.state_rev = box.state_rev;
        seen.announced = AnnouncedState::ready;
        seen.interval = box.interval;
        seen.api_port = box.api().port;
        seen.agent_port = box.agent.port;
        seen.name = box.name;
        seen.in_flight = in_flight;
        seen.busy = std::move(busy);
        world.feed(seen);
    }
    World world;
};

PromptChain chain_of(std::uint64_t first, std::size_t count)
{
    std::vector<PromptBlock> out;
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back({first + i, 4000});
    }
    return std::make_shared<const std::vector<PromptBlock>>(std::move(out));
}

} // namespace

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
