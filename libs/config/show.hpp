#pragma once
// What a table says to people: the help, the effective settings, and the reference in docs/config.md.
#include "config/table.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::config {

/// The options of `table` by group, 100 columns wide, defaults in parentheses. Settings without a flag are
/// named in a closing paragraph; --help and --version are added.
[[nodiscard]] std::string help_options(const Table& table);

/// "  left          right", the right side wrapped under itself, at 100 columns.
[[nodiscard]] std::string help_line(std::string_view left, std::string_view right);

/// The settings in force as TOML that loads back, each with where it came from unless it is the default.
/// Secrets are starred out (such a line does not load back).
[[nodiscard]] std::string effective_toml(const Table& table);

/// The same as one JSON object: {"discovery.port": {"value": 11436, "from": "default"}, …}. What was asked for and needs a
/// restart stands beside it as "after_restart". [[repeated]] tables are lists of what is set in each element.
[[nodiscard]] std::string effective_json(const Table& table);

/// As a string of TOML and of JSON: quoted, escaped.
[[nodiscard]] std::string quoted(std::string_view text);

/// Markdown tables, one per group, and one per [[repeated]] table.
[[nodiscard]] std::string reference_markdown(const Table& table);

} // namespace herd::config
