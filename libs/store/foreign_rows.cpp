#include "store/foreign_rows.hpp"

#include "store/internal/sqlite.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace herd::store {

namespace {

using internal::Database;
using internal::Statement;

/// Somebody has it open, or left it in the middle of something: both leave a file beside it.
bool in_use(const std::string& path)
{
    return ::access((path + "-wal").c_str(), F_OK) == 0 || ::access((path + "-journal").c_str(), F_OK) == 0;
}

std::unexpected<base::Error> cannot_read(const std::string& path, const base::Error& error)
{
    return base::fail(error.code, fmt::format("cannot read {}: {}", path, error.context));
}

ForeignValue value_of(const Statement& row, int column)
{
    switch (row.type(column)) {
    case Statement::Type::integer: return row.integer(column);
    case Statement::Type::number: return row.number(column);
    case Statement::Type::text: return std::string{row.text(column).substr(0, ForeignRows::text_bytes_max)};
    case Statement::Type::null:
    case Statement::Type::bytes: break;
    }
    return {};
}

} // namespace

struct ForeignRows::State {
    std::string path;
    std::string table;
    std::vector<std::string> columns;
    std::size_t required{0};
    bool still{false};
    std::int64_t before{std::numeric_limits<std::int64_t>::max()}; ///< rows with smaller numbers are left
    Database database{};
    Statement numbers{}; // this and the next are the database's: gone before it
    Statement row{};

    base::Result<void> open()
    {
        numbers = {};
        row = {};
        still = !in_use(path);
        auto opened = Database::open_foreign(path, still, row_bytes_max);
        if (!opened) {
            return std::unexpected(opened.error());
        }
        database = std::move(*opened);
        const auto wanted = wanted_columns();
        if (!wanted) {
            return std::unexpected(wanted.error());
        }
        auto some = database.prepare(fmt::format("SELECT rowid FROM {} WHERE rowid < ? ORDER BY rowid DESC LIMIT ?", table));
        auto one = database.prepare(fmt::format("SELECT {} FROM {} WHERE rowid = ?", *wanted, table));
        if (!some || !one) {
            return std::unexpected(some ? one.error() : some.error());
        }
        numbers = std::move(*some);
        row = std::move(*one);
        return {};
    }

    base::Result<std::string> wanted_columns()
    {
        auto statement = database.prepare(fmt::format("SELECT name FROM pragma_table_info('{}')", table));
        if (!statement) {
            return std::unexpected(statement.error());
        }
        std::set<std::string, std::less<>> there;
        for (auto name = statement->step(); !name || *name; name = statement->step()) {
            if (!name) {
                return std::unexpected(name.error());
            }
            there.emplace(statement->text(0));
        }
        if (there.empty()) {
            return base::fail(base::Errc::not_found, fmt::format("it has no table {}", table));
        }
        std::string wanted;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const bool known = there.contains(columns[i]);
            if (!known && i < required) {
                return base::fail(base::Errc::not_found, fmt::format("its table {} has no column {}", table, columns[i]));
            }
            wanted += (wanted.empty() ? "" : ", ") + (known ? columns[i] : "NULL");
        }
        return wanted;
    }

    /// The numbers first, and each row by its own: one that cannot be read costs no other.
    base::Result<std::vector<std::int64_t>> next_numbers(std::size_t most)
    {
        std::vector<std::int64_t> all;
        numbers.reset();
        numbers.bind(1, before);
        numbers.bind(2, static_cast<std::int64_t>(most));
        for (;;) {
            const auto there = numbers.step();
            if (!there || !*there) {
                numbers.reset();
                return there ? base::Result<std::vector<std::int64_t>>{std::move(all)} : std::unexpected(there.error());
            }
            all.push_back(numbers.integer(0));
        }
    }

    base::Result<Page> next(std::size_t most)
    {
        if (still && in_use(path)) { // its owner has begun to write
            if (auto again = open(); !again) {
                return std::unexpected(again.error());
            }
        }
        const auto all = next_numbers(most);
        if (!all) {
            return std::unexpected(all.error());
        }
        Page page{.last = all->size() < most};
        for (const std::int64_t number : *all) {
            before = number;
            row.reset();
            row.bind(1, number);
            const auto there = row.step();
            if (!there && there.error().code != base::Errc::too_large) {
                return std::unexpected(there.error());
            }
            if (!there) {
                ++page.unreadable;
            } else if (*there) { // else its owner has dropped it
                ForeignCells& cells = page.rows.emplace_back();
                for (int column = 0; column < row.columns(); ++column) {
                    cells.push_back(value_of(row, column));
                }
            }
        }
        row.reset();
        return page;
    }
};

ForeignRows::ForeignRows(std::unique_ptr<State> state) : state_(std::move(state)) {}
ForeignRows::ForeignRows(ForeignRows&&) noexcept = default;
ForeignRows& ForeignRows::operator=(ForeignRows&&) noexcept = default;
ForeignRows::~ForeignRows() = default;

base::Result<ForeignRows> ForeignRows::open(std::string path, std::string table, std::span<const char* const> columns, std::size_t required)
{
    struct ::stat file{};
    if (::stat(path.c_str(), &file) != 0 || !S_ISREG(file.st_mode)) {
        return base::fail(base::Errc::not_found, fmt::format("cannot read {}: there is no such file", path));
    }
    auto state = std::make_unique<State>();
    state->path = std::move(path);
    state->table = std::move(table);
    state->columns.assign(columns.begin(), columns.end());
    state->required = required;
    if (auto opened = state->open(); !opened) {
        return cannot_read(state->path, opened.error());
    }
    return ForeignRows(std::move(state));
}

base::Result<ForeignRows::Page> ForeignRows::next(std::size_t most)
{
    auto page = state_->next(most);
    return page ? std::move(page) : cannot_read(state_->path, page.error());
}

} // namespace herd::store
