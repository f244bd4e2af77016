#include "fleet/fleet.hpp"

#include "fleet/called.hpp"
#include "fleet/dispatcher.hpp"
#include "fleet/membership.hpp"

#include <algorithm>
#include <functional>
#include <tuple>

namespace herd::fleet {
namespace {

constexpr base::Duration loop_late{std::chrono::milliseconds{250}}; ///< lana.md 6: then silence proves nothing
constexpr std::size_t load_refresh_max = 32; ///< facts copied per snapshot to carry a newer load

} // namespace

struct Fleet::State {
    State(const FleetOptions& o, base::Rng r, base::Instant now)
        : options(o), rng(r), membership(options, rng, nodes, now), dispatcher(options, rng, nodes, membership)
    {
    }

    [[nodiscard]] std::optional<base::Instant> next() const
    {
        const auto a = membership.next();
        const auto b = dispatcher.next();
        return a && b ? std::min(*a, *b) : a ? a : b;
    }

    // What an event means, and to whom.
    void take(const AcquireWanted& event, Step& step) { dispatcher.acquire(event.ticket, event.profile, step); }
    void take(const AcquireCancelled& event, Step& step) { dispatcher.cancel(event, step); }
    void take(const LeaseFinished& event, Step& step) { dispatcher.finish(event, step); }
    void take(const LearnedRestored& event, Step& /*step*/) { dispatcher.restore(event); }
    void take(const NodeSeen& event, Step& step)
    {
        membership.apply(event, step);
        dispatcher.heard(event.id, step);
    }
    void take(const Tick& /*event*/, Step& step)
    {
        membership.tick(step);
        dispatcher.tick(step);
    }
    template <class T>
    void take(const T& event, Step& step)
    {
        membership.apply(event, step);
    }

    /// What happened is `take_it(step)`, with what goes before and after each event.
    template <class Take>
    void apply(const Take& take_it, base::Instant now, base::WallTime wall, Effects& effects);
    void refresh_loads();
    [[nodiscard]] NodeView view_of(const NodeRecord& node) const;

