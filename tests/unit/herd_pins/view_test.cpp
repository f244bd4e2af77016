// What is said of pins, in our shape and in those of Ollama Herd.
#include "herd/pins/view.hpp"
#include "support/catch.hpp"

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app;
using namespace herd::app::pins;
using Json = nlohmann::json;

namespace {

const base::NodeId studio = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-708677289501");

Standing example()
{
    Standing now{.now = base::Instant{std::chrono::seconds{100}}, .wall = base::WallTime{std::chrono::seconds{1'780'000'000}}, .places = 6};
    now.pins = {{.pin = {.model = "Qwen3:8b", .node = studio.text()}, .node = "studio", .node_id = studio.text(), .managed = true},
                {.pin = {.model = "m", .replicas = 0}}};
    now.entries = {{.key = "registry.ollama.ai/library/qwen3:8b", .model = "Qwen3:8b", .node = studio, .node_name = "studio", .state = State::resident},
                   {.key = "registry.ollama.ai/library/m:latest", .model = "m:latest", .node = studio, .node_name = "studio", .state = State::failed, .failures = 2,
                    .reason = "no memory", .next_try = now.now + std::chrono::seconds{10}},
                   {.key = "registry.ollama.ai/library/m:latest", .model = "m:latest", .state = State::absent, .reason = "no further node has it"}};
    return now;
}

} // namespace

TEST_CASE("pins and how they stand")
{
    const auto json = Json::parse(pins_json(example()));
    CHECK(json["pins"][0] == Json{{"model", "Qwen3:8b"}, {"node", "studio"}, {"node_id", studio.text()}, {"replicas", 1}, {"source", "managed"}});
    CHECK(json["pins"][1] == Json{{"model", "m:latest"}, {"node", nullptr}, {"node_id", nullptr}, {"replicas", "all"}, {"source", "herd.toml"}});
    CHECK(json["models"][0] == Json{{"model", "Qwen3:8b"}, {"node", "studio"}, {"node_id", studio.text()}, {"state", "resident"}});
    CHECK(json["models"][1]["next_try"] == "2026-05-28T20:26:50.000Z");
    CHECK(json["models"][1]["failures"] == 2);
    CHECK(json["models"][2]["node"].is_null());
}

TEST_CASE("the shapes of Ollama Herd")
{
    const auto now = example();
    const auto pinned = Json::parse(fleet_pin_json(now, "qwen3:8B", "", true, 1200));
    CHECK(pinned == Json{{"ok", true}, {"model", "qwen3:8B"}, {"pinned_node", "studio"}, {"ready", true}, {"ready_after_ms", 1200},
                         {"per_node", {{"studio", {"Qwen3:8b", "m:latest"}}}}});
    CHECK_FALSE(Json::parse(fleet_pin_json(now, "qwen3:8b", "studio", true, -1)).contains("ready"));
    CHECK(Json::parse(fleet_pin_json(now, "m", "elsewhere", false, 5))["pinned_node"].is_null());
    const auto unpinned = Json::parse(fleet_unpin_json(now, "m", {"studio"}));
    CHECK(unpinned["unpinned_from"] == Json{"studio"});
    CHECK(unpinned["ok"] == true);
    const auto listed = Json::parse(pinned_models_json(now));
    CHECK(listed["env_pins"] == Json{"m:latest"});
    CHECK(listed["max_count"] == 6);
    CHECK(listed["per_node"]["studio"].size() == 2);
    CHECK(not_ok(R"({"error":"x","code":"conflict"})") == R"({"ok":false,"error":"x","code":"conflict"})");
    REQUIRE(pins::find(now, "M:latest", "") != nullptr);
    CHECK(pins::find(now, "M:latest", "")->state == State::failed); // better than none
    CHECK(pins::find(now, "x", "") == nullptr);
}
