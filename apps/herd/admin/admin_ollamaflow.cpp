// /v1.0/frontends and /v1.0/backends: each call is one of /herd/v1 in OllamaFlow's words.
#include "base/text.hpp"
#include "base/units.hpp"
#include "herd/admin/admin.hpp"
#include "herd/admin/policy_paths.hpp"

namespace herd::app::admin {

using ollamaflow::Json;
using ollamaflow::Kind;

namespace {

/// With what holds for every frontend where this one says nothing.
Json in_force(Json frontend, const proxy::ProxyOptions& options)
{
    if (frontend.value("first_byte_timeout", "").empty()) {
        frontend["first_byte_timeout"] = base::format_duration(options.first_byte_timeout);
    }
    if (frontend.value("max_body", "").empty()) {
        frontend["max_body"] = std::to_string(options.max_body);
    }
    return frontend;
}

} // namespace

/// Those of that name or id, or all.
net::Task<Json> Admin::ollamaflow_objects(net::Loop& loop, Kind kind, std::string id) // NOLINT: the caller waits
{
    Json out = Json::array();
    if (kind == Kind::frontend) {
        const auto answer = co_await controls_->policy(loop, {});
        for (const auto& one : Json::parse(answer.body)["frontends"]) {
            if (id.empty() || one["id"] == id || one["name"] == id) {
                out.insert(out.begin(), ollamaflow::theirs(kind, in_force(one, *options_()))); // newest first
            }
        }
        co_return out;
    }
    const auto snapshot = co_await scheduler_.fresh_snapshot();
    for (const fleet::NodeView& view : snapshot->nodes) {
        const bool wanted = id.empty() || snapshot->find(id) == &view;
        const auto settings = wanted ? co_await read_node_settings(loop, view.id.text()) : Reply{404};
        if (settings.status == 200) {
            auto json = Json::parse(settings.body);
            json.update(Json::parse(node(*snapshot, view, loop.now())));
            json["lasted_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(snapshot->taken_at - view.since).count();
            out.push_back(ollamaflow::theirs(kind, json));
        }
    }
    co_return out;
}

net::Task<Admin::Reply> Admin::change_ollamaflow(http::ServerExchange& exchange, Kind kind, std::string id) // NOLINT: the caller waits
{
    net::Loop& loop = exchange.loop();
    const auto body = co_await exchange.read_all(change_bytes_max);
    const Json before = id.empty() ? Json::array({Json::object()}) : co_await ollamaflow_objects(loop, kind, id);
    if (!body) {
        co_return unread_reply(body.error(), change_bytes_max);
    }
    if (before.empty()) {
        co_return Reply{404, error("nothing is called " + id)};
    }
    bool fixed = false;
    if (kind == Kind::backend && !id.empty()) {
        const auto named = co_await controls_->named_node(loop, id);
        fixed = !named || named->configured;
    }
    auto wanted = ollamaflow::ours(kind, *body, before.front(), fixed);
    if (!wanted) {
        co_return Reply{400, error(wanted.error().context)};
    }
    using What = PolicyChange::What;
    PolicyChange change{.target = id, .body = wanted->body.dump(-1, ' ', false, Json::error_handler_t::replace)};
    change.what = kind == Kind::backend ? What::patch_node : id.empty() ? What::add_frontend : What::patch_frontend;
    change.if_match = exchange.head().fields.find("If-Match").value_or("");
    auto done = id.empty() && kind == Kind::backend ? co_await add_node(loop, std::move(change.body)) : co_await apply_change(loop, std::move(change));
    if (done.status < 300) {
        const auto made = Json::parse(done.body);
        const auto after = co_await ollamaflow_objects(loop, kind, made.contains("id") ? made["id"] : made["node"]);
        done.body = after.empty() ? std::string{} : after.front().dump();
        done.warning = wanted->ignored.empty() ? std::string{} : "199 herd \"ignored: " + wanted->ignored + "\"";
    }
    co_return done;
}

net::Task<Admin::Reply> Admin::answer_ollamaflow(http::ServerExchange& exchange)
{
    const auto& method = exchange.head().method;
    const bool reads = method == "GET" || method == "HEAD";
    auto parts = base::split_list(exchange.head().path(), '/'); // v1.0, frontends or backends, id, health
    const Kind kind = parts[1] == "frontends" ? Kind::frontend : Kind::backend;
    if (reads && kind == Kind::backend && parts.size() > 2 && parts.back() == "health") {
        parts.pop_back(); // each object tells it
    }
    const auto named = parts.size() == 3 ? base::percent_decoded(parts[2]) : std::string{};
    const bool known = parts.size() == 2 || (parts.size() == 3 && named);
    const std::string id = named.value_or("");
    Reply reply{404, error("no such path: " + std::string{exchange.head().path()})};
    if (known && reads) {
        const Json all = co_await ollamaflow_objects(exchange.loop(), kind, id);
        reply = id.empty() ? Reply{200, all.dump()} : all.empty() ? Reply{404, error("nothing is called " + id)} : Reply{200, all[0].dump()};
    } else if (known && method == "PUT") {
        reply = co_await change_ollamaflow(exchange, kind, id);
    } else if (known && method == "DELETE" && !id.empty()) {
        PolicyChange gone{.what = PolicyChange::What::remove_frontend, .target = id};
        reply = kind == Kind::backend ? co_await remove_node(exchange, id) : co_await apply_change(exchange.loop(), std::move(gone));
        reply = reply.status < 300 ? Reply{204} : std::move(reply);
    }
    if (reply.status >= 400) {
        reply.body = ollamaflow::error(reply.status, reply.body, reply.linked);
    }
    co_return reply;
}

} // namespace herd::app::admin
