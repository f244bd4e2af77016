// Tiers: a fast PC when it is on, a small box otherwise. They are about who is there, not about who is busy.
#include "support/catch.hpp"

#include "scene.hpp"

#include <algorithm>

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Scene;
using test::World;

namespace {

/// "pc" of tier 0 and "small" of tier 1: both have "m", each with one slot; "small" alone has "only".
struct Home : Scene {
    explicit Home(std::uint64_t seed) : Scene(seed)
    {
        box("small", {"m", "only"});
        box("pc", {"m"}, 1, false); // even where it would have to be loaded first
        world.feed(NodesConfigured{{{"small", {.tier = 1}}}});
        settle();
    }
    test::Box& at(const std::string& name) { return world.box(world.snapshot()->find(name)->id); }
    void drain(const std::string& name, bool drained) { world.feed(DrainNode{at(name).id, drained}); }
    /// Asks and gives back at once.
    std::string where(const Profile& profile)
    {
        const auto ticket = world.ask(profile);
        const auto lease = world.lease(ticket);
        world.finish(lease.id);
        return lease.node_name;
    }
    Exclusion why_not(const std::string& name, const Profile& profile)
    {
        const auto told = world.herd().explain(profile, world.now());
        return std::ranges::find(told.candidates, name, &Weighed::name)->exclusion;
    }
};

} // namespace

TEST_CASE("a node of a higher tier serves what no node of a lower one can")
{
    Home home{1};
    const auto profile = World::profile_of("m");
    for (int i = 0; i < 10; ++i) {
        CHECK(home.where(profile) == "pc");
    }
    CHECK(home.why_not("small", profile) == Exclusion::other_tier);
    CHECK(home.where(World::profile_of("only")) == "small");
    home.drain("pc", true);
    CHECK(home.where(profile) == "small");
    home.drain("pc", false);
    CHECK(home.where(profile) == "pc");
}

TEST_CASE("a busy lower tier is waited for, not passed over")
{
    Home home{2};
    const auto first = home.world.lease(home.world.ask("m"));
    const auto second = home.world.ask("m");
    home.world.run_for(5s);
    CHECK(home.world.waits(second));
    home.world.finish(first.id);
    CHECK(home.world.lease(second).node_name == "pc");
}

TEST_CASE("who waits for a tier that goes is served by the next one, and one that comes back takes who still waits")
{
    Home home{3};
    const auto first = home.world.lease(home.world.ask("m"));
    const auto second = home.world.ask("m");
    const auto third = home.world.ask("m");
    REQUIRE(home.world.waits(second));
    home.drain("pc", true);
    CHECK(home.world.lease(second).node_name == "small"); // in the same step
    CHECK(home.world.waits(third));
    home.world.finish(first.id);
    CHECK(home.world.waits(third)); // a place of a node that takes nothing new
    home.drain("pc", false);
    CHECK(home.world.lease(third).node_name == "pc"); // while "small" is busy
}

TEST_CASE("who waits for a tier whose only node vanishes is not left waiting")
{
    Home home{4};
    const auto first = home.world.lease(home.world.ask("m"));
    const auto second = home.world.ask("m");
    REQUIRE(home.world.waits(second));
    home.world.cut(home.at("pc"));
    home.world.finish(first.id, Result::timed_out);
    REQUIRE(home.world.run_until([&] { return home.world.answer(second) != nullptr; }, 10s));
    CHECK(home.world.lease(second).node_name == "small");
}

TEST_CASE("tiers that are set while requests wait hold for them at once")
{
    Home home{5};
    const auto first = home.world.lease(home.world.ask("m"));
    const auto second = home.world.ask("m");
    REQUIRE(home.world.waits(second));
    home.world.feed(NodesConfigured{{{"small", {.tier = 0}}}});
    CHECK(home.world.lease(second).node_name == "small");
    home.world.finish(first.id);
}

