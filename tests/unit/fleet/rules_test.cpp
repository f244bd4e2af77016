// What a person decided: whom a frontend has, how it chooses, what a node may be used for, and how much.
#include "support/catch.hpp"

#include "fleet/model_name.hpp"
#include "fleet/turns.hpp"
#include "sim/fleet/world.hpp"

#include <array>
#include <map>

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

namespace {

std::shared_ptr<Rules> rules(Policy policy = Policy::cost)
{
    auto out = std::make_shared<Rules>();
    out->frontend = "f";
    out->policy = policy;
    return out;
}

/// `boxes` called a, b, c, … that all have "m", each with one slot.
struct Some {
    explicit Some(int boxes, int slots = 1, FleetOptions options = {}) : world{7, options}
    {
        for (int i = 0; i < boxes; ++i) {
            world.start(world.add_box(std::string(1, static_cast<char>('a' + i)), {"m", "n"}, slots));
        }
        world.run_for(2s);
    }
    Ticket ask(const std::shared_ptr<const Rules>& with, const std::string& session = {}, const std::string& model = "m")
    {
        auto profile = World::profile_of(model);
        profile.rules = with;
        profile.session = session;
        return world.ask(profile);
    }
    std::string node(Ticket ticket) { return world.lease(ticket).node_name; }
    /// Asks and gives back at once.
    std::string where(const std::shared_ptr<const Rules>& with, const std::string& session = {}, const std::string& model = "m")
    {
        const auto ticket = ask(with, session, model);
        const auto& lease = world.lease(ticket);
        const auto name = lease.node_name;
        world.finish(lease.id);
        return name;
    }
    void set(const SettingsOf& settings) { world.feed(NodesConfigured{settings}); }
    World world;
};

} // namespace

TEST_CASE("a request goes to members of its frontend only")
{
    Some some(3);
    auto with = rules();
    with->members = Members(std::vector<std::string>{"B"}, {});
    for (int i = 0; i < 5; ++i) {
        CHECK(some.where(with) == "b");
    }
    const auto busy = some.ask(with);
    const auto waits = some.ask(with); // although a and c are free
    CHECK(some.world.waits(waits));
    some.world.finish(some.world.lease(busy).id);
    CHECK(some.node(waits) == "b");
}

TEST_CASE("a model that only others have is not found through the frontend")
{
    World world{3};
    world.start(world.add_box("a", {"m"}));
    world.start(world.add_box("b", {"other"}));
    world.run_for(2s);
    auto profile = World::profile_of("m");
    auto with = rules();
    with->members = Members(std::vector<std::string>{"b"}, {});
    profile.rules = with;
    const auto ticket = world.ask(profile);
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::no_such_model);
    profile.need = Need::any;
    CHECK(world.lease(world.ask(profile)).node_name == "b");
}

TEST_CASE("a node that is asked for by name but is not one of the frontend is told so, not that the model is missing")
{
    World world{3};
    world.start(world.add_box("a", {"m"}));
    world.start(world.add_box("b", {"m"}));
    world.run_for(2s);
    auto with = rules();
    with->members = Members(std::vector<std::string>{"b"}, {});
    for (const auto* model : {"m", "nowhere"}) {
        auto profile = World::profile_of(model);
        profile.rules = with;
        profile.node = "a";
        const auto ticket = world.ask(profile);
        REQUIRE(world.answer(ticket));
        CHECK(world.answer(ticket)->why() == base::Errc::no_node);
    }
    auto profile = World::profile_of("m");
    profile.rules = with;
    profile.node = "b";
    CHECK(world.lease(world.ask(profile)).node_name == "b");
}

TEST_CASE("members by label, and by what a person added to a node's labels")
{
    Some some(3);
    auto with = rules();
    with->members = Members(std::nullopt, {"EU"});
    const auto none = some.ask(with);
    REQUIRE(some.world.answer(none));
    CHECK(some.world.answer(none)->why() == base::Errc::no_such_model);
    some.set({{"C", {.labels = {"eu"}}}});
    CHECK(some.where(with) == "c");
    CHECK(some.world.snapshot()->nodes[2].labels == std::vector<std::string>{"eu"});
    some.set({});
    CHECK(some.world.snapshot()->nodes[2].labels.empty());
}

