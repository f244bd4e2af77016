#include "store/key_store.hpp"

#include "store/internal/sqlite.hpp"

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace herd::store {

namespace {

using internal::Database;
using internal::Statement;
using Json = nlohmann::json;

/// A new column is a new step at the end; steps that were released are never changed. Times: microseconds of the epoch.
constexpr std::array<const char*, 1> schema{
    R"(
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,        -- SHA-256 of the secret
    hint TEXT NOT NULL,
    admin INTEGER NOT NULL,
    models TEXT NOT NULL,             -- JSON [text, ...]
    frontends TEXT NOT NULL,
    rpm INTEGER NOT NULL, tokens_per_day INTEGER NOT NULL, max_parallel INTEGER NOT NULL,
    priority TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER, revoked INTEGER, last_used INTEGER,
    used_day INTEGER NOT NULL, used_tokens INTEGER NOT NULL
);
CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked IS NULL;
)"};

constexpr const char* columns = "id, name, hash, hint, admin, models, frontends, rpm, tokens_per_day, max_parallel, priority, "
                                "created, expires, revoked, last_used, used_day, used_tokens";

std::int64_t us(base::WallTime at) { return at.time_since_epoch().count(); }

void bind_time(Statement& statement, int index, const std::optional<base::WallTime>& at)
{
    at ? statement.bind(index, us(*at)) : statement.bind_null(index);
}

std::optional<base::WallTime> time_at(const Statement& statement, int column)
{
    return statement.is_null(column) ? std::nullopt : std::optional{base::WallTime{std::chrono::microseconds{statement.integer(column)}}};
}

std::string list_text(const std::vector<std::string>& list) { return Json(list).dump(-1, ' ', false, Json::error_handler_t::replace); }

/// Nothing: not a list of texts. A limit that cannot be read must not become "no limit".
std::optional<std::vector<std::string>> list_of(std::string_view text)
{
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_array()) {
        return std::nullopt;
    }
    std::vector<std::string> list;
    for (const Json& each : json) {
        if (!each.is_string()) {
            return std::nullopt;
        }
        list.push_back(each.get<std::string>());
    }
    return list;
}

std::optional<KeyRecord> read_row(const Statement& row)
{
    KeyRecord key;
    auto models = list_of(row.text(5));
    auto frontends = list_of(row.text(6));
    if (!models || !frontends) {
        return std::nullopt;
    }
    key.id = row.text(0);
    key.name = row.text(1);
    key.hash = row.text(2);
    key.hint = row.text(3);
    key.admin = row.integer(4) != 0;
    key.models = std::move(*models);
    key.frontends = std::move(*frontends);
    key.rpm = static_cast<std::uint32_t>(row.integer(7));
    key.tokens_per_day = static_cast<std::uint64_t>(row.integer(8));
    key.max_parallel = static_cast<std::uint32_t>(row.integer(9));
    key.priority = row.text(10);
    key.created = base::WallTime{std::chrono::microseconds{row.integer(11)}};
    key.expires = time_at(row, 12);
    key.revoked = time_at(row, 13);
    key.last_used = time_at(row, 14);
    key.used_day = static_cast<std::uint32_t>(row.integer(15));
    key.used_tokens = static_cast<std::uint64_t>(row.integer(16));
    return key;
}

base::Result<void> finish(Statement& statement)
{
    const auto done = statement.step();
    return done ? base::Result<void>{} : std::unexpected(done.error());
}

} // namespace

struct KeyStore::Open {
    Database database;
};

KeyStore::KeyStore(std::string path) : path_(std::move(path)) {}
KeyStore::~KeyStore() = default;

std::unexpected<base::Error> KeyStore::failure(const base::Error& error) const
{
    return base::fail(error.code, fmt::format("cannot use the keys in {}: {}", path_, error.context));
}

base::Result<KeyStore::Open*> KeyStore::open()
{
    if (open_) {
        return open_.get();
    }
    auto database = Database::open(path_, Database::Mode::write);
    if (!database) {
        return failure(database.error());
    }
    (void)::chmod(path_.c_str(), 0600); // restored from a backup, perhaps
    // A key that was made or revoked must be so after a power cut too: FULL. Few writes, so no WAL is needed.
    for (const char* const pragma : {"PRAGMA journal_mode = DELETE", "PRAGMA synchronous = FULL"}) {
        if (auto done = database->run(pragma); !done) {
            return failure(done.error());
        }
    }
    if (auto done = internal::migrate(*database, schema); !done) {
        return failure(done.error());
    }
    open_ = std::make_unique<Open>(Open{std::move(*database)});
    return open_.get();
}

