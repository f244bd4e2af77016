#include "store/fleet_state.hpp"

#include "base/text.hpp"
#include "store/state_file.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::store {

namespace {

using Json = nlohmann::ordered_json;

constexpr int format_version = 1;
constexpr std::size_t file_bytes_max = 64 * 1024 * 1024;
constexpr std::size_t nodes_max = 65536;

std::int64_t micros(base::WallTime time) { return time.time_since_epoch().count(); }
base::WallTime from_micros(std::int64_t value) { return base::WallTime{std::chrono::microseconds{value}}; }

/// Reads members one by one; remembers when one was not what it must be.
struct Reader {
    const Json& json;
    bool good{true};

    const Json& at(const char* key)
    {
        static const Json nothing;
        const auto found = json.is_object() ? json.find(key) : json.end();
        if (!json.is_object() || found == json.end()) {
            good = false;
            return nothing;
        }
        return *found;
    }
    std::string text(const char* key)
    {
        const Json& value = at(key);
        good = good && value.is_string();
        return value.is_string() ? value.get<std::string>() : std::string{};
    }
    std::int64_t number(const char* key)
    {
        const Json& value = at(key);
        good = good && value.is_number_integer();
        return value.is_number_integer() ? value.get<std::int64_t>() : 0;
    }
    bool flag(const char* key)
    {
        const Json& value = at(key);
        good = good && value.is_boolean();
        return value == true;
    }
    std::vector<std::string> texts(const char* key)
    {
        const Json& value = at(key);
        std::vector<std::string> list;
        good = good && value.is_array();
        for (const Json& element : value.is_array() ? value : Json::array()) {
            good = good && element.is_string();
            list.push_back(element.is_string() ? element.get<std::string>() : std::string{});
        }
        return list;
    }
    base::Uuid id(const char* key)
    {
        const auto value = base::Uuid::parse(text(key));
        good = good && value && !value->is_nil();
        return value.value_or(base::Uuid{});
    }
};

Json node_json(const SavedNode& node)
{
    return {
        {"id", node.id.text()},
        {"name", node.name},
        {"agent", node.agent.text()},
        {"boot_id", fmt::format("{}", node.boot_id)}, // a string: 64 bits do not survive every JSON reader
        {"labels", node.labels},
        {"drained", node.drained},
        {"left", node.left},
        {"seen_us", micros(node.seen)}};
}

bool read_node(const Json& json, SavedNode& node)
{
    Reader reader{json};
    node.id = reader.id("id");
    node.name = reader.text("name");
    const auto agent = base::Endpoint::parse(reader.text("agent"));
    const auto boot_id = base::parse_unsigned(reader.text("boot_id"));
    node.labels = reader.texts("labels");
    node.drained = reader.flag("drained");
    node.seen = from_micros(reader.number("seen_us"));
    node.left = json.is_object() && json.contains("left") && reader.flag("left"); // files of older versions do not say
    node.agent = agent.value_or(base::Endpoint{});
    node.boot_id = boot_id.value_or(0);
    return reader.good && agent && boot_id;
}

Json static_json(const SavedStaticNode& node)
{
    Json json{{"url", node.url},     {"name", node.name},     {"labels", node.labels},
              {"slots", node.slots}, {"bearer", node.bearer}, {"drained", node.drained}, {"settings", node.settings}};
    if (node.dates) {
        json["created_us"] = micros(node.dates->created);
        json["updated_us"] = micros(node.dates->updated);
    }
    return json;
}

bool read_static(const Json& json, SavedStaticNode& node)
{
    Reader reader{json};
    node.url = reader.text("url");
    node.name = reader.text("name");
    node.labels = reader.texts("labels");
    node.slots = static_cast<int>(std::clamp<std::int64_t>(reader.number("slots"), 0, 65536));
    node.bearer = reader.text("bearer");
    node.drained = reader.flag("drained");
    if (json.is_object() && json.contains("settings")) {
        node.settings = reader.text("settings");
    }
    if (json.is_object() && json.contains("created_us")) {
        node.dates = base::Dates{from_micros(reader.number("created_us")), from_micros(reader.number("updated_us"))};
        reader.good = reader.good && base::is_date(node.dates->created) && base::is_date(node.dates->updated);
    }
    return reader.good && !node.url.empty();
}

Json ids_json(const std::vector<base::NodeId>& ids)
{
    Json list = Json::array();
    for (const base::NodeId& id : ids) {
        list.push_back(id.text());
    }
    return list;
}

bool read_ids(const std::vector<std::string>& texts, std::vector<base::NodeId>& ids)
{
    for (const std::string& text : texts) {
        const auto parsed = base::Uuid::parse(text);
        if (!parsed || ids.size() >= nodes_max) {
            return false;
        }
        ids.push_back(*parsed);
    }
    return true;
}

Json models_json(const SavedModels& models) { return {{"node", models.node.text()}, {"names", models.names}}; }

/// `left` names may follow.
bool read_models(const Json& json, SavedModels& models, std::size_t& left)
{
    Reader reader{json};
    models.node = reader.id("node");
    models.names = reader.texts("names");
    if (!reader.good || models.names.size() > std::min(model_names_per_node, left)) {
        return false;
    }
    left -= models.names.size();
    return std::ranges::all_of(models.names, [](const std::string& name) { return name.size() <= model_name_bytes; });
}

std::unexpected<base::Error> malformed(std::string why)
{
    return base::fail(base::Errc::malformed, std::move(why));
}

} // namespace

