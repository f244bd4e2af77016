// Nodes one by one: added with all their settings or not at all, probed, drained, approved, removed.
#include "fleet/called.hpp"
#include "herd/admin/admin.hpp"
#include "net/timer.hpp"

#include <algorithm>

namespace herd::app::admin {

namespace {

/// The node that announces itself from there. Of nodes that people named several may share an address, by their paths
/// or host names.
const fleet::NodeView* announced_at(const fleet::Snapshot& snapshot, const base::Endpoint& there)
{
    const auto at = std::ranges::find_if(snapshot.nodes, [&](const fleet::NodeView& view) {
        return view.source != fleet::NodeSource::configured && there.port != 0 && (view.address.endpoint == there || view.agent == there);
    });
    return at == snapshot.nodes.end() ? nullptr : &*at;
}

std::string two_nodes(const http::Url& url, const fleet::NodeView& known)
{
    return url.authority() + " is " + known.name + ", which is in the pool already: its herd-node announces it, and a box must not be two nodes";
}

} // namespace

/// What is no part of how it is reached goes on as its settings; with a fault in either nothing is added.
net::Task<Admin::Reply> Admin::add_node(net::Loop& loop, std::string body)
{
    auto split = split_new_node(body);
    auto settings = split ? parse_static_node(split->origin) : base::Result<ConfiguredNode>{std::unexpected(split.error())};
    if (!settings) {
        co_return Reply{400, error(settings.error().context)};
    }
    auto parsed = co_await controls_->make_node(loop, std::move(*settings));
    if (!parsed) {
        co_return Reply{400, error(parsed.error().context)};
    }
    const auto before = co_await scheduler_.fresh_snapshot();
    if (before->find(parsed->id) != nullptr) {
        co_return Reply{409, error("there is a node with that url already: " + parsed->url.text())};
    }
    if (before->find(parsed->name) != nullptr) {
        co_return Reply{409, error("there is a node with that name already: " + parsed->name)};
    }
    const http::Url url = parsed->url;
    const auto literal = base::IpAddress::parse(url.host);
    if (const auto* known = literal ? announced_at(*before, {*literal, url.port}) : nullptr) {
        co_return Reply{409, error(two_nodes(url, *known))};
    }
    const fleet::NodeId id = parsed->id;
    const bool has_settings = split->settings != "{}";
    parsed->drained = has_settings; // no request reaches it before they are in force
    const bool is_probed = !parsed->manner || parsed->manner->lacking.empty(); // else it is never asked
    if (const auto added = co_await controls_->add_node(loop, std::move(*parsed)); !added) {
        co_return Reply{500, error(added.error().context)};
    }
    if (has_settings) {
        if (auto refused = co_await settings_of_new(loop, id, std::move(split->settings)); refused.status >= 400) {
            co_return std::move(refused);
        }
        scheduler_.tell(fleet::DrainNode{id, false});
    }
    auto added = co_await first_state(loop, id, is_probed);
    const auto after = co_await scheduler_.fresh_snapshot(); // by now its host name has an address
    const fleet::NodeView* view = after->find(id);
    if (const auto* known = view != nullptr ? announced_at(*after, view->address.endpoint) : nullptr) {
        (void)co_await controls_->remove_node(loop, id, {});
        co_return Reply{409, error(two_nodes(url, *known))};
    }
    co_return std::move(added);
}

/// Moments after it was added. What is refused takes the node with it.
net::Task<Admin::Reply> Admin::settings_of_new(net::Loop& loop, fleet::NodeId id, std::string settings)
{
    PolicyChange change{.what = PolicyChange::What::patch_node, .target = id.text(), .body = std::move(settings)};
    auto applied = co_await controls_->change_policy(loop, std::move(change));
    if (applied.status >= 400) {
        (void)co_await controls_->remove_node(loop, id, {});
    }
    co_return Reply{applied.status, std::move(applied.body)};
}

/// The answer carries the result of the first probe, so that the person sees at once what is wrong.
net::Task<Admin::Reply> Admin::first_state(net::Loop& loop, fleet::NodeId id, bool is_probed)
{
    const base::Instant deadline = loop.now() + std::chrono::milliseconds{5000};
    for (;;) {
        const auto snapshot = co_await scheduler_.fresh_snapshot();
        const fleet::NodeView* view = snapshot->find(id);
        const bool probed = view != nullptr && (view->state != fleet::NodeState::unknown || !is_probed);
        if (view != nullptr && (probed || loop.now() >= deadline)) {
            co_return Reply{201, node(*snapshot, *view, loop.now())};
        }
        if (loop.now() >= deadline) {
            co_return Reply{503, error("the fleet is full")};
        }
        (void)co_await net::sleep_for(loop, std::chrono::milliseconds{20});
    }
}

/// Asks the node at once how it is, and tells what came of it.
net::Task<Admin::Reply> Admin::probe_node(net::Loop& loop, std::string name)
{
    const auto before = co_await scheduler_.fresh_snapshot();
    const fleet::NodeView* view = before->find(name);
    if (view == nullptr) {
        co_return Reply{404, error(fleet::why_nobody(*before, name))};
    }
    const fleet::NodeId id = view->id;
    scheduler_.tell(fleet::NodeChanged{id});
    const base::Instant deadline = loop.now() + std::chrono::milliseconds{1000};
    for (;;) {
        (void)co_await net::sleep_for(loop, std::chrono::milliseconds{20});
        const auto snapshot = co_await scheduler_.fresh_snapshot();
        const fleet::NodeView* now = snapshot->find(id);
        if (now == nullptr) {
            co_return Reply{404, error("no node is called " + name)};
        }
        if (now->latency != view->latency || now->state != view->state || loop.now() >= deadline) {
            const auto key = co_await controls_->check_key(loop, id);
            co_return Reply{200, node(*snapshot, *now, loop.now(), key)};
        }
    }
}

net::Task<Admin::Reply> Admin::remove_node(http::ServerExchange& exchange, std::string name)
{
    const auto before = co_await scheduler_.fresh_snapshot();
    const fleet::NodeView* view = before->find(name);
    if (view == nullptr) {
        co_return Reply{404, error(fleet::why_nobody(*before, name))};
    }
    const fleet::NodeId id = view->id;
    if (view->source != fleet::NodeSource::configured && view->trust == fleet::Trust::approved) {
        scheduler_.tell(fleet::ApproveNode{id, false});
        co_return Reply{200, R"({"status":"its approval is withdrawn"})"};
    }
    if (view->source != fleet::NodeSource::configured && view->state != fleet::NodeState::offline) {
        co_return Reply{409, error(name + " announces itself; stop its herd-node, or drain it")};
    }
    std::string if_match{exchange.head().fields.find("If-Match").value_or("")};
    if (auto other = co_await other_tag(exchange.loop(), id.text(), if_match)) {
        co_return std::move(*other);
    }
    auto removed = co_await controls_->remove_node(exchange.loop(), id, std::move(if_match));
    co_return Reply{removed.status, std::move(removed.body), {}, {}, std::move(removed.etag), {}, removed.linked};
}

net::Task<Admin::Reply> Admin::change_node(std::string name, std::string_view action, base::Instant now)
{
    const auto before = co_await scheduler_.fresh_snapshot();
    const fleet::NodeView* view = before->find(name);
    if (view == nullptr) {
        co_return Reply{404, error(fleet::why_nobody(*before, name))};
    }
    const fleet::NodeId id = view->id;
    if (action == "approve") {
        if (view->trust != fleet::Trust::waiting && view->trust != fleet::Trust::approved) {
            co_return Reply{409, error(name + " needs no approval: that is asked for with [discovery] join = \"approve\"")};
        }
        scheduler_.tell(fleet::ApproveNode{id, true});
    } else {
        scheduler_.tell(fleet::DrainNode{id, action == "drain"});
    }
    const auto after = co_await scheduler_.fresh_snapshot();
    const fleet::NodeView* changed = after->find(id);
    co_return changed == nullptr ? Reply{404, error("no node is called " + name)}
                                 : Reply{200, node(*after, *changed, now)};
}

} // namespace herd::app::admin
