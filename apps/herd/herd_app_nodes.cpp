// Nodes that a person adds and removes while herd runs: in force and written down before they hear of it.
#include "herd/admin/views.hpp"
#include "herd/herd_app.hpp"
#include "herd/on_loop.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace herd::app {

net::Task<base::Result<StaticNode>> HerdApp::make_node_from(net::Loop& asker, ConfiguredNode settings)
{
    auto work = [this, settings = std::move(settings)] { return make_static_node(settings, scout_->surroundings()); };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

net::Task<base::Result<void>> HerdApp::add_node_from(net::Loop& asker, StaticNode node)
{
    const fleet::NodeId id = node.id;
    const auto changed = std::make_shared<bool>(false);
    auto enter = [this, changed, node = std::move(node)]() mutable -> base::Result<void> {
        const auto* before = scout_->named(node.id);
        *changed = before != nullptr;
        node.dates = base::rewritten(before == nullptr ? base::MaybeDates{} : before->node.dates,
                                     before == nullptr || before->node.settings != node.settings, clock_.wall());
        scout_->add_static(std::move(node));
        return {};
    };
    auto written = co_await pool_->change(asker, std::move(enter));
    if (!written && *changed) {
        co_return base::fail(base::Errc::io, "the change holds until herd restarts, since it cannot be written down: " + written.error().message());
    }
    if (!written) {
        main_loop().dispatch([this, id] { scout_->remove_static(id); });
        co_return base::fail(base::Errc::io, "nothing was changed, since it cannot be written down: " + written.error().message());
    }
    co_return written;
}

/// What a reload or a frontend would want back stays.
net::Task<PolicyAnswer> HerdApp::remove_node_from(net::Loop& asker, fleet::NodeId id, std::string if_match)
{
    const auto refused = std::make_shared<PolicyAnswer>();
    auto leave = [this, id, refused, if_match = std::move(if_match)]() -> base::Result<void> {
        *refused = may_remove(id, if_match);
        if (refused->status >= 400) {
            return base::fail(base::Errc::conflict);
        }
        scout_->remove_static(id);
        if (beacon_) {
            beacon_->herd().forget(id); // its place under [limits] nodes is free at once
        }
        return {};
    };
    const auto written = co_await pool_->change(asker, std::move(leave));
    if (refused->status >= 400) {
        co_return std::move(*refused);
    }
    if (!written) {
        co_return PolicyAnswer{500, admin::error("the node is removed until herd restarts, since that cannot be written down: " + written.error().message()), {}};
    }
    co_return PolicyAnswer{200, R"({"status":"removed"})", {}};
}

PolicyAnswer HerdApp::may_remove(const fleet::NodeId& id, const std::string& if_match)
{
    if (!policy_->node_matches(if_match, id)) {
        return {412, admin::error("If-Match: its settings were changed meanwhile"), {}};
    }
    if (scout_->is_of_the_file(id)) {
        return {409, admin::error("this node stands in herd.toml: remove it there, or drain it"), {}};
    }
    if (const auto users = policy_->users_of(id); !users.empty()) {
        return {409, admin::error("frontend '" + users.front() + "' is switched to this node: switch that first, with `herd use auto --frontend " + users.front() + "`"), {}, {}, true};
    }
    if (const auto naming = policy_->naming(id); !naming.empty()) {
        return {409, admin::error("in the nodes of frontend '" + fmt::format("{}", fmt::join(naming, "', '")) + "': take it out there first"), {}, {}, true};
    }
    return {200, {}, {}};
}

} // namespace herd::app
