// Models that stay loaded: /herd/v1/pins, and the same as users of Ollama Herd know it.
#include "base/text.hpp"
#include "fleet/called.hpp"
#include "fleet/model_name.hpp"
#include "herd/admin/policy_paths.hpp"
#include "herd/admin/query.hpp"
#include "herd/policy/pin_request.hpp"
#include "net/timer.hpp"

#include <algorithm>

namespace herd::app::admin {

namespace {

using What = PolicyChange::What;

constexpr std::string_view all_pins = "/herd/v1/pins";
constexpr std::string_view one_pin = "/herd/v1/pins/";
constexpr std::string_view fleet_pin = "/fleet/pin";
constexpr std::string_view one_fleet_pin = "/fleet/pin/";
constexpr std::string_view pinned_models = "/dashboard/api/pinned-models";
constexpr std::size_t body_limit = 64 * 1024;
constexpr base::Duration look_again = std::chrono::milliseconds{50};

std::vector<std::string> nodes_of(const pins::Standing& standing, const std::string& model)
{
    const auto key = fleet::ModelName::parse(model).key;
    std::vector<std::string> names;
    for (const pins::Entry& entry : standing.entries) {
        if (entry.key == key && !entry.node_name.empty()) {
            names.push_back(entry.node_name);
        }
    }
    return names;
}

} // namespace

bool is_pin_path(std::string_view path)
{
    return path == all_pins || path.starts_with(one_pin) || path == fleet_pin || path.starts_with(one_fleet_pin) || path == pinned_models;
}

net::Task<Admin::Reply> Admin::read_pins(http::ServerExchange& exchange, std::string_view path)
{
    if (path != all_pins && path != pinned_models) {
        co_return Reply{404, error("no such path, or not with GET: " + std::string{path})};
    }
    const auto standing = co_await controls_->pins(exchange.loop());
    co_return Reply{200, path == all_pins ? pins::pins_json(standing) : pins::pinned_models_json(standing)};
}

net::Task<Admin::Reply> Admin::change_pins(http::ServerExchange& exchange, std::string_view path)
{
    const std::string method = exchange.head().method;
    net::Loop& loop = exchange.loop();
    const bool native = path.starts_with(all_pins);
    if (method == "DELETE" && (path.starts_with(one_pin) || path.starts_with(one_fleet_pin))) {
        const Query query(exchange.head().query(), {"node"});
        const auto target = base::percent_decoded(path.substr(native ? one_pin.size() : one_fleet_pin.size()));
        if (!query.fault().empty() || !target) {
            co_return Reply{400, error(query.fault().empty() ? "bad escape in the path" : query.fault())};
        }
        PolicyChange change{.what = What::remove_pin};
        change.target = *target;
        change.body = native ? query.text("node") : co_await id_of_distinct(query.text("node"));
        const std::string model = change.target;
        const auto before = co_await controls_->pins(loop);
        const auto answer = co_await controls_->change_policy(loop, std::move(change));
        if (native || answer.status >= 400) {
            co_return Reply{answer.status, native ? answer.body : pins::not_ok(answer.body)};
        }
        const auto after = co_await controls_->pins(loop);
        auto from = nodes_of(before, model);
        const auto left = nodes_of(after, model);
        std::erase_if(from, [&left](const std::string& name) { return std::ranges::find(left, name) != left.end(); });
        co_return Reply{200, pins::fleet_unpin_json(after, model, from)};
    }
    if (method != "POST" || (path != all_pins && path != fleet_pin && path != pinned_models)) {
        co_return Reply{404, error("no such path, or not with " + method + ": " + std::string{path})};
    }
    auto body = co_await exchange.read_all(body_limit);
    if (!body) {
        co_return unread_reply(body.error(), body_limit);
    }
    if (native) {
        auto answer = co_await controls_->change_policy(loop, {.what = What::add_pin, .body = std::move(*body)});
        co_return Reply{answer.status, std::move(answer.body)};
    }
    if (path == fleet_pin) {
        co_return co_await pin_as_asked(exchange, std::move(*body));
    }
    auto asked = parse_pin_request(*body);
    if (!asked || asked->model.empty() || asked->node.empty()) {
        co_return Reply{400, pins::not_ok(error(asked ? "model and node_id are required" : asked.error().context))};
    }
    asked->node = co_await id_of_distinct(std::move(asked->node));
    PolicyChange change{.what = asked->pinned ? What::add_pin : What::remove_pin};
    change.target = asked->model;
    change.body = asked->pinned ? native_body(*asked) : asked->node;
    const auto answer = co_await controls_->change_policy(loop, std::move(change));
    if (answer.status >= 400) {
        co_return Reply{answer.status, pins::not_ok(answer.body)};
    }
    const auto standing = co_await controls_->pins(loop);
    co_return Reply{200, pins::pinned_models_changed_json(standing)};
}

/// The id of the node that a program names as herd told it; what nobody is called stays, for the answer to say so.
net::Task<std::string> Admin::id_of_distinct(std::string name)
{
    const auto snapshot = co_await scheduler_.fresh_snapshot();
    const fleet::NodeView* const node = name.empty() ? nullptr : fleet::find_distinct(*snapshot, name);
    co_return node == nullptr ? std::move(name) : node->id.text();
}

/// POST /fleet/pin: pins, and waits until the model is in memory when that is wanted.
net::Task<Admin::Reply> Admin::pin_as_asked(http::ServerExchange& exchange, std::string body)
{
    net::Loop& loop = exchange.loop();
    auto asked = parse_pin_request(body);
    if (!asked || asked->model.empty()) {
        co_return Reply{400, pins::not_ok(error(asked ? "model required" : asked.error().context))};
    }
    asked->node = co_await id_of_distinct(std::move(asked->node));
    const auto began = loop.now();
    const auto answer = co_await controls_->change_policy(loop, {.what = What::add_pin, .body = native_body(*asked)});
    if (answer.status >= 400) {
        co_return Reply{answer.status, pins::not_ok(answer.body)};
    }
    for (;;) {
        const auto standing = co_await controls_->pins(loop);
        const auto waited = loop.now() - began;
        const pins::Entry* entry = pins::find(standing, asked->model, asked->node);
        const bool ready = entry != nullptr && entry->state == pins::State::resident;
        if (asked->wait && entry != nullptr && entry->state == pins::State::failed) {
            co_return Reply{503, pins::not_ok(error(asked->model + " did not load: " + entry->reason))};
        }
        if (ready || !asked->wait || waited >= asked->timeout || exchange.client_gone()) {
            const std::int64_t ms = asked->wait ? static_cast<std::int64_t>(base::milliseconds(waited)) : -1;
            co_return Reply{200, pins::fleet_pin_json(standing, asked->model, asked->node, ready, ms)};
        }
        (void)co_await net::sleep_for(loop, look_again);
    }
}

} // namespace herd::app::admin
