#pragma once
// Rows that both programs have, and the text forms of the values they share: addresses to listen on, peers,
// labels, names, the log.
#include "base/ip.hpp"
#include "base/log.hpp"
#include "config/table.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::config {

/// "HOST:PORT", "HOST", ":PORT", "PORT"; HOST is an address, `localhost` or empty (every address).
[[nodiscard]] Result<base::Endpoint> parse_listen(std::string_view text, std::uint16_t default_port);

/// A node's or fleet's name: 1 to 63 bytes of UTF-8 without control characters.
[[nodiscard]] Result<std::string> parse_name(std::string_view text);
/// A label: 1 to 63 characters, no comma, space or control character (labels travel in comma lists).
[[nodiscard]] Result<std::string> parse_label(std::string_view text);

Option& add_listen(Table& table, Row row, std::vector<base::Endpoint>& into, std::uint16_t default_port);
Option& add_name(Table& table, Row row, std::string& into);
Option& add_labels(Table& table, Row row, std::vector<std::string>& into);
/// Paths are kept as written; the program makes them absolute at the end.
void add_log_rows(Table& table, log::Options& into);
void add_daemon_rows(Table& table, bool& daemon, std::string& pid_file);
/// --config, --check-config and the hidden --dump-config-docs.
void add_config_rows(Table& table, std::string& file, bool& check, bool& dump, const std::string& file_name);

} // namespace herd::config
