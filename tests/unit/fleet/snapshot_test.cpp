#include "support/catch.hpp"

#include "fleet/called.hpp"
#include "sim/fleet/world.hpp"

#include <array>

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

Snapshot picture_of(std::initializer_list<const char*> names)
{
    Snapshot picture;
    base::Rng rng{7};
    for (const auto* name : names) {
        NodeView view;
        view.id = NodeId::random(rng);
        view.name = name;
        picture.nodes.push_back(view);
    }
    return picture;
}

} // namespace

TEST_CASE("a node is found by its id in either case and by its name")
{
    const auto picture = picture_of({"attic", "cellar"});
    const auto id = picture.nodes[1].id;
    CHECK(picture.find(id) == &picture.nodes[1]);
    CHECK(picture.find(id.text()) == &picture.nodes[1]);
    CHECK(picture.find("attic") == &picture.nodes[0]);
    CHECK(picture.find("CELLAR") == &picture.nodes[1]);
    CHECK(picture.find("garage") == nullptr);
    CHECK(picture.find("") == nullptr);
}

TEST_CASE("a name that two nodes carry finds neither")
{
    CHECK(picture_of({"box", "box"}).find("box") == nullptr);
    CHECK(picture_of({"box", "Box"}).find("BOX") == nullptr);
    const auto picture = picture_of({"box", "Box"});
    CHECK(picture.find("Box") == &picture.nodes[1]);
}

TEST_CASE("of several nodes with one name the only one that is there is meant, else their ids are told")
{
    auto picture = picture_of({"box", "box", "attic"});
    const auto ids = std::array{picture.nodes[0].id.text().substr(0, 8), picture.nodes[1].id.text().substr(0, 8)};
    CHECK(why_nobody(picture, "box") == "2 nodes are called box: use an id (" + ids[0] + ", " + ids[1] + ")");
    CHECK(why_nobody(picture, "garage") == "no node is called garage");
    for (const auto state : {NodeState::online, NodeState::suspect, NodeState::draining}) {
        picture.nodes[0].state = NodeState::offline;
        picture.nodes[1].state = state;
        CHECK(picture.find("box") == &picture.nodes[1]);
        CHECK(word_for(picture, picture.nodes[1]) == "box");
        CHECK(word_for(picture, picture.nodes[0]) == picture.nodes[0].id.text());
        picture.nodes[0].state = NodeState::online;
        CHECK(picture.find("box") == nullptr);
        CHECK(word_for(picture, picture.nodes[1]) == picture.nodes[1].id.text());
    }
}

TEST_CASE("each of several nodes with one name has a number, which does not change with who is there")
{
    auto picture = picture_of({"box", "box", "box", "attic", "box-2"});
    std::ranges::sort(picture.nodes.begin(), picture.nodes.begin() + 3, {}, &NodeView::id);
    const auto names = [&] { return distinct_names(picture); };
    CHECK(names() == std::vector<std::string>{"box", "box-3", "box-4", "attic", "box-2"}); // box-2 calls itself so
    for (auto& node : picture.nodes) {
        node.state = NodeState::online;
    }
    picture.nodes[0].state = NodeState::offline;
    CHECK(names() == std::vector<std::string>{"box-1", "box", "box-4", "attic", "box-2"});
    for (const bool there : {false, true}) {
        picture.nodes[0].state = there ? NodeState::online : NodeState::offline;
        CHECK(picture.find("box-1") == &picture.nodes[0]);
        CHECK(picture.find("box-2") == &picture.nodes[4]);
        CHECK(picture.find("box-3") == &picture.nodes[1]);
        CHECK(picture.find("box-4") == &picture.nodes[2]);
        CHECK(picture.find("box") == nullptr); // two are there at least
        CHECK(find_distinct(picture, "box") == &picture.nodes[there ? 0 : 1]);
        for (std::size_t i = 0; const std::string& name : names()) {
            CHECK(find_distinct(picture, name) == &picture.nodes[i++]);
        }
    }
    for (const char* nobody : {"box-5", "box-0", "box-", "-1", "box-01", "box-1x", "box-99999999999999999999", "attic-1", "attic-2", "Box-1", ""}) {
        CAPTURE(nobody);
        CHECK(picture.find(std::string_view(nobody)) == nullptr);
        CHECK(find_distinct(picture, nobody) == nullptr);
    }
}

TEST_CASE("a node is found by the beginning of its id, if that is nobody else's")
{
    auto picture = picture_of({"box", "attic"});
    picture.nodes[0].id = *base::NodeId::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
    picture.nodes[1].id = *base::NodeId::parse("0f8fad5c-d9cb-469f-a165-70867728950e");
    CHECK(picture.find("0f8fad5b") == &picture.nodes[0]);
    CHECK(picture.find("0f8fad5c-d9cb") == &picture.nodes[1]);
    CHECK(picture.find("0f8fad5") == nullptr); // too short
    picture.nodes[1].id = *base::NodeId::parse("0f8fad5b-0000-469f-a165-70867728950e");
    CHECK(picture.find("0f8fad5b") == nullptr);
}

TEST_CASE("the snapshot shows nodes by name, holders by model, and shares facts")
{
    test::World world{1};
    world.start(world.add_box("b", {"m", "other"}, 2));
    world.start(world.add_box("a", {"m"}));
    world.run_for(1s);
    const auto first = world.snapshot();
    const auto second = world.snapshot();
    REQUIRE(first->nodes.size() == 2);
    CHECK(first->nodes[0].name == "a");
    CHECK(first->nodes[1].name == "b");
    CHECK(second->version > first->version);
    CHECK(second->nodes[0].facts == first->nodes[0].facts);
    const auto& holders = first->models.at("registry.ollama.ai/library/m:latest");
    REQUIRE(holders.size() == 2);
    CHECK(holders[1].node == 1);
    CHECK(holders[1].slots == 2);
    CHECK(first->models.size() == 2);
    CHECK(first->routable().size() == 2);
    CHECK(first->nodes[0].url == "http://" + first->nodes[0].address.endpoint.text());
}

TEST_CASE("in flight, queued and totals are in the snapshot")
{
    test::World world{2};
    world.start(world.add_box("a", {"m"}));
    world.run_for(1s);
    const auto ticket = world.ask("m");
    world.ask("m");
    auto picture = world.snapshot();
    CHECK(picture->nodes[0].in_flight == 1);
    CHECK(picture->nodes[0].queued == 1);
    CHECK(picture->totals.requests == 2);
    CHECK(picture->totals.in_flight == 1);
    CHECK(picture->totals.queued == 1);
    CHECK(picture->models.begin()->second[0].in_flight == 1);
    world.finish(world.lease(ticket).id);
    picture = world.snapshot();
    CHECK(picture->totals.queued == 0);
    CHECK(picture->models.begin()->second[0].loaded);
}

TEST_CASE("a heartbeat's load reaches the facts without a fetch")
{
    test::World world{3};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(1s);
    const auto confirms = world.confirms;
    box.memory = 3 * base::gib;
    world.run_for(1s);
    CHECK(world.snapshot()->nodes[0].facts->host.memory_available == 3 * base::gib);
    CHECK(world.snapshot()->nodes[0].facts->models.size() == 1);
    CHECK(world.confirms == confirms);
}
