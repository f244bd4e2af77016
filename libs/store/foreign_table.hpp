#pragma once
// A table of another program's database, read as it lies. Blocks.
#include "base/error.hpp"

#include <map>
#include <string>
#include <vector>

namespace herd::store {

/// Column → text; those that are NULL are not there.
using ForeignRow = std::map<std::string, std::string>;

/// At most `most` rows; nothing is changed in the file. `table`: a plain word, written by us.
/// Errors: not_found, io, malformed (no such database), with SQLite's words.
[[nodiscard]] base::Result<std::vector<ForeignRow>> read_foreign_table(const std::string& path, const std::string& table, std::size_t most = 10'000);

} // namespace herd::store
