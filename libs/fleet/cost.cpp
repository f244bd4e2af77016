#include "fleet/cost.hpp"

#include "fleet/memory_fit.hpp"
#include "fleet/timing.hpp"

#include <algorithm>
#include <functional>

namespace herd::fleet {
namespace {

constexpr double failover_least_s = 2;   ///< a failed attempt costs at least this
constexpr double half_weight_chance = 0.2; ///< of failing, for a node whose announcements stopped
constexpr double flap_chance = 0.05;       ///< for each time that a node was doubted and came back, in the last minute
constexpr int context_default = 4096;
constexpr double stopped_share = 0.75; ///< of the time that a prompt is read, answers beside it stand still
constexpr double slowed_most = 4;      ///< times: an answer beside prompts takes no longer than that
constexpr double left_share = 0.5;     ///< of an answer: what those who run have before them, on average
constexpr double prompt_store_bytes = 8.0 * static_cast<double>(base::gib); ///< llama.cpp's cache beside the slots

double load_cost(Candidate& candidate, const Profile& profile, double& in_vram, base::Instant now)
{
    auto& node = *candidate.node;
    auto& model = *candidate.model;
    in_vram = model.in_vram;
    if (candidate.same_class) {
        return model.load_left(now);
    }
    const auto fit = fit_of(node, model, profile.num_ctx.value_or(0), now);
    if (!fit.fits) {
        candidate.exclusion = candidate.exclusion == Exclusion::none ? Exclusion::cannot_fit : candidate.exclusion;
    }
    in_vram = fit.in_vram;
    candidate.blocked_s = fit.blocked_s;
    return load_seconds(node, model) + fit.others_s;
}

double flaps_of(const NodeRecord& node, base::Instant now)
{
    return static_cast<double>(std::ranges::count_if(node.flaps, [now](base::Instant at) {
        return now - at <= timing::flap_window;
    }));
}

/// Prompts of a node take turns, and answers hardly move while one is read: what the request and those who run beside
/// it cost each other. A place alone costs nobody anything.
void price_company(Candidate& candidate, const Task& task, int beside, base::Instant now)
{
    auto& cost = candidate.cost;
    // Still to be read by others; a load that this one waits for as well is in its own term.
    const double read =
        std::max(0.0, base::seconds(candidate.node->prefilling_until - now) - candidate.model->load_left(now));
    cost.prefill_s += std::min(read, candidate.alone_s);
    const double slowed = stopped_share * (read - candidate.alone_s);
    const double left = read + left_share * cost.decode_s;
    candidate.others_s = beside
        * (std::min(candidate.alone_s, left) + task.output_tokens * candidate.speed.decode_slope_s);
    cost.decode_s += std::clamp(slowed, 0.0, (slowed_most - 1) * cost.decode_s);
}

} // namespace

Task task_of(const Profile& profile, const Expectations& expect)
{
    Task task;
    task.profile = &profile;
    task.tokens_per_byte = 1 / expect.bytes_per_token(profile.model_key);
    task.prompt_tokens = expect.prompt_tokens(profile.model_key, static_cast<double>(profile.prompt_bytes), profile.images);
    task.session = profile.session.empty() ? 0 : std::hash<std::string>{}(profile.session) | 1U;
    task.answers = &expect.answers(profile.model_key, profile.tag);
    task.output_limit = profile.output_tokens_max && *profile.output_tokens_max > 0 ? *profile.output_tokens_max : 0;
    task.output_tokens = profile.generates ? task.answers->mean(task.output_limit) : 0;
    return task;
}

void price(Candidate& candidate, const Task& task, const Knowledge& knowledge, base::Instant now)
{
    const auto& node = *candidate.node;
    const auto& model = *candidate.model;
    double in_vram = 1;
    auto& cost = candidate.cost;
    cost.load_s = load_cost(candidate, *task.profile, in_vram, now);
    candidate.speed = knowledge.speed_of(node, model, in_vram);
    const auto* learning = model.learning.get();
    if (learning != nullptr && candidate.same_class && !learning->belief.empty()) {
        candidate.cache = learning->belief.match(task.profile->prompt, task.session, task.prompt_tokens,
                                                 task.tokens_per_byte);
    }
    cost.prefill_s = candidate.speed.prefill(candidate.cache.tokens, task.prompt_tokens - candidate.cache.tokens);
    candidate.alone_s = cost.prefill_s;
    candidate.others_s = 0;
    const int beside = std::max(node.in_flight + node.foreign - (candidate.free_slots > 0 ? 0 : 1), 0);
    candidate.each_s = candidate.speed.decode(beside);
    cost.decode_s = task.output_tokens * candidate.each_s;
    if (beside > 0) {
        price_company(candidate, task, beside, now);
    }
    if (learning != nullptr && learning->service_weight > 0 && learning->rates.decode_weight() <= 0) {
        // No answer ever told figures: whole requests are all that is known.
        cost.prefill_s = 0;
        cost.decode_s = learning->service_s;
        candidate.each_s = learning->service_s / std::max(task.output_tokens, 1.0);
    }
    const double chance = (learning != nullptr ? learning->risk.chance(now) : 0.01)
        + (node.half_weight() ? half_weight_chance : 0) + flap_chance * flaps_of(node, now);
    if (node.address.manner && node.address.manner->weight != 1) { // as if its speeds were those of a better node
        const double weight = node.address.manner->weight;
        cost.load_s /= weight;
        cost.prefill_s /= weight;
        cost.decode_s /= weight;
        candidate.alone_s /= weight;
        candidate.each_s /= weight;
    }
    cost.risk_s = std::min(chance, 1.0) * std::max(failover_least_s, cost.load_s + cost.prefill_s + cost.decode_s);
}

double cache_capacity(const NodeRecord& node, const ModelOnNode& model)
{
    const double context = model.context_length > 0 ? model.context_length : context_default;
    return context * node.slots_of(model) + prompt_store_bytes / cache_bytes_per_token(model.cache_per_token, model.size);
}

} // namespace herd::fleet
