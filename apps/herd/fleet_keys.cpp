#include "herd/fleet_keys.hpp"

#include "common/read_fleet_keys.hpp"

namespace herd::app {

base::Result<discovery::Authenticator> load_fleet_keys(const HerdOptions& options)
{
    const auto& discovery = options.discovery;
    const bool require = discovery.join == JoinMode::key;
    if (discovery.fleet_key.empty() && discovery.fleet_key_file.empty() && !require) {
        return discovery::Authenticator{};
    }
    const auto keys = read_fleet_keys(discovery.fleet_key, discovery.fleet_key_file, options.places);
    if (!keys) {
        return std::unexpected(keys.error());
    }
    return discovery::Authenticator::make(require ? discovery::AuthMode::require : discovery::AuthMode::permissive, *keys);
}

} // namespace herd::app
