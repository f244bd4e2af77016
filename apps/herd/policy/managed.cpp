#include "herd/policy/managed.hpp"

#include "config/values.hpp"
#include "herd/policy/policy_json.hpp"
#include "proxy/model_rows.hpp"

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using Json = nlohmann::ordered_json;
using config::Table;

/// Shown beside what can be set.
const std::vector<std::string> shown_of_frontend{"use", "source", "missing", "in_flight", "members", "created", "updated"};
const std::vector<std::string> shown_of_node{"node", "source", "created", "updated"};

template <class T>
base::Result<T> filled(T object, void (*rows)(Table&, T&), std::string_view body, const std::vector<std::string>& read_only)
{
    T untouched{};
    Table table{std::string{}};
    Table defaults{std::string{}};
    rows(table, object);
    rows(defaults, untouched);
    if (auto done = assign_json(table, defaults, body, read_only); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return object;
}

std::unexpected<base::Error> refuse(std::string why) { return base::fail(base::Errc::bad_config, std::move(why)); }

/// Files of older versions have none.
base::Result<base::MaybeDates> dates_in(const Json& object)
{
    base::Dates dates;
    if (!object.contains("created") && !object.contains("updated")) {
        return base::MaybeDates{};
    }
    for (const auto& [key, into] : {std::pair{"created", &dates.created}, std::pair{"updated", &dates.updated}}) {
        const auto at = object.find(key);
        const auto time = at != object.end() && at->is_string() ? proxy::parse_rfc3339(at->get_ref<const std::string&>()) : std::nullopt;
        *into = base::WallTime{std::chrono::microseconds{time.value_or(-1000) / 1000}};
        if (!base::is_date(*into)) {
            return refuse(std::string{key} + ": expected a time such as \"2026-01-02T03:04:05.678Z\"");
        }
    }
    return dates;
}

base::Result<void> take_frontends(const Json& list, Managed& into)
{
    for (std::size_t i = 0; i < list.size(); ++i) {
        auto one = changed(ConfiguredFrontend{}, list[i].dump());
        const auto dates = one ? dates_in(list[i]) : std::unexpected(one.error());
        if (!dates) {
            return refuse("frontends[" + std::to_string(i) + "]: " + dates.error().context);
        }
        one->dates = *dates;
        into.frontends.push_back(std::move(*one));
    }
    return {};
}

base::Result<void> take_nodes(const Json& list, Managed& into)
{
    for (std::size_t i = 0; i < list.size(); ++i) {
        const auto name = list[i].is_object() ? list[i].find("node") : list[i].end();
        if (!list[i].is_object() || name == list[i].end() || !name->is_string()) {
            return refuse("nodes[" + std::to_string(i) + "]: needs the id or name of its node");
        }
        auto one = changed(ManagedNode{.node = name->get<std::string>()}, list[i].dump());
        const auto dates = one ? dates_in(list[i]) : std::unexpected(one.error());
        if (!dates) {
            return refuse("nodes[" + std::to_string(i) + "]: " + dates.error().context);
        }
        one->dates = *dates;
        into.nodes.push_back(std::move(*one));
    }
    return {};
}

base::Result<void> take_pins(const Json& list, Managed& into)
{
    for (std::size_t i = 0; i < list.size(); ++i) {
        auto one = parse_pin(list[i].dump());
        if (!one) {
            return refuse("pins[" + std::to_string(i) + "]: " + one.error().context);
        }
        into.pins.push_back(std::move(*one));
    }
    return {};
}

} // namespace

base::Result<ConfiguredPin> parse_pin(std::string_view body, const std::vector<std::string>& besides)
{
    auto pin = filled(ConfiguredPin{}, &model_pin_rows, body, besides);
    if (pin && pin->model.empty()) {
        return refuse("model: a pin needs one");
    }
    if (pin) {
        if (auto wrong = model_pin_fault(*pin); !wrong.empty()) {
            return refuse("node: " + wrong);
        }
    }
    return pin;
}

std::string json_of(ConfiguredPin pin)
{
    Table table{std::string{}};
    model_pin_rows(table, pin);
    return members_json(table);
}

void managed_node_rows(Table& table, ManagedNode& node)
{
    config::add_labels(table, {.key = "labels", .sentence = "Added to the node's own."}, node.labels);
    settings_rows(table, node.settings);
}

base::Result<ConfiguredFrontend> changed(ConfiguredFrontend before, std::string_view body)
{
    auto after = filled(std::move(before), &frontend_rows, body, shown_of_frontend);
    if (!after) {
        return after;
    }
    Table table{std::string{}};
    frontend_rows(table, *after);
    if (auto wrong = frontend_fault(table); !wrong.empty()) {
        return refuse("id: " + wrong);
    }
    complete(*after);
    return after;
}

base::Result<ManagedNode> changed(ManagedNode before, std::string_view body)
{
    return filled(std::move(before), &managed_node_rows, body, shown_of_node);
}

std::string json_of(ConfiguredFrontend frontend)
{
    Table table{std::string{}};
    frontend_rows(table, frontend);
    return members_json(table);
}

std::string json_of(ManagedNode node)
{
    Table table{std::string{}};
    managed_node_rows(table, node);
    return "\"node\":" + Json(node.node).dump() + "," + members_json(table);
}

std::string json_of(const base::MaybeDates& dates)
{
    return dates ? ",\"created\":\"" + base::timestamp(dates->created) + "\",\"updated\":\"" + base::timestamp(dates->updated) + '"' : "";
}

base::Result<Managed> parse_managed(std::string_view text)
{
    Managed out;
    const auto json = nested_too_deeply(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return refuse("no JSON object");
    }
    for (const auto& [key, value] : json.items()) {
        if ((key == "frontends" || key == "nodes" || key == "pins") && value.is_array()) {
            auto* take = key == "nodes" ? &take_nodes : key == "pins" ? &take_pins : &take_frontends;
            if (auto done = take(value, out); !done) {
                return std::unexpected(std::move(done.error()));
            }
        } else if (key == "use" && value.is_object()) {
            for (const auto& [frontend, node] : value.items()) {
                if (!node.is_string()) {
                    return refuse("use: " + frontend + ": expected a node");
                }
                out.use[frontend] = node.get<std::string>();
            }
        } else if (key != "about") {
            return refuse("unknown or mistyped member \"" + key + "\"");
        }
    }
    return out;
}

std::string managed_text(const Managed& managed)
{
    std::string out = "{\n\"about\": \"Written by herd: what was changed at run time goes over herd.toml. See docs/FRONTENDS.md.\",\n\"frontends\": [";
    for (const auto& one : managed.frontends) {
        out += (&one == &managed.frontends.front() ? "\n{" : ",\n{") + json_of(one) + json_of(one.dates) + "}";
    }
    out += "],\n\"nodes\": [";
    for (const auto& one : managed.nodes) {
        out += (&one == &managed.nodes.front() ? "\n{" : ",\n{") + json_of(one) + json_of(one.dates) + "}";
    }
    out += "],\n\"pins\": [";
    for (const auto& one : managed.pins) {
        out += (&one == &managed.pins.front() ? "\n{" : ",\n{") + json_of(one) + "}";
    }
    out += "],\n\"use\": " + Json(managed.use).dump() + "\n}\n";
    return out;
}

} // namespace herd::app
