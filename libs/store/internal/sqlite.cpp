#include "store/internal/sqlite.hpp"

#include "net/socket.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>

namespace herd::store::internal {

namespace {

constexpr int busy_ms_max = 2000;

base::Errc code_of(int result)
{
    switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return base::Errc::malformed;
    case SQLITE_TOOBIG: return base::Errc::too_large;
    case SQLITE_INTERRUPT:
    case SQLITE_BUSY: return base::Errc::timed_out;
    default: return base::Errc::io;
    }
}

std::unexpected<base::Error> error_of(sqlite3* database, int result)
{
    const char* const words = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(result);
    return base::fail(code_of(result), words);
}

} // namespace

void Statement::Close::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void Statement::bind(int index, std::int64_t value) { sqlite3_bind_int64(statement_.get(), index, value); }

void Statement::bind(int index, double value) { sqlite3_bind_double(statement_.get(), index, value); }

void Statement::bind(int index, std::string_view text)
{
    const char* const from = text.data() == nullptr ? "" : text.data(); // a null pointer would be NULL
    sqlite3_bind_text(statement_.get(), index, from, static_cast<int>(text.size()), nullptr);
}

void Statement::bind_bytes(int index, std::string_view bytes)
{
    const char* const from = bytes.data() == nullptr ? "" : bytes.data();
    sqlite3_bind_blob(statement_.get(), index, from, static_cast<int>(bytes.size()), nullptr);
}

void Statement::bind_null(int index) { sqlite3_bind_null(statement_.get(), index); }

base::Result<bool> Statement::step()
{
    const int result = sqlite3_step(statement_.get());
    if (result == SQLITE_ROW || result == SQLITE_DONE) {
        return result == SQLITE_ROW;
    }
    return error_of(sqlite3_db_handle(statement_.get()), result);
}

void Statement::reset()
{
    sqlite3_reset(statement_.get()); // what was bound stays until it is bound anew; nobody binds only some
}

int Statement::columns() const { return sqlite3_column_count(statement_.get()); }

std::string Statement::name(int column) const
{
    const char* const name = sqlite3_column_name(statement_.get(), column);
    return name == nullptr ? std::string{} : name;
}

Statement::Type Statement::type(int column) const
{
    switch (sqlite3_column_type(statement_.get(), column)) {
    case SQLITE_INTEGER: return Type::integer;
    case SQLITE_FLOAT: return Type::number;
    case SQLITE_TEXT: return Type::text;
    case SQLITE_BLOB: return Type::bytes;
    default: return Type::null;
    }
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

double Statement::number(int column) const { return sqlite3_column_double(statement_.get(), column); }

std::string_view Statement::text(int column) const
{
    const auto* const bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
    const int size = sqlite3_column_bytes(statement_.get(), column);
    return bytes == nullptr ? std::string_view{} : std::string_view{bytes, static_cast<std::size_t>(size)};
}

void Database::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

base::Result<Database> Database::open(const std::string& path, Mode mode)
{
    if (mode == Mode::write) { // SQLite would make it for everybody to read; its -wal and -shm follow the main file
        const net::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!fd.valid()) {
            const std::error_code cause(errno, std::generic_category());
            return base::fail(base::Errc::io, fmt::format("cannot open {}: {}", path, cause.message()));
        }
    }
    sqlite3* raw = nullptr;
    const int result = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    Database database;
    database.database_.reset(raw);
    if (result != SQLITE_OK) {
        return error_of(raw, result);
    }
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, busy_ms_max);
    if (mode == Mode::read) {
        if (auto done = database.run("PRAGMA query_only = ON"); !done) {
            return std::unexpected(done.error());
        }
    }
    return database;
}

base::Result<Database> Database::open_foreign(const std::string& path, bool still, std::size_t row_bytes_max)
{
    std::string uri = "file:"; // in which some characters mean something
    for (const char c : path) {
        if (c == '%' || c == '?' || c == '#') {
            uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
        } else {
            uri += c;
        }
    }
    uri += still ? "?immutable=1" : "?mode=ro";
    sqlite3* raw = nullptr;
    const int result = sqlite3_open_v2(uri.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
    Database database;
    database.database_.reset(raw);
    if (result != SQLITE_OK) {
        return error_of(raw, result);
    }
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, busy_ms_max);
    sqlite3_limit(raw, SQLITE_LIMIT_LENGTH, static_cast<int>(row_bytes_max));
    return database;
}

base::Result<void> Database::run(const char* sql)
{
    const int result = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
    if (result != SQLITE_OK) {
        return error_of(database_.get(), result);
    }
    return {};
}

base::Result<Statement> Database::prepare(std::string_view sql)
{
    sqlite3_stmt* raw = nullptr;
    const int result =
        sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
    if (result != SQLITE_OK) {
        return error_of(database_.get(), result);
    }
    Statement statement;
    statement.statement_.reset(raw);
    return statement;
}

base::Result<std::int64_t> Database::integer(const char* sql)
{
    auto statement = prepare(sql);
    if (!statement) {
        return std::unexpected(statement.error());
    }
    const auto row = statement->step();
    if (!row) {
        return std::unexpected(row.error());
    }
    return *row ? statement->integer(0) : 0;
}

std::int64_t Database::changes() const { return sqlite3_changes(database_.get()); }

void Database::interrupt_when(bool (*late)(void*), void* context)
{
    struct Question {
        bool (*late)(void*);
        void* context;
    };
    static thread_local Question question; // one connection at a time asks on a thread
    question = {late, context};
    const auto ask = [](void* opaque) {
        const auto* const q = static_cast<const Question*>(opaque);
        return q->late(q->context) ? 1 : 0;
    };
    sqlite3_progress_handler(database_.get(), late == nullptr ? 0 : 4000, ask, &question);
}

base::Result<void> migrate(Database& database, std::span<const char* const> steps)
{
    const auto version = database.integer("PRAGMA user_version");
    if (!version) {
        return std::unexpected(version.error());
    }
    if (*version > static_cast<std::int64_t>(steps.size())) {
        return base::fail(base::Errc::bad_config,
                          fmt::format("it was written by a newer herd (schema {}, this one knows {})", *version, steps.size()));
    }
    for (auto at = static_cast<std::size_t>(*version); at < steps.size(); ++at) {
        const std::string sql = fmt::format("BEGIN IMMEDIATE;{};PRAGMA user_version = {};COMMIT", steps[at], at + 1);
        if (auto done = database.run(sql.c_str()); !done) {
            (void)database.run("ROLLBACK");
            return done;
        }
    }
    return {};
}

} // namespace herd::store::internal
