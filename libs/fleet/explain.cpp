// The decision, told: which candidates there were, what each would have cost, why the others were left out.
#include "fleet/dispatcher.hpp"

#include "fleet/model_name.hpp"
#include "fleet/seconds.hpp"

#include <algorithm>
#include <tuple>

namespace herd::fleet {
namespace {

constexpr std::size_t listed_most = 64;   ///< candidates of a decision that travels with a lease
constexpr std::size_t explained_most = 4096;

Weighed weighed(const Candidate& candidate, bool names)
{
    Weighed out;
    out.node = candidate.node->id;
    if (names) {
        out.name = candidate.node->name;
    }
    out.exclusion = candidate.exclusion;
    if (out.exclusion == Exclusion::none && candidate.cost.wait_s > 0) {
        out.exclusion = candidate.free_slots > 0 && candidate.must_load() ? Exclusion::loading : Exclusion::no_free_slot;
    }
    out.cost = candidate.cost;
    out.loaded = candidate.loaded;
    out.same_class = candidate.same_class;
    out.free_slots = candidate.free_slots;
    if (candidate.model != nullptr) {
        out.slots = candidate.node->slots_of(*candidate.model);
    }
    out.cached_tokens = candidate.cache.tokens;
    out.prefill_rate = candidate.speed.prefill_s > 0 ? 1 / candidate.speed.prefill_s : 0;
    out.decode_rate = candidate.each_s > 0 ? 1 / candidate.each_s : 0;
    return out;
}

} // namespace

std::shared_ptr<const Decision> Dispatcher::decision_of(const Profile& profile, const Task& task,
                                                        std::span<const Candidate> candidates,
                                                        std::optional<std::size_t> chosen, double total_s)
{
    auto decision = std::make_shared<Decision>();
    decision->model = profile.model;
    decision->prompt_tokens = task.prompt_tokens;
    decision->output_tokens = task.output_tokens;
    decision->predicted_s = total_s;
    order_.resize(candidates.size());
    for (std::uint32_t i = 0; i < order_.size(); ++i) {
        order_[i] = i;
    }
    const auto before = [&](std::uint32_t a, std::uint32_t b) {
        if ((a == chosen) != (b == chosen)) {
            return a == chosen;
        }
        const auto& one = candidates[a];
        const auto& other = candidates[b];
        if ((one.exclusion == Exclusion::none) != (other.exclusion == Exclusion::none)) {
            return one.exclusion == Exclusion::none;
        }
        const double one_total = one.cost.total_s();
        const double other_total = other.cost.total_s();
        return one_total != other_total ? one_total < other_total : a < b;
    };
    const auto count = std::min(order_.size(), listed_most);
    std::ranges::partial_sort(order_, order_.begin() + static_cast<std::ptrdiff_t>(count), before);
    decision->candidates.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        decision->candidates.push_back(weighed(candidates[order_[i]], true));
    }
    decision->left_out = candidates.size() - count;
    if (chosen) {
        decision->chosen = candidates[*chosen].node->id;
    }
    return decision;
}

/// As the request would be treated on arrival: its own model if that can serve in time, else the first fallback that can.
Decision Dispatcher::explain(const Profile& profile, base::Instant now)
{
    auto told = explain_as(profile, now, true, explained_most);
    if (told.serves || profile.need != Need::slot || profile.fallbacks.empty()) {
        return std::move(told.decision);
    }
    auto instead = profile;
    for (const auto& other : profile.fallbacks) {
        if (other.key.empty() || other.key == profile.model_key) {
            continue;
        }
        instead.model_key = other.key;
        instead.model = other.model;
        auto stand_in = explain_as(instead, now, false, explained_most);
        if (stand_in.serves) {
            return std::move(stand_in.decision);
        }
    }
    told.decision.note += "; none of the fallback models can take its place";
    return std::move(told.decision);
}

