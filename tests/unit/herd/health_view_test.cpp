#include "herd/admin/fleet_status.hpp"
#include "herd/health/health_view.hpp"
#include "herd/health/keeper.hpp"
#include "herd/records/packed_decision.hpp"

#include "support/catch.hpp"

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app::health;
using Json = nlohmann::json;

namespace {

Report sick()
{
    Report report;
    report.score = 77;
    report.at = base::WallTime{std::chrono::seconds{1'700'000'000}};
    Finding offline{.severity = Severity::critical, .summary = "n1 is \xFF offline", .advice = "check", .node = "n1"};
    offline.data = {{"last_heartbeat_ago_s", 12.5}, {"flag", true}, {"count", std::int64_t{3}}, {"word", std::string{"x"}},
                    {"names", Names{"a", "b"}}, {"by_model", CountsByName{{"m", 2}}},
                    {"rows", std::vector<Row>{{{"model", std::string{"m"}}, {"ratio", 8.5}}}}};
    Finding other = offline;
    other.node = "n2";
    Finding old{.severity = Severity::info, .summary = "was", .advice = "none", .model = "m:1b", .nodes = {"n1", "n2"}, .resolved = true};
    report.checks = {{.id = "node_offline", .title = "Node offline", .advice = "a", .findings = {offline, other}},
                     {.id = "model_thrashing", .title = "Thrashing", .advice = "b", .findings = {old}},
                     {.id = "no_nodes", .title = "Nobody", .advice = "c"}};
    report.vitals = {.requests = 10, .retries = 1, .error_rate_percent = 12.345, .nodes_total = 3, .nodes_online = 1, .nodes_offline = 2};
    return report;
}

} // namespace

TEST_CASE("a health report has the contract's shape, ok checks included")
{
    const Json json = Json::parse(report_json(sick()));
    CHECK(json["score"] == 77);
    REQUIRE(json["checks"].size() == 3);
    const Json& worst = json["checks"][0];
    CHECK(worst["id"] == "node_offline");
    CHECK(worst["severity"] == "critical");
    CHECK(worst["summary"].get<std::string>().ends_with("(and 1 more)"));
    CHECK(worst["nodes"] == Json{"n1", "n2"});
    CHECK(worst["findings"][0]["data"]["count"] == 3);
    CHECK(worst["findings"][0]["data"]["names"] == Json{"a", "b"});
    CHECK(worst["findings"][0]["data"]["by_model"] == Json{{"m", 2}});
    CHECK(worst["findings"][0]["data"]["rows"] == Json::array({Json{{"model", "m"}, {"ratio", 8.5}}}));
    CHECK(json["checks"][1]["nodes"] == Json{"n1", "n2"});
    CHECK(json["checks"][1]["models"] == Json::array({"m:1b"}));
    CHECK(json["checks"][1]["findings"][0]["resolved"] == true);
    CHECK(json["checks"][2] == Json{{"id", "no_nodes"}, {"title", "Nobody"}, {"severity", "ok"}, {"summary", "nothing found"}, {"advice", ""},
                                    {"nodes", Json::array()}, {"models", Json::array()}, {"findings", Json::array()}});
    CHECK(Json::parse(event_json(sick()))["checks"].size() == 2);
}

TEST_CASE("Ollama Herd's shape: one recommendation per finding, vitals beside them")
{
    const Json json = Json::parse(recommendations_json(sick()));
    REQUIRE(json["recommendations"].size() == 3);
    const Json& first = json["recommendations"][0];
    CHECK(first["check_id"] == "node_offline");
    CHECK(first["node_id"] == "n1");
    CHECK(first["fix"] == "check");
    CHECK(first["data"]["last_heartbeat_ago_s"] == 12.5);
    CHECK(json["recommendations"][2]["node_id"].is_null());
    CHECK(json["recommendations"][2]["data"]["resolved"] == true);
    CHECK(json["vitals"]["overall_error_rate_pct"] == 12.3);
    CHECK(json["vitals"]["avg_ttft_ms"].is_null());
    CHECK(json["vitals"]["health_score"] == 77);
    CHECK(json["checked_at"] == 1'700'000'000.0);
}

TEST_CASE("of a record health keeps outcomes, times and whether a reload was expected")
{
    store::RequestRecord record;
    record.node = "n2";
    record.model = "m:1b";
    record.status = 200;
    record.attempts = {{"n1", "refused", {}}, {"n2", "served", {}}};
    record.load = std::chrono::seconds{5};
    record.output_tokens = 7;
    fleet::Decision decision;
    decision.chosen = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
    decision.candidates.push_back({.node = *decision.chosen, .name = "n2", .loaded = true});
    record.decision = app::pack_decision(decision);
    const Finished finished = finished_of(record);
    CHECK(finished.attempts[0].outcome == fleet::Result::refused);
    CHECK(finished.attempts[1].outcome == fleet::Result::served);
    CHECK(finished.timings.output_tokens == 7);
    CHECK(finished.other_class);
    record.load = std::chrono::milliseconds{20};
    CHECK_FALSE(finished_of(record).other_class);
    record.load = std::chrono::seconds{5};
    decision.candidates.front().same_class = true;
    for (const std::string& other : {std::string{}, std::string{"{"}, app::pack_decision(decision)}) {
        record.decision = other;
        CHECK_FALSE(finished_of(record).other_class);
    }
}

TEST_CASE("an announcement's clock is compared with ours, absurd ones are not")
{
    discovery::Sighting sighting;
    sighting.header.boot_id = 7;
    sighting.header.time_ms = 1'700'000'030'000;
    sighting.body = discovery::Announce{};
    const base::WallTime now{std::chrono::seconds{1'700'000'000}};
    const Heard heard = heard_of(sighting, now);
    CHECK(heard.skew == std::chrono::seconds{30});
    CHECK(heard.boot_id == 7);
    sighting.header.time_ms = 0;
    CHECK_FALSE(heard_of(sighting, now).skew);
    sighting.header.time_ms = ~std::uint64_t{0};
    CHECK_FALSE(heard_of(sighting, now).skew);
}

TEST_CASE("fleet status tells of tools beside a node, and which models embed")
{
    auto facts = std::make_shared<fleet::NodeFacts>();
    const auto row = [](const char* more) { return std::string(R"({"name":"x",)") + more + "}"; };
    facts->models = {{.name = "z-image-turbo:latest", .key = "z", .row = row(R"("details":{"type":"image","backend":"mflux"},"capabilities":["image"])")},
                     {.name = "whisper:latest", .key = "w", .row = row(R"("details":{"type":"transcription","backend":"whisper.cpp"})")},
                     {.name = "bge-m3:latest", .key = "bge", .row = row(R"("details":{"family":"bert"},"capabilities":["embedding"])")},
                     {.name = "old-minilm:latest", .key = "minilm", .row = row(R"("details":{"family":"nomic-bert"})")},
                     {.name = "chat-about-embedding:1b", .key = "chat", .row = row(R"("details":{"family":"llama"},"capabilities":["completion"])")},
                     {.name = "some-Embed:1b", .key = "some"}};
    fleet::Snapshot snapshot;
    fleet::NodeView view;
    view.name = "n1";
    view.state = fleet::NodeState::online;
    view.address.endpoint = *base::Endpoint::parse("10.0.0.7:11436");
    view.facts = facts;
    snapshot.nodes.push_back(view);
    for (std::size_t i = 0; i < facts->models.size(); ++i) {
        snapshot.models[facts->models[i].key].push_back({.node = 0, .model = i, .loaded = true, .in_flight = i == 0 ? 1 : 0});
        snapshot.models[facts->models[i].key].back().tool = fleet::tool_of(facts->models[i].row);
    }
    snapshot.tools = {{"z", fleet::Tool::image}, {"w", fleet::Tool::speech}};
    const Json json = Json::parse(app::admin::fleet_status(snapshot, {}, {}));
    const Json& node = json["nodes"][0];
    CHECK(node["image"] == Json{{"models_available", {{{"name", "z-image-turbo"}, {"binary", "mflux"}}}}, {"generating", true}});
    CHECK(node["image_port"] == 11436);
    CHECK(node["transcription"] == Json{{"models_available", {{{"name", "whisper"}, {"binary", "whisper.cpp"}}}}, {"transcribing", false}});
    CHECK(node["transcription_port"] == 11436);
    const auto kind = [&](const char* model) { return json["queues"][std::string("n1:") + model]["request_type"].get<std::string>(); };
    CHECK(kind("z-image-turbo:latest") == "image");
    CHECK(kind("whisper:latest") == "stt");
    CHECK(kind("bge-m3:latest") == "embed");
    CHECK(kind("old-minilm:latest") == "embed");
    CHECK(kind("chat-about-embedding:1b") == "text");
    CHECK(kind("some-Embed:1b") == "embed");
    auto plain = *facts;
    plain.models.erase(plain.models.begin(), plain.models.begin() + 2);
    snapshot = {};
    view.facts = std::make_shared<const fleet::NodeFacts>(plain);
    snapshot.nodes.push_back(view);
    const Json without = Json::parse(app::admin::fleet_status(snapshot, {}, {}));
    for (const char* key : {"image", "image_port", "transcription", "transcription_port"}) {
        CHECK_FALSE(without["nodes"][0].contains(key));
    }
}

TEST_CASE("fleet status: nodes in three words, queues by node and model, waiting ones under *")
{
    auto facts = std::make_shared<fleet::NodeFacts>();
    facts->cpu = "AMD Ryzen 7 7700";
    facts->arch = "x86_64";
    facts->host = {.cores = 8, .cores_physical = 4, .cpu_busy = 0.152, .memory_total = 64 * base::gib, .memory_available = 4 * base::gib};
    facts->models.push_back({.name = "llama3.2:3b", .key = "k"});
    facts->loaded.push_back({.name = "llama3.2:3b", .key = "k", .size = base::gib, .context_length = 4096,
                             .row = R"({"details":{"parameter_size":"3.2B","quantization_level":"Q4_K_M"}})"});
    fleet::Snapshot snapshot;
    fleet::NodeView view;
    view.name = "n1";
    view.state = fleet::NodeState::online;
    view.in_flight = 2;
    view.facts = facts;
    snapshot.nodes.push_back(view);
    view.name = "n2";
    view.state = fleet::NodeState::suspect;
    view.facts = nullptr;
    view.in_flight = 0;
    snapshot.nodes.push_back(view);
    snapshot.models["k"].push_back({.node = 0, .model = 0, .loaded = true, .slots = 4, .in_flight = 2});
    snapshot.queues["k"] = {"llama3.2:3b", 3};
    app::admin::QueueCountsOf counts;
    counts[{"n1", "k"}] = {.model = "llama3.2:3b", .completed = 42, .latency_ms = 100};
    const Json json = Json::parse(app::admin::fleet_status(snapshot, counts, {}));
    CHECK(json["fleet"] == Json{{"nodes_total", 2}, {"nodes_online", 1}, {"models_loaded", 1}, {"requests_active", 2}});
    const Json& node = json["nodes"][0];
    CHECK(node["status"] == "online");
    CHECK(node["hardware"] == Json{{"memory_total_gb", 64.0}, {"cores_physical", 4}, {"chip", "AMD Ryzen 7 7700"}, {"memory_bandwidth_gbps", 0.0}, {"arch", "x86_64"}});
    CHECK(node["cpu"]["utilization_pct"] == 15.2);
    CHECK(node["memory"]["pressure"] == "warn");
    CHECK(node["ollama"]["models_loaded"][0]["parameter_size"] == "3.2B");
    CHECK(node["ollama"]["models_loaded"][0]["requests_active"] == 2);
    CHECK(node["free_slots"] == 2);
    CHECK(node["herd"]["name"] == "n1");
    CHECK(json["nodes"][1]["status"] == "degraded");
    CHECK_FALSE(json["nodes"][1].contains("memory"));
    CHECK(json["queues"]["n1:llama3.2:3b"]["completed"] == 42);
    CHECK(json["queues"]["n1:llama3.2:3b"]["concurrency"] == 4);
    CHECK(json["queues"]["*:llama3.2:3b"]["pending"] == 3);
    CHECK(json["queues"]["*:llama3.2:3b"]["node_id"] == "*");

    auto with_card = std::make_shared<fleet::NodeFacts>(*facts);
    with_card->gpus = {{.name = "NVIDIA GeForce RTX 3090"}};
    snapshot.nodes[0].facts = with_card;
    const Json hardware = Json::parse(app::admin::fleet_status(snapshot, counts, {}))["nodes"][0]["hardware"];
    CHECK(hardware["chip"] == "NVIDIA GeForce RTX 3090");
    CHECK(hardware["memory_bandwidth_gbps"] == 936.0);
}
