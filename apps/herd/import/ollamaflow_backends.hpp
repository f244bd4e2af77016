#pragma once
// OllamaFlow's backends as [[node]]. Pure. Source: reference/parity.md 3.2, 3.9.
#include "herd/import/object.hpp"

namespace herd::app::import {

struct Nodes {
    std::vector<std::string> sections{};
    std::map<std::string, std::string> names{}; ///< Identifier → name of its node; without backends that were left out
};

/// One node for each server, however often it is registered.
[[nodiscard]] Nodes nodes_of(const std::vector<Row>& backends);

} // namespace herd::app::import
