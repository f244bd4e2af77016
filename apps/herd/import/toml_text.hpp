#pragma once
// A configuration file in the making. Pure.
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace herd::app::import {

using Json = nlohmann::ordered_json;

/// Whether TOML has a form for all of it: no null, no number beyond its own.
[[nodiscard]] bool fit_for_toml(const Json& value);
/// As TOML writes it: objects as inline tables. Requires: fit_for_toml().
[[nodiscard]] std::string toml_value(const Json& value);
/// `key = value` with a line end; a key that is no bare word stands in quotes.
[[nodiscard]] std::string toml_line(std::string_view key, const Json& value);
/// `# text`, one line, whatever is in it; what is no UTF-8 has no place in a TOML file.
[[nodiscard]] std::string remark(std::string_view text);

} // namespace herd::app::import
