#include "herd/pins/view.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "herd/admin/views.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace herd::app::pins {

namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json per_node(const Standing& standing)
{
    Json nodes = Json::object();
    for (const Entry& entry : standing.entries) {
        if (!entry.node_name.empty()) {
            nodes[entry.node_name].push_back(entry.model);
        }
    }
    return nodes;
}

Json row_of(const Entry& entry, const Standing& standing)
{
    const bool placed = !entry.node_name.empty();
    Json row{{"model", entry.model},
             {"node", placed ? Json(entry.node_name) : Json(nullptr)},
             {"node_id", placed ? Json(entry.node.text()) : Json(nullptr)},
             {"state", to_string(entry.state)}};
    if (!entry.reason.empty()) {
        row["reason"] = entry.reason;
    }
    if (entry.failures > 0) {
        row["failures"] = entry.failures;
    }
    if (entry.state == State::failed) {
        const auto in = std::max(base::Duration{}, entry.next_try - standing.now);
        row["next_try"] = admin::timestamp(standing.wall + std::chrono::duration_cast<std::chrono::microseconds>(in));
    }
    return row;
}

} // namespace

std::string pins_json(const Standing& standing)
{
    Json pins = Json::array();
    for (const Standing::Row& row : standing.pins) {
        const bool bound = !row.pin.node.empty();
        pins.push_back({{"model", fleet::ModelName::parse(row.pin.model).display},
                        {"node", !bound ? Json(nullptr) : Json(row.node.empty() ? row.pin.node : row.node)},
                        {"node_id", row.node_id.empty() ? Json(nullptr) : Json(row.node_id)},
                        {"replicas", row.pin.replicas == 0 ? Json("all") : Json(row.pin.replicas)},
                        {"source", row.managed ? "managed" : "herd.toml"}});
    }
    Json models = Json::array();
    for (const Entry& entry : standing.entries) {
        models.push_back(row_of(entry, standing));
    }
    return dumped({{"pins", std::move(pins)}, {"models", std::move(models)}});
}

std::string fleet_pin_json(const Standing& standing, const std::string& model, const std::string& node, bool ready, std::int64_t waited_ms)
{
    const Entry* entry = find(standing, model, node);
    const bool placed = entry != nullptr && !entry->node_name.empty();
    Json answer{{"ok", true},
                {"model", fleet::ModelName::parse(model).display},
                {"pinned_node", placed ? Json(entry->node_name) : Json(nullptr)},
                {"per_node", per_node(standing)}};
    if (waited_ms >= 0) {
        answer["ready"] = ready;
        answer["ready_after_ms"] = ready ? Json(waited_ms) : Json(nullptr);
    }
    return dumped(answer);
}

std::string fleet_unpin_json(const Standing& standing, const std::string& model, const std::vector<std::string>& from)
{
    return dumped({{"ok", true}, {"model", fleet::ModelName::parse(model).display}, {"unpinned_from", from}, {"per_node", per_node(standing)}});
}

std::string pinned_models_json(const Standing& standing)
{
    Json anywhere = Json::array();
    for (const Standing::Row& row : standing.pins) {
        if (row.pin.node.empty()) {
            anywhere.push_back(fleet::ModelName::parse(row.pin.model).display);
        }
    }
    return dumped({{"env_pins", std::move(anywhere)}, {"per_node", per_node(standing)}, {"max_count", standing.places}});
}

std::string pinned_models_changed_json(const Standing& standing) { return dumped({{"ok", true}, {"per_node", per_node(standing)}}); }

std::string not_ok(const std::string& error_body)
{
    const auto error = Json::parse(error_body, nullptr, false);
    Json answer{{"ok", false}};
    if (error.is_object()) {
        answer.update(error);
    }
    return dumped(answer);
}

const Entry* find(const Standing& standing, const std::string& model, const std::string& node)
{
    const auto key = fleet::ModelName::parse(model).key;
    const Entry* best = nullptr;
    for (const Entry& entry : standing.entries) {
        const bool there = node.empty() || base::iequals(entry.node_name, node) || base::iequals(entry.node.text(), node);
        if (entry.key == key && there && (best == nullptr || entry.state < best->state)) {
            best = &entry;
        }
    }
    return best;
}

} // namespace herd::app::pins
