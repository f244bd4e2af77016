#include "store/key_store.hpp"

#include "scratch.hpp"
#include "store/internal/sqlite.hpp"
#include "support/catch.hpp"

#include <sys/stat.h>

using namespace herd;
using namespace std::chrono_literals;

namespace {

const base::WallTime noon{std::chrono::sys_days{std::chrono::year{2026} / 11 / 20} + 12h};

store::KeyRecord key(std::string id, std::string name)
{
    store::KeyRecord made;
    made.hash = "hash of " + id;
    made.id = std::move(id);
    made.name = std::move(name);
    made.hint = "herd_1a2b…9f0e";
    made.created = noon;
    return made;
}

} // namespace

TEST_CASE("no file is made before the first key is")
{
    const test::Scratch scratch;
    store::KeyStore keys(scratch.file("keys.db"));
    const auto loaded = keys.load();
    REQUIRE(loaded);
    CHECK(loaded->empty());
    CHECK_FALSE(std::filesystem::exists(scratch.file("keys.db")));
}

TEST_CASE("a key comes back as it was, from a file for its owner alone")
{
    const test::Scratch scratch;
    auto made = key("key-1", "alice");
    made.admin = true;
    made.models = {"llama3", "a\"b\\c--/*"};
    made.frontends = {"team-a"};
    made.rpm = 60;
    made.tokens_per_day = 1'000'000;
    made.max_parallel = 4;
    made.priority = "batch";
    made.expires = noon + 24h;
    {
        store::KeyStore keys(scratch.file("keys.db"));
        REQUIRE(keys.add(made));
        REQUIRE(keys.note({{"key-1", noon + 1h, 20777, 4711}, {"key-gone", noon, 1, 1}}));
    }
    struct ::stat status {};
    REQUIRE(::stat(scratch.file("keys.db").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    store::KeyStore keys(scratch.file("keys.db"));
    const auto loaded = keys.load();
    REQUIRE(loaded);
    REQUIRE(loaded->size() == 1);
    const auto& back = loaded->front();
    CHECK(back.id == made.id);
    CHECK(back.name == made.name);
    CHECK(back.hash == made.hash);
    CHECK(back.hint == made.hint);
    CHECK(back.admin);
    CHECK(back.models == made.models);
    CHECK(back.frontends == made.frontends);
    CHECK(back.rpm == 60);
    CHECK(back.tokens_per_day == 1'000'000);
    CHECK(back.max_parallel == 4);
    CHECK(back.priority == "batch");
    CHECK(back.created == noon);
    CHECK(back.expires == made.expires);
    CHECK_FALSE(back.revoked);
    CHECK(back.last_used == noon + 1h);
    CHECK(back.used_day == 20777);
    CHECK(back.used_tokens == 4711);
}

TEST_CASE("a full disk is a fault of this machine, not a conflict with what is there")
{
    const test::Scratch scratch;
    auto database = store::internal::Database::open(scratch.file("small.db"), store::internal::Database::Mode::write);
    REQUIRE(database);
    REQUIRE(database->run("CREATE TABLE t (x BLOB); PRAGMA max_page_count = 3"));
    const auto written = database->run("INSERT INTO t VALUES (zeroblob(100000))");
    REQUIRE_FALSE(written);
    CHECK(written.error().code == base::Errc::io);
}

TEST_CASE("a name is taken until its key is revoked")
{
    const test::Scratch scratch;
    store::KeyStore keys(scratch.file("keys.db"));
    REQUIRE(keys.add(key("key-1", "alice")));
    const auto again = keys.add(key("key-2", "alice"));
    REQUIRE_FALSE(again);
    CHECK(again.error().code == base::Errc::conflict);
    REQUIRE(keys.revoke("key-1", noon + 1h));
    REQUIRE(keys.add(key("key-2", "alice")));
    const auto loaded = keys.load();
    REQUIRE(loaded);
    REQUIRE(loaded->size() == 2);
    CHECK((*loaded)[0].revoked == noon + 1h);
    CHECK_FALSE((*loaded)[1].revoked);
}

TEST_CASE("revoked keys are remembered up to a limit, the latest")
{
    const test::Scratch scratch;
    store::KeyStore keys(scratch.file("keys.db"));
    REQUIRE(keys.add(key("key-last", "last")));
    auto database = store::internal::Database::open(scratch.file("keys.db"), store::internal::Database::Mode::write);
    REQUIRE(database);
    REQUIRE(database->run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) INSERT INTO keys "
                          "SELECT 'key-' || i, 'n' || i, 'h' || i, '', 0, '[]', '[]', 0, 0, 0, '', 0, NULL, i, NULL, 0, 0 FROM n"));
    REQUIRE(keys.revoke("key-last", noon));
    const auto loaded = keys.load();
    REQUIRE(loaded);
    CHECK(loaded->size() == store::revoked_keys_kept);
    CHECK(loaded->back().id == "key-last");
}

TEST_CASE("a broken file, or one of a newer herd, is an error and not an empty list")
{
    const test::Scratch scratch;
    std::ofstream(scratch.file("keys.db")) << std::string(4096, 'x');
    store::KeyStore broken(scratch.file("keys.db"));
    const auto loaded = broken.load();
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().context.find("keys.db") != std::string::npos);
    {
        store::KeyStore newer(scratch.file("newer.db"));
        REQUIRE(newer.add(key("key-1", "alice")));
        auto database = store::internal::Database::open(scratch.file("newer.db"), store::internal::Database::Mode::write);
        REQUIRE(database);
        REQUIRE(database->run("PRAGMA user_version = 99"));
    }
    store::KeyStore newer(scratch.file("newer.db"));
    CHECK_FALSE(newer.load());
}

TEST_CASE("a list of models that cannot be read does not become no list")
{
    const test::Scratch scratch;
    store::KeyStore keys(scratch.file("keys.db"));
    REQUIRE(keys.add(key("key-1", "alice")));
    auto database = store::internal::Database::open(scratch.file("keys.db"), store::internal::Database::Mode::write);
    REQUIRE(database);
    REQUIRE(database->run("UPDATE keys SET models = '{}'"));
    CHECK_FALSE(keys.load());
}