TEST_CASE("settings of a node that appears later, or comes back, hold for it")
{
    World world{5};
    world.feed(NodesConfigured{{{"late", {.labels = {"x"}, .allow_completions = false}}}});
    auto& box = world.add_box("late", {"m"});
    world.start(box);
    world.run_for(2s);
    CHECK(world.snapshot()->nodes[0].labels == std::vector<std::string>{"x"});
    const auto ticket = world.ask("m");
    REQUIRE(world.answer(ticket));
    CHECK(world.answer(ticket)->why() == base::Errc::forbidden);
    world.stop(box);
    world.run_for(1s);
    world.restart(box);
    world.run_for(2s);
    CHECK(world.snapshot()->nodes[0].labels == std::vector<std::string>{"x"});
}

TEST_CASE("a node may be kept from embeddings or completions; when no node allows the class it is forbidden")
{
    Some some(2);
    some.set({{"a", {.allow_embeddings = false}}, {"b", {.allow_completions = false}}});
    auto embedding = World::profile_of("m");
    embedding.generates = false;
    for (int i = 0; i < 3; ++i) {
        CHECK(some.world.where("m") == "a");
        const auto ticket = some.world.ask(embedding);
        CHECK(some.node(ticket) == "b");
        some.world.finish(some.world.lease(ticket).id);
    }
    some.set({{"a", {.allow_embeddings = false}}, {"b", {.allow_embeddings = false}}});
    const auto refused = some.world.ask(embedding);
    REQUIRE(some.world.answer(refused));
    CHECK(some.world.answer(refused)->why() == base::Errc::forbidden);
}

TEST_CASE("a node that is switched off takes nothing new and is back at once when switched on")
{
    Some some(2);
    const auto running = some.world.ask("m");
    some.set({{"a", {.active = false}}, {"b", {.active = false}}});
    CHECK(some.world.snapshot()->nodes[0].state == NodeState::draining);
    CHECK(some.world.snapshot()->nodes[0].state_reason == "disabled");
    const auto held = some.world.ask("m");
    CHECK(some.world.waits(held));
    some.set({});
    CHECK(some.world.answer(held));
    CHECK(some.world.answer(running)->lease);
}

TEST_CASE("round robin is even, also when a node comes and goes")
{
    Some some(3);
    const auto with = rules(Policy::round_robin);
    std::map<std::string, int> count;
    for (int i = 0; i < 30; ++i) {
        ++count[some.where(with)];
    }
    CHECK(count == std::map<std::string, int>{{"a", 10}, {"b", 10}, {"c", 10}});
    some.set({{"b", {.active = false}}});
    for (int i = 0; i < 20; ++i) {
        ++count[some.where(with)];
    }
    CHECK(count == std::map<std::string, int>{{"a", 20}, {"b", 10}, {"c", 20}});
    some.set({});
    std::map<std::string, int> after;
    for (int i = 0; i < 30; ++i) { // who was away is not flooded, and not forgotten
        ++after[some.where(with)];
    }
    for (const auto& [name, times] : after) {
        CAPTURE(name);
        CHECK(times >= 9);
        CHECK(times <= 11);
    }
}

TEST_CASE("round robin under concurrency: each node gets one before any gets a second")
{
    Some some(4, 4);
    const auto with = rules(Policy::round_robin);
    std::map<std::string, int> count;
    for (int i = 0; i < 16; ++i) {
        ++count[some.node(some.ask(with))];
    }
    CHECK(count == std::map<std::string, int>{{"a", 4}, {"b", 4}, {"c", 4}, {"d", 4}});
}

TEST_CASE("weights: twice the weight, twice the turns")
{
    Some some(2);
    some.set({{"a", {.weight = 2}}});
    std::map<std::string, int> turns;
    std::map<std::string, int> drawn;
    for (int i = 0; i < 300; ++i) {
        ++turns[some.where(rules(Policy::round_robin))];
        ++drawn[some.where(rules(Policy::random))];
    }
    CHECK(turns == std::map<std::string, int>{{"a", 200}, {"b", 100}});
    CHECK(drawn["a"] > 160);
    CHECK(drawn["a"] < 240);
}

