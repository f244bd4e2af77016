#include "herd/admin/views.hpp"

#include "support/catch.hpp"

#include <nlohmann/json.hpp>

using namespace herd;
using Json = nlohmann::json;

namespace {

fleet::Snapshot small_fleet()
{
    auto facts = std::make_shared<fleet::NodeFacts>();
    facts->agent_version = "0.1.0";
    facts->ollama_version = "0.33.0";
    facts->host = {.cores = 16, .cpu_busy = 0.25, .load1 = 2.1, .memory_total = 64 * base::gib, .memory_available = 48 * base::gib};
    facts->gpus.push_back({.name = "RTX", .vendor = "nvidia", .vram_total = 24 * base::gib, .vram_free = 11 * base::gib, .busy = 0.37});
    facts->models.push_back({.name = "llama3.2:3b", .key = "k", .digest = "abc", .size = 5, .modified_at = "2026-01-01T00:00:00Z", .row = "{}"});
    facts->loaded.push_back({.name = "llama3.2:3b", .key = "k", .digest = "abc", .size = 6, .size_vram = 6, .context_length = 8192, .slots = 4});
    fleet::Snapshot snapshot;
    fleet::NodeView view;
    view.id = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
    view.name = "box";
    view.state = fleet::NodeState::online;
    view.last_seen = base::Instant{std::chrono::seconds{10}};
    view.latency = std::chrono::microseconds{1500};
    view.agent = *base::Endpoint::parse("10.0.0.7:11436");
    view.address.endpoint = view.agent;
    view.url = "http://10.0.0.7:11436";
    view.facts = facts;
    view.in_flight = 1;
    snapshot.nodes.push_back(view);
    snapshot.models["k"].push_back({.node = 0, .model = 0, .loaded = true, .slots = 4, .in_flight = 1});
    return snapshot;
}

} // namespace

TEST_CASE("a node is shown in the shape of the contract")
{
    const auto snapshot = small_fleet();
    const Json json = Json::parse(app::admin::nodes(snapshot, base::Instant{std::chrono::seconds{12}}))["nodes"][0];
    for (const char* key : {"id", "name", "address", "url", "state", "state_reason", "since", "last_seen_ms", "latency_ms", "version",
                            "ollama_version", "labels", "gateway", "cpu", "memory", "gpus", "slots", "in_flight", "queued", "models",
                            "loaded", "rates", "source"}) {
        CAPTURE(key);
        CHECK(json.contains(key));
    }
    CHECK(json["state"] == "online");
    CHECK(json["last_seen_ms"] == 2000);
    CHECK(json["latency_ms"].get<double>() == Approx(1.5));
    CHECK(json["slots"] == Json{{"total", 4}, {"free", 3}});
    CHECK(json["gpus"][0]["vram_free_bytes"] == 11 * base::gib);
    CHECK(json["cpu"]["cores"] == 16);
    CHECK(json["gateway"] == true);
    CHECK(json["source"] == "lana");
}

TEST_CASE("free slots are those that the scheduler would give")
{
    auto snapshot = small_fleet();
    const auto free = [&snapshot] {
        return Json::parse(app::admin::nodes(snapshot, base::Instant{std::chrono::seconds{12}}))["nodes"][0]["slots"]["free"].get<int>();
    };
    snapshot.nodes[0].foreign = 2; // somebody asks that Ollama directly
    CHECK(free() == 1);
    snapshot.nodes[0].foreign = 0;
    snapshot.nodes[0].settings = std::make_shared<fleet::NodeSettings>(fleet::NodeSettings{.max_parallel = 2});
    CHECK(free() == 1);
    snapshot.nodes[0].foreign = 9;
    CHECK(free() == 0);
}

TEST_CASE("what a plain Ollama does not tell is null, not zero")
{
    auto snapshot = small_fleet();
    auto facts = std::make_shared<fleet::NodeFacts>();
    snapshot.nodes[0].facts = facts;
    snapshot.nodes[0].latency.reset();
    snapshot.models.clear();
    const Json json = Json::parse(app::admin::node(snapshot, snapshot.nodes[0], base::Instant{}));
    CHECK(json["cpu"]["cores"].is_null());
    CHECK(json["memory"]["total_bytes"].is_null());
    CHECK(json["latency_ms"].is_null());
    CHECK(json["slots"]["total"] == 1);
}

TEST_CASE("status counts nodes by state and models by availability")
{
    auto snapshot = small_fleet();
    snapshot.totals.queued = 3;
    snapshot.totals.reloads_avoided = 5;
    snapshot.totals.reloads_caused = 2;
    const Json json =
        Json::parse(app::admin::status(snapshot, {"0.1.0", std::chrono::seconds{61}, {10, 2, 4}}));
    CHECK(json["version"] == "0.1.0");
    CHECK(json["uptime_s"] == 61);
    CHECK(json["nodes"]["total"] == 1);
    CHECK(json["nodes"]["online"] == 1);
    CHECK(json["models"] == Json{{"available", 1}, {"loaded", 1}});
    CHECK(json["requests"] == Json{{"in_flight", 1}, {"queued", 3}, {"total", 10}, {"failed", 2}});
    CHECK(json["reloads"] == Json{{"avoided", 5}, {"caused", 2}});
    snapshot.nodes[0].state = fleet::NodeState::offline;
    const Json gone = Json::parse(app::admin::status(snapshot, {}));
    CHECK(gone["models"]["available"] == 0);
}

TEST_CASE("models list their holders with slots and context")
{
    const Json json = Json::parse(app::admin::models(small_fleet()))["models"][0];
    CHECK(json["name"] == "llama3.2:3b");
    CHECK(json["digests"] == Json{"abc"});
    CHECK(json["nodes"][0]["node"] == "box");
    CHECK(json["nodes"][0]["loaded"] == true);
    CHECK(json["nodes"][0]["context_length"] == 8192);
}

TEST_CASE("a name that is not UTF-8 cannot break the answer")
{
    auto snapshot = small_fleet();
    snapshot.nodes[0].name = "box\xFF\"";
    CHECK(Json::accept(app::admin::nodes(snapshot, base::Instant{})));
}

TEST_CASE("readiness says how many nodes can serve")
{
    CHECK(Json::parse(app::admin::readiness(small_fleet()))["nodes_routable"] == 1);
    CHECK(Json::parse(app::admin::readiness({}))["status"] == "no routable node");
}

TEST_CASE("a body that is not read is told with what is taken")
{
    const auto large = app::admin::unread({base::Errc::too_large, base::Source::client, base::Retry::never, "body", {}}, 16 * base::mib);
    CHECK(large.status == 413);
    CHECK(large.body == R"({"error":"the body is longer than 16 MiB, the most that is taken here"})");
    const auto slow = app::admin::unread({base::Errc::timed_out, base::Source::client, base::Retry::never, {}, {}}, 1);
    CHECK(slow.status == 400);
    CHECK(slow.body == R"({"error":"the rest of the body did not come in time"})");
}