std::string to_json(const FleetState& state)
{
    Json nodes = Json::array();
    for (const SavedNode& node : state.nodes) {
        nodes.push_back(node_json(node));
    }
    Json statics = Json::array();
    for (const SavedStaticNode& node : state.static_nodes) {
        statics.push_back(static_json(node));
    }
    Json models = Json::array();
    for (const SavedModels& element : state.models) {
        models.push_back(models_json(element));
    }
    const Json json{{"format", format_version},
                    {"saved_at_us", micros(state.saved_at)},
                    {"nodes", std::move(nodes)},
                    {"static_nodes", std::move(statics)},
                    {"drained_configured", ids_json(state.drained_configured)},
                    {"approved", ids_json(state.approved)},
                    {"models", std::move(models)}};
    // Names come from the network; what is not UTF-8 becomes the replacement character.
    return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

base::Result<FleetState> parse_fleet_state(std::string_view text)
{
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return malformed("not a JSON object");
    }
    Reader reader{json};
    FleetState state;
    if (reader.number("format") != format_version) {
        return malformed("a format this version does not know");
    }
    state.saved_at = from_micros(reader.number("saved_at_us"));
    const Json& nodes = reader.at("nodes");
    const Json& statics = reader.at("static_nodes");
    if (!nodes.is_array() || !statics.is_array() || nodes.size() > nodes_max || statics.size() > nodes_max) {
        return malformed("nodes are missing");
    }
    for (const Json& element : nodes) {
        if (!read_node(element, state.nodes.emplace_back())) {
            return malformed(fmt::format("node {} is damaged", state.nodes.size()));
        }
    }
    for (const Json& element : statics) {
        if (!read_static(element, state.static_nodes.emplace_back())) {
            return malformed(fmt::format("static node {} is damaged", state.static_nodes.size()));
        }
    }
    std::size_t names_left = model_names_in_all;
    const Json& models = json.contains("models") ? json["models"] : Json::array();
    if (!models.is_array() || models.size() > 2 * nodes_max) {
        return malformed("models are not a list");
    }
    for (const Json& element : models) {
        if (!read_models(element, state.models.emplace_back(), names_left)) {
            return malformed(fmt::format("the models of node {} are damaged", state.models.size()));
        }
    }
    const bool drained = read_ids(reader.texts("drained_configured"), state.drained_configured);
    // Files of older versions have no approvals.
    const bool approved = !json.contains("approved") || read_ids(reader.texts("approved"), state.approved);
    if (!reader.good || !drained || !approved) {
        return malformed("a member is missing or of the wrong type");
    }
    return state;
}

LoadedFleetState load_fleet_state(const std::string& path, base::WallTime now)
{
    LoadedFleetState loaded;
    const auto content = read_state_file(path, file_bytes_max);
    if (!content) {
        if (content.error().code != base::Errc::not_found) {
            loaded.warning = content.error().message() + "; starting with an empty pool";
        }
        return loaded;
    }
    auto state = parse_fleet_state(*content);
    if (!state) {
        set_aside(path);
        loaded.warning =
            fmt::format("{} made no sense ({}) and was set aside as .bad; starting with an empty pool", path,
                        state.error().context);
        return loaded;
    }
    // A clock that was set back must not make yesterday's nodes look fresh for ever: the future counts as now.
    const auto too_old = [now](const SavedNode& node) {
        return now - std::min(node.seen, now) > node_memory;
    };
    std::erase_if(state->nodes, too_old);
    loaded.state = std::move(*state);
    return loaded;
}

base::Result<void> save_fleet_state(const std::string& path, const FleetState& state)
{
    return write_state_file(path, to_json(state));
}

} // namespace herd::store
