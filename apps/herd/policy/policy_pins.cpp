// Models that are to stay loaded, as the admin API changes them: checked against what the fleet has room for.
#include "base/text.hpp"
#include "fleet/called.hpp"
#include "fleet/model_name.hpp"
#include "herd/pins/room.hpp"
#include "herd/policy/policy_keeper.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

PolicyAnswer refused(int status, Json body, std::string_view code)
{
    body["code"] = code;
    return {status, dumped(body), {}};
}

double in_gib(base::Bytes bytes) { return static_cast<double>(bytes * 100 / base::gib) / 100; }

Json told(const pins::Shortage& shortage)
{
    Json others = Json::object();
    for (const auto& [model, bytes] : shortage.others) {
        others[model] = in_gib(bytes);
    }
    return {{"error", shortage.why},
            {"node_id", shortage.node},
            {"requested_gb", in_gib(shortage.requested)},
            {"already_pinned_gb", in_gib(shortage.pinned)},
            {"budget_gb", in_gib(shortage.budget)},
            {"node_total_gb", in_gib(shortage.total)},
            {"already_pinned", std::move(others)}};
}

std::string key_of(const ConfiguredPin& pin) { return fleet::ModelName::parse(pin.model).key; }

bool forced(const std::string& body)
{
    const auto json = Json::parse(body, nullptr, false);
    return json.is_object() && json.contains("force") && json["force"] == true;
}

/// Nothing: some node where it may be has room. Else what the first of them lacks.
std::optional<pins::Shortage> shortage_of(const fleet::Snapshot& snapshot, const ConfiguredPin& pin,
                                          const std::function<std::vector<std::string>(const fleet::NodeId&)>& pinned_at)
{
    const auto key = key_of(pin);
    std::optional<pins::Shortage> first;
    for (const fleet::Holder& holder : snapshot.models.at(key)) {
        const fleet::NodeView& node = snapshot.nodes[holder.node];
        if ((!pin.node.empty() && node.id.text() != pin.node) || node.address.cloud()) {
            continue;
        }
        auto missing = pins::shortage(node, key, pinned_at(node.id));
        if (!missing) {
            return std::nullopt;
        }
        first = first ? first : std::move(missing);
    }
    return first;
}

} // namespace

PolicyKeeper::Next PolicyKeeper::add_pin(const PolicyChange& change)
{
    Next next{.managed = managed_, .status = 201};
    auto pin = parse_pin(change.body, {"force"});
    if (!pin) {
        next.answer = refused(400, {{"error", pin.error().context}}, "bad_request");
        return next;
    }
    const auto snapshot = fleet_.publish();
    const auto key = key_of(*pin);
    const fleet::NodeView* node = pin->node.empty() ? nullptr : snapshot->find(std::string_view(pin->node));
    if (!pin->node.empty() && node == nullptr) {
        Json known = Json::array();
        for (const fleet::NodeView& each : snapshot->nodes) {
            known.push_back(fleet::word_for(*snapshot, each));
        }
        next.answer = refused(400, {{"error", "node: " + fleet::why_nobody(*snapshot, pin->node)}, {"known_nodes", std::move(known)}}, "unknown_node");
        return next;
    }
    pin->node = node == nullptr ? std::string{} : node->id.text(); // a name may change hands
    const auto holders = snapshot->models.find(key);
    const bool there = holders != snapshot->models.end() && (node == nullptr || std::ranges::any_of(holders->second, [&](const fleet::Holder& holder) {
                                                                return snapshot->nodes[holder.node].id == node->id;
                                                            }));
    if (!there) {
        const bool closed = node != nullptr && !node->allows(key);
        const std::string where = node == nullptr ? "no node has it; pull it first"
            : closed                              ? node->name + " may not serve it (models_allow)"
                                                  : node->name + " does not have it; pull it first";
        next.answer = refused(404, {{"error", "model '" + pin->model + "' not found: " + where}}, "model_not_found");
        return next;
    }
    if (auto missing = forced(change.body) ? std::nullopt : shortage_of(*snapshot, *pin, pinned_at_)) {
        next.answer = refused(409, told(*missing), "conflict");
        return next;
    }
    const auto same = [&](const ConfiguredPin& other) {
        const auto* at = other.node.empty() ? nullptr : snapshot->find(std::string_view(other.node));
        return key_of(other) == key && (other.node.empty() ? node == nullptr : node != nullptr && at == node);
    };
    if (const auto file = std::ranges::find_if(options_.pins, same); file != options_.pins.end() && file->replicas != pin->replicas) {
        next.answer = refused(409, {{"error", "model '" + pin->model + "' is pinned in herd.toml: change it there"}}, "conflict");
        return next;
    } else if (const auto at = std::ranges::find_if(next.managed.pins, same); at != next.managed.pins.end()) {
        at->replicas = pin->replicas;
        next.status = 200;
    } else if (file == options_.pins.end()) {
        next.managed.pins.push_back(*pin);
    } else {
        next.status = 200; // it stands in herd.toml already
    }
    next.pin = std::move(*pin);
    return next;
}

/// `target`: the model; `body`: a node, or nothing for all pins of the model.
PolicyKeeper::Next PolicyKeeper::remove_pin(const PolicyChange& change)
{
    Next next{.managed = managed_};
    const auto snapshot = fleet_.publish();
    const auto key = fleet::ModelName::parse(change.target).key;
    const fleet::NodeView* node = change.body.empty() ? nullptr : snapshot->find(std::string_view(change.body));
    const auto meant = [&](const ConfiguredPin& pin) {
        const bool there = change.body.empty() || base::iequals(pin.node, change.body)
            || (node != nullptr && (pin.node == node->id.text() || base::iequals(pin.node, node->name)));
        return there && key_of(pin) == key;
    };
    if (std::erase_if(next.managed.pins, meant) == 0) {
        const bool in_file = std::ranges::any_of(options_.pins, meant);
        next.answer = in_file ? refused(409, {{"error", "model '" + change.target + "' is pinned in herd.toml: remove it there"}}, "conflict")
                              : refused(404, {{"error", "model '" + change.target + "' is not pinned" + (change.body.empty() ? "" : " there")}}, "not_found");
        return next;
    }
    next.pin = ConfiguredPin{.model = change.target, .node = change.body};
    return next;
}

PolicyAnswer PolicyKeeper::shown_pin(const Next& next) const
{
    const auto snapshot = fleet_.publish();
    const auto* node = next.pin->node.empty() ? nullptr : snapshot->find(std::string_view(next.pin->node));
    Json row{{"model", fleet::ModelName::parse(next.pin->model).display},
             {"node", node == nullptr ? Json(nullptr) : Json(node->name)},
             {"node_id", node == nullptr ? Json(nullptr) : Json(node->id.text())},
             {"replicas", next.pin->replicas}};
    return {next.status, dumped(row), {}};
}

} // namespace herd::app
