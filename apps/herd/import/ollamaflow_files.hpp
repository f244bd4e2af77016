#pragma once
// OllamaFlow's settings and objects as a herd.toml. Pure. Source: reference/parity.md 3.2, 3.9.
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app::import {

/// A row of its database: what stands in which column, as text; without those that are NULL.
using Row = std::map<std::string, std::string>;

/// `settings`: ollamaflow.json, or empty. The same server twice, once for each ApiFormat, becomes one node. What herd has
/// nothing for is told in remarks. Secrets of backends stand in the text.
[[nodiscard]] std::string toml_of_ollamaflow(std::string_view settings, const std::vector<Row>& frontends, const std::vector<Row>& backends);

} // namespace herd::app::import
