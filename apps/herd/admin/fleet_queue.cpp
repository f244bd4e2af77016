#include "herd/admin/fleet_queue.hpp"

#include "fleet/called.hpp"
#include "herd/admin/views.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace herd::app::admin {

namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& json)
{
    // Names come from the network; what is not UTF-8 is shown as the replacement character.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

double timestamp_of(const fleet::Snapshot& snapshot) { return std::chrono::duration<double>(snapshot.taken_at.time_since_epoch()).count(); }

std::size_t online(const fleet::Snapshot& snapshot)
{
    return static_cast<std::size_t>(std::ranges::count_if(snapshot.nodes, &fleet::NodeView::takes_requests));
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

struct Row {
    std::string node{};
    std::string model{};
    int pending{0};
    int in_flight{0};
    int concurrency{0};
};

Json row_json(const Row& row, const QueueCounts& counts, std::size_t queue_max)
{
    const bool known = counts.completed > 0;
    const double cold = known ? static_cast<double>(counts.cold) / static_cast<double>(counts.completed) : 0;
    return {{"pending", row.pending},
            {"in_flight", row.in_flight},
            {"concurrency", row.concurrency},
            {"model", row.model},
            {"node_id", row.node},
            {"backend", "ollama"},
            {"completed", counts.completed},
            {"failed", counts.failed},
            {"rejected", counts.rejected},
            {"max_queue_depth", queue_max},
            {"cache_hit_rate", counts.cache_samples > 0 ? Json(rounded(counts.cache_hit_rate)) : Json(nullptr)},
            {"warm_hit_rate", known ? Json(rounded(1 - cold)) : Json(nullptr)},
            {"cold_request_pct", known ? Json(rounded(100 * cold)) : Json(nullptr)},
            {"cache_sample_count", counts.cache_samples},
            {"stats_samples", counts.completed},
            {"avg_latency_ms", rounded(counts.latency_ms)},
            {"avg_prompt_tokens", rounded(counts.prompt_tokens)},
            {"avg_completion_tokens", rounded(counts.completion_tokens)}};
}

/// What it adds up to.
struct Sum {
    int pending{0};
    int in_flight{0};
    std::uint64_t completed{0};
    std::uint64_t failed{0};
};

void add(Json& queues, Sum& sum, const Row& row, const QueueCounts& counts, std::size_t queue_max)
{
    sum.pending += row.pending;
    sum.in_flight += row.in_flight;
    sum.completed += counts.completed;
    sum.failed += counts.failed;
    queues[row.node + ":" + row.model] = row_json(row, counts, queue_max);
}

Json queues_json(const fleet::Snapshot& snapshot, const FleetQueueInput& input, Sum& sum)
{
    const auto names = fleet::distinct_names(snapshot);
    Json queues = Json::object();
    for (const auto& [key, holders] : snapshot.models) {
        for (const fleet::Holder& holder : holders) {
            const fleet::NodeView& view = snapshot.nodes[holder.node];
            const std::string& name = names[holder.node];
            const bool counted = input.counts.contains({name, key});
            if ((!holder.loaded && holder.in_flight == 0 && !counted) || !view.facts || holder.model >= view.facts->models.size()) {
                continue;
            }
            const Row row{name, view.facts->models[holder.model].name, 0, holder.in_flight, holder.slots};
            add(queues, sum, row, counts_at(input.counts, name, key), input.limits.queue_per_model);
        }
    }
    for (const auto& [key, queue] : snapshot.queues) {
        add(queues, sum, {"*", queue.model, queue.waiting, 0, 0}, counts_at(input.counts, "*", key), input.limits.queue_per_model);
    }
    for (const auto& [place, counts] : input.counts) { // turned some away, and nobody waits now
        if (place.first == "*" && !snapshot.queues.contains(place.second)) {
            add(queues, sum, {"*", counts.model, 0, 0, 0}, counts, input.limits.queue_per_model);
        }
    }
    return queues;
}

Json wait_json(const std::optional<base::Duration>& wait)
{
    return wait ? Json(static_cast<std::int64_t>(std::ceil(base::seconds(*wait) * 1000))) : Json(nullptr);
}

} // namespace

std::string busiest_model(const fleet::Snapshot& snapshot)
{
    const auto most = std::ranges::max_element(snapshot.queues, {}, [](const auto& entry) { return entry.second.waiting; });
    return most == snapshot.queues.end() ? std::string{} : most->second.model;
}

std::optional<base::Duration> predicted_wait(const fleet::Decision& decision)
{
    if (decision.chosen) {
        return base::Duration{};
    }
    // A fluid estimate: a place frees, and those before this one share the slots until its turn comes.
    std::optional<double> soonest;
    double service = 0;
    int slots = 0;
    for (const fleet::Weighed& one : decision.candidates) {
        const bool counts = one.exclusion == fleet::Exclusion::none || one.exclusion == fleet::Exclusion::no_free_slot
                            || one.exclusion == fleet::Exclusion::loading;
        if (!counts || !std::isfinite(one.cost.total_s())) {
            continue;
        }
        slots += std::max(one.slots, 1);
        if (!soonest || one.cost.wait_s < *soonest) {
            soonest = one.cost.wait_s;
            service = one.cost.prefill_s + one.cost.decode_s;
        }
    }
    if (!soonest) {
        return std::nullopt;
    }
    const double wait = *soonest + decision.ahead * service / slots;
    return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(std::clamp(wait, 0.0, 86'400.0)));
}

std::string fleet_queue(const fleet::Snapshot& snapshot, const FleetQueueInput& input)
{
    Sum sum;
    Json queues = queues_json(snapshot, input, sum);
    Json json{{"queue_depth", sum.pending + sum.in_flight},
              {"pending", sum.pending},
              {"in_flight", sum.in_flight},
              {"completed", sum.completed},
              {"failed", sum.failed},
              {"estimated_wait_ms", wait_json(input.wait)},
              {"nodes_online", online(snapshot)}};
    if (!input.model.empty()) {
        json["model"] = input.model;
    }
    json["queues"] = std::move(queues);
    json["timestamp"] = timestamp_of(snapshot);
    return text(json);
}

std::string fleet_limits(const fleet::Snapshot& snapshot, const FleetLimits& limits)
{
    const auto names = fleet::distinct_names(snapshot);
    Json nodes = Json::array();
    std::size_t cap = 0;
    static const fleet::NodeFacts nothing;
    for (std::size_t i = 0; i < snapshot.nodes.size(); ++i) {
        const fleet::NodeView& view = snapshot.nodes[i];
        const fleet::NodeFacts& facts = view.facts ? *view.facts : nothing;
        const std::size_t own = hot_model_cap(facts);
        const Slots slots = slots_of(snapshot, i);
        cap += view.takes_requests() ? own : 0;
        nodes.push_back({{"node_id", names[i]},
                         {"status", status_word(view.state)},
                         {"hot_model_cap", own},
                         {"models_loaded", facts.loaded.size()},
                         {"free_slots", own - std::min(own, facts.loaded.size())},
                         {"slots_total", slots.total},
                         {"slots_free", slots.free}});
    }
    return text({{"max_retries", limits.retries},
                 {"hot_model_cap", cap},
                 {"queue_per_model", limits.queue_per_model},
                 {"client_in_flight", limits.client_in_flight},
                 {"nodes", std::move(nodes)},
                 {"timestamp", timestamp_of(snapshot)}});
}

} // namespace herd::app::admin
