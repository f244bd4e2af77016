// Models that a node may serve: what it has beside them is not offered on its account.
#include "support/catch.hpp"

#include "fleet/model_name.hpp"
#include "scene.hpp"

#include <algorithm>

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Scene;
using test::World;

namespace {

NodeSettings only(std::initializer_list<const char*> patterns)
{
    NodeSettings settings;
    for (const auto* pattern : patterns) {
        settings.models_allow.push_back(*ModelPattern::parse_served(pattern));
    }
    return settings;
}

std::string key(std::string_view model) { return ModelName::parse(model).key; }

/// "chats" and "embeds" have "llama3.2:3b" and "nomic-embed-text"; "embeds" may serve the second alone.
struct Home : Scene {
    explicit Home(std::uint64_t seed) : Scene(seed)
    {
        box("chats", {"llama3.2:3b", "nomic-embed-text"});
        box("embeds", {"llama3.2:3b", "nomic-embed-text", "secret"});
        limit({"nomic-embed*"});
        settle();
    }
    void limit(std::initializer_list<const char*> patterns) { world.feed(NodesConfigured{{{"embeds", only(patterns)}}}); }
    Decision told(const Profile& profile) { return world.herd().explain(profile, world.now()); }
    std::vector<std::size_t> holders(const std::string& model)
    {
        std::vector<std::size_t> nodes;
        const auto snapshot = world.snapshot();
        if (const auto found = snapshot->models.find(key(model)); found != snapshot->models.end()) {
            std::ranges::transform(found->second, std::back_inserter(nodes), &Holder::node);
        }
        return nodes;
    }
};

} // namespace

TEST_CASE("which models a node may serve: names as everywhere, beginnings, a cloud's, or each and every one")
{
    const auto allows = [](const char* pattern, std::string_view model) { return only({pattern}).allows(key(model)); };
    CHECK(allows("Llama3.2", "llama3.2:latest"));
    CHECK(allows("llama3.2:latest", "LLAMA3.2"));
    CHECK_FALSE(allows("llama3.2", "llama3.2:3b"));
    CHECK(allows("llama3*", "llama3.2:3b"));
    CHECK_FALSE(allows("llama3*", "someone/llama3"));
    CHECK(allows("*", "hf.co/someone/model:q4"));
    CHECK(allows("gpt-oss:120b-cloud", "gpt-oss:120b-cloud"));
    CHECK(NodeSettings{}.allows(key("anything")));
    CHECK(only({"a", "b*"}).allows(key("bear")));
    for (const auto* wrong : {"", "a b", "a*b", "**", "-x*"}) {
        INFO(wrong);
        CHECK_FALSE(ModelPattern::parse_served(wrong));
    }
}

TEST_CASE("a node serves the models it may, and no others")
{
    Home home{1};
    for (int i = 0; i < 10; ++i) {
        const auto lease = home.world.lease(home.world.ask("llama3.2:3b"));
        CHECK(lease.node_name == "chats");
        home.world.finish(lease.id);
    }
    const auto why = home.told(World::profile_of("llama3.2:3b"));
    CHECK(std::ranges::find(why.candidates, "embeds", &Weighed::name)->exclusion == Exclusion::model_not_allowed);
    auto named = World::profile_of("nomic-embed-text");
    named.node = "embeds";
    CHECK(home.world.lease(home.world.ask(named)).node_name == "embeds");
}

TEST_CASE("what no node may serve is not found, also where it is named, and says why")
{
    Home home{2};
    home.world.run_for(5s);
    const auto ticket = home.world.ask("secret");
    REQUIRE(home.world.answer(ticket));
    CHECK(home.world.answer(ticket)->why() == base::Errc::no_such_model);
    CHECK(home.world.answer(ticket)->refusal->error.context.find("models_allow") != std::string::npos);
    auto named = World::profile_of("llama3.2:3b");
    named.node = "embeds";
    const auto other = home.world.ask(named);
    REQUIRE(home.world.answer(other));
    CHECK(home.world.answer(other)->why() == base::Errc::no_such_model);
    CHECK(home.told(named).note.find("models_allow") != std::string::npos);
}

TEST_CASE("the fleet does not offer what a node may not serve")
{
    Home home{3};
    CHECK(home.holders("llama3.2:3b").size() == 1);
    CHECK(home.holders("nomic-embed-text").size() == 2);
    CHECK(home.holders("secret").empty());
    const auto snapshot = home.world.snapshot();
    const auto* node = snapshot->find("embeds");
    CHECK(node->facts->models.size() == 3); // what it has is still known
    CHECK_FALSE(node->allows(key("secret")));
}

TEST_CASE("what a node may serve can change while requests wait for it")
{
    Home home{4};
    home.world.feed(DrainNode{home.world.snapshot()->find("chats")->id, true});
    const auto held = home.world.ask("llama3.2:3b"); // "chats" may be back
    REQUIRE(home.world.waits(held));
    home.limit({"nomic-embed*", "llama3.2:3b"});
    const auto lease = home.world.lease(held);
    CHECK(lease.node_name == "embeds");
    const auto behind = home.world.ask("llama3.2:3b");
    REQUIRE(home.world.waits(behind));
    home.limit({"nomic-embed*"});
    CHECK(home.world.waits(behind)); // held again, for "chats"
    home.world.feed(DrainNode{home.world.snapshot()->find("chats")->id, false});
    CHECK(home.world.lease(behind).node_name == "chats");
    home.world.finish(lease.id); // what ran there went on
}

TEST_CASE("who waits for a model that no node may serve any more is told so")
{
    Home home{5};
    home.world.run_for(5s);
    home.limit({"*"});
    const auto first = home.world.lease(home.world.ask("secret"));
    const auto second = home.world.ask("secret");
    REQUIRE(home.world.waits(second));
    home.limit({"nomic-embed*"});
    REQUIRE(home.world.answer(second));
    CHECK(home.world.answer(second)->why() == base::Errc::no_such_model);
    home.world.finish(first.id);
}

TEST_CASE("a model that a node lists later, or again after an absence, is judged as well")
{
    Home home{6};
    const auto id = home.world.snapshot()->find("embeds")->id;
    home.world.feed(ModelsRead{id, {Model{.name = "late", .digest = "h", .size = base::gib}, Model{.name = "nomic-embed-late", .digest = "i", .size = base::gib}}});
    CHECK(home.holders("late").empty());
    CHECK(home.holders("nomic-embed-late").size() == 1);
    home.world.restart_herd(true);
    home.limit({"nomic-embed*"});
    home.settle();
    CHECK(home.holders("secret").empty());
    CHECK(home.holders("nomic-embed-text").size() == 2);
}

TEST_CASE("what is to be pulled or made at any node goes by its name")
{
    Home home{7};
    auto any = World::profile_of("new");
    any.need = Need::any;
    any.model_key.clear();
    for (int i = 0; i < 10; ++i) {
        const auto lease = home.world.lease(home.world.ask(any));
        CHECK(lease.node_name == "chats");
        home.world.finish(lease.id);
    }
    any.node = "embeds";
    const auto ticket = home.world.ask(any);
    REQUIRE(home.world.answer(ticket));
    CHECK(home.world.answer(ticket)->why() == base::Errc::forbidden);
}