TEST_CASE("random is about even, least busy goes where the fewest run")
{
    Some some(3, 3);
    std::map<std::string, int> drawn;
    for (int i = 0; i < 300; ++i) {
        ++drawn[some.where(rules(Policy::random))];
    }
    for (const auto& [name, count] : drawn) {
        CHECK(count > 60);
    }
    const auto with = rules(Policy::least_busy);
    std::map<std::string, int> count;
    for (int i = 0; i < 9; ++i) {
        ++count[some.node(some.ask(with))];
    }
    CHECK(count == std::map<std::string, int>{{"a", 3}, {"b", 3}, {"c", 3}});
    const auto waits = some.ask(with);
    CHECK(some.world.waits(waits));
}

TEST_CASE("a sticky conversation stays where it was served, for as long as it goes on")
{
    Some some(4);
    auto with = rules(Policy::random);
    with->sticky_ttl = 10s;
    const auto first = some.where(with, "talk");
    std::map<std::string, int> others;
    for (int i = 0; i < 20; ++i) {
        CHECK(some.where(with, "talk") == first);
        ++others[some.where(with, "other" + std::to_string(i))];
        some.world.run_for(5s); // sliding: never silent for 10 s
    }
    CHECK(others.size() > 1);
    some.world.run_for(11s);
    std::map<std::string, int> anew;
    for (int i = 0; i < 20; ++i) {
        ++anew[some.where(with, "talk")];
        some.world.run_for(11s);
    }
    CHECK(anew.size() > 1);
}

TEST_CASE("a sticky conversation waits for its node, and leaves it when it cannot go on there")
{
    Some some(3);
    auto with = rules(Policy::round_robin);
    with->sticky_ttl = 30min;
    const auto home = some.where(with, "talk");
    auto pinned = World::profile_of("m");
    pinned.node = home;
    const auto busy = some.world.ask(pinned);
    const auto waits = some.ask(with, "talk");
    CHECK(some.world.waits(waits)); // others are free
    some.world.finish(some.world.lease(busy).id);
    CHECK(some.node(waits) == home);
    some.world.finish(some.world.lease(waits).id);

    const auto bound = [&] { return some.where(with, "talk"); };
    SECTION("a label it does not carry")
    {
        SettingsOf labels;
        for (const auto* name : {"a", "b", "c"}) {
            if (home != name) {
                labels.push_back({name, {.labels = {"eu"}}});
            }
        }
        some.set(labels);
        auto profile = World::profile_of("m");
        profile.rules = with;
        profile.session = "talk";
        profile.labels = {"eu"};
        CHECK(some.node(some.world.ask(profile)) != home);
    }
    SECTION("no member any more")
    {
        auto fewer = std::make_shared<Rules>(*with);
        std::vector<std::string> left;
        for (const auto* name : {"a", "b", "c"}) {
            if (home != name) {
                left.emplace_back(name);
            }
        }
        fewer->members = Members(left, {});
        CHECK(some.where(fewer, "talk") != home);
    }
    SECTION("switched off")
    {
        some.set({{home, {.active = false}}});
        const auto elsewhere = bound();
        CHECK(elsewhere != home);
        some.set({});
        CHECK(bound() == elsewhere); // bound anew
    }
    SECTION("another model is another conversation, and an embedding does not move the chat")
    {
        some.set({{home, {.active = false}}});
        const auto other = some.where(with, "talk", "n");
        some.set({});
        CHECK(some.where(with, "talk", "n") == other);
        auto embedding = World::profile_of("m");
        embedding.rules = with;
        embedding.session = "talk";
        embedding.generates = false;
        for (int i = 0; i < 4; ++i) {
            const auto ticket = some.world.ask(embedding);
            some.world.finish(some.world.lease(ticket).id);
        }
        CHECK(bound() == home);
    }
}

TEST_CASE("a conversation is bound only once it was served")
{
    Some some(3);
    auto with = rules(Policy::round_robin);
    with->sticky_ttl = 30min;
    const auto ticket = some.ask(with, "talk");
    const auto failed = some.node(ticket);
    some.world.finish(some.world.lease(ticket).id, Result::failed);
    CHECK(some.where(with, "talk") != failed);
}

