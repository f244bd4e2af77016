#include "store/device_state.hpp"

#include "store/state_file.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::store {

namespace {

using Json = nlohmann::ordered_json;

constexpr int format_version = 1;
constexpr std::size_t file_bytes_max = 4 * 1024 * 1024;
constexpr std::size_t key_id_bytes_max = 64;

/// Empty: no, or not what it must be.
std::string text_of(const Json& json, const char* key)
{
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

std::unexpected<base::Error> wrong(std::string what) { return base::fail(base::Errc::malformed, std::move(what)); }

base::Result<AllowedDevice> parse_allowed(const Json& json)
{
    AllowedDevice device;
    if (json.is_object()) {
        const auto since = json.find("since_us");
        device = {.id = text_of(json, "id"), .key_id = text_of(json, "key"), .pin = text_of(json, "pin")};
        device.since = base::WallTime{std::chrono::microseconds{since != json.end() && since->is_number_integer() ? since->get<std::int64_t>() : 0}};
    }
    const bool fit = is_device_id(device.id) && device.key_id.size() <= key_id_bytes_max && (device.pin.empty() || is_device_id(device.pin));
    return fit ? base::Result<AllowedDevice>{std::move(device)} : wrong("a device is not one");
}

base::Result<KnownServer> parse_server(const Json& json)
{
    const auto address = json.is_object() ? base::IpAddress::parse(text_of(json, "address")) : std::nullopt;
    KnownServer server{address.value_or(base::IpAddress{}), json.is_object() ? text_of(json, "device") : std::string{}};
    const bool fit = address && address->is_v4() && is_device_id(server.device);
    return fit ? base::Result<KnownServer>{std::move(server)} : wrong("a server is not one");
}

template <class Item, class Parse>
base::Result<void> parse_list(const Json& json, const char* key, std::size_t most, Parse parse, std::vector<Item>& into)
{
    const auto list = json.find(key);
    if (list == json.end() || !list->is_array() || list->size() > most) {
        return wrong(std::string{key} + " is no list, or too long");
    }
    for (const Json& each : *list) {
        auto item = parse(each);
        if (!item) {
            return std::unexpected(item.error());
        }
        into.push_back(std::move(*item));
    }
    return {};
}

} // namespace

bool is_device_id(std::string_view text)
{
    return text.size() == device_id_digits && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

base::Result<DeviceState> parse_device_state(std::string_view text)
{
    const auto json = Json::parse(text, nullptr, false);
    if (!json.is_object() || json.value("format", Json{}) != format_version) {
        return wrong("no file of this format");
    }
    DeviceState state{.own_id = text_of(json, "device_id")};
    if (!state.own_id.empty() && !is_device_id(state.own_id)) {
        return wrong("device_id is not one");
    }
    for (const auto& done : {parse_list(json, "allowed", devices_max, parse_allowed, state.allowed),
                             parse_list(json, "servers", ollana_servers_max, parse_server, state.servers)}) {
        if (!done) {
            return std::unexpected(done.error());
        }
    }
    std::set<std::string_view> ids;
    if (!std::ranges::all_of(state.allowed, [&](const AllowedDevice& device) { return ids.insert(device.id).second; })) {
        return wrong("a device is listed twice");
    }
    return state;
}

std::string to_json(const DeviceState& state)
{
    Json json{{"format", format_version}, {"device_id", state.own_id}, {"allowed", Json::array()}, {"servers", Json::array()}};
    for (const AllowedDevice& device : state.allowed) {
        json["allowed"].push_back({{"id", device.id}, {"key", device.key_id}, {"pin", device.pin}, {"since_us", device.since.time_since_epoch().count()}});
    }
    for (const KnownServer& server : state.servers) {
        json["servers"].push_back({{"address", server.address.text()}, {"device", server.device}});
    }
    return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

LoadedDeviceState load_device_state(const std::string& path)
{
    LoadedDeviceState loaded;
    const auto content = read_state_file(path, file_bytes_max);
    if (!content) {
        if (content.error().code != base::Errc::not_found) {
            loaded.warning = content.error().message() + "; no device is allowed";
        }
        return loaded;
    }
    auto state = parse_device_state(*content);
    if (!state) {
        set_aside(path);
        loaded.warning = fmt::format("{} made no sense ({}) and was set aside as .bad; no device is allowed, and herd's own id is another one", path,
                                     state.error().context);
        return loaded;
    }
    loaded.state = std::move(*state);
    return loaded;
}

base::Result<void> save_device_state(const std::string& path, const DeviceState& state) { return write_state_file(path, to_json(state)); }

} // namespace herd::store
