// Nodes of another kind: outside of the LAN, with OpenAI's paths alone, without their key.
#include "support/catch.hpp"

#include <algorithm>

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Box;
using test::World;

namespace {

Box& add(World& world, const std::string& name, std::vector<std::string> models, Manner manner)
{
    auto& box = world.add_static(name, std::move(models));
    world.feed(StaticAdded{.id = box.id,
                           .name = name,
                           .url = "http://" + box.agent.text(),
                           .address = {.endpoint = box.agent, .manner = std::make_shared<Manner>(std::move(manner))}});
    world.run_for(50ms);
    return box;
}

Profile ask_for(const std::string& model, bool allow_cloud, bool openai = true)
{
    auto profile = World::profile_of(model);
    profile.allow_cloud = allow_cloud;
    profile.openai = openai;
    return profile;
}

std::string outcome(World& world, const Profile& profile)
{
    const auto ticket = world.ask(profile);
    const auto* answer = world.answer(ticket);
    if (answer == nullptr) {
        world.cancel(ticket);
        return "waits";
    }
    if (!answer->lease) {
        return std::string{base::to_string(answer->why())};
    }
    const std::string name = answer->lease->node_name;
    world.finish(answer->lease->id);
    return name;
}

} // namespace

TEST_CASE("the cloud serves only requests that may leave the LAN, and only what nobody on it can do")
{
    World world{1};
    world.add_static("box", {"both"});
    auto& cloud = add(world, "cloud", {"both", "big"}, {.cloud = true});
    world.run_for(3s); // what is unknown after that is told so at once
    CHECK(outcome(world, ask_for("big", false)) == "no_such_model");
    CHECK(outcome(world, ask_for("big", true)) == "cloud");
    for (int i = 0; i < 10; ++i) {
        CHECK(outcome(world, ask_for("both", true)) == "box");
    }
    auto pinned = ask_for("big", false);
    pinned.node = "cloud";
    CHECK(outcome(world, pinned) == "no_such_model"); // a name alone is no permission
    pinned.allow_cloud = true;
    CHECK(outcome(world, pinned) == "cloud");
    pinned.need = Need::any; // pulls, blobs, creations
    pinned.model_key.clear();
    CHECK(outcome(world, pinned) != "cloud");
    auto elsewhere = ask_for("both", true);
    elsewhere.exclude = {world.snapshot()->find("box")->id};
    CHECK(outcome(world, elsewhere) == "cloud");
    elsewhere.allow_cloud = false;
    CHECK(outcome(world, elsewhere) != "cloud");
    auto labelled = ask_for("big", true);
    labelled.labels = {"eu"};
    CHECK(outcome(world, labelled) == "no_such_label");
    CHECK(world.state(cloud) == NodeState::online);
}

TEST_CASE("a busy LAN is waited for, not left")
{
    World world{2};
    world.add_static("box", {"both"});
    add(world, "cloud", {"both"}, {.cloud = true});
    const auto first = world.ask(ask_for("both", true));
    REQUIRE(world.answer(first));
    CHECK(world.lease(first).node_name == "box");
    CHECK(outcome(world, ask_for("both", true)) == "waits");
    world.finish(world.lease(first).id);
}

TEST_CASE("the cloud is asked how it is once a minute")
{
    World world{3};
    auto& cloud = add(world, "cloud", {"big"}, {.cloud = true});
    CHECK(world.state(cloud) == NodeState::online);
    cloud.ollama = false;
    world.run_for(50s);
    CHECK(world.state(cloud) == NodeState::online); // nobody asked yet
    world.run_for(15s);
    CHECK(world.state(cloud) == NodeState::suspect);
    cloud.ollama = true;
    world.run_for(12s);
    CHECK(world.state(cloud) == NodeState::online);
}

TEST_CASE("a server with OpenAI's paths serves those alone")
{
    World world{4};
    add(world, "vllm", {"both", "its"}, {.api = NodeApi::openai});
    world.run_for(3s);
    CHECK(outcome(world, ask_for("its", false, true)) == "vllm");
    CHECK(outcome(world, ask_for("its", false, false)) == "no_such_model");
    world.add_static("ollama", {"both"});
    world.run_for(50ms);
    for (int i = 0; i < 5; ++i) {
        CHECK(outcome(world, ask_for("both", false, false)) == "ollama");
    }
    const auto decision = world.herd().explain(ask_for("both", false, false), world.now());
    const auto seen = std::ranges::find(decision.candidates, std::string{"vllm"}, &Weighed::name);
    REQUIRE(seen != decision.candidates.end());
    CHECK(to_string(seen->exclusion) == "other_api");
}

