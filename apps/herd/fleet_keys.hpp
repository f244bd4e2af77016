#pragma once
// The fleet's keys as herd's settings name them.
#include "discovery/authenticator.hpp"
#include "herd/options.hpp"

namespace herd::app {

/// Reads the key file, if one is set, or the key itself. `join = "key"` requires a MAC; with a key in another mode
/// both are accepted; without a key there is none to check.
/// Errors: bad_config, one sentence. Blocks for the disk.
[[nodiscard]] base::Result<discovery::Authenticator> load_fleet_keys(const HerdOptions& options);

} // namespace herd::app
