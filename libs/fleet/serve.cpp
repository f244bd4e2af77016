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

} // namespace

WaitingLine::Order Dispatcher::order() const
{
    return {options_.patience, options_.fair_turn_s};
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

/// Keeps the fastest nodes, at most half of them, from a request whose client used far more than its share, or that
/// runs only in slack, so that the others find a place (and their caches) there. Nothing is taken back once granted:
/// this is what keeps a client that floods from being felt.
void Dispatcher::set_apart(std::span<Candidate> candidates, int slots)
{
    if (slots <= 0) {
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
    const auto most = std::min(by_speed_.size() / 2, static_cast<std::size_t>(slots));
    std::ranges::partial_sort(by_speed_, by_speed_.begin() + static_cast<std::ptrdiff_t>(most));
    for (std::size_t i = 0; i < most && slots > 0; ++i) {
        auto& candidate = candidates[by_speed_[i].second];
        candidate.exclusion = Exclusion::reserved;
        slots -= candidate.node->slots_of(*candidate.model);
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

Dispatcher::Outlook Dispatcher::outlook_of(const LineKey& key, const WaitingLine& line, base::Instant now) const
{
    return {line.pass, shortage_.of(key.model, now), nullptr, Priority::normal};
}

/// Counts what those in the window waited since the last pass.
Dispatcher::Outlook Dispatcher::look_out(const LineKey& key, WaitingLine& line, base::Instant now)
{
    double waited = 0;
    for (const auto& ranked : window_) {
        const auto& waiter = *ranked.waiter;
        if (waiter.routable() && !waiter.loading) { // its copy is on the way: it pays for no other
            waited += base::seconds(now - std::max(line.looked_at, waiter.queued_at));
        }
    }
    shortage_.waited(key.model, waited, now);
    const auto outlook = outlook_of(key, line, now);
    line.pass = pass_;
    line.looked_at = now;
    return outlook;
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
    const auto outlook = look_out(key, line->second, step.now);
    walk(key, outlook, step);
    if (lines_.contains(key)) {
        look_again(key, step.now + look_again_in);
    } else {
        line_alarms_.clear(key);
    }
}

void Dispatcher::walk(const LineKey& key, Outlook outlook, Step& step)
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
        outlook.chose = waiter.chose;
        outlook.priority = waiter.profile.priority;
        const auto best = choose(waiter.profile, candidates, outlook, step.now - waiter.queued_at, step.now);
        if (!best.place) {
            waiter.start_at = step.now + look_again_in;
            ++ahead;
            continue;
        }
        const auto& choice = candidates[*best.place];
        if (best.now) {
            reserve(choice, step.now);
            if (!choice.loaded) {
                shortage_.spend(key.model, choice.cost.load_s, step.now);
                outlook.waited_s = shortage_.of(key.model, step.now);
            }
            lines_.at(key).charge(waiter.profile.client, waiter.profile.priority, choice.service_s(), step.now);
            const auto taken = take(waiter); // stays where it is, so the task's profile does
            grant(waiter.ticket, waiter.profile, task, candidates, *best.place, step.now - waiter.queued_at, step);
            if (!lines_.contains(key)) {
                return;
            }
            continue;
        }
        join_crowd(waiter, *choice.model, outlook);
        waiter.passes_over = best.passed_over;
        waiter.loading = choice.model->load_left(step.now) > 0;
        waiter.start_at = step.now + duration_of(best.wait_s);
        reserve(choice, step.now);
        ++ahead;
    }
}

/// Predicted wait of a request that comes behind `ahead_s` seconds of others' service: what runs and what waits,
/// shared by all slots of the least tier. A fluid estimate: good for Retry-After and for those beyond the window.
double Dispatcher::wait_behind(const Profile& profile, double ahead_s, base::Instant now) const
{
    const auto serves = [&profile](const Holding& holding) {
        return holding.model->allowed && is_meant_kind(holding.model->tool, profile) && why_not(*holding.node, profile) == Exclusion::none;
    };
    int tier = tier_max + 1;
    for (const auto& holding : nodes_.catalog().holders(profile.model_key)) {
        tier = serves(holding) ? std::min(tier, holding.node->tier()) : tier;
    }
    int slots = 0;
    double running = 0;
    double soonest = std::numeric_limits<double>::max();
    for (const bool cold_too : {false, true}) {
        for (const auto& holding : nodes_.catalog().holders(profile.model_key)) {
            const auto& [node, model] = holding;
            if (!serves(holding) || node->tier() > tier || (!cold_too && !model->believed_loaded())) {
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
