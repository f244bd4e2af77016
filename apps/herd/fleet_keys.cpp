#include "herd/fleet_keys.hpp"

#include "store/state_file.hpp"

namespace herd::app {

base::Result<discovery::Authenticator> load_fleet_keys(const HerdOptions::Discovery& options)
{
    std::string text = options.fleet_key;
    if (!options.fleet_key_file.empty()) {
        auto read = store::read_secret_file(options.fleet_key_file, discovery::fleet_key_file_bytes_max);
        if (!read) {
            return read.error().code == base::Errc::bad_config
                ? std::unexpected(read.error())
                : base::fail(base::Errc::bad_config, "cannot read the fleet key: " + read.error().message());
        }
        text = std::move(*read);
    }
    const bool require = options.join == JoinMode::key;
    if (text.empty() && options.fleet_key_file.empty() && !require) {
        return discovery::Authenticator{};
    }
    const auto keys = discovery::parse_fleet_keys(text);
    if (!keys) {
        return std::unexpected(keys.error());
    }
    return discovery::Authenticator::make(require ? discovery::AuthMode::require : discovery::AuthMode::permissive, *keys);
}

} // namespace herd::app
