// Tools beside a node: rows that tell of them, and what the fleet makes of them.
#include "support/catch.hpp"

#include "fleet/catalog.hpp"
#include "fleet/model_name.hpp"
#include "fleet/tool.hpp"
#include "scene.hpp"

#include <algorithm>
#include <set>

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

/// Who asks: of a chat, of a picture by Ollama's path or by one that only tools serve.
enum class Asks { chat, picture, picture_of_a_tool };

/// "n1" has the model "m"; "n2" has a tool that makes images under that name.
struct Namesakes : test::Scene {
    explicit Namesakes(std::uint64_t seed, const std::string& model_row = {}) : Scene(seed)
    {
        start("n1", model_row);
        start("n2", R"({"name":"m:latest","details":{"type":"image"},"capabilities":["image"]})");
        settle();
    }
    void start(const std::string& name, const std::string& row)
    {
        auto& box = world.add_box(name, {"m"});
        box.rows["m"] = row;
        world.start(box);
    }
    void kill(const std::string& name)
    {
        const auto boxes = world.boxes();
        world.kill(**std::ranges::find(boxes, name, &test::Box::name));
        world.run_for(20s);
    }
    /// The nodes that three requests at a time are sent to, in order and each once; then the refusal of the others.
    std::string places(Asks asks)
    {
        auto profile = test::World::profile_of("m");
        profile.tool = asks == Asks::chat ? Tool::none : Tool::image;
        profile.tools_only = asks == Asks::picture_of_a_tool;
        std::set<std::string> nodes;
        std::vector<LeaseId> leases;
        for (int i = 0; i < 3; ++i) {
            const auto ticket = world.ask(profile);
            const auto* answer = world.answer(ticket);
            if (answer == nullptr) {
                world.cancel(ticket);
            } else if (answer->lease) {
                nodes.insert(answer->lease->node_name);
                leases.push_back(answer->lease->id);
            } else {
                nodes.insert(answer->refusal->error.context);
            }
        }
        for (const auto lease : leases) {
            world.finish(lease);
        }
        std::string text;
        for (const auto& node : nodes) {
            text += (text.empty() ? "" : " ") + node;
        }
        return text;
    }
};

constexpr auto tool_row = R"({"name":"painter:latest","details":{"family":"","type":"image","backend":"mflux"}})";

} // namespace

TEST_CASE("a row tells whether it is a tool's")
{
    CHECK(tool_of(tool_row) == Tool::image);
    CHECK(backend_of(tool_row) == "mflux");
    CHECK(tool_of(R"({"details":{"type":"transcription"}})") == Tool::speech);
    for (const auto* other : {"", "5", R"({"details":{"type":")", R"({"details":{"type":"imagery"}})", R"({"name":"\"type\":\"image\""})",
                              R"({"details":{"family":"llama"},"capabilities":["image"]})"}) {
        CHECK(tool_of(other) == Tool::none);
    }
    CHECK(is_listed(tool_row));
    CHECK_FALSE(is_listed(R"({"details":{"type":"image","listed":false}})"));
}

TEST_CASE("a tool is loaded, always, with one slot that no request of others' takes")
{
    NodeRecord node;
    Catalog catalog;
    Effects effects;
    Step step{.effects = effects};
    auto facts = std::make_shared<NodeFacts>();
    facts->models = {{.name = "painter:latest", .key = "painter", .row = tool_row}, {.name = "m:latest", .key = "m", .row = "{}"}};
    facts->slots = 4;
    catalog.adopt(node, facts, step);
    const auto& tool = node.models.at("painter");
    CHECK(tool.believed_loaded());
    CHECK(node.slots_of(tool) == 1);
    CHECK_FALSE(node.models.at("m").believed_loaded());
    catalog.adopt_loaded(node, std::make_shared<NodeFacts>(*facts), step); // Ollama's own list does not know of it
    CHECK(tool.believed_loaded());
    node.foreign = 3;
    CHECK(node.free_slots_of(tool) == 1);
}

TEST_CASE("a tool named as another node's model takes nothing from it")
{
    Namesakes home(1);
    CHECK(home.places(Asks::chat) == "n1");
    CHECK(home.places(Asks::picture_of_a_tool) == "n2");
    const auto both = home.world.snapshot();
    CHECK(both->tools.empty());
    REQUIRE(both->models.at(ModelName::parse("m").key).size() == 2);
    home.kill("n2");
    CHECK(home.places(Asks::chat) == "n1");
    CHECK(home.world.snapshot()->tools.empty());
    CHECK(home.places(Asks::picture_of_a_tool).empty()); // it is waited for, as a node that went is
}

TEST_CASE("while the node that has the model is away, its name is no tool's")
{
    Namesakes home(2);
    home.kill("n1");
    CHECK(home.places(Asks::chat).empty());
    CHECK(home.world.snapshot()->tools.empty());
    CHECK(home.places(Asks::picture_of_a_tool) == "n2");
}

TEST_CASE("a name that only tools have is known as theirs, and as no model's")
{
    Namesakes home(3, R"({"details":{"type":"image"}})");
    const auto both = home.world.snapshot();
    REQUIRE(both->tools.size() == 1);
    CHECK(both->tools.begin()->second == Tool::image);
    CHECK(home.places(Asks::picture_of_a_tool) == "n1 n2");
    CHECK(home.places(Asks::chat) == "model 'm' not found");
}

TEST_CASE("on a path that models serve too, a model of the name makes images beside the tool unless it says that it cannot")
{
    CHECK(Namesakes(4).places(Asks::picture) == "n1 n2");
    CHECK(Namesakes(5, R"({"capabilities":["completion","image"]})").places(Asks::picture) == "n1 n2");
    CHECK(Namesakes(6, R"({"capabilities":["completion","tools"]})").places(Asks::picture) == "n2");
    CHECK(lacks_skill_of(Tool::speech, R"({"capabilities":["completion"]})"));
    CHECK_FALSE(lacks_skill_of(Tool::speech, R"({"capabilities":["audio"]})"));
    CHECK_FALSE(lacks_skill_of(Tool::speech, "{}"));
}
