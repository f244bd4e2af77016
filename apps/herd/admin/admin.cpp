#include "herd/admin/admin.hpp"

#include "base/text.hpp"
#include "fleet/called.hpp"
#include "herd/admin/compat_api.hpp"
#include "herd/admin/decision_view.hpp"
#include "herd/admin/policy_paths.hpp"
#include "herd/admin/seen_fleet.hpp"
#include "herd/admin/sent.hpp"
#include "herd/admin/surface.hpp"
#include "herd/health/health_view.hpp"
#include "proxy/client_address.hpp"
#include "proxy/frontend.hpp"
#include "proxy/question.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>
#include <unistd.h>

namespace herd::app::admin {

namespace {

constexpr std::size_t route_limit = 16 * 1024 * 1024; // a whole conversation, with images
constexpr std::size_t announce_limit = 4 * 1024 * 1024;

/// The methods that a path of ours has, for Allow; empty: there is no such path.
std::string methods_of(std::string_view path)
{
    std::string methods;
    for (const std::string_view method : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
        const OwnRoute found = own_route(method, path);
        const bool known = std::ranges::any_of(own_routes(), [&](const OwnRoute& one) {
            return one.method == method && one.pattern.data() == found.pattern.data(); // what is unknown has the path's own text
        });
        if (known) {
            methods.append(methods.empty() ? "" : ", ").append(method == "GET" ? "GET, HEAD" : method);
        }
    }
    return methods;
}

} // namespace

base::Result<SyncRetry> parse_sync_retry(std::string_view body)
{
    SyncRetry retry{.wanted = true};
    if (base::trim(body).empty()) {
        return retry;
    }
    const auto json = nlohmann::json::parse(body, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::malformed, "a JSON object is needed, or nothing");
    }
    for (const auto& [key, value] : json.items()) {
        if ((key != "model" && key != "node") || !value.is_string()) {
            return base::fail(base::Errc::malformed, "only \"model\" and \"node\" are understood, both texts; not \"" + key.substr(0, 100) + '"');
        }
        (key == "model" ? retry.model : retry.node) = value.get<std::string>();
    }
    return retry;
}

Admin::Admin(proxy::Scheduler& scheduler, std::function<std::shared_ptr<const proxy::ProxyOptions>()> options,
             std::shared_ptr<const Controls> controls)
    : scheduler_(scheduler), options_(std::move(options)), controls_(std::move(controls))
{
}

bool Admin::owns(std::string_view path)
{
    return path == "/healthz" || path == "/readyz" || path == "/herd" || path.starts_with("/herd/") || is_compat_path(path);
}

net::Task<void> Admin::handle(http::ServerExchange& exchange, proxy::KeyPtr key)
{
    const Reply reply = co_await answer(exchange, std::move(key));
    http::ResponseHead head;
    head.status = reply.status;
    head.fields.add("Content-Type", "application/json; charset=utf-8");
    head.fields.add("Cache-Control", "no-store");
    if (!reply.allow.empty()) {
        head.fields.add("Allow", reply.allow);
    }
    if (!reply.mac.empty()) {
        head.fields.add("Herd-MAC", reply.mac);
    }
    if (!reply.etag.empty()) {
        head.fields.add("ETag", reply.etag);
    }
    if (!reply.warning.empty()) {
        head.fields.add("Warning", reply.warning);
    }
    (void)co_await exchange.respond(std::move(head), reply.body); // a client that left needs no answer
}

net::Task<Admin::Reply> Admin::answer(http::ServerExchange& exchange, proxy::KeyPtr key)
{
    const http::RequestHead& head = exchange.head();
    const std::string path{head.path()};
    const bool reads = head.method == "GET" || head.method == "HEAD";
    if (path == "/healthz" || path == "/readyz" || (reads && !ollamaflow::owns(path))) {
        if (!reads) {
            co_return Reply{405, error("use GET"), "GET, HEAD"};
        }
        co_return co_await read(exchange, path, std::move(key));
    }
    if (ollamaflow::owns(path)) {
        co_return co_await answer_ollamaflow(exchange);
    }
    if (path == "/herd/v1/announce" && head.method == "POST") {
        co_return co_await announce(exchange); // nodes are elsewhere; discovery's own rules decide
    }
    if (path == "/herd/v1/route" && head.method == "POST") {
        co_return co_await route(exchange, std::move(key)); // asks, changes nothing
    }
    co_return co_await write(exchange, path);
}

