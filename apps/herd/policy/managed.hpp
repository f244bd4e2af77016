#pragma once
// What was changed at run time: frontends, settings of nodes, and which node a frontend is switched to. It stands in
// managed.json in the state directory and goes over herd.toml, entry by entry: a frontend or node that is named here
// is as it stands here, all others are as they stand there.
#include "herd/policy/policy_rows.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app {

struct ManagedNode {
    std::string node{}; ///< id or name
    std::vector<std::string> labels{};
    ConfiguredSettings settings{};
    base::MaybeDates dates{};
};

struct Managed {
    std::vector<ConfiguredFrontend> frontends{};
    std::vector<ManagedNode> nodes{};
    std::map<std::string, std::string> use{}; ///< frontend id → node id
    std::vector<ConfiguredPin> pins{};         ///< besides those of herd.toml; nodes by id
};

/// Errors: bad_config, one sentence that names the entry and the field.
[[nodiscard]] base::Result<Managed> parse_managed(std::string_view text);
[[nodiscard]] std::string managed_text(const Managed& managed);

/// A pin as JSON has it. Errors: bad_config, one sentence.
[[nodiscard]] base::Result<ConfiguredPin> parse_pin(std::string_view body, const std::vector<std::string>& besides = {});
/// Members of the object, without braces.
[[nodiscard]] std::string json_of(ConfiguredPin pin);

/// The rows of such an entry.
void managed_node_rows(config::Table& table, ManagedNode& node);
/// The object as it was, with what `body` says of it. Errors: as assign_json.
[[nodiscard]] base::Result<ConfiguredFrontend> changed(ConfiguredFrontend before, std::string_view body);
[[nodiscard]] base::Result<ManagedNode> changed(ManagedNode before, std::string_view body);
/// Members of the object, without braces; of its dates: as they follow upon others, or nothing.
[[nodiscard]] std::string json_of(ConfiguredFrontend frontend);
[[nodiscard]] std::string json_of(ManagedNode node);
[[nodiscard]] std::string json_of(const base::MaybeDates& dates);

} // namespace herd::app
