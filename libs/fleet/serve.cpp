// Late binding: who of those waiting goes where now, and who waits for a better place. One pass looks at a window
// of the line in the order in which it is to be served. Each request in turn picks the place where it is
// predicted to end soonest, counting those before it; a free one is granted at once, a busy one is reserved in
// thought, so that those behind see it taken. Source: scheduling.md 2.
#include "fleet/dispatcher.hpp"

#include "fleet/seconds.hpp"

#include <algorithm>
#include <limits>

namespace herd::fleet {
namespace {

constexpr std::size_t window_most = 64;
constexpr std::size_t window_least = 4;
constexpr std::size_t board_most = 1024;      ///< candidates priced in one pass
constexpr std::size_t queue_most = 64;        ///< slots of one node that a pass keeps in mind
constexpr double foreign_service_s = 5;       ///< of requests that are none of ours
constexpr double trouble_wait_s = 10;         ///< while a load that failed elsewhere is tried on one node
constexpr double decode_counts = 0.3;         ///< of the answer in a choice: its reader sees it grow, who waits sees nothing
constexpr double same_s = 1e-6;               ///< costs nearer than this are equal

} // namespace

WaitingLine::Order Dispatcher::order() const
{
    return {options_.patience, options_.fair_turn_s};
}

/// Until a slot of the model frees there; with what this pass reserved already.
double Dispatcher::slot_free_in(const Candidate& candidate, base::Instant now)
{
    const auto& model = *candidate.model;
    if (model.pass == pass_) {
        return *std::ranges::min_element(queues_[model.queue]);
    }
    if (candidate.node->free_slots_of(model) > 0) {
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

double Dispatcher::ready_in(Candidate& candidate, base::Instant now)
{
    return std::max(slot_free_in(candidate, now), blocked_for(candidate, now));
}

/// The best place for one request. O(candidates).
Dispatcher::Pick Dispatcher::pick(std::span<Candidate> candidates, base::Duration waited, base::Instant now)
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
    const auto trouble = !load_trouble_.empty() && !candidates.empty() && std::ranges::any_of(candidates, [&](auto& c) {
        return c.model->load_left(now) > 0;
    });
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
        const double total = wait + candidate.service_s() - (1 - decode_counts) * candidate.cost.decode_s;
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
        const auto slots = std::min(static_cast<std::size_t>(node.slots_of(model)), queue_most);
        queue.resize(queue.size() + foreign, foreign_service_s);
        queue.resize(std::max(queue.size(), slots), 0);
        model.pass = pass_;
        model.queue = queues_used_++;
    }
    auto& queue = queues_[model.queue];
    const auto first = std::ranges::min_element(queue);
    *first = std::max(*first, candidate.cost.wait_s) + candidate.service_s();
}

/// Places granted in this very pass changed what some candidates cost.
void Dispatcher::refresh(std::span<Candidate> candidates, const Task& task, base::Instant now)
{
    for (auto& candidate : candidates) {
        if (candidate.node->granted_pass != pass_ || candidate.exclusion != Exclusion::none) {
            continue;
        }
        candidate = consider(*candidate.node, candidate.model, *task.profile);
        if (candidate.exclusion == Exclusion::suspect && candidate.node->last_resort()) {
            candidate.exclusion = Exclusion::none;
        }
        if (candidate.exclusion == Exclusion::none) {
            price(candidate, task, knowledge_, now);
        }
    }
}

/// Keeps the fastest nodes, at most half of them, from a request whose client used far more than its share, so that
/// the others find a place (and their caches) there. Nothing is taken back once granted: this is what keeps a
/// client that floods from being felt.
void Dispatcher::set_apart(std::span<Candidate> candidates, double reserve)
{
    if (reserve <= 0) {
        return;
    }
    constexpr double prompt_tokens = 2000; // of a request like any: not this one's own cache and length count
    constexpr double output_tokens = 200;
    by_speed_.clear();
    for (std::uint32_t i = 0; i < candidates.size(); ++i) {
        const auto& c = candidates[i];
        if (c.exclusion == Exclusion::none) {
            by_speed_.emplace_back(c.cost.load_s + c.speed.prefill(0, prompt_tokens) + output_tokens * c.speed.decode(0), i);
        }
    }
    const auto most = static_cast<double>(by_speed_.size() / 2);
    const auto count = static_cast<std::ptrdiff_t>(std::min(reserve, most));
    std::ranges::partial_sort(by_speed_, by_speed_.begin() + count);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        candidates[by_speed_[static_cast<std::size_t>(i)].second].exclusion = Exclusion::reserved;
    }
}

