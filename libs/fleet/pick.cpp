// The best place for one request, free or worth waiting for. What counts is the time until its reader sees something,
// and what its being there costs others: who else wants the place, who runs beside it, who waits for want of a copy.
#include "fleet/dispatcher.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

namespace herd::fleet {
namespace {

constexpr std::size_t queue_most = 64;  ///< slots of one node that a pass keeps in mind
constexpr double foreign_service_s = 5; ///< of requests that are none of ours
constexpr double trouble_wait_s = 10;   ///< while a load that failed elsewhere is tried on one node
constexpr double decode_counts = 0.2;   ///< of the answer: its reader sees it grow, who waits sees nothing
constexpr double behind_share = 0.8;    ///< of those who want the same place will wait for this one
constexpr double same_s = 1e-6;         ///< costs nearer than this are equal

} // namespace

/// Until a slot of the model frees there; with what this pass reserved already.
double Dispatcher::slot_free_in(const Candidate& candidate, base::Instant now)
{
    const auto& model = *candidate.model;
    if (model.pass == pass_) {
        return *std::ranges::min_element(queues_[model.queue]);
    }
    if (candidate.free_slots > 0) {
        return 0;
    }
    const int slots = candidate.node->slots_of(model);
    const int taken = model.in_flight + candidate.node->foreign_of(model);
    ends_.clear();
    for (const auto place : model.running) {
        ends_.push_back(leases_.at(place).remaining(now));
    }
    ends_.resize(static_cast<std::size_t>(std::max(taken, 1)), foreign_service_s);
    // With more requests there than slots (slots shrank), several must end first.
    const auto nth = std::min(static_cast<std::size_t>(std::max(taken - slots, 0)), ends_.size() - 1);
    std::ranges::nth_element(ends_, ends_.begin() + static_cast<std::ptrdiff_t>(nth));
    return ends_[nth];
}

/// What else keeps the request from starting there, whatever slots are free.
double Dispatcher::blocked_for(Candidate& candidate, base::Instant now) const
{
    if (!candidate.must_load()) {
        return 0;
    }
    const auto& model = *candidate.model;
    double wait = candidate.blocked_s;
    for (const auto place : model.running) { // resident otherwise: Ollama reloads when it is idle
        wait = std::max(wait, leases_.at(place).remaining(now));
    }
    if (candidate.node->loads > 0) { // one load at a time: Ollama's own rule
        for (const auto& [key, other] : candidate.node->models) {
            wait = std::max(wait, other.load_left(now));
        }
    }
    return wait;
}

/// Until it could start there; of a load in progress only what is left then stays in the load's own term.
double Dispatcher::ready_in(Candidate& candidate, base::Instant now)
{
    const double wait = std::max(slot_free_in(candidate, now), blocked_for(candidate, now));
    if (candidate.same_class) {
        candidate.cost.load_s = std::max(0.0, candidate.cost.load_s - wait);
    }
    return wait;
}

/// How many others of the line, of this priority or a higher one, want this place: as of its last pass, as long as
/// this one has not counted anew.
double Dispatcher::crowd_at(const ModelOnNode& model, const Outlook& outlook) const
{
    const auto& crowd = model.crowd;
    if (crowd.pass != pass_ && crowd.pass != outlook.pass_before) {
        return 0;
    }
    const auto& seen = crowd.pass == pass_ ? crowd.before : crowd.now;
    const auto bands = static_cast<std::ptrdiff_t>(outlook.priority) + 1; // nobody makes way for a lower one
    return std::max(0, std::accumulate(seen.begin(), seen.begin() + bands, outlook.chose == &model ? -1 : 0));
}

void Dispatcher::join_crowd(Waiter& waiter, const ModelOnNode& model, const Outlook& outlook)
{
    auto& crowd = model.crowd;
    if (crowd.pass != pass_) {
        crowd = {pass_, {}, crowd.pass == outlook.pass_before ? crowd.now : std::array<int, 3>{}};
    }
    ++crowd.now.at(static_cast<std::size_t>(waiter.profile.priority));
    waiter.chose = &model;
}

/// Seconds as they count in a choice; `wait` until it could start there.
double Dispatcher::weigh(const Candidate& candidate, double wait, const Outlook& outlook) const
{
    const auto& cost = candidate.cost;
    const double service = candidate.service_s();
    double total = wait + service + candidate.others_s - (1 - decode_counts) * cost.decode_s;
    if (const double others = crowd_at(*candidate.model, outlook); others > 0) {
        total += behind_share * others * service / candidate.node->slots_of(*candidate.model);
    }
    if (!candidate.loaded) {
        total -= std::min(outlook.waited_s, cost.load_s);
    }
    if (const auto* settings = candidate.node->settings.get()) { // what waiting pays for may leave less than nothing
        total = total > 0 ? total / settings->weight : total * settings->weight;
    }
    return total;
}

/// The best place for one request. O(candidates).
Dispatcher::Pick Dispatcher::pick(std::span<Candidate> candidates, const Outlook& outlook,
                                  base::Duration waited, base::Instant now)
{
    struct Best {
        std::optional<std::size_t> at{};
        double total{std::numeric_limits<double>::max()};
        std::uint64_t equals{0};
    };
    Best free; // now, wherever
    Best any;  // now or later
    Best warm; // now or later, where nothing need be loaded
    const auto offer = [this](Best& best, std::size_t i, double total) {
        if (total < best.total - same_s) {
            best = {i, total, 1};
        } else if (total < best.total + same_s && rng_.between(0, best.equals++) == 0) {
            best.at = i;
        }
    };
    const auto trouble = !load_trouble_.empty() && !candidates.empty()
        && std::ranges::any_of(candidates, [&](auto& c) { return c.model->load_left(now) > 0; });
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        auto& candidate = candidates[i];
        if (candidate.exclusion != Exclusion::none) {
            continue;
        }
        double wait = ready_in(candidate, now);
        if (trouble && candidate.must_load()) {
            wait = std::max(wait, trouble_wait_s);
        }
        candidate.cost.wait_s = wait;
        const double total = weigh(candidate, wait, outlook);
        offer(any, i, total);
        if (wait <= 0) {
            offer(free, i, total);
        }
        if (!candidate.must_load()) {
            offer(warm, i, total);
        }
    }
    const auto result = [&](const Best& best, bool passed_over) {
        const double wait = candidates[*best.at].cost.wait_s;
        return Pick{best.at, wait <= 0, passed_over, candidates[*best.at].cost.total_s(), wait};
    };
    if (!any.at) {
        return {};
    }
    if (!free.at) {
        return result(any, false);
    }
    if (waited > options_.patience) {
        return result(free, false); // no better place came: it has waited enough
    }
    if (candidates[*free.at].must_load() && warm.at && free.total > (1 - options_.load_margin) * warm.total) {
        return result(warm, true);
    }
    if (any.total < (1 - options_.wait_margin) * free.total) {
        return result(any, true);
    }
    return result(free, false);
}

/// Those behind in this pass find a slot taken for as long as this request would.
void Dispatcher::reserve(const Candidate& candidate, base::Instant now)
{
    auto& model = *candidate.model;
    if (model.pass != pass_) {
        const auto& node = *candidate.node;
        if (queues_used_ == queues_.size()) {
            queues_.emplace_back();
        }
        auto& queue = queues_[queues_used_];
        queue.clear();
        for (const auto place : model.running) {
            queue.push_back(leases_.at(place).remaining(now));
        }
        const auto foreign = static_cast<std::size_t>(node.foreign_of(model));
        const auto free = std::min(static_cast<std::size_t>(node.free_slots_of(model)), queue_most);
        queue.resize(queue.size() + foreign, foreign_service_s);
        queue.resize(queue.size() + free, 0);
        queue.resize(std::max(queue.size(), std::size_t{1}),
                     foreign_service_s); // others fill what the node may run
        model.pass = pass_;
        model.queue = queues_used_++;
    }
    auto& queue = queues_[model.queue];
    const auto first = std::ranges::min_element(queue);
    *first = std::max(*first, candidate.cost.wait_s) + candidate.service_s();
}

} // namespace herd::fleet
