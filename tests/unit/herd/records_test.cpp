#include "herd/admin/query.hpp"
#include "herd/admin/records_api.hpp"
#include "herd/records/answers.hpp"
#include "herd/records/ledger.hpp"
#include "herd/records/metrics.hpp"
#include "herd/records/own_answers.hpp"
#include "herd/records/packed_decision.hpp"
#include "herd/records/record_view.hpp"
#include "proxy/routes.hpp"

#include "support/catch.hpp"
#include "support/run.hpp"

#include <array>
#include <future>
#include <limits>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

using namespace herd;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

const base::WallTime noon{std::chrono::seconds{1'800'000'000}};

fleet::Decision decision(std::size_t candidates = 2)
{
    fleet::Decision one;
    one.model = "llama3.2:3b";
    one.prompt_tokens = 26;
    one.predicted_s = 1.25;
    for (std::size_t i = 0; i < candidates; ++i) {
        fleet::Weighed weighed;
        weighed.node.bytes[0] = static_cast<std::uint8_t>(i + 1);
        weighed.name = "n" + std::to_string(i);
        weighed.cost = {.wait_s = 0.5 * static_cast<double>(i), .decode_s = 1.25};
        weighed.exclusion = i == 1 ? fleet::Exclusion::draining : fleet::Exclusion::none;
        weighed.cached_tokens = 20;
        one.candidates.push_back(weighed);
    }
    one.chosen = one.candidates[0].node;
    return one;
}

proxy::ExchangeRecord exchange()
{
    proxy::ExchangeRecord one;
    one.id = "abc";
    one.at = noon;
    one.client = *base::Endpoint::parse("10.0.0.5:1234");
    one.api = "ollama";
    one.method = "POST";
    one.path = "/api/chat";
    one.model = "llama3.2:3b";
    one.requested_model = "llama3.2";
    one.node = "box";
    one.attempts = {{"attic", fleet::Result::refused, 2ms}, {"box", fleet::Result::served, 900ms}};
    one.status = 200;
    one.stream = true;
    one.tags = {"nightly"};
    one.timings = {.total = 890ms, .load = 40ms, .prompt_eval = 50ms, .eval = 500ms, .prompt_tokens = 26, .output_tokens = 40};
    one.queue = 5ms;
    one.connect = 1ms;
    one.first_byte = 120ms;
    one.total = 905ms;
    one.bytes_in = 10;
    one.bytes_out = 20;
    one.decision = std::make_shared<const fleet::Decision>(decision());
    one.labels = {"eu"};
    one.num_ctx = 8192;
    one.done_reason = "stop";
    one.user_agent = "curl/8";
    return one;
}

store::RequestRecord stored() { return app::stored_form(exchange()); }

} // namespace

TEST_CASE("a record is shown in the shape of the contract")
{
    const Json json = Json::parse(app::record_json(stored()));
    for (const char* key : {"id", "at", "client", "frontend", "api", "path", "model", "requested_model", "node", "attempts", "status",
                            "termination", "stream", "tags", "priority", "prompt_tokens", "output_tokens", "queue_ms", "load_ms",
                            "connect_ms", "ttft_ms", "total_ms", "bytes_in", "bytes_out", "tokens_per_s"}) {
        CAPTURE(key);
        CHECK(json.contains(key));
    }
    for (const char* key : {"key", "session", "fallback", "error", "decision"}) {
        CAPTURE(key);
        CHECK_FALSE(json.contains(key));
    }
    CHECK(json["attempts"][0] == Json{{"node", "attic"}, {"outcome", "refused"}, {"ms", 2.0}});
    CHECK(json["tokens_per_s"] == 80.0); // by the node's own clock: 40 tokens in 500 ms
    CHECK(json["load_ms"] == 40.0);
    CHECK(json["at"] == "2027-01-15T08:00:00.000Z");
}

TEST_CASE("one request tells its decision and the node's own time")
{
    const Json json = Json::parse(app::record_json(stored(), true));
    CHECK(json["decision"]["chosen"] == "n0");
    CHECK(json["decision"]["candidates"].size() == 2);
    CHECK(json["decision"]["candidates"][1]["reason"] == "draining");
    CHECK(json["eval_ms"] == 500.0);
    CHECK(json["node_queue_ms"] == 310.0);
    CHECK(json["num_ctx_asked"] == 8192);
    CHECK_FALSE(json.contains("num_ctx_used")); // nobody knows
    CHECK(json["done_reason"] == "stop");
    CHECK(json["user_agent"] == "curl/8");
    CHECK(json["labels"] == Json::array({"eu"}));
    CHECK(json["affinity"] == "hit"); // 20 tokens of its prompt were believed to be there
}

TEST_CASE("no more of a prompt was cached than there was of it")
{
    auto one = exchange();
    one.timings = {.prompt_tokens = 12}; // the scheduler believed 20
    CHECK(app::stored_form(std::move(one)).cached_tokens == 12);
    one = exchange();
    one.timings = {};
    CHECK_FALSE(app::stored_form(std::move(one)).cached_tokens);
}

TEST_CASE("speed is taken from the stream where the node does not tell")
{
    auto one = exchange();
    one.timings = {.output_tokens = 101};
    one.first_byte = 1s;
    one.total = 3s;
    CHECK(app::stored_form(std::move(one)).tokens_per_s == Approx(50));
    auto whole = exchange();
    whole.timings = {.output_tokens = 101};
    whole.stream = false;
    CHECK_FALSE(app::stored_form(std::move(whole)).tokens_per_s);
}

TEST_CASE("a decision survives being packed, with the best candidates")
{
    const auto back = app::unpack_decision(app::pack_decision(decision(100)));
    REQUIRE(back);
    CHECK(back->candidates.size() == 64);
    CHECK(back->left_out == 36);
    CHECK(back->chosen == decision().chosen);
    CHECK(back->candidates[3].cost.wait_s == 1.5);
    CHECK(back->candidates[1].exclusion == fleet::Exclusion::draining);
}

TEST_CASE("bytes that are no packed decision are told apart, wherever they were cut or damaged")
{
    const auto good = app::pack_decision(decision(3));
    REQUIRE(app::unpack_decision(good));
    for (std::size_t length = 0; length < good.size(); ++length) {
        CAPTURE(length);
        CHECK_FALSE(app::unpack_decision(std::string_view(good).substr(0, length)));
    }
    CHECK_FALSE(app::unpack_decision(good + "x"));
    CHECK_FALSE(app::unpack_decision(R"({"m":"x","c":null})"));
    for (std::size_t at = 0; at < good.size(); ++at) { // nothing worse than odd figures comes of it
        auto bad = good;
        bad[at] = '\xff';
        const auto back = app::unpack_decision(bad);
        CHECK((!back || back->candidates.size() <= 64));
    }
}

TEST_CASE("a packed decision keeps odd names whole and costs that are no numbers out")
{
    fleet::Decision odd = decision();
    odd.model = "a \"b\" \\ \n \xC3\xA9";
    odd.note = "no \xFF here";
    odd.chosen.reset();
    odd.predicted_s = std::numeric_limits<double>::quiet_NaN();
    odd.candidates[0].cost.wait_s = std::numeric_limits<double>::infinity();
    odd.candidates[0].cost.load_s = 1e21;
    odd.candidates[0].cost.decode_s = 1.0 / 3;
    const auto back = app::unpack_decision(app::pack_decision(odd));
    REQUIRE(back);
    CHECK(back->model == odd.model);
    CHECK(back->note == odd.note);
    CHECK_FALSE(back->chosen);
    CHECK(back->predicted_s == 0);
    CHECK(back->candidates[0].cost.wait_s == 0);
    CHECK(back->candidates[0].cost.load_s == 1e21);
    CHECK(back->candidates[0].cost.decode_s == 1.0 / 3);
}

TEST_CASE("what is in flight says what it waits for, and no status")
{
    const Json json = Json::parse(app::in_flight_json({exchange(), 'Q'}));
    CHECK(json["phase"] == "queued");
    CHECK(json["status"].is_null());
    CHECK(json["termination"].is_null());
}

TEST_CASE("the context a model ran with is what its node shows, unless that may be old")
{
    fleet::Snapshot snapshot;
    snapshot.version = 1;
    auto facts = std::make_shared<fleet::NodeFacts>();
    facts->loaded.push_back({.name = "llama3.2:3b", .context_length = 4096});
    snapshot.nodes.push_back({.name = "box", .facts = facts});
    app::LoadedContexts contexts;
    auto one = stored();
    CHECK(contexts.used_by(one, snapshot) == 4096);
    one.load = 5s; // for the context asked for, of which the node has not told yet
    CHECK_FALSE(contexts.used_by(one, snapshot));
    one.load.reset(); // the client left before the node told anything
    CHECK_FALSE(contexts.used_by(one, snapshot));
    one.num_ctx_asked = 4096;
    CHECK(contexts.used_by(one, snapshot) == 4096);
    one.node = "attic";
    CHECK_FALSE(contexts.used_by(one, snapshot));
    one.node = "box";
    snapshot.version = 2;
    auto later = std::make_shared<fleet::NodeFacts>(*facts);
    later->loaded[0].context_length = 8192;
    snapshot.nodes[0].facts = later;
    one.num_ctx_asked = 8192;
    CHECK(contexts.used_by(one, snapshot) == 8192);
}

TEST_CASE("names that are not UTF-8 cannot break a record")
{
    auto one = exchange();
    one.model = "x\xff\"\n";
    one.tags = {"\xc3"};
    CHECK(Json::accept(app::record_json(app::stored_form(std::move(one)))));
}

TEST_CASE("every route that works for a model is of a class of requests, and no other is")
{
    for (const auto& [method, path] : proxy::route_list()) {
        CAPTURE(method, path);
        const auto handling = proxy::classify(method, path, "").handling;
        const bool works = handling == proxy::Handling::inference || handling == proxy::Handling::pull;
        CHECK((store::class_of(method, path) != store::RequestClass::other) == works);
    }
    CHECK(store::class_of("POST", "/api/embed-image") == store::RequestClass::embed); // not in the table: Ollama Herd's
    CHECK(store::class_of("GET", "/v1/messages") == store::RequestClass::other);
    CHECK(store::class_of("", "") == store::RequestClass::other); // the server's own refusals
    for (const auto& each : store::classified_paths) {
        CAPTURE(each.path);
        const auto route = proxy::classify("POST", each.path, "");
        CHECK(route.embedding == (each.what == store::RequestClass::embed));
        CHECK((route.tool == fleet::Tool::image) == (each.what == store::RequestClass::image));
        CHECK((route.tool == fleet::Tool::speech) == (each.what == store::RequestClass::speech));
        CHECK((route.handling == proxy::Handling::pull) == (each.what == store::RequestClass::pull));
    }
}

TEST_CASE("records in memory are listed as those on disk would be, and page on")
{
    app::Ledger::Records memory;
    for (std::uint64_t i = 1; i <= 5; ++i) {
        auto one = stored();
        one.seq = i;
        one.id = "r" + std::to_string(i);
        one.at = noon + std::chrono::seconds{i};
        memory.push_back(std::make_shared<const store::RequestRecord>(std::move(one)));
    }
    store::TraceFilter filter;
    filter.limit = 2;
    const Json first = Json::parse(app::answer_list(std::nullopt, memory, filter).body);
    CHECK(first["requests"][0]["id"] == "r5");
    filter.before = store::Cursor::parse(first["next"].get<std::string>());
    REQUIRE(filter.before);
    const Json second = Json::parse(app::answer_list(std::nullopt, memory, filter).body);
    CHECK(second["requests"][0]["id"] == "r3");
    CHECK(app::answer_one(std::nullopt, memory, "r4").status == 200);
    CHECK(app::answer_one(std::nullopt, memory, "r9").status == 404);
    const store::UsageQuery query{.bucket = 60s, .since = noon, .until = noon + 1h};
    const Json usage = Json::parse(app::answer_usage(std::nullopt, memory, query).body);
    REQUIRE(usage["rows"].size() == 1);
    CHECK(usage["rows"][0]["requests"] == 5);
    CHECK(usage["rows"][0]["output_tokens"] == 200);
    CHECK(usage["rows"][0]["ttft_ms"]["p50"].get<double>() == Approx(120).epsilon(0.04));
}

TEST_CASE("who asks after the last byte of an answer finds its record, whatever the loops do meanwhile")
{
    net::Loop asker;
    net::Loop writer;
    app::Ledger ledger({.keep = false}, {.status = [](const fleet::Snapshot&) { return std::string("{}"); },
                                         .node = [](const fleet::Snapshot&, std::size_t) { return std::string("{}"); }});
    ledger.listens_to({&writer});
    ledger.start();
    std::promise<void> last_byte_left;
    std::promise<void> asked;
    writer.post([&] { // one turn of a relay loop: the last byte, and later the record
        last_byte_left.set_value();
        asked.get_future().wait();
        std::promise<void> looked; // what the ledger has to do meanwhile it has done
        ledger.loop().post([&] { looked.set_value(); });
        looked.get_future().wait();
        proxy::ExchangeRecord record;
        record.id = "r1";
        ledger.put(std::move(record));
    });
    std::thread relay([&] { writer.run(); });
    last_byte_left.get_future().wait();
    asker.post([&] { asker.post([&] { asked.set_value(); }); }); // run when the question has been put
    const auto answer = herd::testing::run_real(asker, ledger.find(asker, "r1"));
    CHECK(answer.status == 200);
    writer.post([&] { writer.stop(); });
    relay.join();
    ledger.stop();
}

TEST_CASE("a mistyped question is told what is wrong with it")
{
    bool in_flight = false;
    const auto fault = [&](const char* text) {
        app::admin::Query query(text, {"limit", "model", "node", "status", "tag", "key", "client", "since", "before"});
        (void)app::admin::filter_of(query, noon, in_flight);
        return query.fault();
    };
    CHECK(fault("").empty());
    CHECK(fault("limit=5&model=llama3.2%3A3b&status=5xx&since=1h").empty());
    CHECK(fault("since=2026-05-01T12:00:00Z").empty());
    CHECK(fault("since=1790000000").empty());
    for (const char* text : {"limit=0", "limit=1001", "limit=x", "stauts=200", "status=999", "status=ok&status=ok", "model=%zz", "since=yesterday",
                             "before=7", "before=1.x"}) {
        CAPTURE(text);
        CHECK_FALSE(fault(text).empty());
    }
    CHECK(fault("status=in_flight").empty());
    CHECK(in_flight);
    app::admin::Query far("bucket=1s&since=365d", {"by", "bucket", "since", "until"});
    (void)app::admin::usage_query_of(far, noon);
    CHECK_FALSE(far.fault().empty());
}

TEST_CASE("of the server's own answers so many a minute leave a record, and the others are counted")
{
    app::OwnAnswers own;
    const base::Instant now{std::chrono::hours{5}};
    for (int i = 0; i < app::OwnAnswers::per_minute; ++i) {
        REQUIRE(own.admit(now + i * 1ms, 400));
    }
    CHECK_FALSE(own.admit(now + 1s, 400));
    CHECK_FALSE(own.admit(now + 59s, 400));
    CHECK_FALSE(own.admit(now + 59s, 503));
    CHECK_FALSE(own.admit(now + 59s, 99'999)); // no such status: counted somewhere
    CHECK(own.admit(now + 60s, 400));
    std::vector<app::Unrecorded> all;
    own.each_unrecorded([&](int status, std::uint64_t count) { all.push_back({status, count}); });
    REQUIRE(all.size() == 3);
    CHECK((all[0].status == 400 && all[0].count == 2));
    CHECK((all[1].status == 503 && all[1].count == 1));
    CHECK((all[2].status == 599 && all[2].count == 1));

    app::Metrics metrics;
    metrics.count_unrecorded(all);
    metrics.count_unrecorded(all); // the same again: nothing is counted twice
    metrics.count_unrecorded({{400, 1}}); // overtaken by a later look
    const std::string text = metrics.text(fleet::Snapshot{}, {.unrecorded = all});
    CHECK(text.find("herd_requests_total{api=\"admin\",code=\"400\",model=\"\",node=\"\"} 2\n") != std::string::npos);
    CHECK(text.find("herd_requests_unrecorded_total{code=\"503\"} 1\n") != std::string::npos);
}

TEST_CASE("metrics count what happened, and clients cannot make them grow without end")
{
    app::Metrics metrics({.models = 3, .nodes = 2, .series_per_family = 50});
    for (int i = 0; i < 500; ++i) {
        auto one = stored();
        one.model = "model" + std::to_string(i);
        one.node = i % 2 == 0 ? "box" : "node" + std::to_string(i);
        metrics.count(one);
        auto unknown = stored();
        unknown.model = "invented" + std::to_string(i);
        unknown.node.clear();
        unknown.status = 404;
        unknown.attempts.clear();
        metrics.count(unknown);
    }
    auto quick = stored();
    quick.model = "model0";
    quick.node = "box";
    quick.load = 400ms;
    metrics.count(quick);
    auto late = stored(); // its deadline passed in the queue
    late.model = "model0";
    late.node.clear();
    late.status = 504;
    late.attempts.clear();
    late.queue = 7s;
    metrics.count(late);
    fleet::Snapshot snapshot;
    fleet::NodeView view;
    view.name = "twin";
    view.state = fleet::NodeState::online;
    snapshot.nodes = {view, view};
    snapshot.nodes[1].id.bytes[0] = 9;
    snapshot.queues["k0"] = {"model0", 3};
    for (int i = 0; i < 100; ++i) {
        snapshot.queues["x" + std::to_string(i)] = {"invented" + std::to_string(i), 2};
    }
    snapshot.totals.reloads_avoided = 7;
    snapshot.totals.reloads_caused = 3;
    const std::string text = metrics.text(snapshot, {.version = "1.2.3", .counts = {1000, 0, 4}});
    CHECK(text.find("# TYPE herd_reloads_avoided_total counter\nherd_reloads_avoided_total 7\n")
          != std::string::npos);
    CHECK(text.find("# TYPE herd_reloads_caused_total counter\nherd_reloads_caused_total 3\n")
          != std::string::npos);
    CHECK(text.find("herd_model_loads_total{model=\"model0\",node=\"box\"} 1\n") != std::string::npos);
    CHECK(text.find("herd_queue_seconds_bucket{model=\"model0\",le=\"5\"} 2\n") != std::string::npos);
    CHECK(text.find("herd_queue_seconds_bucket{model=\"model0\",le=\"10\"} 3\n") != std::string::npos);
    CHECK(text.find("herd_requests_queued{model=\"model0\"} 3\n") != std::string::npos);
    CHECK(text.find("herd_requests_queued{model=\"model1\"} 0\n") != std::string::npos);
    CHECK(text.find("herd_requests_queued{model=\"other\"} 200\n") != std::string::npos);
    CHECK(text.find("herd_requests_total{api=\"ollama\",code=\"404\",model=\"\",node=\"\"} 500\n") != std::string::npos);
    CHECK(text.find("herd_build_info{version=\"1.2.3\"} 1\n") != std::string::npos);
    CHECK(text.find("herd_requests_in_flight 4\n") != std::string::npos);
    CHECK(text.find("invented") == std::string::npos);
    CHECK(text.find("\"other\"") != std::string::npos);
    CHECK(text.size() < 100'000);
    std::set<std::string> names; // of series: none may be there twice
    std::size_t at = 0;
    while (at < text.size()) {
        const auto end = text.find('\n', at);
        const std::string line = text.substr(at, end - at);
        at = end + 1;
        if (!line.starts_with('#')) {
            CAPTURE(line);
            CHECK(names.insert(line.substr(0, line.rfind(' '))).second);
        }
    }
}

TEST_CASE("a change on several nodes at once is counted under none of them, and is no retry")
{
    app::Metrics metrics({.models = 3, .nodes = 3, .series_per_family = 50});
    auto one = stored();
    one.node = "a,b";
    one.attempts = {{"a", "failed", {}}, {"b", "served", {}}};
    metrics.count(one);
    const std::string text = metrics.text({}, {});
    CHECK(text.find("a,b") == std::string::npos);
    CHECK(text.find("herd_attempts_failed_total{node=\"a\",outcome=\"failed\"} 1") != std::string::npos);
    CHECK(text.find("\nherd_retries_total 0\n") != std::string::npos);
}

TEST_CASE("requests of many kinds are counted under their own labels, each time they come")
{
    app::Metrics metrics({.models = 9, .nodes = 9, .series_per_family = 50}); // fewer than there are kinds
    auto early = stored(); // of a model that no node served yet
    early.model = "model0";
    early.node = "node0";
    early.status = 503;
    metrics.count(early);
    for (int round = 0; round < 3; ++round) {
        for (int kind = 0; kind < 64; ++kind) {
            auto one = stored();
            one.model = "model" + std::to_string(kind % 2);
            one.node = "node" + std::to_string(kind / 2 % 2);
            one.status = 200 + kind / 4 % 4;
            one.termination = std::array{"--", "CD", "ND", "TD"}.at(static_cast<std::size_t>(kind / 16));
            one.prompt_tokens = 10;
            metrics.count(one);
        }
    }
    metrics.count(early);
    const std::string text = metrics.text(fleet::Snapshot{}, {});
    const auto has = [&text](const std::string& line) { return text.find('\n' + line + '\n') != std::string::npos; };
    CHECK(has(R"(herd_requests_total{api="ollama",code="503",model="",node="node0"} 1)"));
    CHECK(has(R"(herd_requests_total{api="ollama",code="503",model="model0",node="node0"} 1)"));
    CHECK(has(R"(herd_requests_total{api="ollama",code="202",model="model1",node="node0"} 12)"));
    CHECK(has(R"(herd_request_terminations_total{end="CD"} 48)"));
    CHECK(has(R"(herd_request_duration_seconds_count{api="ollama",model="model1"} 96)"));
    CHECK(has(R"(herd_ttft_seconds_count{model="model0",node="node1"} 48)"));
    CHECK(has(R"(herd_tokens_total{kind="prompt",model="model1",node="node1"} 480)"));
}

TEST_CASE("metrics tell a node that said goodbye from one that fell, and the free memory of all its GPUs")
{
    auto facts = std::make_shared<fleet::NodeFacts>();
    facts->gpus.resize(2);
    facts->gpus[0].vram_total = facts->gpus[1].vram_total = 24 * base::gib;
    facts->gpus[0].vram_free = 3 * base::gib;
    facts->gpus[1].vram_free = base::gib;
    fleet::Snapshot snapshot;
    for (const auto& [name, state, reason] : {std::tuple{"box", fleet::NodeState::online, ""},
                                              {"fell", fleet::NodeState::offline, "silent for 10 s"},
                                              {"gone", fleet::NodeState::offline, "left: stopped"}}) {
        fleet::NodeView view;
        view.name = name;
        view.state = state;
        view.state_reason = reason;
        view.facts = facts;
        snapshot.nodes.push_back(view);
    }
    const std::string text = app::Metrics{}.text(snapshot, {});
    CHECK(text.find("herd_node_vram_free_bytes{node=\"box\"} 4294967296\n") != std::string::npos);
    CHECK(text.find("herd_node_left{node=\"box\"} 0\n") != std::string::npos);
    CHECK(text.find("herd_node_left{node=\"fell\"} 0\n") != std::string::npos);
    CHECK(text.find("herd_node_left{node=\"gone\"} 1\n") != std::string::npos);
}
