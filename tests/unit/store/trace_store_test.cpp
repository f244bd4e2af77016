#include "store/trace_store.hpp"

#include "base/ids.hpp"
#include "store/internal/sqlite.hpp"
#include "store/internal/trace_schema.hpp"
#include "store/internal/trace_writer.hpp"
#include "store/trace_reader.hpp"
#include "scratch.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <functional>
#include <thread>

#include <sys/resource.h>
#include <sys/stat.h>

using namespace herd;
using store::RequestRecord;
using test::Scratch;

namespace {

const base::WallTime noon{std::chrono::seconds{1'800'000'000}};

/// Time as the test says.
class TestClock final : public base::Clock {
public:
    [[nodiscard]] base::Instant now() const override { return now_; }
    [[nodiscard]] base::WallTime wall() const override { return wall_; }
    void advance(base::Duration by)
    {
        now_ += by;
        wall_ += std::chrono::duration_cast<std::chrono::microseconds>(by);
    }

private:
    base::Instant now_{std::chrono::seconds{1000}};
    base::WallTime wall_{noon};
};

RequestRecord record(std::uint64_t seq, base::WallTime at = noon)
{
    RequestRecord one;
    one.seq = seq;
    one.id = "r" + std::to_string(seq);
    one.at = at;
    one.client = "10.0.0.5";
    one.api = "ollama";
    one.method = "POST";
    one.path = "/api/chat";
    one.model = "llama3.2:3b";
    one.requested_model = "llama3.2";
    one.node = "box";
    one.attempts = {{"attic", "refused", std::chrono::milliseconds{2}}, {"box", "served", std::chrono::milliseconds{800}}};
    one.status = 200;
    one.stream = true;
    one.tags = {"nightly", "user:ann"};
    one.priority = "normal";
    one.prompt_tokens = 26;
    one.output_tokens = 100;
    one.queue = std::chrono::milliseconds{5};
    one.ttft = std::chrono::milliseconds{120};
    one.total = std::chrono::milliseconds{807};
    one.load = std::chrono::milliseconds{1500};
    one.tokens_per_s = 80.5;
    one.bytes_in = 300;
    one.bytes_out = 9000;
    one.decision = std::string("d\0\xff", 3); // bytes
    one.labels = {"eu", "a \"b\""};
    one.num_ctx_asked = 8192;
    one.done_reason = "stop";
    one.user_agent = "curl/8";
    return one;
}

std::vector<RequestRecord> records(std::uint64_t from, std::uint64_t count, base::WallTime at = noon)
{
    std::vector<RequestRecord> all;
    for (std::uint64_t i = 0; i < count; ++i) {
        all.push_back(record(from + i, at + std::chrono::seconds{i}));
    }
    return all;
}

store::SharedRecords shared(std::vector<RequestRecord> some)
{
    store::SharedRecords all;
    for (RequestRecord& one : some) {
        all.push_back(std::make_shared<const RequestRecord>(std::move(one)));
    }
    return all;
}

/// The writer has a thread of its own.
void wait_for(const std::function<bool()>& done)
{
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (!done()) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        std::this_thread::yield();
    }
}

struct Traces {
    Scratch scratch{};
    TestClock clock{};
    std::string path{scratch.file("requests.db")};

    /// Adds and waits until all is written: the destructor does.
    store::TraceHealth keep(std::vector<RequestRecord> some, store::TraceLimits limits = {}, std::size_t queue_max = 65536)
    {
        store::TraceStore traces({path, limits, queue_max}, clock);
        const std::uint64_t count = some.size();
        traces.add(shared(std::move(some)));
        wait_for([&] { return traces.health().written + traces.health().dropped == count; });
        return traces.health();
    }
    std::vector<RequestRecord> list(const store::TraceFilter& filter = {})
    {
        auto found = store::TraceReader(path, clock).list(filter);
        REQUIRE(found);
        return std::move(*found);
    }
};

} // namespace

TEST_CASE("a record comes back from the disk as it was, newest first")
{
    Traces traces;
    traces.keep(records(1, 3));
    const auto found = traces.list();
    REQUIRE(found.size() == 3);
    CHECK(found[0].id == "r3");
    const RequestRecord& one = found[2];
    const RequestRecord was = record(1);
    CHECK(one.seq == 1);
    CHECK(one.at == was.at);
    CHECK(one.attempts.size() == 2);
    CHECK(one.attempts[0].outcome == "refused");
    CHECK(one.attempts[1].took == std::chrono::milliseconds{800});
    CHECK(one.tags == was.tags);
    CHECK(one.prompt_tokens == 26);
    CHECK_FALSE(one.cached_tokens);
    CHECK(one.load == std::chrono::milliseconds{1500});
    CHECK_FALSE(one.eval);
    CHECK(one.tokens_per_s == 80.5);
    CHECK(one.bytes_out == 9000);
    CHECK(one.stream);
    CHECK_FALSE(one.fallback);
    CHECK(one.decision == was.decision);
    CHECK(one.labels == was.labels);
    CHECK(one.num_ctx_asked == 8192);
    CHECK_FALSE(one.num_ctx_used);
    CHECK(one.done_reason == "stop");
    CHECK(one.user_agent == "curl/8");
    const auto by_id = store::TraceReader(traces.path, traces.clock).find("r2");
    REQUIRE(by_id);
    REQUIRE(*by_id);
    CHECK((*by_id)->seq == 2);
    CHECK_FALSE(*store::TraceReader(traces.path, traces.clock).find("nobody"));
}

TEST_CASE("each record of a large batch comes back with its own texts")
{
    Traces traces;
    auto some = records(1, 100);
    for (RequestRecord& one : some) {
        one.tags = {"tag" + one.id};
        one.labels = {"label" + one.id};
        one.attempts.back().node = "box" + one.id;
    }
    traces.keep(some);
    const auto found = traces.list({.limit = 1000});
    REQUIRE(found.size() == 100);
    for (const RequestRecord& one : found) {
        CHECK(one.tags == std::vector{"tag" + one.id});
        CHECK(one.labels == std::vector{"label" + one.id});
        CHECK(one.attempts.back().node == "box" + one.id);
        CHECK(traces.list({.tag = "tag" + one.id}).size() == 1);
    }
}

TEST_CASE("a number that is taken costs no other record, whatever comes with it")
{
    Traces traces;
    traces.keep(records(101, 100));
    auto some = records(91, 200); // as after a clock was set back: some before, some taken, some new
    for (RequestRecord& one : some) {
        one.id += "b";
    }
    std::ranges::rotate(some, some.begin() + 50);
    traces.keep(some);
    const auto found = traces.list({.limit = 1000});
    CHECK(found.size() == 200);
    CHECK(std::ranges::count_if(found, [](const RequestRecord& one) { return one.id.ends_with('b'); }) == 100);
}

TEST_CASE("records keep their numbers, also where some before them were dropped")
{
    Traces traces;
    auto some = records(1'000'001, 200); // another life than the one before
    std::erase_if(some, [](const RequestRecord& one) { return one.seq % 37 == 0; });
    traces.keep(records(1, 20));
    traces.keep(some);
    const auto found = traces.list({.limit = 1000});
    CHECK(found.size() == some.size() + 20);
    CHECK(std::ranges::all_of(found, [](const RequestRecord& one) { return one.id == "r" + std::to_string(one.seq); }));
}

TEST_CASE("the file belongs to its owner alone")
{
    Traces traces;
    traces.keep(records(1, 1));
    struct ::stat status {};
    REQUIRE(::stat(traces.path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("filters say the same of records on disk and in memory")
{
    Traces traces;
    auto some = records(1, 6);
    some[1].node = "attic";
    some[2].status = 502;
    some[2].termination = "NC";
    some[3].tags = {"other"};
    some[4].model = "qwen2.5:7b";
    some[4].requested_model = "qwen2.5:7b";
    some[5].termination = "CD";
    traces.keep(some);
    std::vector<store::TraceFilter> filters(9);
    filters[0].node = "attic";
    filters[1].tag = "other";
    filters[2].model = "llama3.2";
    filters[3].status = *store::StatusFilter::parse("5xx");
    filters[4].status = *store::StatusFilter::parse("failed");
    filters[5].status = *store::StatusFilter::parse("ok");
    filters[6].since = noon + std::chrono::seconds{4};
    filters[7].before = store::Cursor::of(some[2]);
    filters[8].client = "10.0.0.5";
    filters[8].model = "qwen2.5:7b";
    for (const store::TraceFilter& filter : filters) {
        std::vector<std::string> expected;
        for (auto one = some.rbegin(); one != some.rend(); ++one) {
            if (store::matches(filter, *one)) {
                expected.push_back(one->id);
            }
        }
        std::vector<std::string> found;
        for (const RequestRecord& one : traces.list(filter)) {
            found.push_back(one.id);
        }
        CAPTURE(&filter - filters.data());
        CHECK(found == expected);
        CHECK_FALSE(found.empty());
        CHECK(found.size() < some.size());
    }
}

TEST_CASE("pages follow each other without gap or overlap, also among equal times")
{
    Traces traces;
    std::vector<RequestRecord> some;
    for (std::uint64_t i = 1; i <= 25; ++i) {
        some.push_back(record(i, noon + std::chrono::seconds{i / 10}));
    }
    traces.keep(some);
    store::TraceFilter filter;
    filter.limit = 4;
    std::vector<std::uint64_t> seen;
    for (;;) {
        const auto page = traces.list(filter);
        for (const RequestRecord& one : page) {
            seen.push_back(one.seq);
        }
        if (page.size() < filter.limit) {
            break;
        }
        filter.before = store::Cursor::of(page.back());
        CHECK(store::Cursor::parse(filter.before->text()) == filter.before);
    }
    CHECK(seen.size() == 25);
    CHECK(std::ranges::is_sorted(seen, std::greater{}));
}

TEST_CASE("a file that is no database is set aside, and records go on in a new one")
{
    Traces traces;
    std::ofstream(traces.path) << "this was a shopping list, and a long one at that: " << std::string(8192, 'x');
    const auto health = traces.keep(records(1, 2));
    CHECK(health.working);
    CHECK(health.dropped == 0);
    CHECK(traces.list().size() == 2);
    CHECK(std::filesystem::exists(traces.path + ".bad"));
}

TEST_CASE("a database that is damaged in the middle costs records, not the program")
{
    Traces traces;
    traces.keep(records(1, 500));
    {
        std::fstream file(traces.path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(4096);
        file << std::string(65536, '\xff');
    }
    traces.keep(records(1000, 1));
    traces.keep(records(2000, 5));
    CHECK(traces.list().size() >= 5);
}

TEST_CASE("where nothing can be written, records are dropped and counted, and tried again later")
{
    Traces traces;
    traces.path = traces.scratch.file("missing") + "/requests.db";
    store::TraceStore store({traces.path, {}, 65536}, traces.clock);
    store.add(shared(records(1, 3)));
    wait_for([&] { return store.health().dropped == 3; });
    CHECK_FALSE(store.health().working);
    CHECK_FALSE(store.health().fault.empty());
    std::filesystem::create_directory(traces.scratch.file("missing"));
    traces.clock.advance(std::chrono::seconds{6});
    store.add(shared(records(10, 2)));
    wait_for([&] { return store.health().written == 2; });
    CHECK(store.health().working);
    CHECK(traces.list().size() == 2);
}

TEST_CASE("a full disk costs records and nothing else")
{
    Traces traces;
    traces.keep(records(1, 10));
    // A limit on the size of files is the nearest thing to a full disk that needs no root.
    struct ::rlimit before {};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    struct ::rlimit small = before;
    small.rlim_cur = 40 * 1024;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto health = traces.keep(records(100, 2000));
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, handler);
    CHECK_FALSE(health.working);
    CHECK(health.dropped >= 1000);
    CHECK(traces.list().size() >= 10); // what was there is still there
    CHECK(traces.keep(records(5000, 1)).working);
}

TEST_CASE("a disk that stays full is not taken for a mended one because nothing was written meanwhile")
{
    Traces traces;
    traces.keep(records(1, 10));
    store::internal::TraceWriter writer(traces.path, traces.clock); // without its thread: each call is over when it returns
    struct ::rlimit before {};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    struct ::rlimit small = before;
    small.rlim_cur = 40 * 1024;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    writer.write(shared(records(100, 2000)));
    const std::uint64_t dropped = writer.picture().dropped;
    bool stays_known = !writer.picture().working;
    for (int minute = 0; minute < 3; ++minute) {
        traces.clock.advance(std::chrono::seconds{61});
        writer.maintain({});
        stays_known = stays_known && !writer.picture().working && !writer.picture().fault.empty();
    }
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, handler);
    CHECK(dropped == 2000);
    CHECK(stays_known);
    traces.clock.advance(std::chrono::seconds{61});
    writer.maintain({});
    CHECK(writer.picture().working);
    CHECK(writer.picture().fault.empty());
}

TEST_CASE("a queue that is full drops and counts, and never makes anybody wait")
{
    Traces traces;
    const auto health = traces.keep(records(1, 5000), {}, 100);
    CHECK(health.dropped >= 4900 - 1000);
    CHECK(health.written + health.dropped == 5000);
}

TEST_CASE("what is older than the retention is forgotten")
{
    Traces traces;
    const store::TraceLimits limits{.retention = std::chrono::hours{24}};
    traces.keep(records(1, 10, noon - std::chrono::hours{48}), {});
    traces.keep(records(100, 10, noon - std::chrono::hours{1}), {});
    CHECK(traces.list().size() == 20);
    traces.clock.advance(std::chrono::minutes{2});
    traces.keep(records(200, 1), limits);
    CHECK(traces.list().size() == 11);
    store::TraceFilter old;
    old.tag = "nightly";
    CHECK(traces.list(old).size() == 11);
}

TEST_CASE("beyond its size the oldest records go first")
{
    Traces traces;
    traces.keep(records(1, 20000));
    const auto before = std::filesystem::file_size(traces.path);
    traces.clock.advance(std::chrono::minutes{2});
    const auto health = traces.keep(records(50000, 1, noon + std::chrono::hours{10}), {.max_size = before / 2});
    CHECK(health.forgotten >= 5000);
    CHECK(health.bytes <= before / 2);
    store::TraceFilter filter;
    filter.limit = 100000;
    const auto left = traces.list(filter);
    CHECK(left.front().seq == 50000);
    CHECK(left.size() > 1000);
    CHECK(left.back().seq > 5000);
}

TEST_CASE("steps of the schema are taken once, in order, and a newer file is left alone")
{
    using store::internal::Database;
    const Scratch scratch;
    constexpr std::array<const char*, 1> first{"CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7)"};
    constexpr std::array<const char*, 2> both{first[0], "ALTER TABLE t ADD COLUMN b TEXT NOT NULL DEFAULT 'new'"};
    auto database = Database::open(scratch.file("t.db"), Database::Mode::write);
    REQUIRE(database);
    REQUIRE(store::internal::migrate(*database, first));
    REQUIRE(store::internal::migrate(*database, both));
    REQUIRE(store::internal::migrate(*database, both));
    CHECK(*database->integer("SELECT count(*) FROM t WHERE a = 7 AND b = 'new'") == 1);
    CHECK(*database->integer("PRAGMA user_version") == 2);
    CHECK(store::internal::migrate(*database, first).error().code == base::Errc::bad_config);
    constexpr std::array<const char*, 3> broken{both[0], both[1], "CREATE TABLE u (c INTEGER); NO SUCH WORD"};
    CHECK_FALSE(store::internal::migrate(*database, broken));
    CHECK(*database->integer("PRAGMA user_version") == 2);
    CHECK(*database->integer("SELECT count(*) FROM sqlite_master WHERE name = 'u'") == 0);
}

TEST_CASE("a file of the first herd is brought up to date, its records kept")
{
    Traces traces;
    {
        using store::internal::Database;
        auto database = Database::open(traces.path, Database::Mode::write);
        REQUIRE(database);
        REQUIRE(store::internal::migrate(*database, std::span(store::internal::trace_schema).first(1)));
        REQUIRE(database->run("INSERT INTO requests VALUES (1,'old',1800000000000000,'c','','','ollama','POST','/api/chat','m','m','n','[]',0,"
                              "200,'--',0,'[]','','normal',NULL,NULL,NULL,0,0,0,0,NULL,NULL,NULL,NULL,0,0,0,'','')"));
    }
    traces.keep(records(2, 1, noon + std::chrono::seconds{1}));
    const auto found = traces.list();
    REQUIRE(found.size() == 2);
    CHECK(found[0].num_ctx_asked == 8192);
    CHECK(found[1].id == "old");
    CHECK(found[1].labels.empty());
    CHECK(found[1].user_agent.empty());
}

TEST_CASE("the past is told from its beginning, the newest of it when there is too much")
{
    Traces traces;
    const store::TraceReader reader(traces.path, traces.clock);
    const auto past = [&](base::WallTime since, base::WallTime until, std::size_t most) {
        std::string ids;
        REQUIRE(reader.past(since, until, most, [&](const RequestRecord& one) { ids += one.id + " "; }));
        return ids;
    };
    const std::chrono::seconds s{1};
    CHECK(past({}, noon + 9 * s, 10).empty()); // no file yet
    traces.keep(records(1, 5));
    CHECK(past({}, noon + 9 * s, 10) == "r1 r2 r3 r4 r5 ");
    CHECK(past({}, noon + 9 * s, 2) == "r4 r5 ");
    CHECK(past(noon + 1 * s, noon + 4 * s, 10) == "r2 r3 r4 ");
    CHECK(past(noon + 1 * s, noon + 4 * s, 1) == "r4 ");
    CHECK(past(noon + 5 * s, noon + 9 * s, 10).empty());
}

TEST_CASE("a record is found by an id of ours and by one that its client chose")
{
    Traces traces;
    base::Rng rng(1);
    auto ours = record(1, noon + std::chrono::microseconds{1'234'567});
    ours.id = base::make_request_id(rng, ours.at);
    auto theirs = record(2, noon);
    theirs.id = "zzzzzzzz-theirs";
    traces.keep({ours, theirs});
    const store::TraceReader reader(traces.path, traces.clock);
    for (const auto& id : {ours.id, theirs.id}) {
        const auto found = reader.find(id);
        REQUIRE(found);
        REQUIRE(*found);
        CHECK((*found)->id == id);
    }
    CHECK_FALSE(*reader.find(base::make_request_id(rng, ours.at)));
}

TEST_CASE("attempts at nodes of odd names come back as they were")
{
    Traces traces;
    auto odd = record(1);
    odd.attempts = {{"a \"b\" \\ \n", "served", std::chrono::milliseconds{3}}};
    auto none = record(2);
    none.attempts.clear();
    traces.keep({odd, none});
    const auto found = traces.list();
    REQUIRE(found.size() == 2);
    CHECK(found[0].attempts.empty());
    REQUIRE(found[1].attempts.size() == 1);
    CHECK(found[1].attempts[0].node == odd.attempts[0].node);
}

TEST_CASE("a file of a newer herd is not touched")
{
    Traces traces;
    {
        auto database = store::internal::Database::open(traces.path, store::internal::Database::Mode::write);
        REQUIRE(database);
        REQUIRE(database->run("PRAGMA user_version = 99"));
    }
    const auto health = traces.keep(records(1, 2));
    CHECK_FALSE(health.working);
    CHECK(health.dropped == 2);
    CHECK(traces.list().empty());
    CHECK_FALSE(std::filesystem::exists(traces.path + ".bad"));
}

TEST_CASE("those that want a model can be asked for alone, among however many others")
{
    Traces traces;
    auto some = records(1, 90);
    for (std::size_t i = 0; i < some.size(); ++i) {
        some[i].method = i % 3 == 0 ? "GET" : "POST";
        some[i].path = i % 3 == 0 ? "/api/version" : i % 30 == 1 ? "/v1/messages" : "/v1/messages/count_tokens";
    }
    traces.keep(some);
    const store::TraceFilter wanted{.models_alone = true, .limit = 50};
    const auto found = traces.list(wanted);
    REQUIRE(found.size() == 3);
    CHECK(std::ranges::all_of(found, [](const RequestRecord& one) { return one.path == "/v1/messages"; }));
    CHECK(std::ranges::count_if(some, [&](const RequestRecord& one) { return store::matches(wanted, one); }) == 3);
    CHECK(traces.list({.limit = 1000}).size() == 90);
}

TEST_CASE("usage adds up per name and bucket, the same from disk and from memory")
{
    Traces traces;
    auto some = records(1, 90);
    some[10].status = 503;
    some[11].termination = "CD";
    some[12].model = "qwen2.5:7b";
    some[13].path = "/herd/v1/pins"; // a change of herd itself
    some[13].model.clear();
    some[14].path = "/api/show"; // of a model, and no work for it
    some[14].model = "no work";
    some[15].method = "GET"; // is the route there?
    some[15].model = "no work either";
    traces.keep(some);
    for (const auto by : {store::UsageBy::model, store::UsageBy::node, store::UsageBy::tag, store::UsageBy::client}) {
        const store::UsageQuery query{.by = by, .bucket = std::chrono::seconds{60}, .since = noon - std::chrono::hours{1},
                                      .until = noon + std::chrono::hours{1}};
        store::UsageSum disk(query);
        REQUIRE(store::TraceReader(traces.path, traces.clock).sum(query, disk));
        store::UsageSum memory(query);
        for (const RequestRecord& one : some) {
            memory.add(one);
        }
        CAPTURE(store::to_string(by));
        REQUIRE(disk.cells().size() == memory.cells().size());
        CHECK(std::ranges::none_of(memory.cells(), [](const auto& each) { return each.first.second.empty() || each.first.second.starts_with("no work"); }));
        auto other = memory.cells().begin();
        for (const auto& [key, cell] : disk.cells()) {
            CHECK(key == other->first);
            CHECK(cell.requests == other->second.requests);
            CHECK(cell.errors == other->second.errors);
            CHECK(cell.output_tokens == other->second.output_tokens);
            CHECK(cell.retries == cell.requests);
            ++other;
        }
    }
}

TEST_CASE("a change on several nodes at once is no retry, on disk as in memory")
{
    Traces traces;
    auto everywhere = record(1);
    everywhere.node = "a,b,c";
    everywhere.attempts = {{"a", "served", {}}, {"b", "failed", {}}, {"c", "served", {}}};
    auto retried = record(2);
    retried.node = "c";
    retried.attempts = {{"a", "failed", {}}, {"c", "served", {}}};
    CHECK(everywhere.on_several());
    CHECK(everywhere.tries() == 1);
    CHECK_FALSE(retried.on_several());
    CHECK(retried.tries() == 2);
    traces.keep({everywhere, retried});
    const store::UsageQuery query{.by = store::UsageBy::model, .bucket = std::chrono::seconds{60}, .since = noon - std::chrono::hours{1},
                                  .until = noon + std::chrono::hours{1}};
    store::UsageSum disk(query);
    store::UsageSum memory(query);
    REQUIRE(store::TraceReader(traces.path, traces.clock).sum(query, disk));
    memory.add(everywhere);
    memory.add(retried);
    for (const auto* sum : {&disk, &memory}) {
        std::uint64_t retries = 0;
        for (const auto& [key, cell] : sum->cells()) {
            retries += cell.retries;
        }
        CHECK(retries == 1);
    }
}

TEST_CASE("percentiles are within a few percent")
{
    store::Spread spread;
    for (int i = 1; i <= 1000; ++i) {
        spread.add(i);
    }
    CHECK(*spread.percentile(0.5) == Approx(500).epsilon(0.04));
    CHECK(*spread.percentile(0.99) == Approx(990).epsilon(0.04));
    CHECK_FALSE(store::Spread{}.percentile(0.5));
}
