#pragma once
// Checks what most often keeps a node from being used, each with advice. Nothing is changed and no datagram
// is sent.
#include "herd-node/options.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::node {

enum class Severity : unsigned char { ok, info, warning, critical };
[[nodiscard]] std::string_view to_string(Severity severity);

/// The shape of a health check in the admin API.
struct Check {
    std::string id{};
    Severity severity{Severity::ok};
    std::string summary{};
    std::string advice{}; ///< empty when nothing is to be done
};

/// Asks Ollama, tries the ports, looks at interfaces, keys and state. Blocks for some seconds at worst.
[[nodiscard]] std::vector<Check> examine(const NodeOptions& options);

} // namespace herd::node
