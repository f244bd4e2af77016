// How a named node is reached (its bearer, fields, TLS …), read and changed beside its settings. Secrets are written
// only: an answer shows "***", and who writes that back keeps what there was.
#include "herd/admin/admin.hpp"
#include "herd/policy/managed.hpp"

#include <fmt/format.h>

namespace herd::app::admin {

namespace {

using What = PolicyChange::What;

/// Not of the secrets themselves: whoever sees the tag could try guesses on it.
std::string tag_with(const std::string& etag, const NamedNode& named)
{
    return etag.empty() ? etag : fmt::format("{}-{}-{}\"", etag.substr(0, etag.size() - 1), named.configured ? "f" : "r", named.revision);
}

/// With how it is reached, if a person named it, and with the dates of both. The tag is not of the dates.
void join(PolicyAnswer& answer, const std::optional<NamedNode>& named)
{
    if (named) {
        answer.body.insert(answer.body.size() - 1, "," + masked_node_json(named->settings));
        answer.etag = tag_with(answer.etag, *named);
        answer.dates = base::joined(answer.dates, named->dates);
    }
    answer.body.insert(answer.body.size() - 1, json_of(answer.dates));
}

std::string braced(const ConfiguredNode& settings) { return "{" + masked_node_json(settings) + "}"; }

} // namespace

net::Task<Admin::Reply> Admin::read_node_settings(net::Loop& loop, std::string target)
{
    auto answer = co_await controls_->policy(loop, {PolicyQuestion::What::node, target});
    if (answer.status == 200) {
        join(answer, co_await controls_->named_node(loop, target));
    }
    co_return Reply{answer.status, std::move(answer.body), {}, {}, std::move(answer.etag)};
}

/// A 412 unless the tag of a named node is the one it has now; then only the part that is of its settings is left of it.
net::Task<std::optional<Admin::Reply>> Admin::other_tag(net::Loop& loop, std::string target, std::string& if_match) // NOLINT: the caller waits
{
    if (if_match.empty() || if_match == "*") {
        co_return std::nullopt;
    }
    const auto now = co_await read_node_settings(loop, std::move(target));
    if (if_match.find(now.etag) == std::string::npos) {
        co_return Reply{412, error("If-Match: it was changed meanwhile"), {}, {}, now.etag};
    }
    if_match = now.etag.substr(0, now.etag.find('-')) + "\"";
    co_return std::nullopt;
}

/// The node as it is to be, or why not.
net::Task<std::expected<StaticNode, Admin::Reply>> Admin::other_origin(net::Loop& loop, NamedNode named, std::string origin,
                                                                       bool replace)
{
    if (named.configured) {
        co_return std::unexpected(Reply{409, error("node " + named.settings.name + " stands in herd.toml: change " + first_field(origin)
                                                   + " there and reload")});
    }
    auto settings = changed_static_node(named.settings, origin, replace);
    if (!settings) {
        co_return std::unexpected(Reply{400, error(settings.error().context)});
    }
    auto made = co_await controls_->make_node(loop, std::move(*settings));
    if (!made) {
        co_return std::unexpected(Reply{400, error(made.error().context)});
    }
    if (made->id != named.id) {
        co_return std::unexpected(Reply{409, error("url: cannot be changed; add another node and remove this one")});
    }
    const auto snapshot = co_await scheduler_.fresh_snapshot();
    if (const auto* other = snapshot->find(made->name); other != nullptr && other->id != named.id) {
        co_return std::unexpected(Reply{409, error("name: there is a node with that name already: " + made->name)});
    }
    co_return std::move(*made);
}

/// PUT and PATCH of a node, and DELETE of its settings.
net::Task<Admin::Reply> Admin::change_node_settings(net::Loop& loop, PolicyChange change)
{
    NodeBody body{.origin = {}, .settings = change.body};
    if (change.what != What::reset_node) {
        auto split = split_node_body(change.body);
        if (!split) {
            co_return Reply{400, error(split.error().context)};
        }
        body = std::move(*split);
    }
    const auto named = co_await controls_->named_node(loop, change.target);
    const std::string target = named ? named->id.text() : change.target; // its name may change
    change.target = target;
    std::optional<StaticNode> fresh;
    if (named) {
        if (auto other = co_await other_tag(loop, target, change.if_match)) {
            co_return std::move(*other);
        }
    }
    if (named && !body.origin.empty()) {
        auto other = co_await other_origin(loop, *named, body.origin, change.what == What::put_node);
        if (!other) {
            co_return std::move(other.error());
        }
        fresh = std::move(*other);
    }
    const bool settings_too = !fresh || change.what == What::put_node || body.settings != "{}";
    const bool dry = change.dry_run;
    change.body = body.settings;
    if (fresh || !body.origin.empty()) { // is the rest of it right, before anything changes?
        PolicyChange check = change;
        check.dry_run = true;
        auto answer = co_await controls_->change_policy(loop, std::move(check));
        if (answer.status >= 400) {
            co_return Reply{answer.status, std::move(answer.body), {}, {}, std::move(answer.etag)};
        }
        if (!fresh) {
            co_return Reply{400, error(first_field(body.origin) + ": " + target + " announces itself: it is reached as it says")};
        }
        if (dry) {
            answer.body.insert(answer.body.size() - 1, ",\"origin\":{\"before\":" + braced(named->settings) + ",\"after\":" + braced(fresh->settings) + "}");
            co_return Reply{200, std::move(answer.body), {}, {}, tag_with(answer.etag, *named)};
        }
        if (const auto written = co_await controls_->add_node(loop, std::move(*fresh)); !written) {
            co_return Reply{500, error(written.error().message())};
        }
    }
    auto answer = settings_too ? co_await controls_->change_policy(loop, std::move(change))
                               : co_await controls_->policy(loop, {PolicyQuestion::What::node, target});
    if (answer.status == 200 && !dry) {
        join(answer, co_await controls_->named_node(loop, target));
    }
    co_return Reply{answer.status, std::move(answer.body), {}, {}, std::move(answer.etag)};
}

} // namespace herd::app::admin