    FleetOptions options;
    base::Rng rng;
    NodeTable nodes{};
    Membership membership;
    Dispatcher dispatcher;
    bool snapshot_wanted{false}; ///< SnapshotChanged was told and nobody came yet
    std::uint64_t version{0};
    NodeId refreshed_up_to{};
};

Fleet::Fleet(FleetOptions options, base::Rng rng, base::Instant now)
    : state_(std::make_unique<State>(options, rng, now))
{
}

Fleet::~Fleet() = default;

template <class Take>
void Fleet::State::apply(const Take& take_it, base::Instant now, base::WallTime wall, Effects& effects)
{
    Step step{now, wall, effects, {}, {}, {}, {}, false, false};
    if (const auto due = next(); due && now - *due > loop_late) {
        membership.apply(EarsImpaired{"the fleet loop was late"}, step);
    }
    take_it(step);
    const bool models_changed = !step.models_changed.empty(); // which node has what is remembered too
    dispatcher.run(step);
    if (step.pool_changed || models_changed) {
        effects.emplace_back(SavePool{});
    }
    if (step.snapshot_changed && !snapshot_wanted) {
        snapshot_wanted = true;
        effects.emplace_back(SnapshotChanged{});
    }
}

void Fleet::apply(const Event& event, base::Instant now, base::WallTime wall, Effects& effects)
{
    const auto take = [&](Step& step) { std::visit([&](const auto& e) { state_->take(e, step); }, event); };
    state_->apply(take, now, wall, effects);
}

void Fleet::acquire(Ticket ticket, const Profile& profile, base::Instant now, base::WallTime wall, Effects& effects)
{
    const auto take = [&](Step& step) { state_->dispatcher.acquire(ticket, profile, step); };
    state_->apply(take, now, wall, effects);
}

std::optional<base::Instant> Fleet::next_deadline() const { return state_->next(); }

/// Heartbeats bring a newer load than the facts hold. Facts are shared and immutable, so a newer load costs a
/// copy; a large fleet takes turns.
void Fleet::State::refresh_loads()
{
    std::size_t left = load_refresh_max;
    const auto refresh = [this, &left](NodeRecord& node) {
        if (!node.load_is_newer || left == 0) {
            return;
        }
        auto facts = std::make_shared<NodeFacts>(*node.facts);
        facts->host = node.host.value_or(facts->host);
        if (!node.gpus.empty()) {
            facts->gpus = node.gpus;
        }
        facts->announced = node.announced;
        facts->seq = node.seq;
        node.facts = std::move(facts);
        node.load_is_newer = false;
        refreshed_up_to = node.id;
        --left;
    };
    const auto turn = nodes.all().upper_bound(refreshed_up_to);
    for (auto at = turn; at != nodes.all().end(); ++at) {
        refresh(at->second);
    }
    for (auto at = nodes.all().begin(); at != turn; ++at) {
        refresh(at->second);
    }
}

NodeView Fleet::State::view_of(const NodeRecord& node) const
{
    NodeView view;
    view.id = node.id;
    view.name = node.name;
    view.source = node.source;
    view.state = node.state;
    view.trust = membership.trust_of(node);
    view.state_reason = node.reason;
    view.since = node.since;
    view.last_seen = node.last_seen;
    view.latency = is_there(node.state) ? node.latency : std::nullopt; // of one that does not answer it is no longer true
    view.address = node.address;
    view.agent = node.agent;
    view.url = !node.url.empty() ? node.url
        : node.address.endpoint.port != 0 ? "http://" + node.address.endpoint.text()
                                          : "http://" + node.agent.text();
    view.facts = node.facts;
    view.labels = node.labels;
    view.settings = node.settings;
    view.drained_by_operator = node.drained_by_operator;
    view.in_flight = node.in_flight;
    view.foreign = node.foreign;
    view.rates = dispatcher.knowledge().rates_of(node);
    return view;
}

std::shared_ptr<const Snapshot> Fleet::snapshot(base::Instant /*now*/, base::WallTime wall)
{
    auto& state = *state_;
    state.snapshot_wanted = false;
    state.refresh_loads();
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->version = ++state.version;
    snapshot->taken_at = wall;
    snapshot->totals = state.dispatcher.totals();
    std::vector<NodeRecord*> order;
    order.reserve(state.nodes.size());
    for (auto& [id, node] : state.nodes.all()) {
        order.push_back(&node);
    }
    std::ranges::sort(order, {}, [](const NodeRecord* node) { return std::tie(node->name, node->id); });
    auto& views = snapshot->nodes;
    views.reserve(order.size());
    for (auto* node : order) {
        node->view = views.size();
        views.push_back(state.view_of(*node));
    }
    for (const auto& [key, entry] : state.nodes.catalog().entries()) {
        if (std::ranges::none_of(entry.holders, [](const Holding& holding) { return holding.model->allowed; })) {
            continue; // it is nowhere to be asked for
        }
        Tool tool = Tool::none;
        bool is_model = false; // somewhere: then no tool takes the name from it
        auto& holders = snapshot->models[key];
        holders.reserve(entry.holders.size());
        for (const auto& [node, model] : entry.holders) {
            if (!model->allowed) {
                continue;
            }
            is_model = is_model || model->tool == Tool::none;
            tool = tool == Tool::none ? model->tool : tool;
            holders.push_back({node->view, model->index, model->believed_loaded(),
                               node->slots_of(*model), model->in_flight, model->tool});
        }
        if (!is_model) {
            snapshot->tools.emplace(key, tool);
        }
        std::ranges::sort(holders, {}, &Holder::node);
    }
    state.dispatcher.count_queued(views);
    snapshot->queues = state.dispatcher.queues();
    return snapshot;
}

std::vector<SavedNode> Fleet::saved_pool() const
{
    std::vector<SavedNode> out;
    for (const auto& [id, node] : state_->nodes.all()) {
        if (node.is_static()) {
            if (node.drained_by_operator) {
                out.push_back({id, node.name, {}, 0, true}); // where it is, the configuration knows
            }
        } else if (node.ever_confirmed || node.saved) {
            out.push_back({id, node.name, node.agent, node.boot_id, node.drained_by_operator});
        }
    }
    return out;
}

std::vector<NodeId> Fleet::approved() const { return state_->membership.approved(); }

std::vector<Learned> Fleet::learned() const
{
    std::vector<Learned> out;
    for (const auto& [id, node] : state_->nodes.all()) {
        state_->dispatcher.knowledge().append_learned(node, out);
    }
    const auto most = state_->options.learned_max;
    if (out.size() > most) {
        const auto end = out.begin() + static_cast<std::ptrdiff_t>(most);
        std::ranges::partial_sort(out, end, std::greater{}, &Learned::weight);
        out.erase(end, out.end());
    }
    return out;
}

Decision Fleet::explain(const Profile& profile, base::Instant now)
{
    return state_->dispatcher.explain(profile, now);
}

std::optional<Standing> Fleet::standing(Ticket ticket, base::Instant now) const
{
    return state_->dispatcher.standing(ticket, now);
}

std::string Fleet::check(base::Instant now) const
{
    auto wrong = state_->membership.check();
    return wrong.empty() ? state_->dispatcher.check(now) : wrong;
}

void Fleet::set_options(const FleetOptions& options) { state_->options = options; }

} // namespace herd::fleet
