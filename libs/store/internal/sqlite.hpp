#pragma once
// SQLite with owners and Results: the little of it that the trace store needs. Internal to the room.
#include "base/error.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace herd::store::internal {

class Database;

/// A prepared statement; parameters and columns count from 1 and 0, as SQLite does. Thread: its database's.
class Statement {
public:
    Statement() = default;
    void bind(int index, std::int64_t value);
    void bind(int index, double value);
    /// The text must live until step() is done with this row or reset().
    void bind(int index, std::string_view text);
    /// Bytes that are no text; they live as long as a text must.
    void bind_bytes(int index, std::string_view bytes);
    void bind_null(int index);
    /// True: a row; false: done. Errors: io, too_large (a value), malformed (not a sound database), timed_out.
    [[nodiscard]] base::Result<bool> step();
    void reset();

    [[nodiscard]] int columns() const;
    [[nodiscard]] std::string name(int column) const;
    enum class Type { null, integer, number, text, bytes };
    [[nodiscard]] Type type(int column) const;
    [[nodiscard]] bool is_null(int column) const { return type(column) == Type::null; }
    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] double number(int column) const;
    /// Or bytes. Valid until the next step().
    [[nodiscard]] std::string_view text(int column) const;

private:
    friend class Database;
    struct Close {
        void operator()(sqlite3_stmt* statement) const;
    };
    std::unique_ptr<sqlite3_stmt, Close> statement_;
};

/// One connection. Thread: one at a time.
class Database {
public:
    enum class Mode { write, read };
    /// write: makes the file (0600) when there is none. read: only an existing one, and nothing can be changed.
    [[nodiscard]] static base::Result<Database> open(const std::string& path, Mode mode);
    /// Another program's: nothing is changed in it or laid beside it. `still`: nobody writes to it, so that it can be read
    /// without asking anybody. A row of more than `row_bytes_max` is too_large.
    [[nodiscard]] static base::Result<Database> open_foreign(const std::string& path, bool still, std::size_t row_bytes_max);
    [[nodiscard]] base::Result<void> run(const char* sql);
    [[nodiscard]] base::Result<Statement> prepare(std::string_view sql);
    [[nodiscard]] base::Result<std::int64_t> integer(const char* sql);
    [[nodiscard]] std::int64_t changes() const;
    /// Ends what runs now with timed_out when `late` says so; asked every few thousand steps.
    void interrupt_when(bool (*late)(void*), void* context);

private:
    struct Close {
        void operator()(sqlite3* database) const;
    };
    std::unique_ptr<sqlite3, Close> database_;
};

/// Brings the schema to the last of `steps`: step i makes version i + 1 of version i, in a transaction.
/// Errors: as Database; bad_config when a newer program wrote the file.
[[nodiscard]] base::Result<void> migrate(Database& database, std::span<const char* const> steps);

} // namespace herd::store::internal
