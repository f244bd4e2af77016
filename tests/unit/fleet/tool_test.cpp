// Tools beside a node: rows that tell of them, and what the fleet makes of them.
#include "support/catch.hpp"

#include "fleet/catalog.hpp"
#include "fleet/tool.hpp"

using namespace herd;
using namespace herd::fleet;

namespace {

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