/// Appends the priced candidates of one waiter to the board, and says how urgent it is.
void Dispatcher::fill_board(WaitingLine::Ranked& ranked, base::Instant now)
{
    auto& waiter = *ranked.waiter;
    ranked.first = ranked.last = board_.size();
    if (!waiter.routable() || judge(waiter.profile, now, false).fate != Fate::routable) {
        return;
    }
    const auto task = task_of(waiter.profile, knowledge_.expect());
    double best = std::numeric_limits<double>::max();
    double best_free = best;
    for (auto& candidate : candidates_) {
        if (candidate.exclusion != Exclusion::none) {
            continue; // an excluded one plays no part in a pass; the decision names it when it is told
        }
        price(candidate, task, knowledge_, now);
        best = std::min(best, candidate.service_s());
        if (candidate.free_slots > 0) {
            best_free = std::min(best_free, candidate.service_s());
        }
    }
    board_.insert(board_.end(), candidates_.begin(), candidates_.end());
    ranked.last = board_.size();
    waiter.service_s = best < 1e300 ? best : 0;
    const double waited = base::seconds(now - waiter.queued_at);
    ranked.key = (best_free < 1e300 ? best_free : best) - options_.aging * waited;
}

void Dispatcher::serve(const LineKey& key, Step& step)
{
    const auto line = lines_.find(key);
    if (line == lines_.end()) {
        line_alarms_.clear(key);
        return;
    }
    if (key.need != Need::slot) {
        return;
    }
    ++pass_;
    queues_used_ = 0;
    window_.clear();
    board_.clear();
    const auto holders = std::max<std::size_t>(nodes_.catalog().holders(key.model).size(), 1);
    line->second.window(step.now, std::clamp(board_most / holders, window_least, window_most), order(), window_);
    for (auto& ranked : window_) {
        fill_board(ranked, step.now);
    }
    std::ranges::sort(window_, {}, [](const auto& ranked) {
        return std::tuple(ranked.rank, ranked.key, ranked.waiter->ticket);
    });
    walk(key, step);
    if (lines_.contains(key)) {
        look_again(key, step.now + look_again_in);
    } else {
        line_alarms_.clear(key);
    }
}

void Dispatcher::walk(const LineKey& key, Step& step)
{
    int ahead = 0;
    for (const auto& ranked : window_) {
        auto& waiter = *ranked.waiter;
        waiter.ahead = ahead;
        if (ranked.first == ranked.last) {
            continue; // held, or nobody routable
        }
        const std::span candidates{board_.data() + ranked.first, ranked.last - ranked.first};
        const auto task = task_of(waiter.profile, knowledge_.expect());
        refresh(candidates, task, step.now);
        set_apart(candidates, ranked.reserve);
        const auto best = pick(candidates, step.now - waiter.queued_at, step.now);
        if (!best.place) {
            waiter.start_at = step.now + look_again_in;
            ++ahead;
            continue;
        }
        const auto& choice = candidates[*best.place];
        if (best.now) {
            reserve(choice, step.now);
            lines_.at(key).charge(waiter.profile.client, waiter.profile.priority, choice.service_s(), step.now);
            const auto taken = take(waiter); // stays where it is, so the task's profile does
            grant(waiter.ticket, waiter.profile, task, candidates, *best.place, step.now - waiter.queued_at, step);
            if (!lines_.contains(key)) {
                return;
            }
            continue;
        }
        waiter.passes_over = best.passed_over;
        waiter.loading = choice.model->load_left(step.now) > 0;
        waiter.start_at = step.now + duration_of(best.wait_s);
        reserve(choice, step.now);
        ++ahead;
    }
}

/// Predicted wait of a request that comes behind `ahead_s` seconds of others' service: what runs and what waits,
/// shared by all slots. A fluid estimate: good for Retry-After and for those beyond the window.
double Dispatcher::wait_behind(const Profile& profile, double ahead_s, base::Instant now) const
{
    int slots = 0;
    double running = 0;
    double soonest = std::numeric_limits<double>::max();
    for (const bool cold_too : {false, true}) {
        for (const auto& [node, model] : nodes_.catalog().holders(profile.model_key)) {
            if (!node->takes_requests() || (!cold_too && !model->believed_loaded())) {
                continue;
            }
            slots += node->slots_of(*model);
            for (const auto place : model->running) {
                const double left = leases_.at(place).remaining(now);
                running += left;
                soonest = std::min(soonest, left);
            }
            if (node->free_slots_of(*model) > 0) {
                soonest = 0;
            }
        }
        if (slots > 0) {
            break;
        }
    }
    if (slots == 0) {
        return ahead_s;
    }
    return std::max(ahead_s <= 0 ? soonest : 0.0, (running + ahead_s) / slots);
}

} // namespace herd::fleet
