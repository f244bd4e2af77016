#include "common/read_fleet_keys.hpp"

#include "store/state_file.hpp"

namespace herd::app {

base::Result<std::vector<discovery::FleetKey>> read_fleet_keys(const std::string& key, const std::string& file, const config::Places& places)
{
    const auto refuse = [&](const std::string& why) {
        const std::string setting = file.empty() ? "discovery.fleet_key: " : "discovery.fleet_key_file: ";
        return config::with_place(places, base::Error{.code = base::Errc::bad_config, .context = setting + why});
    };
    std::string text = key;
    if (!file.empty()) {
        auto read = store::read_secret_file(file, discovery::fleet_key_file_bytes_max);
        if (!read) {
            return refuse(read.error().context);
        }
        text = std::move(*read);
    }
    auto keys = discovery::parse_fleet_keys(text);
    if (!keys) {
        return refuse(file.empty() ? keys.error().context : file + ": " + keys.error().context);
    }
    return keys;
}

} // namespace herd::app
