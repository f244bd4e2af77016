#include "store/foreign_table.hpp"

#include "store/internal/sqlite.hpp"

namespace herd::store {

base::Result<std::vector<ForeignRow>> read_foreign_table(const std::string& path, const std::string& table, std::size_t most)
{
    auto database = internal::Database::open(path, internal::Database::Mode::read);
    if (!database) {
        return std::unexpected(database.error());
    }
    auto statement = database->prepare("SELECT * FROM " + table + " LIMIT " + std::to_string(most));
    if (!statement) {
        return std::unexpected(statement.error());
    }
    std::vector<ForeignRow> rows;
    for (;;) {
        const auto there = statement->step();
        if (!there) {
            return std::unexpected(there.error());
        }
        if (!*there) {
            return rows;
        }
        ForeignRow& row = rows.emplace_back();
        for (int i = 0; i < statement->columns(); ++i) {
            if (!statement->is_null(i)) {
                row.emplace(statement->name(i), statement->text(i));
            }
        }
    }
}

} // namespace herd::store
