#include "fleet/called.hpp"
#include "herd/admin/compat_views.hpp"
#include "herd/admin/fleet_queue.hpp"
#include "herd/records/packed_decision.hpp"
#include "herd/records/record_view.hpp"

#include "support/catch.hpp"

#include <limits>
#include <set>

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app::admin;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

const base::WallTime noon{std::chrono::seconds{1'800'000'000}};

/// n1 with two models, one of them loaded.
fleet::Snapshot small_fleet()
{
    auto facts = std::make_shared<fleet::NodeFacts>();
    facts->disk_total = 100 * base::gib;
    facts->disk_free = 40 * base::gib;
    facts->models.push_back({.name = "llama3.2:3b", .key = "k", .size = 2 * base::gib, .row = R"({"details":{"parameter_size":"3.2B"}})"});
    facts->models.push_back({.name = "old:1b", .key = "o", .size = base::gib, .row = "no JSON"});
    facts->loaded.push_back({.name = "llama3.2:3b", .key = "k", .context_length = 16384});
    fleet::Snapshot snapshot;
    snapshot.taken_at = noon;
    snapshot.nodes.push_back({.name = "n1", .state = fleet::NodeState::online, .facts = facts, .in_flight = 2});
    snapshot.models["k"].push_back({.node = 0, .model = 0, .loaded = true, .slots = 4, .in_flight = 2});
    snapshot.models["o"].push_back({.node = 0, .model = 1});
    return snapshot;
}

store::RequestRecord record(const std::string& model, base::WallTime at)
{
    store::RequestRecord one;
    one.id = "abc";
    one.at = at;
    one.client = "10.0.0.5";
    one.api = "ollama";
    one.method = "POST";
    one.path = "/api/chat";
    one.node = "n1";
    one.model = model;
    one.requested_model = model;
    one.attempts = {{"n1", "served", 1s}};
    one.status = 200;
    one.tags = {"nightly"};
    one.prompt_tokens = 100;
    one.output_tokens = 50;
    one.ttft = 200ms;
    one.total = 1s;
    return one;
}

UsageCells cells_of(store::UsageBy by, std::chrono::seconds bucket, bool lengths = false)
{
    store::UsageSum sum({.by = by, .bucket = bucket, .since = noon - std::chrono::hours{48}, .until = noon + 1s, .lengths = lengths});
    for (int i = 0; i < 4; ++i) {
        auto one = record("llama3.2:3b", noon - std::chrono::hours{i});
        one.total = std::chrono::seconds{i + 1};
        if (i == 3) {
            one.status = 502;
            one.fallback = true;
        }
        sum.add(one);
    }
    auto nowhere = record("", noon);
    nowhere.node.clear();
    nowhere.tags.clear();
    nowhere.status = 404;
    sum.add(nowhere);
    return sum.cells();
}

} // namespace

TEST_CASE("fleet queue: what waits, what runs, what was, and how long a new one would wait")
{
    auto snapshot = small_fleet();
    snapshot.queues["k"] = {"llama3.2:3b", 3};
    FleetQueueInput input;
    input.counts[{"n1", "k"}] = {.model = "llama3.2:3b", .completed = 10, .failed = 1, .latency_ms = 100, .cold = 2, .cache_samples = 5, .cache_hit_rate = 0.25};
    input.counts[{"*", "o"}] = {.model = "old:1b", .rejected = 7};
    input.limits.queue_per_model = 256;
    input.wait = 1500ms;
    input.model = "llama3.2:3b";
    const Json json = Json::parse(fleet_queue(snapshot, input));
    CHECK(json["queue_depth"] == 5);
    CHECK(json["pending"] == 3);
    CHECK(json["in_flight"] == 2);
    CHECK(json["completed"] == 10);
    CHECK(json["failed"] == 1);
    CHECK(json["estimated_wait_ms"] == 1500);
    CHECK(json["nodes_online"] == 1);
    const Json& queue = json["queues"]["n1:llama3.2:3b"];
    for (const char* key : {"pending", "in_flight", "concurrency", "model", "node_id", "backend", "completed", "failed", "rejected", "max_queue_depth",
                            "cache_hit_rate", "warm_hit_rate", "cold_request_pct", "cache_sample_count", "stats_samples", "avg_latency_ms",
                            "avg_prompt_tokens", "avg_completion_tokens"}) {
        CAPTURE(key);
        CHECK(queue.contains(key));
    }
    CHECK(queue["concurrency"] == 4);
    CHECK(queue["warm_hit_rate"] == 0.8);
    CHECK(queue["cold_request_pct"] == 20.0);
    CHECK(queue["cache_hit_rate"] == 0.25);
    CHECK(json["queues"]["*:llama3.2:3b"]["pending"] == 3);
    CHECK(json["queues"]["*:llama3.2:3b"]["warm_hit_rate"].is_null());
    CHECK(json["queues"]["*:old:1b"]["rejected"] == 7);
    CHECK_FALSE(json["queues"].contains("n1:old:1b")); // neither loaded nor used
    CHECK(busiest_model(snapshot) == "llama3.2:3b");
    CHECK(busiest_model(small_fleet()).empty());
}

TEST_CASE("the wait is none where a place is free, else until one frees and those before had theirs")
{
    using fleet::Exclusion;
    fleet::Decision decision;
    CHECK_FALSE(predicted_wait(decision)); // nobody could take it
    decision.candidates.push_back({.name = "a", .exclusion = Exclusion::draining});
    CHECK_FALSE(predicted_wait(decision));
    decision.candidates.push_back({.name = "b", .exclusion = Exclusion::no_free_slot, .cost = {.wait_s = 4, .decode_s = 9}, .slots = 3});
    decision.candidates.push_back({.name = "c", .exclusion = Exclusion::no_free_slot, .cost = {.wait_s = 2.5, .prefill_s = 1, .decode_s = 7}, .slots = 1});
    decision.candidates.push_back({.name = "d", .exclusion = Exclusion::no_free_slot, .cost = {.wait_s = std::numeric_limits<double>::infinity()}, .slots = 9});
    CHECK(predicted_wait(decision) == 2500ms);
    decision.ahead = 6; // eight seconds each, on four slots
    CHECK(predicted_wait(decision) == 14'500ms);
    decision.ahead = 0;
    decision.chosen = base::NodeId{};
    CHECK(predicted_wait(decision) == 0ms);
}

TEST_CASE("fleet limits: caps by node, and what herd itself allows")
{
    const Json json = Json::parse(fleet_limits(small_fleet(), {.retries = 2, .queue_per_model = 256, .client_in_flight = 0}));
    CHECK(json["max_retries"] == 2);
    CHECK(json["queue_per_model"] == 256);
    CHECK(json["hot_model_cap"] == 3);
    CHECK(json["nodes"][0] == Json{{"node_id", "n1"}, {"status", "online"}, {"hot_model_cap", 3}, {"models_loaded", 1}, {"free_slots", 2},
                                   {"slots_total", 4}, {"slots_free", 2}});
}

TEST_CASE("what the past adds up to has Ollama Herd's shapes")
{
    const Json trends = Json::parse(trends_json(72, cells_of(store::UsageBy::model, 3600s)));
    REQUIRE(trends["data"].size() == 4);
    CHECK(trends["hours"] == 72);
    CHECK(trends["data"][3]["request_count"] == 2); // the one that reached no node too
    CHECK(trends["data"][3]["hour_bucket"].get<std::int64_t>() % 3600 == 0);

    const Json models = Json::parse(model_days_json(7, cells_of(store::UsageBy::model, 86'400s), small_fleet()));
    REQUIRE(models["summary"].size() == 1);
    const Json& sum = models["summary"][0];
    CHECK(sum["model_name"] == "llama3.2:3b");
    CHECK(sum["total_requests"] == 4);
    CHECK(sum["min_latency_ms"] == 1000.0);
    CHECK(sum["max_latency_ms"] == 4000.0);
    CHECK(sum["avg_latency_ms"] == 2500.0);
    CHECK(sum["last_seen"] == 1'800'000'000.0);
    CHECK(sum["first_seen"] == 1'800'000'000.0 - 3 * 3600);
    CHECK(models["daily"][0]["total_completion_tokens"] == 200);

    const Json overview = Json::parse(overview_json(cells_of(store::UsageBy::model, 86'400s), small_fleet()));
    CHECK(overview == Json{{"total_requests", 5}, {"total_prompt_tokens", 500}, {"total_completion_tokens", 250}, {"total_tokens", 750}, {"models_count", 1}});

    const Json usage = Json::parse(node_model_days_json(7, cells_of(store::UsageBy::model_on_node, 86'400s)));
    REQUIRE(usage["data"].size() == 1);
    CHECK(usage["data"][0]["node_id"] == "n1");
    CHECK(usage["data"][0]["model"] == "llama3.2:3b");
    CHECK(usage["data"][0]["completed_count"] == 3);
    CHECK(usage["data"][0]["failed_count"] == 1);
    CHECK(usage["data"][0]["total_fallbacks"] == 1);
    CHECK(usage["data"][0]["avg_ttft_ms"] == 200.0);

    const Json tags = Json::parse(tags_json(7, cells_of(store::UsageBy::tag, 86'400s)));
    CHECK(tags["data"][0]["tag"] == "nightly");
    CHECK(tags["summary"][0]["total_requests"] == 4);
    const Json daily = Json::parse(tag_days_json(7, cells_of(store::UsageBy::tag, 86'400s)));
    CHECK(daily["data"][0]["total_tokens"] == 600);
}

TEST_CASE("traces and usage agree on what failed: what was neither completed nor left by its client")
{
    store::UsageSum sum({.by = store::UsageBy::model_on_node, .bucket = 86'400s, .since = noon - 1s, .until = noon + 1s});
    std::vector<store::RequestRecord> all;
    for (const auto& [status, termination] : {std::pair{200, "--"}, {400, "--"}, {502, "NC"}, {200, "ND"}, {200, "PD"}, {499, "CD"}}) {
        all.push_back(record("m:1b", noon));
        all.back().status = status;
        all.back().termination = termination;
        sum.add(all.back());
    }
    int completed = 0;
    int failed = 0;
    for (const Json traces = Json::parse(traces_json(all)); const auto& trace : traces["traces"]) {
        completed += trace["status"] == "completed" ? 1 : 0;
        failed += trace["status"] == "failed" || trace["status"] == "incomplete" ? 1 : 0;
    }
    CHECK(completed == 1);
    CHECK(failed == 4); // a node's 400 with them
    const Json usage = Json::parse(node_model_days_json(7, sum.cells()));
    CHECK(usage["data"][0]["completed_count"] == completed);
    CHECK(usage["data"][0]["failed_count"] == failed);
    CHECK(usage["data"][0]["request_count"] == 6);
}

TEST_CASE("models are what answered or is on a node, not every name that somebody asked for")
{
    store::UsageSum sum({.by = store::UsageBy::model, .bucket = 86'400s, .since = noon - 1s, .until = noon + 1s});
    for (const auto& [model, status] : {std::pair{"gone:1b", 200}, {"old:1b", 502}, {"nosuch:latest", 404}}) {
        auto one = record(model, noon);
        one.status = status;
        one.termination = status == 502 ? "NC" : "--";
        sum.add(one);
    }
    fleet::Snapshot snapshot;
    snapshot.models["registry.ollama.ai/library/old:1b"].push_back({});
    const Json overview = Json::parse(overview_json(sum.cells(), snapshot));
    CHECK(overview["models_count"] == 2);
    CHECK(overview["total_requests"] == 3);
    const Json models = Json::parse(model_days_json(7, sum.cells(), snapshot));
    REQUIRE(models["summary"].size() == 2);
    CHECK(models["daily"].size() == 2);
    CHECK(models["summary"][0]["model_name"] == "gone:1b"); // it did answer
}

TEST_CASE("of two nodes with one name no number is lost, and none told twice")
{
    auto snapshot = small_fleet();
    snapshot.nodes.push_back(snapshot.nodes.front());
    snapshot.nodes.push_back({.name = "n1-2", .state = fleet::NodeState::online});
    snapshot.nodes.front().state = fleet::NodeState::offline; // the one that is there comes first
    snapshot.models["k"].push_back({.node = 1, .model = 0, .loaded = true, .slots = 2, .in_flight = 3});
    CHECK(fleet::distinct_names(snapshot) == std::vector<std::string>{"n1-1", "n1", "n1-2"});
    FleetQueueInput input;
    input.counts[{"n1", "k"}] = {.model = "llama3.2:3b", .completed = 10, .failed = 1};
    const Json queue = Json::parse(fleet_queue(snapshot, input));
    CHECK(queue["queues"]["n1:llama3.2:3b"]["in_flight"] == 3);
    CHECK(queue["queues"]["n1-1:llama3.2:3b"]["in_flight"] == 2);
    CHECK(queue["in_flight"] == 5);
    CHECK(queue["completed"] == 10);
    const Json status = Json::parse(fleet_status(snapshot, input.counts, {}));
    CHECK(status["nodes"][0]["node_id"] == "n1-1");
    CHECK(status["nodes"][0]["herd"]["name"] == "n1");
    CHECK(status["queues"]["n1-1:llama3.2:3b"]["in_flight"] == 2);
    CHECK(status["queues"]["n1:llama3.2:3b"]["completed"] == 10);
    CHECK(Json::parse(fleet_limits(snapshot, {}))["nodes"][0]["node_id"] == "n1-1");
}

TEST_CASE("contexts: what was used against what is allocated, and what would do")
{
    const auto cells = cells_of(store::UsageBy::model, 100 * 86'400s, true);
    const Json json = Json::parse(contexts_json(7, cells, cells, small_fleet(), nullptr));
    REQUIRE(json["models"].size() == 1);
    const Json& model = json["models"][0];
    CHECK(model["allocated_ctx"] == 16384);
    CHECK(model["prompt_tokens"]["avg"] == 100);
    CHECK(model["prompt_tokens"]["p50"].get<double>() == Approx(100).epsilon(0.04));
    CHECK(model["total_tokens"]["max"] == 150);
    CHECK(model["total_tokens"]["max_24h"] == 150);
    CHECK(model["recommended_ctx"] == 4096);
    CHECK(model["savings_pct"] == 75.0);
    CHECK(model["override_ctx"].is_null());
    for (const auto& [name, expected] : {std::pair{"llama3.2:3b", Json(32'768)}, {"another:1b", Json(nullptr)}}) {
        const auto rules = proxy::ModelRules::compile({.each = {{.model = name, .num_ctx = 32'768}}});
        REQUIRE(rules);
        CHECK(Json::parse(contexts_json(7, cells, cells, small_fleet(), rules->get()))["models"][0]["override_ctx"] == expected);
    }
}

TEST_CASE("models by node tell when they were used last")
{
    const Json json = Json::parse(model_management_json(cells_of(store::UsageBy::model_on_node, 100 * 86'400s), small_fleet(), noon + std::chrono::hours{24 * 8}));
    const Json& node = json["nodes"][0];
    CHECK(node["disk_available_gb"] == 40.0);
    CHECK(node["total_size_gb"] == 3.0);
    CHECK(node["models"][0]["parameter_size"] == "3.2B");
    CHECK(node["models"][0]["days_unused"] == 8.0);
    CHECK(node["models"][0]["unused"] == true);
    CHECK(node["models"][0]["loaded_in_vram"] == true);
    CHECK(node["models"][1]["last_used"].is_null());
    CHECK(node["models"][1]["unused"] == true);
}

TEST_CASE("traces have the 19 columns")
{
    auto one = record("llama3.2:3b", noon);
    one.attempts.insert(one.attempts.begin(), {"attic", "refused", 1ms});
    fleet::Decision decision;
    decision.chosen = base::NodeId{};
    decision.candidates.push_back({.name = "n1", .cost = {.wait_s = 0.5, .load_s = 1, .prefill_s = 0.25, .decode_s = 2, .risk_s = 0.125}});
    one.decision = app::pack_decision(decision);
    const Json trace = Json::parse(traces_json({one}))["traces"][0];
    std::set<std::string> keys;
    for (const auto& [key, value] : trace.items()) {
        keys.insert(key);
    }
    CHECK(keys == std::set<std::string>{"request_id", "model", "original_model", "node_id", "score", "scores_breakdown", "status", "latency_ms",
                                        "time_to_first_token_ms", "prompt_tokens", "completion_tokens", "retry_count", "fallback_used", "excluded_nodes",
                                        "client_ip", "original_format", "error_message", "timestamp", "tags"});
    CHECK(trace["status"] == "completed");
    CHECK(trace["retry_count"] == 1); // as many as there were attempts beyond the first
    CHECK(trace["excluded_nodes"] == Json::array({"attic"}));
    CHECK(trace["timestamp"] == 1'800'000'001.0);
    CHECK(trace["scores_breakdown"] == Json{{"thermal", 1.0}, {"memory_fit", 0.0}, {"queue_depth", 0.5}, {"wait_time", 0.25}, {"role_affinity", 2.0},
                                            {"availability_trend", 0.125}, {"context_fit", 0.0}, {"total", 3.875}});
    const auto status_of = [](store::RequestRecord other) { return Json::parse(traces_json({std::move(other)}))["traces"][0]["status"].get<std::string>(); };
    const auto retries_of = [](store::RequestRecord other) { return Json::parse(traces_json({std::move(other)}))["traces"][0]["retry_count"].get<int>(); };
    one.attempts = {{"n1", "cancelled", 1s}};
    CHECK(retries_of(one) == 0); // the client left
    one.attempts = {{"n1", "refused", 1s}};
    CHECK(retries_of(one) == 0); // a 502 after one attempt
    one.termination = "CD";
    CHECK(status_of(one) == "client_disconnected");
    one.termination = "ND";
    CHECK(status_of(one) == "incomplete");
    one.termination = "NC";
    one.status = 502;
    CHECK(status_of(one) == "failed");
    one.attempts.clear();
    one.termination = "PQ";
    one.status = 429;
    CHECK(status_of(one) == "rejected");
}