net::Task<Admin::Reply> Admin::read(http::ServerExchange& exchange, std::string_view path, proxy::KeyPtr key)
{
    const base::Instant now = exchange.loop().now();
    if (path == "/healthz") {
        co_return Reply{200, R"({"status":"ok"})"};
    }
    if (path == "/herd/v1/health") {
        const auto report = co_await controls_->health(exchange.loop());
        co_return Reply{200, health::report_json(*report)};
    }
    if (is_pin_path(path)) {
        co_return co_await read_pins(exchange, path);
    }
    if (is_benchmark_path(path)) {
        co_return co_await read_benchmarks(exchange, path);
    }
    if (is_compat_path(path)) {
        auto answer = co_await compat_answer(exchange, scheduler_, *controls_, options_()->models);
        co_return Reply{answer.status, std::move(answer.body)};
    }
    if (auto question = policy_question(path)) {
        co_return co_await read_policy(exchange, std::move(*question));
    }
    const auto snapshot = seen_by(co_await scheduler_.fresh_snapshot(), key.get(), *options_());
    if (path == "/readyz") {
        co_return Reply{snapshot->routable().empty() ? 503 : 200, readiness(*snapshot)};
    }
    if (path == "/herd/v1/status") {
        const StatusInput input{controls_->version, now - controls_->started_at, controls_->counts()};
        co_return Reply{200, with_use(status(*snapshot, input), *snapshot, sent_of(*options_(), key.get()))};
    }
    if (path == "/herd/v1/nodes") {
        co_return Reply{200, nodes(*snapshot, now)};
    }
    if (path == "/herd/v1/models") {
        const bool all = !key || key->models.empty();
        const auto seen = [&key](std::string_view model) { return key->may_use_model(model); };
        co_return Reply{200, models(*snapshot, all ? proxy::ModelFilter{} : proxy::ModelFilter{seen})};
    }
    if (path == "/herd/v1/sync") {
        std::string text = co_await controls_->sync(exchange.loop(), {});
        co_return Reply{200, std::move(text)};
    }
    if (path == "/herd/v1/config") {
        std::string settings = co_await controls_->config(exchange.loop());
        co_return Reply{200, std::move(settings)};
    }
    constexpr std::string_view one = "/herd/v1/nodes/";
    if (path.starts_with(one) && path.find('/', one.size()) == std::string_view::npos) {
        const std::string name = base::percent_decoded(path.substr(one.size())).value_or("");
        const fleet::NodeView* view = snapshot->find(name);
        if (view == nullptr) {
            co_return Reply{404, error(fleet::why_nobody(*snapshot, name))};
        }
        co_return Reply{200, node(*snapshot, *view, now)};
    }
    if (auto allow = methods_of(path); !allow.empty()) {
        co_return Reply{405, error("not with " + exchange.head().method + ": " + std::string{path}), std::move(allow)};
    }
    co_return Reply{404, error("no such path: " + std::string{path})};
}

