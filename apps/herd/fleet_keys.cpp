#include "herd/fleet_keys.hpp"

#include "store/state_file.hpp"

namespace herd::app {

base::Result<discovery::Authenticator> load_fleet_keys(const HerdOptions& options)
{
    const auto& discovery = options.discovery;
    const auto refuse = [&](std::string_view key, const std::string& why) {
        return config::with_place(options.places, base::Error{.code = base::Errc::bad_config, .context = std::string{key} + ": " + why});
    };
    std::string text = discovery.fleet_key;
    if (!discovery.fleet_key_file.empty()) {
        auto read = store::read_secret_file(discovery.fleet_key_file, discovery::fleet_key_file_bytes_max);
        if (!read) {
            const auto& cause = read.error().cause;
            return refuse("discovery.fleet_key_file", read.error().context + (cause ? ": " + cause.message() : ""));
        }
        text = std::move(*read);
    }
    const bool require = discovery.join == JoinMode::key;
    if (text.empty() && discovery.fleet_key_file.empty() && !require) {
        return discovery::Authenticator{};
    }
    const auto keys = discovery::parse_fleet_keys(text);
    if (!keys) {
        const bool from_file = !discovery.fleet_key_file.empty();
        return refuse(from_file ? "discovery.fleet_key_file" : "discovery.fleet_key",
                      from_file ? discovery.fleet_key_file + ": " + keys.error().context : keys.error().context);
    }
    return discovery::Authenticator::make(require ? discovery::AuthMode::require : discovery::AuthMode::permissive, *keys);
}

} // namespace herd::app
