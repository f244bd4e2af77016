#include "herd/pool_keeper.hpp"

#include "base/log.hpp"
#include "fleet/model_name.hpp"
#include "herd/health/history.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>

namespace herd::app {

namespace {
constexpr base::Duration save_delay = std::chrono::seconds{1};
constexpr base::Duration save_retry = std::chrono::seconds{10};

std::vector<std::string> names_of(const fleet::NodeView& node, std::size_t limit)
{
    std::vector<std::string> names;
    if (node.facts) {
        for (const fleet::Model& model : node.facts->models) {
            if (names.size() >= std::min(limit, store::model_names_per_node)) {
                break;
            }
            if (model.name.size() <= store::model_name_bytes) {
                names.push_back(model.name);
            }
        }
    }
    return names;
}

base::Result<StaticNode> make_saved(const store::SavedStaticNode& saved, const NodeSurroundings& around)
{
    ConfiguredNode settings{.name = saved.name,
                            .url = saved.url,
                            .labels = saved.labels,
                            .slots = static_cast<std::uint32_t>(saved.slots),
                            .bearer = saved.bearer};
    if (!saved.settings.empty()) {
        auto parsed = parse_static_node(saved.settings);
        if (!parsed) {
            return std::unexpected(parsed.error());
        }
        settings = std::move(*parsed);
    }
    auto node = make_static_node(std::move(settings), around);
    if (node) {
        node->dates = saved.dates;
    }
    return node;
}
} // namespace

PoolKeeper::PoolKeeper(net::Loop& loop, FleetOwner& fleet, Scout& scout, std::string path)
    : loop_(loop), fleet_(fleet), scout_(scout), path_(std::move(path)), timer_(loop)
{
}

std::size_t PoolKeeper::restore(bool announced_too)
{
    auto loaded = store::load_fleet_state(path_, loop_.wall());
    if (!loaded.warning.empty()) {
        log::warn("store", "fleet_state_unreadable", {{"what", loaded.warning}});
    }
    fleet::PoolRestored restored;
    for (const store::SavedNode& node : loaded.state.nodes) {
        restored.nodes.push_back({.id = node.id, .name = node.name, .agent = node.agent, .boot_id = node.boot_id, .drained = node.drained});
    }
    restored.approved = loaded.state.approved;
    const std::size_t count = restored.nodes.size();
    if (!announced_too) {
        restored.nodes.clear(); // but what a human allowed is kept
    }
    fleet_.apply(std::move(restored));
    for (const store::SavedNode& node : loaded.state.nodes) {
        if (node.left && announced_too) { // it is asked all the same: it may have come back meanwhile
            fleet_.apply(fleet::NodeLeft{node.id, node.boot_id, "before this herd started"});
        }
    }
    for (const store::SavedStaticNode& saved : loaded.state.static_nodes) {
        auto node = make_saved(saved, scout_.surroundings());
        if (!node) {
            log::warn("store", "saved_node_refused", {{"why", node.error().context}});
            continue;
        }
        const fleet::NodeId id = node->id;
        scout_.add_static(std::move(*node));
        if (saved.drained) {
            fleet_.apply(fleet::DrainNode{id, true});
        }
    }
    recalled_ = std::move(loaded.state);
    return count;
}

void PoolKeeper::recall()
{
    for (const fleet::NodeId& id : recalled_.drained_configured) {
        fleet_.apply(fleet::DrainNode{id, true});
    }
    for (const store::SavedModels& saved : recalled_.models) {
        fleet::ModelsRead had{.id = saved.node};
        for (const std::string& name : saved.names) {
            had.models.push_back({.name = name, .key = fleet::ModelName::parse(name).key});
        }
        fleet_.apply(std::move(had));
    }
    recalled_ = {};
}

store::FleetState PoolKeeper::current()
{
    const base::WallTime now = loop_.wall();
    const auto snapshot = fleet_.publish();
    store::FleetState state{.saved_at = now};
    state.approved = fleet_.approved();
    for (const fleet::SavedNode& node : fleet_.saved_pool()) {
        const fleet::NodeView* view = snapshot->find(node.id);
        state.nodes.push_back({.id = node.id,
                               .name = node.name,
                               .agent = node.agent,
                               .boot_id = node.boot_id,
                               .labels = view != nullptr ? view->labels : std::vector<std::string>{},
                               .drained = node.drained,
                               .seen = now,
                               .left = view != nullptr && health::said_goodbye(*view)});
    }
    const auto drained = [&](const fleet::NodeId& id) {
        const fleet::NodeView* view = snapshot->find(id);
        return view != nullptr && view->drained_by_operator;
    };
    std::set<fleet::NodeId> added;
    for (const StaticNode& node : scout_.added_at_run_time()) {
        added.insert(node.id);
        state.static_nodes.push_back({.url = node.url.text(),
                                      .name = node.name,
                                      .labels = node.labels,
                                      .slots = node.slots.value_or(0),
                                      .bearer = node.settings.bearer,
                                      .drained = drained(node.id),
                                      .settings = static_node_json(node.settings),
                                      .dates = node.dates});
    }
    std::size_t names_left = store::model_names_in_all;
    for (const fleet::NodeView& view : snapshot->nodes) {
        if (auto names = names_of(view, names_left); !names.empty()) {
            names_left -= names.size();
            state.models.push_back({view.id, std::move(names)});
        }
        if (view.source == fleet::NodeSource::configured && view.drained_by_operator && !added.contains(view.id)) {
            state.drained_configured.push_back(view.id);
        }
    }
    return state;
}

void PoolKeeper::save_soon()
{
    if (!std::exchange(save_pending_, true)) { // changes that keep coming must not put it off for ever
        timer_.call_after(save_delay, [this] { save_now(); });
    }
}

net::Task<base::Result<void>> PoolKeeper::change(net::Loop& asker, std::function<base::Result<void>()> work)
{
    struct Answer {
        explicit Answer(net::Loop& loop) : arrived(loop) {}
        net::Event arrived;
        std::optional<base::Result<void>> value{};
        void give(base::Result<void> result)
        {
            value.emplace(std::move(result));
            arrived.notify();
        }
    };
    const auto answer = std::make_shared<Answer>(asker);
    loop_.dispatch([this, &asker, answer, work = std::move(work)] {
        auto done = work();
        if (!done) {
            asker.dispatch([answer, done = std::move(done)]() mutable { answer->give(std::move(done)); });
            return;
        }
        // Handed to the disk from here, so that what is written last was true last.
        auto write = [path = path_, state = current()] { return store::save_fleet_state(path, state); };
        auto given = [this, answer](base::Result<void> saved) {
            loop_.dispatch([this, saved] { written(saved); });
            answer->give(std::move(saved));
        };
        if (!files_.run(asker, std::move(write), std::move(given))) {
            asker.dispatch([answer] { answer->give(base::fail(base::Errc::io, "too many changes at once")); });
        }
    });
    while (!answer->value) { // a cancelled task waits on: the answer always comes
        co_await answer->arrived.wait();
    }
    co_return std::move(*answer->value);
}

void PoolKeeper::save_last()
{
    timer_.cancel();
    save_now();
}

void PoolKeeper::save_now()
{
    save_pending_ = false;
    auto work = [path = path_, state = current()] { return store::save_fleet_state(path, state); };
    auto done = [this](const base::Result<void>& saved) { written(saved); };
    if (!files_.run(loop_, std::move(work), std::move(done))) {
        save_soon(); // the disk is slow: later
    }
}

/// What could not be written is tried again without a further change: a disk that is mended is not known of otherwise.
void PoolKeeper::written(const base::Result<void>& saved)
{
    if (saved) {
        fault_.clear();
        return;
    }
    if (fault_.empty()) {
        log::warn("store", "fleet_state_not_saved", {{"why", saved.error().message()}});
    }
    fault_ = saved.error().message();
    if (!std::exchange(save_pending_, true)) {
        timer_.call_after(save_retry, [this] { save_now(); });
    }
}

} // namespace herd::app
