#include "herd/keys/keys_api.hpp"

#include "base/text.hpp"
#include "herd/admin/ollamaflow.hpp"
#include "herd/admin/query.hpp"
#include "herd/admin/views.hpp"
#include "herd/keys/login_page.hpp"
#include "proxy/frontend.hpp"

#include <span>

#include <nlohmann/json.hpp>

namespace herd::app::keys {

namespace {

constexpr std::string_view list_path = "/herd/v1/keys";
constexpr std::string_view one_path = "/herd/v1/keys/";
constexpr std::string_view whoami_path = "/herd/v1/whoami";
constexpr std::size_t body_limit = 256 * 1024;
constexpr std::size_t form_limit = 4096;
constexpr std::string_view html = "text/html; charset=utf-8";

std::string who(const admin::Verdict& verdict)
{
    nlohmann::ordered_json json;
    json["key"] = verdict.key ? nlohmann::ordered_json(verdict.key->name) : nlohmann::ordered_json(nullptr);
    json["scope"] = !verdict.key ? "none" : verdict.key->admin ? "admin" : "user";
    json["session"] = verdict.by_cookie;
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

net::Task<void> page(http::ServerExchange& exchange, int status, std::string_view trouble, base::Duration retry_after = {})
{
    http::ResponseHead head;
    head.status = status;
    add_login_fields(head.fields, html);
    if (status == 401) {
        head.fields.add("WWW-Authenticate", "Bearer realm=\"herd\"");
    }
    if (const int seconds = proxy::retry_after_seconds(retry_after); seconds > 0) {
        head.fields.add("Retry-After", std::to_string(seconds));
    }
    const std::string body = login_page(trouble);
    (void)co_await exchange.respond(std::move(head), body); // a client that left needs no answer
}

net::Task<void> go_to(http::ServerExchange& exchange, std::string_view where, std::string cookie)
{
    http::ResponseHead head;
    head.status = 303;
    head.fields.add("Location", where);
    head.fields.add("Cache-Control", "no-store");
    head.fields.add("Set-Cookie", cookie);
    (void)co_await exchange.respond(std::move(head), {});
}

/// A key for a frontend that does not exist would open nothing, and nobody would know why. Empty: all of them do.
std::string unknown_frontend(std::string_view body, const proxy::Frontends* all)
{
    const auto json = nlohmann::json::parse(body, nullptr, false);
    const auto list = json.is_object() ? json.find("frontends") : json.end();
    if (!json.is_object() || list == json.end() || !list->is_array()) {
        return {}; // what is wrong with it is told elsewhere
    }
    for (const auto& one : *list) {
        const auto name = one.is_string() ? one.get<std::string>() : std::string{};
        if (name.empty() || (all != nullptr && all->find(name) != nullptr)) {
            continue;
        }
        std::string there;
        for (const auto& frontend : all != nullptr ? std::span(all->all()) : std::span<const std::unique_ptr<const proxy::Frontend>>{}) {
            there += (there.empty() ? "" : ", ") + (frontend->config.name.empty() ? frontend->config.id : frontend->config.name);
        }
        return "frontends: no frontend is called \"" + name + "\"; " + (there.empty() ? "there are none" : "there are: " + there);
    }
    return {};
}

/// A page of the dashboard, and not one of its files or an answer for programs.
bool wants_page(const http::RequestHead& head)
{
    const std::string_view path = head.path();
    const bool reads = head.method == "GET" || head.method == "HEAD";
    return reads && (path == "/" || path == "/dashboard" || (path.starts_with("/dashboard/") && !path.starts_with("/dashboard/assets/") && !path.starts_with("/dashboard/api/")));
}

} // namespace

bool KeysApi::owns(std::string_view path)
{
    return path == list_path || path.starts_with(one_path) || path == whoami_path || path == login_path || path == login_style_path
        || path == logout_path;
}

net::Task<void> KeysApi::handle(http::ServerExchange& exchange, admin::Verdict verdict)
{
    const http::RequestHead& head = exchange.head();
    const bool reads = head.method == "GET" || head.method == "HEAD";
    if (head.path() == login_path && head.method == "POST") {
        co_return co_await login(exchange);
    }
    if (head.path() == login_path && reads) {
        co_return co_await page(exchange, 200, {});
    }
    if (head.path() == login_style_path && reads) {
        http::ResponseHead answer_head;
        add_login_fields(answer_head.fields, "text/css; charset=utf-8");
        co_return (void)co_await exchange.respond(std::move(answer_head), login_style());
    }
    if (head.path() == logout_path && head.method == "POST") {
        co_return co_await logout(exchange);
    }
    KeyAnswer reply = co_await answer(exchange, verdict);
    http::ResponseHead answer_head;
    answer_head.status = reply.status;
    answer_head.fields.add("Content-Type", "application/json; charset=utf-8");
    answer_head.fields.add("Cache-Control", "no-store");
    if (reply.status == 405) {
        answer_head.fields.add("Allow", head.path() == list_path ? "GET, HEAD, POST" : head.path().starts_with(one_path) ? "GET, HEAD, DELETE"
                                                           : head.path() == logout_path ? "POST" : "GET, HEAD");
    }
    (void)co_await exchange.respond(std::move(answer_head), reply.body); // a client that left needs no answer
}

net::Task<KeyAnswer> KeysApi::answer(http::ServerExchange& exchange, const admin::Verdict& verdict)
{
    const std::string path{exchange.head().path()};
    const std::string& method = exchange.head().method;
    const bool reads = method == "GET" || method == "HEAD";
    if (path == whoami_path && reads) {
        co_return KeyAnswer{200, who(verdict)};
    }
    if (path == list_path && reads) {
        co_return co_await keeper_.list(exchange.loop());
    }
    if (path == list_path && method == "POST") {
        auto body = co_await exchange.read_all(body_limit);
        if (!body) {
            auto told = admin::unread(body.error(), body_limit);
            co_return KeyAnswer{told.status, std::move(told.body)};
        }
        const auto options = options_();
        if (auto unknown = unknown_frontend(*body, options->frontends.get()); !unknown.empty()) {
            co_return KeyAnswer{400, admin::error(unknown)};
        }
        if (auto alias = alias_fault(*body, options->aliases.get(), *snapshot_()); !alias.empty()) {
            co_return KeyAnswer{400, admin::error(alias)};
        }
        co_return co_await keeper_.add(exchange.loop(), std::move(*body));
    }
    if (path.starts_with(one_path) && (reads || method == "DELETE")) {
        auto which = base::percent_decoded(std::string_view{path}.substr(one_path.size()), false);
        if (!which || which->empty()) {
            co_return KeyAnswer{400, admin::error("a key's name or id is needed in the path")};
        }
        if (reads) {
            co_return co_await keeper_.show(exchange.loop(), std::move(*which));
        }
        co_return co_await keeper_.revoke(exchange.loop(), std::move(*which));
    }
    co_return KeyAnswer{405, admin::error(path + " is not there for " + method)};
}

net::Task<void> KeysApi::login(http::ServerExchange& exchange)
{
    if (!proxy::from_own_page(exchange.head())) { // nobody is logged in to another's account by a page elsewhere
        co_return co_await page(exchange, 403, "Log in on the page of this herd itself.");
    }
    const auto body = co_await exchange.read_all(form_limit);
    const auto secret = body ? key_of_form(*body) : std::nullopt;
    if (!secret || secret->empty()) {
        co_return co_await page(exchange, 400, "A key is needed.");
    }
    const Login done = co_await keeper_.log_in(exchange.loop(), *secret, exchange.peer().address);
    if (done.cookie.empty()) {
        co_return co_await page(exchange, done.status, done.said, done.retry_after);
    }
    co_await go_to(exchange, "/dashboard", session_field(done.cookie, exchange.secure()));
}

net::Task<void> KeysApi::logout(http::ServerExchange& exchange)
{
    const http::RequestHead& head = exchange.head();
    const std::string cookie{proxy::session_cookie(head.fields.find("Cookie").value_or(""))};
    if (!cookie.empty() && proxy::from_own_page(head)) {
        co_await keeper_.log_out(exchange.loop(), cookie);
    }
    co_await go_to(exchange, login_path, session_field({}, exchange.secure()));
}

net::Task<void> refuse(http::ServerExchange& exchange, proxy::Problem problem)
{
    if (wants_page(exchange.head())) {
        co_return co_await page(exchange, problem.status, problem.status == 401 ? std::string_view{} : std::string_view{problem.message}, problem.retry_after);
    }
    http::ResponseHead head;
    head.status = problem.status;
    head.fields.add("Content-Type", "application/json; charset=utf-8");
    head.fields.add("Cache-Control", "no-store");
    if (problem.status == 401) {
        head.fields.add("WWW-Authenticate", "Bearer realm=\"herd\"");
    }
    if (const int seconds = proxy::retry_after_seconds(problem.retry_after); seconds > 0) {
        head.fields.add("Retry-After", std::to_string(seconds));
    }
    const nlohmann::ordered_json body{{"error", problem.message}, {"code", problem.code}};
    std::string text = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    if (admin::ollamaflow::owns(exchange.head().path())) {
        text = admin::ollamaflow::error(problem.status, text);
    }
    (void)co_await exchange.respond(std::move(head), text);
}

} // namespace herd::app::keys