TEST_CASE("a node runs no more than max_parallel over all its models")
{
    Some some(1, 8);
    some.set({{"a", {.max_parallel = 2}}});
    const auto one = some.ask(nullptr);
    (void)some.ask(nullptr);
    const auto third = some.ask(nullptr);
    const auto fourth = some.ask(nullptr, {}, "n");
    CHECK(some.world.waits(third));
    CHECK(some.world.waits(fourth));
    some.world.finish(some.world.lease(one).id);
    CHECK(some.world.answer(third) != nullptr);
    CHECK(some.world.waits(fourth)); // of the other model's line: served when a place is free
    some.world.finish(some.world.lease(third).id);
    CHECK(some.world.answer(fourth) != nullptr);
}

TEST_CASE("without an agent, and without slots, max_parallel is what one model takes at a time")
{
    World world{7};
    auto& box = world.add_static("box", {"m"});
    box.slots.reset();
    world.configure(box);
    world.run_for(2s);
    const auto slots = [&] { return world.snapshot()->models.at(ModelName::parse("m").key).front().slots; };
    CHECK(slots() == 1);
    world.feed(NodesConfigured{{{"box", {.max_parallel = 3}}}});
    world.run_for(2s);
    CHECK(slots() == 3);
    std::vector<Ticket> taken;
    for (int i = 0; i < 4; ++i) {
        taken.push_back(world.ask(World::profile_of("m")));
    }
    CHECK(world.lease(taken[2]).node == box.id);
    CHECK(world.waits(taken[3]));
}

TEST_CASE("exactly max_parallel + queue_limit requests are taken, then 429 with a time to come back")
{
    Some some(2, 8);
    some.set({{"a", {.max_parallel = 2, .queue_limit = 3}}, {"b", {.max_parallel = 1, .queue_limit = 4}}});
    std::vector<Ticket> taken;
    for (int i = 0; i < 10; ++i) { // 3 run, 7 wait
        taken.push_back(some.ask(nullptr));
        CHECK((some.world.waits(taken.back()) || some.world.answer(taken.back())->lease));
    }
    const auto over = some.ask(nullptr);
    REQUIRE(some.world.answer(over));
    CHECK(some.world.answer(over)->why() == base::Errc::queue_full);
    CHECK(some.world.answer(over)->refusal->retry_after > 0s);
    some.world.finish(some.world.lease(taken[0]).id);
    CHECK(some.world.waits(some.ask(nullptr))); // room for one again
    CHECK(some.world.answer(some.ask(nullptr)));
}

TEST_CASE("a node with a limit and one without: there is room to wait")
{
    Some some(2);
    some.set({{"a", {.queue_limit = 0}}});
    for (int i = 0; i < 2; ++i) {
        (void)some.ask(nullptr);
    }
    CHECK(some.world.waits(some.ask(nullptr)));
}

TEST_CASE("turns begin where the others are, and wheels are bounded")
{
    Turns turns;
    std::array<base::NodeId, 2> nodes{};
    nodes[1].bytes[0] = 1;
    for (int i = 0; i < 10; ++i) {
        turns.taken("f", "m", nodes[0], 1);
    }
    CHECK(turns.place_of("f", "m", nodes[1]) == 9);
    CHECK(turns.place_of("f", "m", nodes[0]) == 10);
    CHECK(turns.place_of("g", "m", nodes[0]) == 0);
    for (std::size_t i = 0; i < 2 * Turns::wheels_max; ++i) {
        turns.taken("f", std::to_string(i), nodes[0], 1);
    }
}

TEST_CASE("conversations are bounded: the least recently used one goes")
{
    Bound bound(2);
    const base::Instant now{100s};
    base::NodeId node;
    node.bytes[0] = 9;
    bound.bind("1", node, now + 10s);
    bound.bind("2", node, now + 10s);
    bound.bind("1", node, now + 20s);
    bound.bind("3", node, now + 10s);
    CHECK(bound.size() == 2);
    CHECK(bound.find("1", now + 15s) == node);
    CHECK_FALSE(bound.find("2", now));
    CHECK(bound.find("3", now));
    CHECK_FALSE(bound.find("3", now + 10s));
    CHECK(Bound::key("a", "b", "c") != Bound::key("a", "bc", ""));
}
