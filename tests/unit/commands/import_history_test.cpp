// Ollama Herd's rows as records of ours: what of a row makes sense, and which rows are one request.
#include "herd/cli/import_history.hpp"
#include "herd/import/ollama_herd_history.hpp"
#include "support/catch.hpp"

#include <cmath>
#include <limits>

using namespace herd;
using namespace herd::app::import;
using store::ForeignCells;
using store::ForeignValue;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const base::WallTime now{seconds{1'800'000'000}};
constexpr double end = 1'799'999'000.25;
const base::WallTime ended = base::WallTime{milliseconds{1'799'999'000'250}};

/// A good row in which some columns are others.
ForeignCells row(const std::map<std::string, ForeignValue>& others = {})
{
    std::map<std::string, ForeignValue> all{{"request_id", "5f0c-1"}, {"model", "qwen3:8b"}, {"status", "completed"}, {"timestamp", end},
                                            {"original_model", "qwen3:70b"}, {"node_id", "studio"}, {"latency_ms", 1500.0}, {"time_to_first_token_ms", 250.5},
                                            {"prompt_tokens", std::int64_t{26}}, {"completion_tokens", std::int64_t{100}}, {"retry_count", std::int64_t{0}},
                                            {"fallback_used", std::int64_t{1}}, {"excluded_nodes", {}}, {"client_ip", ""}, {"original_format", "openai"},
                                            {"error_message", {}}, {"tags", R"(["nightly","nightly","app"])"}};
    for (const auto& [name, value] : others) {
        REQUIRE(all.contains(name));
        all[name] = value;
    }
    ForeignCells cells;
    for (const char* const column : trace_columns) {
        cells.push_back(all.at(column));
    }
    return cells;
}

Trace trace(const std::map<std::string, ForeignValue>& others = {})
{
    auto one = trace_of(row(others), now);
    REQUIRE(one);
    return *one;
}

store::RequestRecord alone(const std::map<std::string, ForeignValue>& others = {}) { return record_of({trace(others)}); }

std::string end_of(const store::RequestRecord& record) { return std::to_string(record.status) + " " + record.termination; }

} // namespace

TEST_CASE("a row of Ollama Herd is a record of ours")
{
    const auto record = alone();
    CHECK(record.id == "5f0c-1");
    CHECK(record.at == ended - milliseconds{1500});
    CHECK(record.total == milliseconds{1500});
    CHECK(record.ttft == std::chrono::microseconds{250'500});
    CHECK(record.model == "qwen3:8b");
    CHECK(record.requested_model == "qwen3:70b");
    CHECK(record.node == "studio");
    CHECK(record.api == "openai");
    CHECK(record.prompt_tokens == 26);
    CHECK(record.output_tokens == 100);
    CHECK(record.fallback);
    CHECK(record.tags == std::vector<std::string>{"nightly", "app"});
    REQUIRE(record.attempts.size() == 1);
    CHECK(record.attempts[0].outcome == "served");
    CHECK(end_of(record) == "200 --");
    CHECK_FALSE(record.failed());
    CHECK_FALSE(trace().lessened);
    CHECK_FALSE(trace({{"tags", {}}, {"client_ip", {}}, {"original_format", {}}, {"prompt_tokens", {}}, {"latency_ms", {}}, {"time_to_first_token_ms", {}}}).lessened);
}

TEST_CASE("how a request ended there is said in herd's words")
{
    const ForeignValue none;
    for (const auto& [status, begun, unbegun, outcome, failed] :
         std::vector<std::tuple<std::string, std::string, std::string, std::string, bool>>{{"completed", "200 --", "200 --", "served", false},
                                                                                          {"no_output", "200 --", "200 --", "served", false},
                                                                                          {"client_disconnected", "200 CD", "499 CH", "cancelled", false},
                                                                                          {"incomplete", "200 ND", "200 ND", "broken", true},
                                                                                          {"failed", "200 ND", "502 NH", "broken", true},
                                                                                          {"retried", "200 ND", "502 NH", "broken", true}}) {
        CAPTURE(status);
        const auto late = alone({{"status", status}});
        const auto early = alone({{"status", status}, {"time_to_first_token_ms", none}});
        CHECK(end_of(late) == begun);
        CHECK(end_of(early) == unbegun);
        CHECK(late.attempts.at(0).outcome == outcome);
        CHECK(late.failed() == failed);
        CHECK(early.failed() == failed);
    }
    CHECK(alone({{"status", "no_output"}}).error == "no output");
    CHECK(alone({{"status", "failed"}, {"error_message", "it\nbroke"}}).error == "it broke");
}

TEST_CASE("attempts of one request are one record, from its arrival on")
{
    TraceWindow window(10);
    const ForeignValue none;
    CHECK_FALSE(window.add(trace({{"timestamp", end + 9}, {"node_id", "third"}, {"retry_count", std::int64_t{2}}, {"latency_ms", 4000.0}})));
    CHECK_FALSE(window.add(trace({{"request_id", "other"}})));
    CHECK_FALSE(window.add(trace({{"timestamp", end + 4}, {"status", "retried"}, {"node_id", "second"}, {"latency_ms", 3000.0}, {"time_to_first_token_ms", none}})));
    CHECK_FALSE(window.add(trace({{"status", "retried"}, {"node_id", "first"}, {"latency_ms", 1000.0}, {"time_to_first_token_ms", none}})));
    const auto rows = window.next();
    REQUIRE(rows);
    REQUIRE(rows->size() == 3);
    const auto record = record_of(*rows);
    CHECK(record.at == ended - seconds{1});
    CHECK(record.total == seconds{10}); // the waits between them, too
    CHECK(record.ttft == seconds{6} + std::chrono::microseconds{250'500});
    CHECK(end_of(record) == "200 --");
    REQUIRE(record.attempts.size() == 3);
    CHECK(record.attempts[0].node == "first");
    CHECK(record.attempts[0].outcome == "failed");
    CHECK(record.attempts[1].took == seconds{3});
    CHECK(record.attempts[2].node == "third");
    CHECK(record.node == "third");
    REQUIRE(window.next()->size() == 1);
    CHECK_FALSE(window.next());
}

TEST_CASE("attempts without rows of their own are known by the names of their nodes")
{
    const auto record = alone({{"retry_count", std::int64_t{2}}, {"excluded_nodes", R"(["a","b","c"])"}});
    REQUIRE(record.attempts.size() == 3);
    CHECK(record.attempts[0].node == "a");
    CHECK(record.attempts[1].outcome == "failed");
    CHECK(record.attempts[2].outcome == "served");
}

TEST_CASE("a request of which only failed attempts are known may be running")
{
    const auto old = trace({{"status", "retried"}, {"timestamp", 1'799'990'000.0}});
    const auto fresh = trace({{"status", "retried"}, {"timestamp", 1'799'999'999.0}});
    CHECK_FALSE(may_run({old}, now));
    CHECK(may_run({fresh}, now));
    CHECK_FALSE(may_run({fresh, old}, now));
    CHECK_FALSE(may_run({trace({{"timestamp", 1'799'999'999.0}})}, now));
    CHECK(end_of(record_of({old})) == "200 ND");
}

TEST_CASE("the window holds so many requests, and so many rows of each")
{
    TraceWindow window(3);
    for (const char* const id : {"a", "b", "c"}) {
        CHECK_FALSE(window.add(trace({{"request_id", id}})));
    }
    for (int i = 0; i < 100; ++i) {
        CHECK_FALSE(window.add(trace({{"request_id", "b"}})));
    }
    const auto left = window.add(trace({{"request_id", "d"}}));
    REQUIRE(left);
    CHECK(left->front().id == "a");
    CHECK_FALSE(window.add(trace({{"request_id", "c"}})));
    CHECK(window.next()->size() == 16);
    CHECK(window.next()->size() == 2);
}

TEST_CASE("a row without sense is none, and a value without sense is left out")
{
    const std::string huge(4096, 'x');
    const std::vector<std::pair<const char*, ForeignValue>> senseless{
        {"request_id", {}}, {"request_id", ""}, {"request_id", std::int64_t{7}}, {"request_id", huge}, {"request_id", "a\nb"}, {"request_id", "a b"},
        {"status", {}}, {"status", "pending"}, {"status", std::int64_t{1}}, {"timestamp", {}}, {"timestamp", "yesterday"}, {"timestamp", -5.0},
        {"timestamp", std::numeric_limits<double>::infinity()}, {"timestamp", std::nan("")}, {"timestamp", 1e18}, {"timestamp", 1'800'100'000.0}};
    for (const auto& [name, value] : senseless) {
        CAPTURE(name);
        CHECK_FALSE(trace_of(row({{name, value}}), now));
    }
    CHECK_FALSE(trace_of(row({{"model", {}}, {"original_model", {}}}), now));
    const std::vector<std::pair<const char*, ForeignValue>> lessening{
        {"model", {}}, {"model", huge}, {"node_id", "a\x1b[31m"}, {"node_id", "\xff"}, {"latency_ms", -1.0}, {"latency_ms", "long"}, {"latency_ms", 1e12},
        {"time_to_first_token_ms", 2000.0}, {"time_to_first_token_ms", -1.0}, {"prompt_tokens", std::int64_t{-1}}, {"prompt_tokens", 1.5},
        {"completion_tokens", std::int64_t{1} << 40}, {"completion_tokens", "many"}, {"tags", "no list"}, {"tags", "{}"}, {"tags", R"([1, ["x"]])"}, {"tags", huge},
        {"tags", std::string(4000, '[')}, {"client_ip", "nobody"}, {"original_format", "soap"}, {"excluded_nodes", std::int64_t{1}}, {"retry_count", "two"},
        {"error_message", std::int64_t{5}}, {"error_message", "\xff\xff\xff\xff\xff"}};
    for (const auto& [name, value] : lessening) {
        CAPTURE(name);
        const auto one = trace_of(row({{name, value}}), now);
        REQUIRE(one);
        CHECK(one->lessened);
        const auto record = record_of({*one});
        CHECK(record.total >= base::Duration{});
        CHECK(record.ttft >= base::Duration{});
        CHECK(record.ttft <= record.total);
        CHECK(record.at <= ended);
    }
    CHECK(trace({{"model", {}}}).model == "qwen3:70b");
    CHECK(trace({{"original_model", {}}}).asked == "qwen3:8b");
    CHECK(trace({{"client_ip", "10.0.0.5"}}).client == "10.0.0.5");
    CHECK(trace({{"prompt_tokens", 12.0}}).prompt_tokens == 12);
    CHECK(trace({{"error_message", std::string(499, 'x') + "\xc3\xa4\xc3\xa4"}}).error == std::string(499, 'x')); // not half an ä
    CHECK(trace({{"timestamp", std::int64_t{1'799'999'000}}}).ended == base::WallTime{seconds{1'799'999'000}});
}

TEST_CASE("one sentence tells what became of the history")
{
    const app::HerdOptions::Store store{.path = "/state/requests.db"};
    CHECK(app::history_sentence({.taken = 3, .known = 2, .too_old = 1}, store)
          == "3 requests of Ollama Herd were taken into /state/requests.db: 2 were there already, 1 are older than the 30d of [store] retention, 0 made no sense.");
    CHECK(app::history_sentence({.taken = 3, .lessened = 2, .may_run = 1, .full = true}, store)
              .ends_with("0 made no sense, 2 lack a value that made none, 1 may still be running, and older ones found no room ([store] max_size)."));
}
