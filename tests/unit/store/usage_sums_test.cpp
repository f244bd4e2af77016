// Sums of whole hours beside the records: whatever happens to the records, a question about usage is answered as if
// every one of them had been read.
#include "base/random.hpp"
#include "scratch.hpp"
#include "store/internal/trace_writer.hpp"
#include "store/internal/usage_rows.hpp"
#include "store/record_intake.hpp"
#include "store/trace_reader.hpp"
#include "support/catch.hpp"

#include <array>

using namespace herd;
using namespace herd::store;
using internal::UsageRoller;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const base::WallTime noon{seconds{1'800'000'000}};
constexpr std::array kinds{UsageBy::model, UsageBy::node, UsageBy::tag, UsageBy::key, UsageBy::client, UsageBy::model_on_node};

class TestClock final : public base::Clock {
public:
    [[nodiscard]] base::Instant now() const override { return now_; }
    [[nodiscard]] base::WallTime wall() const override { return wall_; }
    void advance(seconds by)
    {
        now_ += by;
        wall_ += by;
    }

private:
    base::Instant now_{seconds{1000}};
    base::WallTime wall_{noon};
};

/// A database with its writer, and records of every sort.
struct Past {
    test::Scratch scratch{};
    TestClock clock{};
    std::string path{scratch.file("requests.db")};
    internal::TraceWriter writer{path, clock};
    base::Rng rng{7};
    std::uint64_t seq{0};

    std::uint64_t below(std::uint64_t end) { return rng.between(0, end - 1); }
    template <std::size_t N>
    std::string one_of(const std::array<const char*, N>& names)
    {
        return names.at(below(N));
    }
    RequestRecord record(base::WallTime at)
    {
        RequestRecord one;
        one.seq = ++seq;
        one.id = "r" + std::to_string(seq);
        one.at = at;
        one.api = "ollama";
        one.method = below(9) == 0 ? "GET" : "POST";
        one.path = one_of(std::array{"/api/chat", "/v1/embeddings", "/api/pull", "/api/chat", "/api/show", "/v1/messages/count_tokens"});
        one.client = one_of(std::array{"10.0.0.1", "10.0.0.2", "10.0.0.3"});
        one.key = one_of(std::array{"", "ann", "bob"});
        one.model = one_of(std::array{"llama3.2:3b", "qwen3:8b", ""});
        one.node = one_of(std::array{"box", "attic", ""});
        one.tags = below(3) == 0 ? std::vector<std::string>{"nightly", "user:ann"} : std::vector<std::string>{};
        one.attempts.resize(1 + below(2));
        one.status = std::array{200, 200, 200, 404, 503}.at(below(5));
        one.termination = one_of(std::array{"--", "--", "CD", "NH", "TQ"});
        one.total = std::chrono::nanoseconds{1 + below(90'000'000'000)}; // the disk keeps microseconds
        one.ttft = one.total / 3;
        if (below(2) == 0) {
            one.load = std::chrono::nanoseconds{below(2'000'000'000)};
            one.prompt_tokens = static_cast<std::int64_t>(below(20'000));
            one.output_tokens = static_cast<std::int64_t>(below(2'000));
            one.tokens_per_s = 1.0 + static_cast<double>(below(20'000)) / 100;
        }
        one.fallback = below(9) == 0;
        return one;
    }
    void write(const std::vector<base::WallTime>& times)
    {
        std::vector<std::shared_ptr<const RequestRecord>> batch;
        for (const auto at : times) {
            batch.push_back(std::make_shared<const RequestRecord>(record(at)));
        }
        writer.write(batch);
        REQUIRE(writer.picture().working);
    }
    /// So many at any moment of the time before now.
    void write_some(std::size_t count, seconds span)
    {
        std::vector<base::WallTime> times;
        for (std::size_t i = 0; i < count; ++i) {
            times.push_back(clock.wall() - std::chrono::microseconds{below(static_cast<std::uint64_t>(std::chrono::microseconds(span).count()))});
        }
        write(times);
    }
    void roll()
    {
        while (writer.roll()) {
        }
    }
    std::int64_t count(const char* sql)
    {
        auto database = internal::Database::open(path, internal::Database::Mode::read);
        REQUIRE(database);
        return *database->integer(sql);
    }
    std::int64_t rolled() { return count("SELECT count(*) FROM usage_rolled"); }

    static std::map<UsageSum::Key, std::string> packed(const UsageSum& sum)
    {
        std::map<UsageSum::Key, std::string> all;
        for (const auto& [key, cell] : sum.cells()) {
            all.emplace(key, internal::pack_cell(cell));
        }
        return all;
    }
    void check(UsageQuery query)
    {
        const TraceReader reader(path, clock);
        UsageSum rows(query);
        REQUIRE(reader.past(base::WallTime{}, base::WallTime::max(), 1'000'000, [&](const RequestRecord& one) { rows.add(one); }));
        UsageSum sum(query);
        REQUIRE(reader.sum(query, sum));
        CAPTURE(to_string(query.by), query.bucket.count(), query.lengths);
        CHECK(packed(sum) == packed(rows));
    }
    /// Every kind over all sorts of times: exactly what the rows say, to the last bit.
    void check()
    {
        for (const UsageBy by : kinds) {
            check({.by = by, .bucket = hours{1}, .since = noon - hours{200}, .until = noon + hours{200}, .lengths = true});
            check({.by = by, .bucket = hours{24}, .since = noon - minutes{1234}, .until = clock.wall() - minutes{77}});
            check({.by = by, .bucket = hours{24 * 365 * 100}, .since = {}, .until = clock.wall() + seconds{1}, .lengths = true});
            check({.by = by, .bucket = minutes{10}, .since = noon - hours{3}, .until = noon});
            check({.by = by, .bucket = hours{1}, .since = noon - minutes{50}, .until = noon - minutes{40}});
        }
    }
};

} // namespace

TEST_CASE("usage from sums of hours is exactly what the records say")
{
    Past past;
    past.write_some(3000, hours{72});
    CHECK(past.rolled() == 0);
    past.check();
    past.roll();
    CHECK(past.rolled() >= 71);
    past.check();
    CHECK(past.count("SELECT count(*) FROM usage_hours WHERE name = 'nightly'") > 50);
}

TEST_CASE("an hour is summed up once it is over, and what ends later is added to it")
{
    Past past;
    past.write_some(500, hours{10});
    past.roll();
    const auto hours_kept = past.rolled();
    past.write_some(200, hours{10}); // long streams, or a clock that was set back
    CHECK(past.rolled() == hours_kept);
    past.check();
    past.clock.advance(minutes{100});
    past.write_some(100, minutes{90});
    past.roll();
    CHECK(past.rolled() > hours_kept);
    past.check();
    past.write({noon - hours{1000}}); // before all that is known
    past.roll();
    past.check();
}

TEST_CASE("an hour with many records is summed up in steps, while more of it comes in")
{
    Past past;
    const auto begin = noon - hours{3};
    std::vector<base::WallTime> times;
    for (int i = 0; i < UsageRoller::rows_a_step * 2 + 100; ++i) {
        times.push_back(begin + std::chrono::milliseconds{i / 3}); // three at the same time
    }
    past.write(times);
    CHECK(past.writer.roll());
    CHECK(past.rolled() == 0);
    past.write({begin, begin + seconds{1}, begin + minutes{30}}); // before, before and behind what was read
    past.check();
    past.roll();
    CHECK(past.rolled() == 1);
    past.check();
}

TEST_CASE("records that another process adds count, before and after their hours are summed up again")
{
    Past past;
    past.write_some(500, hours{10});
    past.roll();
    const auto kept = past.rolled();
    auto intake = RecordIntake::open(past.path);
    REQUIRE(intake);
    const auto add = [&](base::WallTime at) {
        RequestRecord one = past.record(at);
        one.total = std::chrono::duration_cast<std::chrono::microseconds>(one.total);
        REQUIRE(intake->take(std::vector{one}, seconds{1}, past.clock) == std::vector{RecordIntake::Fate::taken});
    };
    add(noon - hours{3});
    CHECK(past.rolled() == kept - 1);
    past.check();
    CHECK_FALSE(past.writer.roll()); // more may be coming
    past.roll();
    CHECK(past.rolled() == kept);
    past.check();
    add(noon - hours{30}); // before all that is known
    past.roll();
    past.roll();
    CHECK(past.rolled() == kept + 1);
    past.check();
}

TEST_CASE("an hour that is being summed up when another process adds to it begins anew")
{
    Past past;
    const auto begin = noon - hours{3};
    std::vector<base::WallTime> times;
    for (int i = 0; i < UsageRoller::rows_a_step * 2 + 100; ++i) {
        times.push_back(begin + std::chrono::milliseconds{i});
    }
    past.write(times);
    CHECK(past.writer.roll()); // the first half
    auto intake = RecordIntake::open(past.path);
    REQUIRE(intake);
    RequestRecord one = past.record(begin);
    one.total = seconds{1};
    REQUIRE(intake->take(std::vector{one}, seconds{1}, past.clock) == std::vector{RecordIntake::Fate::taken});
    past.roll();
    CHECK(past.rolled() == 0);
    past.roll();
    CHECK(past.rolled() == 1);
    past.check();
}

TEST_CASE("sums are gone with their records")
{
    Past past;
    past.write_some(3000, hours{60});
    past.roll();
    past.clock.advance(minutes{2});
    past.writer.maintain({.retention = hours{24}});
    CHECK(past.count("SELECT count(*) FROM usage_hours WHERE hour < (SELECT min(at) / 3600000000 FROM requests)") == 0);
    CHECK(past.rolled() >= 22);
    past.check();
    past.roll();
    past.check();
    past.clock.advance(minutes{2});
    past.writer.maintain({.max_size = 1}); // nothing may stay
    past.check();
    CHECK(past.count("SELECT count(*) FROM requests") == 0);
    CHECK(past.rolled() == 0);
}

TEST_CASE("a former herd's records are summed up too, and a new life goes on with what is there")
{
    Past past;
    past.write_some(800, hours{30});
    past.roll();
    {
        auto database = internal::Database::open(past.path, internal::Database::Mode::write);
        REQUIRE(database);
        REQUIRE(database->run("DROP TABLE usage_hours; DROP TABLE usage_rolled; PRAGMA user_version = 3"));
    }
    {
        internal::TraceWriter next(past.path, past.clock);
        next.maintain({});
        CHECK(next.picture().working);
        past.check();
        CHECK(next.roll());
        CHECK(past.rolled() == 1);
        past.check();
    }
    internal::TraceWriter last(past.path, past.clock);
    const auto late = std::make_shared<const RequestRecord>(past.record(noon - hours{29})); // of an hour that is summed up
    last.write({&late, 1});
    past.check();
    while (last.roll()) {
    }
    CHECK(past.rolled() >= 29);
    past.check();
}

TEST_CASE("sums that a former herd made of whatever was asked for are made anew of what wants a model")
{
    Past past;
    past.write_some(800, hours{30});
    past.roll();
    const auto hours_kept = past.rolled();
    const auto cells = past.count("SELECT count(*) FROM usage_hours");
    {
        auto database = internal::Database::open(past.path, internal::Database::Mode::write);
        REQUIRE(database);
        // As if each sum had another name's in it.
        REQUIRE(database->run("INSERT INTO usage_hours SELECT kind, hour, 'polled ' || name, cell FROM usage_hours; PRAGMA user_version = 4"));
    }
    internal::TraceWriter next(past.path, past.clock);
    next.maintain({});
    CHECK(past.rolled() == 0);
    past.check(); // of the records, until the sums are there again
    while (next.roll()) {
    }
    CHECK(past.rolled() == hours_kept);
    CHECK(past.count("SELECT count(*) FROM usage_hours") == cells);
    past.check();
}

TEST_CASE("a kind with too many names in an hour is counted row by row there")
{
    Past past;
    std::vector<std::shared_ptr<const RequestRecord>> batch;
    for (std::size_t i = 0; i <= UsageRoller::names_max; ++i) {
        auto one = past.record(noon - hours{5});
        one.method = "POST";
        one.path = "/api/chat";
        one.client = "client-" + std::to_string(i);
        batch.push_back(std::make_shared<const RequestRecord>(std::move(one)));
    }
    past.writer.write(batch);
    past.write_some(100, hours{10});
    past.roll();
    CHECK(past.count("SELECT count(*) FROM usage_hours WHERE name = 'client-1'") == 0);
    CHECK(past.count("SELECT count(*) FROM usage_hours WHERE name = '10.0.0.1'") > 3);
    past.check();
    past.write({noon - hours{5}});
    past.check();
}

TEST_CASE("a sum comes back from its bytes as it was, and from no others")
{
    UsageSum sum({.lengths = true});
    sum.add(UsageSample{.at = noon, .name = "m", .status = 200, .termination = "--", .prompt_tokens = 7, .output_tokens = 1'000'000, .ttft = seconds{3},
                        .total = hours{2}, .tokens_per_s = 0.01});
    const std::string bytes = internal::pack_cell(sum.cells().begin()->second);
    const auto cell = internal::unpack_cell(bytes);
    REQUIRE(cell);
    CHECK(internal::pack_cell(*cell) == bytes);
    CHECK(cell->total == hours{2});
    CHECK(cell->first == noon);
    CHECK(cell->tokens_per_s.percentile(0.5) == sum.cells().begin()->second.tokens_per_s.percentile(0.5));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        CHECK_FALSE(internal::unpack_cell(std::string_view(bytes).substr(0, size)));
    }
    CHECK_FALSE(internal::unpack_cell(bytes + "x"));
    CHECK_FALSE(internal::unpack_cell(std::string(500, '\xff')));
}
