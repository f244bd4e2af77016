// Records of another program: read from its database without a trace, taken into ours beside a herd that writes.
#include "store/foreign_rows.hpp"
#include "store/internal/trace_writer.hpp"
#include "store/record_intake.hpp"
#include "store/trace_reader.hpp"
#include "scratch.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <array>
#include <set>

using namespace herd;
using namespace herd::store;
using internal::Database;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Fate = RecordIntake::Fate;

namespace {

constexpr std::array<const char*, 3> columns{"id", "what", "later"};

/// Another program's database, open as that program has it.
struct Theirs {
    test::Scratch scratch{};
    std::string path{scratch.file("theirs.db")};
    std::optional<Database> open{};

    explicit Theirs(const char* mode = "WAL")
    {
        auto made = Database::open(path, Database::Mode::write);
        REQUIRE(made);
        open.emplace(std::move(*made));
        run(std::string{"PRAGMA journal_mode = "} + mode);
        run("CREATE TABLE things (n INTEGER PRIMARY KEY, id TEXT, what REAL)");
    }
    void run(const std::string& sql) { REQUIRE(open->run(sql.c_str())); }
    [[nodiscard]] std::map<std::string, std::string> files() const
    {
        std::map<std::string, std::string> all;
        for (const auto& file : std::filesystem::directory_iterator(scratch.path)) {
            if (!file.path().string().ends_with("-shm")) { // who reads notes there where it reads
                all.emplace(file.path().string(), test::content_of(file.path().string()));
            }
        }
        return all;
    }
    std::vector<std::string> ids(std::size_t page, std::size_t required = 1)
    {
        auto rows = ForeignRows::open(path, "things", columns, required);
        REQUIRE(rows);
        std::vector<std::string> all;
        for (bool more = true; more;) {
            const auto some = rows->next(page);
            REQUIRE(some);
            more = !some->last;
            for (const ForeignCells& cells : some->rows) {
                REQUIRE(cells.size() == columns.size());
                all.push_back(std::get<std::string>(cells[0]));
            }
        }
        return all;
    }
};

RequestRecord record(const std::string& id, base::WallTime at)
{
    RequestRecord one;
    one.id = id;
    one.at = at;
    one.model = "m";
    one.node = "studio";
    one.status = 200;
    one.total = milliseconds{250};
    one.tags = {"nightly"};
    return one;
}

const base::WallTime noon{seconds{1'800'000'000}};

/// Moves on by so much whenever somebody asks.
class Steps final : public base::Clock {
public:
    explicit Steps(base::Duration step) : step_(step) {}
    [[nodiscard]] base::Instant now() const override { return now_ += step_; }
    [[nodiscard]] base::WallTime wall() const override { return noon; }

private:
    base::Duration step_;
    mutable base::Instant now_{seconds{1}};
};

struct Ours {
    test::Scratch scratch{};
    std::string path{scratch.file("requests.db")};
    Steps clock{milliseconds{0}};

    std::vector<Fate> take(const std::vector<RequestRecord>& records, base::Duration step = {})
    {
        auto intake = RecordIntake::open(path);
        REQUIRE(intake);
        const Steps time(step);
        const auto fates = intake->take(records, milliseconds{25}, time);
        REQUIRE(fates);
        return *fates;
    }
    std::vector<RequestRecord> list() const
    {
        const auto found = TraceReader(path, clock).list({.limit = 1000});
        REQUIRE(found);
        return *found;
    }
};

} // namespace

TEST_CASE("rows of another program come in pages, the last one first, while it has its database open and after")
{
    Theirs theirs;
    std::vector<std::string> expected;
    for (int i = 0; i < 25; ++i) {
        theirs.run("INSERT INTO things (id, what) VALUES ('r" + std::to_string(i) + "', 1.5)");
        expected.insert(expected.begin(), "r" + std::to_string(i));
    }
    const auto before = theirs.files();
    CHECK(before.size() == 2); // what it wrote is in the WAL alone
    CHECK(theirs.ids(10) == expected);
    CHECK(theirs.ids(25) == expected);
    CHECK(theirs.ids(1000) == expected);
    CHECK(theirs.files() == before);
    theirs.run("INSERT INTO things (id) VALUES ('x')"); // it was not in the way
    theirs.open.reset();
    const auto closed = theirs.files();
    CHECK(closed.size() == 1);
    CHECK(theirs.ids(7).size() == 26);
    CHECK(theirs.files() == closed); // and nothing lies beside it
}

TEST_CASE("its owner may begin to write in the middle")
{
    Theirs theirs;
    for (int i = 0; i < 10; ++i) {
        theirs.run("INSERT INTO things (id) VALUES ('r" + std::to_string(i) + "')");
    }
    theirs.open.reset();
    auto rows = ForeignRows::open(theirs.path, "things", columns, 1);
    REQUIRE(rows);
    REQUIRE(rows->next(4)->rows.size() == 4);
    auto again = Database::open(theirs.path, Database::Mode::write);
    REQUIRE(again);
    REQUIRE(again->run("DELETE FROM things WHERE id = 'r3'; INSERT INTO things (id) VALUES ('new')"));
    const auto rest = rows->next(100);
    REQUIRE(rest);
    CHECK(rest->last);
    REQUIRE(rest->rows.size() == 5);
    CHECK(std::get<std::string>(rest->rows[0][0]) == "r5");
    CHECK(std::get<std::string>(rest->rows[2][0]) == "r2");
}

TEST_CASE("whatever stands in a column comes as what it is, and a huge row costs itself alone")
{
    Theirs theirs("DELETE");
    theirs.run("INSERT INTO things (id, what) VALUES ('a', 'no number'), (NULL, 2), (x'00ff', NULL), (hex(zeroblob(9000000)), 1)," // 18 MB
               "(substr(hex(zeroblob(4000)), 1, 5000), -1)");
    auto rows = ForeignRows::open(theirs.path, "things", columns, 1);
    REQUIRE(rows);
    const auto page = rows->next(10);
    REQUIRE(page);
    CHECK(page->unreadable == 1);
    REQUIRE(page->rows.size() == 4);
    CHECK(std::get<std::string>(page->rows[0][0]).size() == ForeignRows::text_bytes_max);
    CHECK(std::get<double>(page->rows[0][1]) == -1);
    CHECK(std::holds_alternative<std::monostate>(page->rows[1][0]));
    CHECK(std::holds_alternative<std::monostate>(page->rows[2][0]));
    CHECK(std::get<std::string>(page->rows[3][1]) == "no number");
    CHECK(std::holds_alternative<std::monostate>(page->rows[3][2])); // there is no such column
}

TEST_CASE("what is no such database says so in a sentence")
{
    Theirs theirs;
    const auto error_of = [](const std::string& path, const char* table, std::size_t required) {
        const auto rows = ForeignRows::open(path, table, columns, required);
        REQUIRE_FALSE(rows);
        return rows.error().context;
    };
    CHECK(error_of(theirs.path, "nothings", 1) == "cannot read " + theirs.path + ": it has no table nothings");
    CHECK(error_of(theirs.path, "things", 3) == "cannot read " + theirs.path + ": its table things has no column later");
    CHECK(error_of(theirs.scratch.file("no.db"), "things", 1).ends_with("there is no such file"));
    CHECK(error_of(theirs.scratch.path.string(), "things", 1).ends_with("there is no such file"));
    const std::string text = theirs.scratch.file("text");
    std::ofstream(text) << std::string(4000, 'x');
    CHECK(error_of(text, "things", 1) == "cannot read " + text + ": file is not a database");
}

TEST_CASE("a database whose name means something in a URI is read as well")
{
    Theirs theirs;
    theirs.run("INSERT INTO things (id) VALUES ('one')");
    theirs.open.reset();
    const std::string odd = theirs.scratch.file("a?b#c%41.db");
    std::filesystem::rename(theirs.path, odd);
    theirs.path = odd;
    CHECK(theirs.ids(10) == std::vector<std::string>{"one"});
}

TEST_CASE("a record is taken once, however often it is offered")
{
    Ours ours;
    const std::vector<RequestRecord> some{record("a", noon), record("b", noon - seconds{1}), record("c", noon)};
    CHECK(ours.take(some) == std::vector{Fate::taken, Fate::taken, Fate::taken}); // a and c ended in the same microsecond
    CHECK(ours.take(some) == std::vector{Fate::known, Fate::known, Fate::known});
    CHECK(ours.take({record("c", noon), record("d", noon), record("a", noon + seconds{1})}) == std::vector{Fate::known, Fate::taken, Fate::taken});
    const auto found = ours.list();
    REQUIRE(found.size() == 5);
    CHECK(found[1].tags == std::vector<std::string>{"nightly"});
    CHECK(std::ranges::all_of(found, [](const RequestRecord& one) { return one.seq > 0 && one.seq < own_seq_min; }));
    CHECK(TraceReader(ours.path, ours.clock).list({.tag = "nightly"})->size() == 5);
    CHECK(ours.take({record("old", base::WallTime{seconds{1}})}) == std::vector{Fate::no_room});
}

TEST_CASE("a transaction lasts as long as it may, and one record at least")
{
    Ours ours;
    std::vector<RequestRecord> many;
    for (int i = 0; i < 100; ++i) {
        many.push_back(record("r" + std::to_string(i), noon + seconds{i}));
    }
    CHECK(ours.take(many, milliseconds{5}).size() == 5);
    CHECK(ours.take(many, milliseconds{100}).size() == 1);
    CHECK(ours.list().size() == 5);
}

TEST_CASE("a file of another version of herd, or of no herd, is left alone")
{
    Ours ours;
    ours.take({record("a", noon)});
    {
        auto database = Database::open(ours.path, Database::Mode::write);
        REQUIRE(database);
        REQUIRE(database->run("PRAGMA user_version = 2"));
    }
    const auto older = RecordIntake::open(ours.path);
    REQUIRE_FALSE(older);
    CHECK(older.error().context == "cannot write to " + ours.path + ": another version of herd wrote it; start this one once, then it can");
    const std::string text = ours.scratch.file("text");
    std::ofstream(text) << std::string(4000, 'x');
    REQUIRE_FALSE(RecordIntake::open(text));
    CHECK(test::content_of(text) == std::string(4000, 'x'));
    CHECK_FALSE(RecordIntake::open(ours.scratch.file("nowhere/requests.db")));
}

TEST_CASE("what herd writes meanwhile stays as fast and as whole")
{
    Ours ours;
    internal::TraceWriter writer(ours.path, ours.clock);
    const auto write = [&](std::uint64_t from) {
        std::vector<std::shared_ptr<const RequestRecord>> batch;
        for (std::uint64_t i = 0; i < 32; ++i) {
            auto one = record("own" + std::to_string(from + i), noon);
            one.seq = own_seq_min + from + i;
            batch.push_back(std::make_shared<const RequestRecord>(one));
        }
        writer.write(batch);
        REQUIRE(writer.picture().working);
    };
    write(1);
    CHECK(ours.take({record("a", noon), record("own5", noon - seconds{5})}) == std::vector{Fate::taken, Fate::taken});
    write(33);
    const auto found = ours.list();
    CHECK(found.size() == 66);
    CHECK(std::ranges::count_if(found, [](const RequestRecord& one) { return one.seq > own_seq_min; }) == 64);
}