base::Result<std::vector<KeyRecord>> KeyStore::load()
{
    std::vector<KeyRecord> keys;
    struct ::stat status {};
    if (::stat(path_.c_str(), &status) != 0 && errno == ENOENT) {
        return keys;
    }
    auto opened = open();
    if (!opened) {
        return std::unexpected(opened.error());
    }
    auto statement = (*opened)->database.prepare(fmt::format("SELECT {} FROM keys ORDER BY created, id", columns));
    if (!statement) {
        return failure(statement.error());
    }
    for (;;) {
        const auto row = statement->step();
        if (!row) {
            return failure(row.error());
        }
        if (!*row) {
            return keys;
        }
        auto key = read_row(*statement);
        if (!key) {
            return failure({.code = base::Errc::malformed, .context = "the lists of a key cannot be read"});
        }
        keys.push_back(std::move(*key));
    }
}

base::Result<void> KeyStore::add(const KeyRecord& key)
{
    auto opened = open();
    if (!opened) {
        return std::unexpected(opened.error());
    }
    Database& database = (*opened)->database;
    const auto count = database.integer("SELECT count(*) FROM keys WHERE revoked IS NULL");
    if (!count) {
        return failure(count.error());
    }
    if (*count >= static_cast<std::int64_t>(keys_max)) {
        return base::fail(base::Errc::too_large, fmt::format("there are {} keys already, the most there can be", keys_max));
    }
    auto taken = database.prepare("SELECT 1 FROM keys WHERE name = ? AND revoked IS NULL");
    if (!taken) {
        return failure(taken.error());
    }
    taken->bind(1, std::string_view(key.name));
    const auto found = taken->step();
    if (!found) {
        return failure(found.error());
    }
    if (*found) {
        return base::fail(base::Errc::conflict, "there is a key called " + key.name + " already");
    }
    taken->reset();
    auto insert = database.prepare(fmt::format("INSERT INTO keys ({}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", columns));
    if (!insert) {
        return failure(insert.error());
    }
    const std::string models = list_text(key.models);
    const std::string frontends = list_text(key.frontends);
    int at = 0;
    for (const std::string_view text : {std::string_view(key.id), std::string_view(key.name), std::string_view(key.hash), std::string_view(key.hint)}) {
        insert->bind(++at, text);
    }
    insert->bind(++at, std::int64_t{key.admin ? 1 : 0});
    insert->bind(++at, std::string_view(models));
    insert->bind(++at, std::string_view(frontends));
    insert->bind(++at, std::int64_t{key.rpm});
    insert->bind(++at, static_cast<std::int64_t>(key.tokens_per_day));
    insert->bind(++at, std::int64_t{key.max_parallel});
    insert->bind(++at, std::string_view(key.priority));
    insert->bind(++at, us(key.created));
    bind_time(*insert, ++at, key.expires);
    bind_time(*insert, ++at, key.revoked);
    bind_time(*insert, ++at, key.last_used);
    insert->bind(++at, std::int64_t{key.used_day});
    insert->bind(++at, static_cast<std::int64_t>(key.used_tokens));
    if (auto done = finish(*insert); !done) {
        return failure(done.error());
    }
    return {};
}

base::Result<void> KeyStore::revoke(const std::string& id, base::WallTime when)
{
    auto opened = open();
    if (!opened) {
        return std::unexpected(opened.error());
    }
    Database& database = (*opened)->database;
    auto update = database.prepare("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL");
    if (!update) {
        return failure(update.error());
    }
    update->bind(1, us(when));
    update->bind(2, std::string_view(id));
    if (auto done = finish(*update); !done) {
        return failure(done.error());
    }
    const std::string forget = fmt::format("DELETE FROM keys WHERE revoked IS NOT NULL AND id NOT IN "
                                           "(SELECT id FROM keys WHERE revoked IS NOT NULL ORDER BY revoked DESC LIMIT {})",
                                           revoked_keys_kept);
    if (auto done = database.run(forget.c_str()); !done) {
        return failure(done.error());
    }
    return {};
}

base::Result<void> KeyStore::note(const std::vector<KeyUseRecord>& uses)
{
    auto opened = open();
    if (!opened) {
        return std::unexpected(opened.error());
    }
    Database& database = (*opened)->database;
    auto update = database.prepare("UPDATE keys SET last_used = ?, used_day = ?, used_tokens = ? WHERE id = ?");
    if (!update) {
        return failure(update.error());
    }
    if (auto begun = database.run("BEGIN IMMEDIATE"); !begun) {
        return failure(begun.error());
    }
    for (const KeyUseRecord& use : uses) {
        bind_time(*update, 1, use.last_used);
        update->bind(2, std::int64_t{use.used_day});
        update->bind(3, static_cast<std::int64_t>(use.used_tokens));
        update->bind(4, std::string_view(use.id));
        const auto done = finish(*update);
        update->reset();
        if (!done) {
            (void)database.run("ROLLBACK");
            return failure(done.error());
        }
    }
    if (auto done = database.run("COMMIT"); !done) {
        (void)database.run("ROLLBACK");
        return failure(done.error());
    }
    return {};
}

} // namespace herd::store
