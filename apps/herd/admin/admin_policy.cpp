// Frontends, settings of nodes, and switching: /herd/v1/frontends, /herd/v1/nodes/ID/settings, /herd/v1/use.
#include "base/text.hpp"
#include "herd/admin/policy_paths.hpp"

namespace herd::app::admin {

namespace {

using What = PolicyChange::What;

constexpr std::string_view all_frontends = "/herd/v1/frontends";
constexpr std::string_view one_frontend = "/herd/v1/frontends/";
constexpr std::string_view one_node = "/herd/v1/nodes/";
constexpr std::string_view settings = "/settings";

/// The name between `prefix` and the end; nothing when there is none, or more than one part.
std::optional<std::string> name_in(std::string_view path, std::string_view prefix)
{
    if (!path.starts_with(prefix) || path.size() == prefix.size() || path.find('/', prefix.size()) != path.npos) {
        return std::nullopt;
    }
    return base::percent_decoded(path.substr(prefix.size()));
}

} // namespace

std::optional<PolicyQuestion> policy_question(std::string_view path)
{
    if (path == all_frontends) {
        return PolicyQuestion{};
    }
    if (auto name = name_in(path, one_frontend)) {
        return PolicyQuestion{PolicyQuestion::What::frontend, std::move(*name)};
    }
    if (path.ends_with(settings)) {
        if (auto name = name_in(path.substr(0, path.size() - settings.size()), one_node)) {
            return PolicyQuestion{PolicyQuestion::What::node, std::move(*name)};
        }
    }
    return std::nullopt;
}

std::optional<PolicyChange> policy_change(std::string_view method, std::string_view path)
{
    PolicyChange change;
    if (method == "POST" && path == all_frontends) {
        change.what = What::add_frontend;
        return change;
    }
    if (method == "POST" && path == "/herd/v1/use") {
        change.what = What::use;
        return change;
    }
    if (auto name = name_in(path, one_frontend)) {
        change.target = std::move(*name);
        change.what = method == "PUT" ? What::put_frontend : method == "DELETE" ? What::remove_frontend : What::patch_frontend;
        return method == "PUT" || method == "DELETE" || method == "PATCH" ? std::optional(std::move(change)) : std::nullopt;
    }
    const bool below = path.ends_with(settings);
    if (auto name = name_in(below ? path.substr(0, path.size() - settings.size()) : path, one_node)) {
        change.target = std::move(*name);
        change.what = method == "PUT" ? What::put_node : method == "DELETE" ? What::reset_node : What::patch_node;
        const bool known = method == "PUT" || method == "PATCH" || (below && method == "DELETE"); // else: the node itself
        return known ? std::optional(std::move(change)) : std::nullopt;
    }
    return std::nullopt;
}

net::Task<Admin::Reply> Admin::read_policy(http::ServerExchange& exchange, PolicyQuestion question)
{
    if (question.what == PolicyQuestion::What::node) {
        co_return co_await read_node_settings(exchange.loop(), std::move(question.target));
    }
    auto answer = co_await controls_->policy(exchange.loop(), std::move(question));
    co_return Reply{answer.status, std::move(answer.body), {}, {}, std::move(answer.etag)};
}

net::Task<Admin::Reply> Admin::change_policy(http::ServerExchange& exchange, PolicyChange change)
{
    auto body = co_await exchange.read_all(change_bytes_max);
    if (!body) {
        co_return unread_reply(body.error(), change_bytes_max);
    }
    change.body = std::move(*body);
    change.if_match = exchange.head().fields.find("If-Match").value_or("");
    const auto query = exchange.head().query();
    change.dry_run = query == "dry_run=1" || query.starts_with("dry_run=1&") || query.ends_with("&dry_run=1");
    co_return co_await apply_change(exchange.loop(), std::move(change));
}

net::Task<Admin::Reply> Admin::apply_change(net::Loop& loop, PolicyChange change)
{
    if (change.what == What::put_node || change.what == What::patch_node || change.what == What::reset_node) {
        co_return co_await change_node_settings(loop, std::move(change));
    }
    auto answer = co_await controls_->change_policy(loop, std::move(change));
    co_return Reply{answer.status, std::move(answer.body), {}, {}, std::move(answer.etag)};
}

} // namespace herd::app::admin