TEST_CASE("waiting requests of both families of paths are judged apart")
{
    World world{5};
    add(world, "vllm", {"both"}, {.api = NodeApi::openai});
    auto& box = world.add_static("ollama", {"both"});
    world.run_for(50ms);
    const auto a = world.ask(ask_for("both", false, true));
    const auto b = world.ask(ask_for("both", false, true));
    REQUIRE(world.answer(a));
    REQUIRE(world.answer(b)); // both places are taken
    const auto openai = world.ask(ask_for("both", false, true));
    const auto ollama = world.ask(ask_for("both", false, false));
    CHECK(world.waits(openai));
    CHECK(world.waits(ollama));
    const auto& on_vllm = world.lease(a).node_name == "vllm" ? a : b;
    const auto& on_box = on_vllm == a ? b : a;
    world.finish(world.lease(on_vllm).id);
    CHECK(world.waits(ollama)); // that place is not for it
    world.finish(world.lease(on_box).id);
    world.run_for(2s);
    REQUIRE(world.answer(ollama));
    CHECK(world.lease(ollama).node_name == box.name);
    REQUIRE(world.answer(openai));
}

TEST_CASE("a node that lacks its key is unknown, is never asked, and holds up nobody")
{
    World world{6};
    auto& box = world.add_static("box", {"m"});
    world.run_for(50ms);
    Effects effects;
    base::Rng rng{9};
    const auto id = base::NodeId::random(rng);
    const Manner manner{.cloud = true, .lacking = "no key: set X"};
    const StaticAdded added{.id = id, .name = "cloud", .url = "https://cloud", .address = {.endpoint = {box.agent.address, 443}, .manner = std::make_shared<Manner>(manner)}};
    world.feed(added);
    const auto polls = world.steps;
    world.run_for(5min);
    CHECK(polls < world.steps); // time passed for the others
    const auto picture = world.snapshot();
    const auto* view = picture->find(id);
    REQUIRE(view != nullptr);
    CHECK(view->state == NodeState::unreachable);
    CHECK(view->state_reason == "no key: set X");
    CHECK_FALSE(view->latency);
    CHECK(outcome(world, ask_for("m", true)) == "box");
    CHECK(outcome(world, ask_for("nowhere", false)) == "no_such_model"); // at once: nobody is waited for
    const auto ticket = world.ask(ask_for("nowhere", true));
    REQUIRE(world.answer(ticket));
    REQUIRE(world.answer(ticket)->refusal);
    CHECK(world.answer(ticket)->refusal->error.code == base::Errc::bad_config);
    CHECK(world.answer(ticket)->refusal->error.context == "node 'cloud' cannot be used: no key: set X");
    auto pinned = ask_for("m", false);
    pinned.node = "cloud";
    CHECK(outcome(world, pinned) == "bad_config");
}

TEST_CASE("the key of a node is set: it is asked at once")
{
    World world{7};
    auto& box = world.add_static("box", {"m"});
    const auto configured = [&](std::string lacking) {
        world.feed(StaticAdded{.id = box.id,
                               .name = "box",
                               .url = "http://" + box.agent.text(),
                               .address = {.endpoint = box.agent, .manner = std::make_shared<Manner>(Manner{.lacking = std::move(lacking)})}});
        world.run_for(50ms);
    };
    configured("no key");
    CHECK(world.state(box) == NodeState::unknown);
    configured("");
    CHECK(world.state(box) == NodeState::online);
    world.feed(StaticAdded{.id = box.id, .name = "cloud", .url = "https://ollama.com", .address = {.endpoint = box.agent, .manner = std::make_shared<Manner>(Manner{.cloud = true, .lacking = "no key"})}});
    CHECK(world.state(box) == NodeState::unreachable); // the cloud is there, but not for us
}

TEST_CASE("weight makes a node look better than it is predicted to be")
{
    World world{8};
    add(world, "light", {"m"}, {.weight = 0.1});
    add(world, "heavy", {"m"}, {.weight = 10});
    for (int i = 0; i < 10; ++i) {
        CHECK(outcome(world, ask_for("m", false)) == "heavy");
    }
}

TEST_CASE("a gateway's certificate is pinned as its document tells, and another one cuts the kept connections")
{
    World world{9};
    auto& box = world.add_box("n1", {"m"});
    world.start(box);
    world.run_for(1s);
    const auto picture = world.snapshot();
    REQUIRE(picture->find(box.id) != nullptr);
    CHECK(picture->find(box.id)->address.trust() == nullptr);
    std::uint32_t revision = picture->find(box.id)->facts->state_rev;
    const auto tell = [&](std::array<std::uint8_t, 32> pin) {
        NodeFacts facts = *picture->find(box.id)->facts;
        facts.tls_pin = pin;
        facts.state_rev = ++revision;
        world.feed(NodeConfirmed{.id = box.id, .agent = box.agent, .facts = facts});
        const auto now = world.snapshot();
        return now->find(box.id)->address;
    };
    const auto first = tell({1});
    REQUIRE(first.trust());
    CHECK(first.trust()->pin == std::array<std::uint8_t, 32>{1});
    const auto dropped = world.dropped.size();
    CHECK(tell({1}).trust() == first.trust()); // the same object: kept connections stay useful
    CHECK(world.dropped.size() == dropped);
    CHECK(tell({2}).trust()->pin == std::array<std::uint8_t, 32>{2});
    CHECK(world.dropped.size() > dropped);
}
