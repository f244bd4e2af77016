#pragma once
// A table of another program's database, row by row: it may be long, and its owner may be writing to it meanwhile. Blocks.
#include "base/error.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace herd::store {

/// What stands in a column. SQLite lets anything stand in any of them; bytes that are no text count as nothing.
using ForeignValue = std::variant<std::monostate, std::int64_t, double, std::string>;
using ForeignCells = std::vector<ForeignValue>;

/// Thread: one.
class ForeignRows {
public:
    static constexpr std::size_t text_bytes_max = 4096;            ///< a text that is longer comes cut
    static constexpr std::size_t row_bytes_max = 16 * 1024 * 1024; ///< a row with more is not read

    struct Page {
        std::vector<ForeignCells> rows{};
        std::uint64_t unreadable{0}; ///< rows that are too large
        bool last{false};            ///< nothing is left
    };

    /// `columns` come in this order; of those after the first `required` some may not be there, and are nothing then.
    /// `table` and `columns`: plain words, written by us. The file, and what lies beside it, is not changed.
    /// Errors: not_found, malformed (no such database), timed_out (locked), io; the context is one sentence.
    [[nodiscard]] static base::Result<ForeignRows> open(std::string path, std::string table, std::span<const char* const> columns,
                                                        std::size_t required);
    ForeignRows(ForeignRows&&) noexcept;
    ForeignRows& operator=(ForeignRows&&) noexcept;
    ~ForeignRows();

    /// The next ones, at most `most`, those that were written last first. Between two calls nothing is held open for reading.
    [[nodiscard]] base::Result<Page> next(std::size_t most);

private:
    struct State;
    explicit ForeignRows(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

} // namespace herd::store
