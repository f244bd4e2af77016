#pragma once
// OllamaFlow's frontends as [[frontend]]. Pure. Source: reference/parity.md 3.2, 3.3, 3.9.
#include "herd/import/object.hpp"

namespace herd::app::import {

/// `nodes`: Identifier of a backend → name of its node.
[[nodiscard]] std::vector<std::string> frontends_of(const std::vector<Row>& frontends, const std::map<std::string, std::string>& nodes);

} // namespace herd::app::import
