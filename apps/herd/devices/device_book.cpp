#include "herd/devices/device_book.hpp"

#include "base/text.hpp"
#include "herd/admin/views.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

namespace herd::app::devices {

namespace {

using Json = nlohmann::ordered_json;

/// Why an allowed device is refused nevertheless; empty: it is not.
std::string advice_for(const store::AllowedDevice& device, const KeyShown& key, const BookScene& scene)
{
    const std::string again = "herd device allow " + device.id + " --as NAME";
    if (!device.key_id.empty() && !key.good) {
        return (key.name.empty() ? "the key it acts as is no more: " : "the key " + key.name + " is not good any more: ") + again;
    }
    if (device.key_id.empty() && scene.require_key) {
        return "keys are required, and it can show none: " + again;
    }
    return {};
}

Json row_of(const store::AllowedDevice& device, const BookScene& scene)
{
    const KeyShown key = device.key_id.empty() || !scene.key ? KeyShown{} : scene.key(device.key_id);
    const std::string advice = advice_for(device, key, scene);
    return {{"id", device.id},
            {"state", "allowed"},
            {"key", key.name.empty() ? Json(nullptr) : Json(key.name)},
            {"usable", advice.empty() && scene.clients},
            {"advice", advice},
            {"from", nullptr},
            {"last_seen", nullptr},
            {"knocks", 0},
            {"since", admin::timestamp(device.since)}};
}

Json row_of(const Knock& knock)
{
    return {{"id", knock.id},
            {"state", "knocked"},
            {"key", nullptr},
            {"usable", false},
            {"advice", "herd device allow " + knock.id},
            {"from", knock.from.text()},
            {"last_seen", admin::timestamp(knock.last)},
            {"knocks", knock.count},
            {"since", nullptr}};
}

} // namespace

void DeviceBook::knocked(std::string_view id, const base::IpAddress& from, base::WallTime now)
{
    if (!store::is_device_id(id) || allowed(id) != nullptr) {
        return;
    }
    const auto known = std::ranges::find(knocks_, id, &Knock::id);
    if (known != knocks_.end()) {
        known->from = from;
        known->last = now;
        ++known->count;
        knocks_.splice(knocks_.end(), knocks_, known);
        return;
    }
    // Who makes many ids pushes out his own, then the oldest of all.
    const auto own = [&](const Knock& knock) { return knock.from == from; };
    if (static_cast<std::size_t>(std::ranges::count_if(knocks_, own)) >= knocks_per_address_max) {
        knocks_.erase(std::ranges::find_if(knocks_, own));
    } else if (knocks_.size() >= knocks_max) {
        knocks_.pop_front();
    }
    knocks_.push_back({std::string{id}, from, now, 1});
}

const store::AllowedDevice* DeviceBook::allowed(std::string_view id) const
{
    const auto found = std::ranges::find(state_.allowed, id, &store::AllowedDevice::id);
    return found == state_.allowed.end() ? nullptr : &*found;
}

store::AllowedDevice* DeviceBook::allowed(std::string_view id)
{
    const auto found = std::ranges::find(state_.allowed, id, &store::AllowedDevice::id);
    return found == state_.allowed.end() ? nullptr : &*found;
}

Named DeviceBook::find(std::string_view which, const std::vector<std::string>& more) const
{
    if (store::is_device_id(which)) {
        return {std::string{which}, {}};
    }
    const bool digits = which.size() >= prefix_digits_min && which.size() < store::device_id_digits
        && std::ranges::all_of(which, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
    if (!digits) {
        return {{}, "a device id has 64 hexadecimal digits in lower case; of a known one the first 8 or more will do"};
    }
    std::set<std::string> fitting;
    const auto consider = [&](const std::string& id) {
        if (id.starts_with(which)) {
            fitting.insert(id);
        }
    };
    std::ranges::for_each(state_.allowed, consider, &store::AllowedDevice::id);
    std::ranges::for_each(knocks_, consider, &Knock::id);
    std::ranges::for_each(more, consider);
    if (fitting.size() != 1) {
        return {{}, std::string(fitting.empty() ? "no device that is known here begins with " : "several devices begin with ") + std::string{which}};
    }
    return {*fitting.begin(), {}};
}

bool DeviceBook::allow(const std::string& id, const std::string& key_id, base::WallTime now)
{
    std::erase_if(knocks_, [&](const Knock& knock) { return knock.id == id; });
    if (auto* known = allowed(id)) {
        known->key_id = key_id;
        return true;
    }
    if (state_.allowed.size() >= store::devices_max) {
        return false;
    }
    state_.allowed.push_back({.id = id, .key_id = key_id, .since = now});
    return true;
}

bool DeviceBook::disable(const std::string& id)
{
    std::erase_if(state_.servers, [&](const store::KnownServer& server) { return server.device == id; });
    return std::erase_if(state_.allowed, [&](const store::AllowedDevice& device) { return device.id == id; }) != 0;
}

proxy::DeviceRules DeviceBook::rules() const
{
    proxy::DeviceRules rules{.own_id = state_.own_id};
    for (const store::AllowedDevice& device : state_.allowed) {
        rules.allowed.push_back({device.id, device.key_id});
    }
    return rules;
}

std::string book_json(const DeviceBook& book, const BookScene& scene)
{
    Json json{{"device_id", book.own_id()}, {"clients", scene.clients}, {"servers", scene.servers}, {"devices", Json::array()}};
    for (const store::AllowedDevice& device : book.state().allowed) {
        json["devices"].push_back(row_of(device, scene));
    }
    for (auto knock = book.knocks().rbegin(); knock != book.knocks().rend(); ++knock) {
        json["devices"].push_back(row_of(*knock));
    }
    json["ollana_servers"] = Json::parse(scene.server_list, nullptr, false);
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

base::Result<std::string> parse_allow(std::string_view body)
{
    if (base::trim(body).empty()) {
        return std::string{};
    }
    const auto json = Json::parse(body, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::bad_config, "a JSON object is needed, or nothing");
    }
    std::string key;
    for (const auto& [name, value] : json.items()) {
        if (name != "key" || !(value.is_string() || value.is_null())) {
            return base::fail(base::Errc::bad_config, "only \"key\" is understood, the name of an API key; not \"" + name.substr(0, 100) + '"');
        }
        key = value.is_string() ? value.get<std::string>() : std::string{};
    }
    return key;
}

} // namespace herd::app::devices