Dispatcher::Told Dispatcher::explain_as(const Profile& profile, base::Instant now, bool may_settle,
                                        std::size_t most)
{
    const auto kept_rng = rng_; // looking costs nothing, not even a random number
    Told told;
    Decision& out = told.decision;
    auto judgement = judge(profile, now, may_settle);
    const auto task = task_of(profile, knowledge_.expect());
    out.model = profile.model;
    out.prompt_tokens = task.prompt_tokens;
    out.output_tokens = task.output_tokens;
    ++pass_;
    queues_used_ = 0;
    Pick best;
    if (profile.need == Need::slot) {
        for (auto& candidate : candidates_) {
            price(candidate, task, knowledge_, now);
        }
        const auto line = lines_.find({Need::slot, profile.model_key});
        if (judgement.fate == Fate::routable) {
            Outlook outlook;
            if (line != lines_.end()) {
                outlook = outlook_of(line->first, line->second, now);
                outlook.priority = profile.priority;
                set_apart(candidates_, line->second.share_of(profile.client, profile.priority, order(), now).reserve);
            }
            best = choose(profile, candidates_, outlook, {}, now);
        }
        out.ahead = line == lines_.end() ? 0 : static_cast<int>(line->second.size());
    } else if (judgement.fate == Fate::routable) {
        best.place = choose_any(candidates_, rng_);
        best.now = true;
    }
    rng_ = kept_rng;
    told.serves = judgement.fate == Fate::settle
        || (judgement.fate == Fate::routable && fits_somewhere(profile, now) && in_time(profile, best, now));
    if (best.place) {
        out.predicted_s = best.total_s;
        if (best.now && out.ahead == 0) {
            out.chosen = candidates_[*best.place].node->id;
        } else {
            out.note = out.ahead > 0 ? "would wait behind those who came before"
                : best.passed_over   ? "would wait for a better node than those free"
                                     : "would wait for a slot";
        }
    } else if (judgement.fate == Fate::routable) {
        out.note = unfit(profile).message;
    } else if (judgement.fate == Fate::hold) {
        out.note = "would be held: " + nobody_reached(profile);
    } else if (judgement.fate == Fate::settle) {
        out.note = "would wait for nodes that are still expected";
    } else {
        out.note = judgement.message;
    }
    add_those_without(profile);
    list_candidates(out, most);
    return told;
}

/// Whether it would be given a place before its deadline, as arrive.cpp and leave.cpp judge that.
bool Dispatcher::in_time(const Profile& profile, const Pick& best, base::Instant now) const
{
    const auto line = lines_.find({profile.need, profile.model_key});
    if (line == lines_.end()) {
        if (best.now) {
            return true;
        }
    } else if (line->second.size() >= options_.queue_per_model) {
        return false;
    }
    if (profile.deadline == base::Instant{} || !knowledge_.expect().knows(profile.model_key)) {
        return true;
    }
    double wait = best.wait_s;
    if (line != lines_.end()) {
        double ahead_s = 0;
        line->second.each([&ahead_s](const Waiter& other) { ahead_s += other.service_s; });
        wait = wait_behind(profile, ahead_s, now);
    }
    return now + duration_of(wait) <= profile.deadline;
}

/// The nodes that do not even have the model, behind the candidates.
void Dispatcher::add_those_without(const Profile& profile)
{
    std::vector<const NodeRecord*> seen;
    seen.reserve(candidates_.size());
    for (const auto& candidate : candidates_) {
        seen.push_back(candidate.node);
    }
    std::ranges::sort(seen);
    for (auto& [id, node] : nodes_.all()) {
        if (!std::ranges::binary_search(seen, &node)) {
            auto other = consider(node, nullptr, profile);
            if (other.exclusion == Exclusion::none) {
                other.exclusion = means(profile, node) ? Exclusion::model_missing : Exclusion::not_pinned;
            }
            candidates_.push_back(other);
        }
    }
}

/// The chosen one first, then by cost, then those that are out of the question.
void Dispatcher::list_candidates(Decision& out, std::size_t most)
{
    order_.resize(candidates_.size());
    for (std::uint32_t i = 0; i < order_.size(); ++i) {
        order_[i] = i;
    }
    const auto place_of = [&](std::uint32_t index) {
        const auto& one = candidates_[index];
        const bool possible = one.exclusion == Exclusion::none || one.exclusion == Exclusion::no_free_slot
            || one.exclusion == Exclusion::loading;
        return std::tuple(one.node->id != out.chosen, !possible, possible ? one.cost.total_s() : 0.0,
                          one.node->id);
    };
    const auto count = std::min(order_.size(), most);
    std::ranges::partial_sort(order_, order_.begin() + static_cast<std::ptrdiff_t>(count),
                              [&](std::uint32_t a, std::uint32_t b) { return place_of(a) < place_of(b); });
    out.candidates.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        out.candidates.push_back(weighed(candidates_[order_[i]], true));
    }
    out.left_out = candidates_.size() - count;
}

std::optional<Standing> Dispatcher::standing(Ticket ticket, base::Instant now) const
{
    const auto at = waiting_.find(ticket);
    if (at == waiting_.end()) {
        return std::nullopt;
    }
    const auto& waiter = at->second;
    Standing out{waiter.ahead, 0, waiter.loading, !waiter.routable()};
    if (out.held) {
        out.wait_s = std::max(0.0, base::seconds(waiter.due() - now));
    } else if (waiter.start_at > now) {
        out.wait_s = base::seconds(waiter.start_at - now);
    }
    return out;
}

std::map<std::string, ModelQueue> Dispatcher::queues() const
{
    std::map<std::string, ModelQueue> out;
    for (const auto& [ticket, waiter] : waiting_) {
        auto& queue = out[waiter.profile.model_key];
        ++queue.waiting;
        if (queue.model.empty()) {
            const auto name = ModelName::parse(waiter.profile.model);
            queue.model = name.valid ? name.display : waiter.profile.model;
        }
    }
    return out;
}

} // namespace herd::fleet
