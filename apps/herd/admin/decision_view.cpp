#include "herd/admin/decision_view.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app::admin {

namespace {

using Json = nlohmann::ordered_json;

/// Milliseconds are enough; what is not a number of seconds is null.
Json seconds(double value)
{
    return std::isfinite(value) ? Json(std::round(value * 1000.0) / 1000.0) : Json(nullptr);
}

Json rounded(double value) { return std::isfinite(value) ? Json(std::round(value * 10.0) / 10.0) : Json(nullptr); }

bool eligible(const fleet::Weighed& one)
{
    return one.exclusion == fleet::Exclusion::none || one.exclusion == fleet::Exclusion::no_free_slot;
}

Json cost_json(const fleet::Weighed& one)
{
    if (!eligible(one)) {
        const Json nothing(nullptr);
        return {{"wait_s", nothing},   {"load_s", nothing}, {"prefill_s", nothing},
                {"decode_s", nothing}, {"risk_s", nothing}, {"total_s", nothing}};
    }
    const fleet::Cost& cost = one.cost;
    return {{"wait_s", seconds(cost.wait_s)},       {"load_s", seconds(cost.load_s)},
            {"prefill_s", seconds(cost.prefill_s)}, {"decode_s", seconds(cost.decode_s)},
            {"risk_s", seconds(cost.risk_s)},       {"total_s", seconds(cost.total_s())}};
}

std::string memory_words(const fleet::Weighed& one)
{
    if (one.exclusion == fleet::Exclusion::cannot_fit) {
        return "cannot fit";
    }
    return one.loaded ? "in memory already" : "fits";
}

std::string context_words(const fleet::Weighed& one)
{
    if (!one.loaded) {
        return "not in memory";
    }
    return one.same_class ? "loaded with these options" : "loaded with other options: a reload";
}

/// Nobody is sure to answer: nodes of which nothing bad is known have a risk as well, of one in a hundred. What is told
/// of is more than that (the risk is a chance times what failing over costs, which fleet/cost.cpp takes as 2 s at least).
std::string trend_words(const fleet::Cost& cost)
{
    const double chance = cost.risk_s / std::max(2.0, cost.load_s + cost.prefill_s + cost.decode_s);
    return chance > 0.02 ? "failed or flapped lately" : "steady";
}

Json signal(const Json& value, std::string words) { return {{"s", value}, {"says", std::move(words)}}; }

/// Why a place was chosen although another one's sum is smaller; empty when none is.
std::string why_not_the_cheapest(const fleet::Decision& decision)
{
    const fleet::Weighed* chosen = nullptr;
    const fleet::Weighed* best = nullptr;
    for (const fleet::Weighed& one : decision.candidates) {
        if (decision.chosen && one.node == *decision.chosen) {
            chosen = &one;
        }
        if (eligible(one) && (best == nullptr || one.cost.total_s() < best->cost.total_s())) {
            best = &one;
        }
    }
    constexpr double worth_telling_s = 0.05;
    const double less = chosen == nullptr ? 0 : chosen->cost.total_s() - best->cost.total_s();
    if (!std::isfinite(less) || less < worth_telling_s) {
        return {};
    }
    if (best->cost.wait_s > chosen->cost.wait_s) {
        return fmt::format("{} would be done {:.2f} s sooner, but has no slot free for {:.2f} s: a wait must gain more "
                           "([scheduler] wait_margin), or there was enough of it",
                           best->name, less, best->cost.wait_s);
    }
    if (best->cost.load_s > 0 && chosen->cost.load_s <= 0) {
        return fmt::format("{} would be done {:.2f} s sooner, but has to load the model: another copy must gain more "
                           "([scheduler] load_margin)",
                           best->name, less);
    }
    return fmt::format("{} would be done {:.2f} s sooner, but more counts than this request's own time: what others there "
                       "would pay for it, and weights of nodes",
                       best->name, less);
}

/// The familiar names over our terms.
Json signals_json(const fleet::Weighed& one)
{
    const bool in = eligible(one);
    const auto term = [in](double value) { return in ? seconds(value) : Json(nullptr); };
    const fleet::Cost& cost = one.cost;
    return {{"thermal", signal(term(cost.load_s), one.loaded ? "hot" : "cold")},
            {"memory_fit", signal(term(cost.load_s), memory_words(one))},
            {"queue_depth",
             signal(term(cost.wait_s), fmt::format("{} of {} slots free", one.free_slots, one.slots))},
            {"wait_time",
             signal(term(cost.prefill_s), fmt::format("reads {:.0f} tokens/s", one.prefill_rate))},
            {"role_affinity",
             signal(term(cost.decode_s), fmt::format("writes {:.0f} tokens/s", one.decode_rate))},
            {"availability_trend",
             signal(term(cost.risk_s), trend_words(cost))},
            {"context_fit", signal(term(cost.load_s), context_words(one))}};
}

Json candidate_json(const fleet::Weighed& one)
{
    Json json{{"node", one.name}, {"id", one.node.text()}, {"eligible", eligible(one)}};
    if (!eligible(one)) {
        json["reason"] = fleet::to_string(one.exclusion);
    }
    json["cost"] = cost_json(one);
    json["loaded"] = one.loaded;
    json["same_class"] = one.same_class;
    json["free_slots"] = one.free_slots;
    json["slots"] = one.slots;
    json["cached_tokens"] = rounded(one.cached_tokens);
    json["prefill_tokens_per_s"] = rounded(one.prefill_rate);
    json["decode_tokens_per_s"] = rounded(one.decode_rate);
    json["signals"] = signals_json(one);
    return json;
}

} // namespace

std::string decision_json(const fleet::Decision& decision, std::string_view asked)
{
    Json chosen(nullptr);
    Json candidates = Json::array();
    for (const fleet::Weighed& one : decision.candidates) {
        if (decision.chosen && one.node == *decision.chosen) {
            chosen = one.name;
        }
        candidates.push_back(candidate_json(one));
    }
    Json json{{"model", decision.model},
              {"chosen", std::move(chosen)},
              {"chosen_id", decision.chosen ? Json(decision.chosen->text()) : Json(nullptr)},
              {"predicted_s", seconds(decision.predicted_s)},
              {"prompt_tokens", rounded(decision.prompt_tokens)},
              {"output_tokens", rounded(decision.output_tokens)},
              {"ahead", decision.ahead}};
    if (!asked.empty() && asked != decision.model) {
        json["requested_model"] = asked;
        json["fallback"] = true;
    }
    if (!decision.note.empty()) {
        json["note"] = decision.note;
    } else if (std::string why = why_not_the_cheapest(decision); !why.empty()) {
        json["note"] = std::move(why);
    }
    json["left_out"] = decision.left_out;
    json["candidates"] = std::move(candidates);
    // Names come from the network; what is not UTF-8 is shown as the replacement character.
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace herd::app::admin
