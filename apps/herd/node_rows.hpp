#pragma once
// [[node]] in the option table, and how the URL of a node is read wherever a person writes one.
#include "config/table.hpp"
#include "herd/options.hpp"

#include <string>
#include <string_view>

namespace herd::app {

/// "http://host:port[/path]", completed. Errors: bad_config, what was expected.
[[nodiscard]] base::Result<std::string> parse_node_url(std::string_view text);

void node_rows(config::Table& table, ConfiguredNode& node);

} // namespace herd::app