TEST_CASE("a request that failed at the lower tier may go on to the next, and one that names a node gets it")
{
    Home home{6};
    auto again = World::profile_of("m");
    again.exclude = {home.at("pc").id};
    again.attempt = 1;
    CHECK(home.where(again) == "small");
    auto named = World::profile_of("m");
    named.node = "small";
    CHECK(home.where(named) == "small");
    home.world.feed(NodesConfigured{{{"small", {.labels = {"quiet"}, .tier = 1}}}});
    auto labelled = World::profile_of("m");
    labelled.labels = {"quiet"};
    CHECK(home.where(labelled) == "small");
}

TEST_CASE("a node of the lower tier that fails again and again leaves the model to the next tier")
{
    Home home{7};
    for (int i = 0; i < 3; ++i) {
        home.world.finish(home.world.lease(home.world.ask("m")).id, Result::failed);
    }
    CHECK(home.where(World::profile_of("m")) == "small");
    CHECK(home.why_not("pc", World::profile_of("m")) == Exclusion::held_back);
    home.world.run_for(6s); // then one request tries it
    CHECK(home.where(World::profile_of("m")) == "pc");
}

TEST_CASE("a node that lacks the memory is not there for that model, whatever its tier")
{
    Home home{8};
    auto& pc = home.at("pc");
    auto& small = home.at("small");
    home.world.feed(ModelsRead{pc.id, {Model{"big", {}, "h", 400 * base::gib, {}, {}}}});
    home.world.feed(ModelsRead{small.id, {Model{"big", {}, "h", base::gib, {}, {}}}});
    const auto profile = World::profile_of("big");
    CHECK(home.where(profile) == "small");
    CHECK(home.why_not("pc", profile) == Exclusion::cannot_fit);
    home.world.feed(ModelsRead{small.id, {Model{"big", {}, "h", 400 * base::gib, {}, {}}}});
    const auto ticket = home.world.ask("big");
    REQUIRE(home.world.answer(ticket)); // refused, not left waiting
    CHECK(home.world.answer(ticket)->why() == base::Errc::no_node);
}

TEST_CASE("a conversation bound to a higher tier moves when the lower one is back")
{
    Home home{9};
    auto rules = std::make_shared<Rules>();
    rules->frontend = "f";
    rules->sticky_ttl = 600s;
    auto profile = World::profile_of("m");
    profile.rules = rules;
    profile.session = "s";
    home.drain("pc", true);
    CHECK(home.where(profile) == "small");
    CHECK(home.where(profile) == "small");
    home.drain("pc", false);
    CHECK(home.where(profile) == "pc");
}

TEST_CASE("within a tier the cheapest counts, and tiers go in order")
{
    Scene scene{10};
    for (const auto* name : {"a", "b", "c", "d"}) {
        scene.box(name, {"m"});
    }
    scene.world.feed(NodesConfigured{{{"a", {.tier = 9}}, {"b", {.tier = 2}}, {"c", {.tier = 2}}, {"d", {.tier = 1}}}});
    scene.settle();
    scene.teach("b", 100);
    scene.teach("c", 10);
    const auto drop = [&](const std::string& name) { scene.world.feed(DrainNode{scene.world.snapshot()->find(name)->id, true}); };
    for (const auto* next : {"d", "b", "c", "a"}) {
        const auto lease = scene.world.lease(scene.world.ask("m"));
        CHECK(lease.node_name == next);
        scene.world.finish(lease.id);
        drop(next);
    }
}

TEST_CASE("the predicted wait counts the places of the tier that is waited for")
{
    Home home{11};
    home.teach("pc", 10); // ten seconds each
    const auto first = home.world.lease(home.world.ask("m"));
    const auto second = home.world.ask("m");
    const auto standing = home.world.herd().standing(second, home.world.now());
    REQUIRE(standing);
    CHECK(standing->wait_s > 5); // "small" is free, and not for this
    home.world.cancel(second);
    home.world.finish(first.id);
}
