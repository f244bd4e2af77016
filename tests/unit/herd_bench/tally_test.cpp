// What a benchmark adds up, and how it is told and kept.
#include "herd/bench/book.hpp"
#include "herd/bench/run_view.hpp"
#include "support/catch.hpp"

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app::bench;
using namespace std::chrono_literals;

namespace {

Told answered(std::string node, base::Duration total, std::int64_t tokens)
{
    Told told{.well = true, .node = std::move(node), .first = 100ms, .total = total};
    told.timings.prompt_tokens = 10;
    told.timings.output_tokens = tokens;
    return told;
}

/// Ten seconds of two models on two nodes.
Run measured()
{
    Run run{.id = "r1", .at = base::WallTime{std::chrono::seconds{1'780'000'000}}, .status = Status::complete, .version = "1.2.3", .policy = "cost", .fleet = R"({"nodes":[],"models":[]})"};
    run.targets = {{.key = "a", .model = "a:1b"}, {.key = "b", .model = "b:1b", .type = Type::embed}};
    run.elapsed = 10s;
    for (int i = 0; i < 3; ++i) {
        run.tally.add(0, answered("n1", 1s, 100));
    }
    run.tally.add(1, answered("n2", 3s, 0));
    run.tally.add(0, {.error = "the answer was 500", .node = "n1", .total = 60s});
    return run;
}

} // namespace

TEST_CASE("percentiles tell how many were slower, and count what took no time")
{
    Tally tally;
    for (int i = 1; i <= 100; ++i) {
        auto told = answered("n1", i * 10ms, 1);
        told.gaps.add(milliseconds(0ms));
        tally.add(0, told);
    }
    CHECK(std::abs(tally.latency().percentile(0.5).value() / 500 - 1) < 0.03);
    CHECK(std::abs(tally.latency().percentile(0.99).value() / 990 - 1) < 0.03);
    CHECK(tally.gaps().count() == 100);
    CHECK(tally.gaps().percentile(0.5).value() < 0.01);
}

TEST_CASE("only what was answered well counts in figures; what failed is counted, and what we ended is not")
{
    Tally tally;
    tally.add(0, answered("n1", 2s, 50));
    tally.add(0, {.error = "the answer was 500", .node = "n1", .total = 60s});
    tally.add(0, {.cut = true, .error = "the answer broke off", .node = "n1", .total = 60s});
    CHECK(tally.all().requests == 1);
    CHECK(tally.all().output_tokens == 50);
    CHECK(tally.failures() == 1);
    CHECK(tally.errors().at("the answer was 500") == 1);
    CHECK(tally.latency().count() == 1);
    CHECK(tally.nodes().at("n1").requests == 1);
}

TEST_CASE("different sentences of failures are bounded")
{
    Tally tally;
    for (int i = 0; i < 100; ++i) {
        tally.add(0, {.error = std::to_string(i)});
    }
    CHECK(tally.failures() == 100);
    CHECK(tally.errors().size() == Tally::errors_max);
}

TEST_CASE("a load of more than a second is a cold one")
{
    Tally tally;
    auto told = answered("n1", 2s, 1);
    told.timings.load = 900ms;
    tally.add(0, told);
    told.timings.load = 1100ms;
    tally.add(0, told);
    CHECK(tally.cold_loads() == 1);
}

TEST_CASE("how busy nodes were is told by mean and peak, of those that take requests")
{
    fleet::Snapshot snapshot;
    const auto busy = [&snapshot](double cpu, base::Bytes available, int in_flight) {
        auto facts = std::make_shared<fleet::NodeFacts>();
        facts->host = {.cpu_busy = cpu, .memory_total = 100, .memory_available = available};
        snapshot.nodes = {fleet::NodeView{.name = "n1", .state = fleet::NodeState::online, .facts = facts, .in_flight = in_flight},
                          fleet::NodeView{.name = "gone", .state = fleet::NodeState::offline, .facts = facts}};
    };
    Tally tally;
    busy(0.2, 60, 1);
    tally.sample(snapshot);
    busy(0.8, 40, 5);
    tally.sample(snapshot);
    REQUIRE(tally.utilization().size() == 1);
    const auto& one = tally.utilization().at("n1");
    CHECK(std::abs(one.cpu.mean() - 50) < 0.01);
    CHECK(std::abs(one.cpu.peak - 80) < 0.01);
    CHECK(std::abs(one.memory.mean() - 50) < 0.01);
    CHECK(std::abs(one.memory.peak - 60) < 0.01);
    CHECK(one.active.peak == 5);
}

TEST_CASE("a node that does not tell how busy it is has no figures of that, and no nought")
{
    auto told = std::make_shared<fleet::NodeFacts>();
    told->host = {.cpu_busy = 0.0, .memory_total = 100, .memory_available = 100};
    fleet::Snapshot snapshot;
    snapshot.nodes = {fleet::NodeView{.name = "agent", .state = fleet::NodeState::online, .facts = told},
                      fleet::NodeView{.name = "plain", .state = fleet::NodeState::online, .facts = std::make_shared<fleet::NodeFacts>(), .in_flight = 2}};
    Run run = measured();
    run.tally.sample(snapshot);
    const auto rows = nlohmann::json::parse(run_json(run, Status::complete))["peak_utilization"];
    CHECK(rows[0] == nlohmann::json::parse(R"({"node_id":"agent","cpu_avg":0.0,"cpu_peak":0.0,"mem_avg":0.0,"mem_peak":0.0,"active_peak":0})"));
    CHECK(rows[1] == nlohmann::json::parse(R"({"node_id":"plain","cpu_avg":null,"cpu_peak":null,"mem_avg":null,"mem_peak":null,"active_peak":2})"));
}

TEST_CASE("a run is told in the shape that Ollama Herd's users know, with what is ours beside it")
{
    const auto json = nlohmann::json::parse(run_json(measured(), Status::complete));
    CHECK(json["run_id"] == "r1");
    CHECK(json["timestamp"] == 1'780'000'000.0);
    CHECK(json["duration_s"] == 10.0);
    CHECK(json["total_requests"] == 4);
    CHECK(json["total_failures"] == 1);
    CHECK(json["total_prompt_tokens"] == 40);
    CHECK(json["total_completion_tokens"] == 300);
    CHECK(json["requests_per_sec"] == 0.4);
    CHECK(json["tokens_per_sec"] == 30.0);
    for (const char* name : {"latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "ttft_p50_ms", "ttft_p95_ms", "ttft_p99_ms", "inter_token_p50_ms", "inter_token_p95_ms", "inter_token_p99_ms"}) {
        CHECK(json[name].is_number());
    }
    CHECK(json["per_model_results"][0] == nlohmann::json::parse(R"({"model":"a:1b","model_type":"llm","requests":3,"tok_s":30.0,"avg_latency_ms":1000.0,"avg_ttft_ms":100.0})"));
    CHECK(json["per_model_results"][1]["model_type"] == "embed");
    CHECK(json["per_node_results"][0] == nlohmann::json::parse(R"({"node_id":"n1","requests":3,"pct":75.0,"tok_s":30.0,"tokens":300})"));
    CHECK(json["errors"][0]["count"] == 1);
    CHECK(json["cold_loads"] == 0);
    CHECK(json["policy"] == "cost");
    CHECK(json["version"] == "1.2.3");
    CHECK(json["fleet"]["nodes"].empty());
}

TEST_CASE("progress has all its members from the first moment on")
{
    const auto idle = nlohmann::json::parse(progress_json({}));
    CHECK(idle["status"] == "idle");
    CHECK(idle["run_id"].is_null());
    CHECK(idle["error"].is_null());
    CHECK(idle["pull_progress"].empty());
    Run run = measured();
    run.status = Status::pulling;
    run.pulling = "c:1b";
    run.percent = 40;
    const auto json = nlohmann::json::parse(progress_json(run));
    CHECK(json["status"] == "pulling");
    CHECK(json["pull_progress"]["percent"] == 40);
    CHECK(json["models"].size() == 2);
    CHECK(json["requests_completed"] == 4);
    CHECK(json["requests_failed"] == 1);
    CHECK(json["tok_per_sec"] == 30.0);
}

TEST_CASE("a name that is no text of ours does not break the JSON")
{
    Run run = measured();
    run.targets[0].model = "a\xff\"<b>";
    CHECK(nlohmann::json::parse(run_json(run, Status::complete))["per_model_results"][0]["model"].is_string());
}

TEST_CASE("the newest fifty runs are kept, and read again as they were written")
{
    Book book;
    for (int i = 0; i < 60; ++i) {
        book.add("r" + std::to_string(i), R"({"run_id":"r)" + std::to_string(i) + "\"}");
    }
    CHECK(book.size() == Book::kept);
    CHECK(book.list(2) == R"({"data":[{"run_id":"r59"},{"run_id":"r58"}]})");
    CHECK(book.find("r9") == nullptr);
    REQUIRE(book.find("r10") != nullptr);
    Book again;
    REQUIRE(again.read(book.text()));
    CHECK(again.text() == book.text());
    CHECK(again.list(1) == R"({"data":[{"run_id":"r59"}]})");
}

TEST_CASE("what is no list of runs is not taken, and nothing is lost by it")
{
    Book book;
    book.add("r1", R"({"run_id":"r1"})");
    for (const char* text : {"", "{}", "[1]", R"([{"run_id":1}])", R"([{"run_id":"a"},{}])", R"([{"run_id":"a"})"}) {
        CHECK_FALSE(book.read(text));
    }
    CHECK(book.find("r1") != nullptr);
    CHECK(book.read("[]\n"));
    CHECK(book.size() == 0);
}
