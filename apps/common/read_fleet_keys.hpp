#pragma once
// The fleet's keys as the settings of either program name them: `discovery.fleet_key_file`, else `discovery.fleet_key`.
#include "config/places.hpp"
#include "discovery/authenticator.hpp"

#include <string>
#include <vector>

namespace herd::app {

/// `file` counts if both are given. Requires: one of them is not empty, or the error says that there is no key.
/// Errors: bad_config, one sentence that names the setting and its place. Blocks for the disk.
[[nodiscard]] base::Result<std::vector<discovery::FleetKey>> read_fleet_keys(const std::string& key, const std::string& file,
                                                                             const config::Places& places);

} // namespace herd::app
