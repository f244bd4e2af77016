#pragma once
// The rows of an option table as JSON: what the admin API reads and writes, and the managed file keeps.
#include "config/table.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::app {

/// Gives the rows what `object` has for them; null means the default, for which `defaults` (the same rows of an
/// untouched element) are asked. `read_only`: fields that are shown and not taken.
/// Errors: bad_config, one sentence that begins with the field.
[[nodiscard]] base::Result<void> assign_json(config::Table& rows, config::Table& defaults, std::string_view object,
                                             const std::vector<std::string>& read_only);

/// More than 64 objects and arrays inside each other: not for a parser that walks them by calling itself.
[[nodiscard]] bool nested_too_deeply(std::string_view json);

/// `"id":"team-a","active":true,…`: every row that is set, without the braces.
[[nodiscard]] std::string members_json(const config::Table& rows);

} // namespace herd::app
