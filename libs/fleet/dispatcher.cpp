// When something changed: whom it concerns, and what becomes of them.
#include "fleet/dispatcher.hpp"

#include <algorithm>
#include <array>

namespace herd::fleet {

Dispatcher::Dispatcher(const FleetOptions& options, base::Rng& rng, NodeTable& nodes, Membership& membership)
    : options_(options), rng_(rng), nodes_(nodes), membership_(membership)
{
}

void Dispatcher::restore(const LearnedRestored& event)
{
    knowledge_.restore(event);
    for (auto& [id, node] : nodes_.all()) {
        knowledge_.adopt(node);
    }
}

namespace {

/// The same for one of several loaded models. True: fewer than before.
bool heard_of(ModelOnNode& model, std::span<const std::pair<std::uint64_t, int>> busy)
{
    if (model.wire_hash == 0) {
        return false;
    }
    const auto told = std::ranges::find(busy, model.wire_hash, &std::pair<std::uint64_t, int>::first);
    const int seen = told == busy.end() ? 0 : std::clamp(told->second - model.in_flight, 0, 4096);
    const int believed = std::min(seen, model.foreign_before);
    model.foreign_before = seen;
    return believed < std::exchange(model.foreign, believed);
}

} // namespace

/// What the node counts beyond our own leases. Seen twice in a row it is believed: one announcement may cross the
/// end of a request of ours.
void Dispatcher::heard(const NodeId& id, Step& step)
{
    auto* node = nodes_.find(id);
    if (node == nullptr || !node->reported_in_flight) {
        return;
    }
    const int seen = std::clamp(*node->reported_in_flight - node->in_flight, 0, 4096);
    const int believed = std::min(seen, node->foreign_before);
    node->foreign_before = seen;
    step.snapshot_changed = step.snapshot_changed || believed != node->foreign; // they take slots
    bool less = believed < node->foreign;
    node->foreign = believed;
    for (auto& [key, model] : node->models) {
        less = heard_of(model, node->reported_busy) || less;
    }
    if (less && !lines_.empty()) {
        step.touched_places.push_back(id);
    }
}

std::optional<base::Instant> Dispatcher::next() const
{
    const auto a = alarms_.next();
    const auto b = line_alarms_.next();
    return a && b ? std::min(*a, *b) : a ? a : b;
}

void Dispatcher::tick(Step& step)
{
    while (const auto ticket = alarms_.take_due(step.now)) {
        if (const auto at = waiting_.find(*ticket); at != waiting_.end()) {
            expire(at->second, step);
        }
    }
    std::erase_if(load_trouble_, [&step](const auto& entry) { return entry.second <= step.now; });
    while (const auto key = line_alarms_.take_due(step.now)) {
        serve(*key, step);
    }
}

void Dispatcher::run(Step& step)
{
    bool pins_may_differ = nodes_.take_names_changed() && pinned_ > 0;
    for (const auto& id : step.touched) {
        if (auto* node = nodes_.find(id)) {
            knowledge_.adopt(*node); // it may list models that were measured before a restart
            pins_may_differ = pins_may_differ || (pinned_ > 0 && nodes_.shares_name(*node)); // who is meant hangs on who is there
        }
    }
    if (lines_.empty()) {
        return;
    }
    std::set<LineKey> lines;
    for (const auto& id : step.touched) {
        add_lines_of(id, lines);
    }
    for (const auto& key : step.models_changed) {
        lines.insert({Need::slot, key});
        lines.insert({Need::model, key});
    }
    const bool nobody_expected = membership_.settled(step.now) && membership_.expected() == 0;
    if (pins_may_differ || (settling_ > 0 && nobody_expected)) {
        for (const auto& [key, line] : lines_) {
            lines.insert(key);
        }
    }
    for (const auto& key : lines) {
        review(key, step);
    }
    std::set<LineKey> freed;
    for (const auto& [id, model] : step.freed) {
        freed.insert({Need::slot, model});
    }
    for (const auto& id : step.touched_places) {
        add_lines_of(id, freed);
    }
    for (const auto& key : freed) {
        if (!lines.contains(key)) {
            serve(key, step);
        }
    }
}

void Dispatcher::add_lines_of(const NodeId& id, std::set<LineKey>& lines) const
{
    lines.insert({Need::any, {}});
    const auto* node = nodes_.find(id);
    if (node == nullptr) {
        return; // its models are in step.models_changed
    }
    if (lines_.size() <= node->models.size()) {
        for (const auto& [key, line] : lines_) {
            if (node->models.contains(key.model)) {
                lines.insert(key);
            }
        }
    } else {
        for (const auto& [model, held] : node->models) {
            for (const auto need : {Need::slot, Need::model}) {
                if (lines_.contains({need, model})) {
                    lines.insert({need, model});
                }
            }
        }
    }
}

/// Looks at every waiter of a line again: may it be served at all? Then serves those who may.
void Dispatcher::review(const LineKey& key, Step& step)
{
    const auto line = lines_.find(key);
    if (line == lines_.end()) {
        return;
    }
    std::array<std::optional<Fate>, 2> plains; // without and with the paths that more servers have
    std::vector<std::pair<Ticket, Judgement>> leaving; // answered once the line is no longer walked
    line->second.each([&](Waiter& waiter) {
        auto& plain = plains[waiter.profile.openai ? 1 : 0];
        if (plain && waiter.plain() && key.need == Need::slot) {
            place(waiter, *plain, step.now);
            return;
        }
        auto judgement = judge(waiter.profile, step.now, waiter.settle_until != never && waiter.settle_until > step.now);
        const bool nobody_left = judgement.fate == Fate::refuse && (judgement.why == base::Errc::no_node || judgement.why == base::Errc::no_such_model);
        if (nobody_left && waiter.settle_until == never && membership_.expected() > 0) {
            judgement = {Fate::hold, base::Errc::no_node, {}}; // its node went, and one is being asked: the same elsewhere, perhaps
        }
        if (judgement.fate == Fate::refuse || (key.need != Need::slot && judgement.fate == Fate::routable)) {
            leaving.emplace_back(waiter.ticket, std::move(judgement));
            return;
        }
        if (waiter.plain()) {
            plain = judgement.fate;
        }
        place(waiter, judgement.fate, step.now);
    });
    for (const auto& [ticket, judgement] : leaving) {
        const auto at = waiting_.find(ticket);
        if (at == waiting_.end()) {
            continue;
        }
        const auto taken = take(at->second);
        const auto& waiter = taken.mapped();
        if (judgement.fate == Fate::refuse) {
            if (!fall_back(ticket, waiter.profile, step)) {
                refuse(ticket, judgement.why, judgement.message,
                       judgement.why == base::Errc::no_node ? come_back_in : base::Duration{}, step);
            }
            continue;
        }
        (void)judge(waiter.profile, step.now, false);
        if (const auto choice = choose_any(candidates_, rng_)) {
            grant(ticket, waiter.profile, {}, candidates_, *choice, step.now - waiter.queued_at, step);
        }
    }
    serve(key, step);
}

Totals Dispatcher::totals() const
{
    auto out = totals_;
    out.in_flight = static_cast<int>(leases_.size());
    out.queued = static_cast<int>(waiting_.size());
    return out;
}

void Dispatcher::count_queued(std::vector<NodeView>& views)
{
    for (const auto& [ticket, waiter] : waiting_) {
        const auto& holders = nodes_.catalog().holders(waiter.profile.model_key);
        if (!waiter.profile.node.empty()) {
            if (const auto* node = nodes_.find(waiter.profile.node).node) {
                ++views[node->view].queued;
            }
        } else if (holders.size() == 1) {
            ++views[holders.front().node->view].queued;
        }
    }
}

} // namespace herd::fleet