net::Task<Admin::Reply> Admin::write(http::ServerExchange& exchange, std::string_view path)
{
    const std::string& method = exchange.head().method;
    const base::Instant now = exchange.loop().now();
    if (path == "/herd/v1/nodes" && method == "POST") {
        auto body = co_await exchange.read_all(change_bytes_max);
        if (!body) {
            co_return unread_reply(body.error(), change_bytes_max);
        }
        co_return co_await add_node(exchange.loop(), std::move(*body));
    }
    if (is_pin_path(path)) {
        co_return co_await change_pins(exchange, path);
    }
    if (is_benchmark_change(method, path)) {
        co_return co_await change_benchmarks(exchange, path);
    }
    if (auto change = policy_change(method, path)) {
        co_return co_await change_policy(exchange, std::move(*change));
    }
    constexpr std::string_view one = "/herd/v1/nodes/";
    if (path.starts_with(one)) {
        const std::string_view rest = path.substr(one.size());
        const auto slash = rest.rfind('/');
        auto name = base::percent_decoded(rest.substr(0, slash));
        if (!name) {
            co_return Reply{400, error("bad escape in the path")};
        }
        const std::string_view action = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
        const bool known = method == "POST" && (action == "drain" || action == "resume" || action == "approve" || action == "probe");
        if (slash == std::string_view::npos && method == "DELETE") {
            co_return co_await remove_node(exchange, std::move(*name));
        }
        if (known && action == "probe") {
            co_return co_await probe_node(exchange.loop(), std::move(*name));
        }
        if (known) {
            co_return co_await change_node(std::move(*name), action, now);
        }
    }
    constexpr std::string_view request = "/herd/v1/requests/";
    if (path.starts_with(request) && method == "DELETE") {
        const std::string id = base::percent_decoded(path.substr(request.size())).value_or("");
        const bool ended = !id.empty() && co_await controls_->cancel(exchange.loop(), id);
        co_return ended ? Reply{200, R"({"status":"ended"})"} : Reply{404, error("no request in flight has the id " + id)};
    }
    if (path == "/herd/v1/sync/retry" && method == "POST") {
        co_return co_await retry_sync(exchange);
    }
    if (path == "/herd/v1/stop" && method == "POST") {
        controls_->stop();
        co_return Reply{202, R"({"status":"stopping","pid":)" + std::to_string(::getpid()) + '}'};
    }
    if (path == "/herd/v1/reload" && method == "POST") {
        const auto applied = co_await controls_->reload(exchange.loop());
        if (!applied) {
            co_return Reply{400, error(applied.error().context)};
        }
        co_return Reply{200, reloaded(*applied)};
    }
    if (auto allow = methods_of(path); !allow.empty()) {
        co_return Reply{405, error("not with " + method + ": " + std::string{path}), std::move(allow)};
    }
    co_return Reply{404, error("no such path: " + std::string{path})};
}

net::Task<Admin::Reply> Admin::announce(http::ServerExchange& exchange)
{
    auto body = co_await exchange.read_all(announce_limit);
    if (!body) {
        co_return unread_reply(body.error(), announce_limit);
    }
    const auto field = [&](std::string_view name) { return std::string{exchange.head().fields.find(name).value_or("")}; };
    Twin twin{.body = std::move(*body), .peer = exchange.peer(), .nonce = field("Herd-Nonce"), .mac = field("Herd-MAC")};
    auto taken = co_await controls_->announce(exchange.loop(), std::move(twin));
    if (!taken) {
        co_return Reply{taken.error().code == base::Errc::malformed ? 400 : 403, error(taken.error().context)};
    }
    co_return Reply{200, std::move(taken->body), {}, std::move(taken->mac)};
}

net::Task<Admin::Reply> Admin::route(http::ServerExchange& exchange, proxy::KeyPtr key)
{
    const auto body = co_await exchange.read_all(route_limit);
    if (!body) {
        co_return unread_reply(body.error(), route_limit);
    }
    const auto options = options_();
    const auto snapshot = scheduler_.snapshot();
    const auto& fields = exchange.head().fields;
    const auto client = proxy::client_of(fields, exchange.peer(), options->trusted_proxies);
    auto asked = proxy::read_question(*body, fields, client, exchange.loop().now(), *options, *snapshot, key.get());
    if (!asked) {
        co_return Reply{asked.error().status, error(asked.error().message)};
    }
    const auto model = asked->is_fallback ? asked->fallbacks.front().model : asked->model; // "prefer_loaded" put another before it
    const auto rules = asked->rules;
    const auto decision = co_await scheduler_.explain(std::move(*asked));
    const auto* frontend = rules != nullptr && options->frontends != nullptr ? options->frontends->find(rules->frontend) : nullptr;
    auto told = with_sent(decision_json(decision, model), *snapshot, frontend);
    const auto* chosen = decision.chosen ? snapshot->find(*decision.chosen) : nullptr;
    if (const auto merged = proxy::pinned_body(*body, fields, *options, chosen, key.get())) {
        told.insert(told.size() - 1, ",\"body\":" + *merged); // the text as it would be sent, numbers and all
    }
    co_return Reply{200, std::move(told)};
}

/// {"model"?,"node"?}, or nothing at all: every failed pull.
net::Task<Admin::Reply> Admin::retry_sync(http::ServerExchange& exchange)
{
    const auto body = co_await exchange.read_all(change_bytes_max);
    if (!body) {
        co_return unread_reply(body.error(), change_bytes_max);
    }
    auto retry = parse_sync_retry(*body);
    if (!retry) {
        co_return Reply{400, error(retry.error().context)};
    }
    std::string text = co_await controls_->sync(exchange.loop(), std::move(*retry));
    co_return Reply{200, std::move(text)};
}

} // namespace herd::app::admin
