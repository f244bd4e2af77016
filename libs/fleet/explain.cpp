// The decision, told: which candidates there were, what each would have cost, why the others were left out.
#include "fleet/dispatcher.hpp"

#include "fleet/model_name.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

constexpr std::size_t listed_most = 16;   ///< candidates of a decision that travels with a lease
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

Decision Dispatcher::explain(const Profile& profile, base::Instant now)
{
    const auto kept_rng = rng_; // looking costs nothing, not even a random number
    Decision out;
    auto judgement = judge(profile, now, true);
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
        out.note = "would be held: no node that has model '" + profile.model + "' can be reached";
    } else if (judgement.fate == Fate::settle) {
        out.note = "would wait for nodes that are still expected";
    } else {
        out.note = judgement.message;
    }
    std::vector<const NodeRecord*> seen;
    seen.reserve(candidates_.size());
    for (const auto& candidate : candidates_) {
        seen.push_back(candidate.node);
    }
    std::ranges::sort(seen);
    for (auto& [id, node] : nodes_.all()) { // those who do not even have it
        if (!std::ranges::binary_search(seen, &node)) {
            auto other = consider(node, nullptr, profile);
            if (other.exclusion == Exclusion::none) {
                other.exclusion = means(profile, node) ? Exclusion::model_missing : Exclusion::not_pinned;
            }
            candidates_.push_back(other);
        }
    }
    for (const auto& candidate : candidates_) {
        if (out.candidates.size() == explained_most) {
            ++out.left_out;
        } else {
            out.candidates.push_back(weighed(candidate, true));
        }
    }
    const auto place_of = [&out](const Weighed& one) {
        const bool possible = one.exclusion == Exclusion::none || one.exclusion == Exclusion::no_free_slot
            || one.exclusion == Exclusion::loading;
        return std::tuple(one.node != out.chosen, !possible, possible ? one.cost.total_s() : 0.0, one.node);
    };
    std::ranges::sort(out.candidates, [&](const Weighed& a, const Weighed& b) { return place_of(a) < place_of(b); });
    return out;
}

std::optional<Standing> Dispatcher::standing(Ticket ticket, base::Instant now) const
{
    const auto at = waiting_.find(ticket);
    if (at == waiting_.end()) {
        return std::nullopt;
    }
    const auto& waiter = at->second;
    Standing out{waiter.ahead, 0, waiter.loading};
    if (!waiter.routable()) {
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
