#include "herd/bench/run_view.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

namespace herd::app::bench {

namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

double rounded(double value) { return std::round(value * 100) / 100; }

double per(double amount, double seconds) { return seconds > 0 ? rounded(amount / seconds) : 0; }

double mean_ms(base::Duration sum, std::uint64_t count) { return count == 0 ? 0 : rounded(base::seconds(sum) * 1000 / static_cast<double>(count)); }

Json types_of(const Wish& wish)
{
    Json names = Json::array();
    for (const Type type : wish.types) {
        names.push_back(to_string(type));
    }
    return names;
}

Json models_of(const Run& run)
{
    Json names = Json::array();
    for (const Target& target : run.targets) {
        names.push_back(target.model);
    }
    return names;
}

double tokens_a_second(const Run& run) { return per(static_cast<double>(run.tally.all().output_tokens), base::seconds(run.elapsed)); }

void add_percentiles(Json& json, const std::string& name, const store::Spread& times)
{
    for (const auto& [suffix, share] : {std::pair{"_p50_ms", 0.5}, {"_p95_ms", 0.95}, {"_p99_ms", 0.99}}) {
        json[name + suffix] = rounded(times.percentile(share).value_or(0));
    }
}

Json by_model(const Run& run)
{
    Json rows = Json::array();
    for (std::size_t i = 0; i < run.targets.size(); ++i) {
        const Sum sum = run.tally.of_target(i);
        rows.push_back({{"model", run.targets[i].model},
                        {"model_type", to_string(run.targets[i].type)},
                        {"requests", sum.requests},
                        {"tok_s", per(static_cast<double>(sum.output_tokens), base::seconds(run.elapsed))},
                        {"avg_latency_ms", mean_ms(sum.total, sum.requests)},
                        {"avg_ttft_ms", mean_ms(sum.first, sum.requests)}});
    }
    return rows;
}

Json by_node(const Run& run)
{
    Json rows = Json::array();
    const auto all = static_cast<double>(run.tally.all().requests);
    for (const auto& [name, sum] : run.tally.nodes()) {
        rows.push_back({{"node_id", name},
                        {"requests", sum.requests},
                        {"pct", per(100 * static_cast<double>(sum.requests), all)},
                        {"tok_s", per(static_cast<double>(sum.output_tokens), base::seconds(run.elapsed))},
                        {"tokens", sum.output_tokens}});
    }
    return rows;
}

/// Null: the node does not tell.
Json told(const Gauge& gauge, double value) { return gauge.samples == 0 ? Json() : Json(rounded(value)); }

Json peaks(const Run& run)
{
    Json rows = Json::array();
    for (const auto& [name, one] : run.tally.utilization()) {
        rows.push_back({{"node_id", name},
                        {"cpu_avg", told(one.cpu, one.cpu.mean())},
                        {"cpu_peak", told(one.cpu, one.cpu.peak)},
                        {"mem_avg", told(one.memory, one.memory.mean())},
                        {"mem_peak", told(one.memory, one.memory.peak)},
                        {"active_peak", static_cast<int>(one.active.peak)}});
    }
    return rows;
}

} // namespace

std::string_view to_string(Status status)
{
    switch (status) {
    case Status::idle: return "idle";
    case Status::pulling: return "pulling";
    case Status::warming_up: return "warming_up";
    case Status::running: return "running";
    case Status::complete: return "complete";
    case Status::error: return "error";
    case Status::cancelled: return "cancelled";
    }
    return "idle";
}

std::string fleet_json(const fleet::Snapshot& snapshot)
{
    Json nodes = Json::array();
    for (const fleet::NodeView& node : snapshot.nodes) {
        Json row{{"node_id", node.name}, {"state", to_string(node.state)}};
        if (node.facts) {
            Json gpus = Json::array();
            for (const fleet::Gpu& gpu : node.facts->gpus) {
                gpus.push_back({{"name", gpu.name}, {"vram_total_bytes", gpu.vram_total}});
            }
            row["ollama_version"] = node.facts->ollama_version;
            row["cores"] = node.facts->host.cores;
            row["memory_total_bytes"] = node.facts->host.memory_total;
            row["gpus"] = std::move(gpus);
        }
        nodes.push_back(std::move(row));
    }
    Json models = Json::array();
    for (const auto& [key, holders] : snapshot.models) {
        Json on = Json::array();
        Json loaded = Json::array();
        std::string name;
        for (const fleet::Holder& holder : holders) {
            const fleet::NodeView& node = snapshot.nodes[holder.node];
            if (node.takes_requests() && node.facts) {
                name = node.facts->models[holder.model].name;
                on.push_back(node.name);
                if (holder.loaded) {
                    loaded.push_back(node.name);
                }
            }
        }
        if (!on.empty()) {
            models.push_back({{"model", name}, {"nodes", std::move(on)}, {"loaded", std::move(loaded)}});
        }
    }
    return text_of({{"nodes", std::move(nodes)}, {"models", std::move(models)}});
}

std::string started_json(const Run& run)
{
    return text_of({{"status", "started"}, {"run_id", run.id}, {"mode", to_string(run.wish.mode)}, {"duration", run.wish.duration.count()}, {"model_types", types_of(run.wish)}});
}

std::string progress_json(const Run& run)
{
    Json pull = Json::object();
    if (!run.pulling.empty()) {
        pull = {{"model", run.pulling}, {"percent", run.percent}};
    }
    return text_of({{"status", to_string(run.status)},
                    {"phase", run.phase},
                    {"elapsed", rounded(base::seconds(run.elapsed))},
                    {"duration", run.wish.duration.count()},
                    {"requests_completed", run.tally.all().requests},
                    {"requests_failed", run.tally.failures()},
                    {"tok_per_sec", tokens_a_second(run)},
                    {"models", models_of(run)},
                    {"models_pulled", run.pulled},
                    {"pull_progress", std::move(pull)},
                    {"error", run.error.empty() ? Json() : Json(run.error)},
                    {"run_id", run.id.empty() ? Json() : Json(run.id)}});
}

std::string run_json(const Run& run, Status end)
{
    const Tally& tally = run.tally;
    const double seconds = base::seconds(run.elapsed);
    Json json{{"run_id", run.id},
              {"timestamp", std::chrono::duration<double>(run.at.time_since_epoch()).count()},
              {"duration_s", rounded(seconds)},
              {"total_requests", tally.all().requests},
              {"total_failures", tally.failures()},
              {"total_prompt_tokens", tally.all().prompt_tokens},
              {"total_completion_tokens", tally.all().output_tokens},
              {"requests_per_sec", per(static_cast<double>(tally.all().requests), seconds)},
              {"tokens_per_sec", tokens_a_second(run)}};
    add_percentiles(json, "latency", tally.latency());
    add_percentiles(json, "ttft", tally.first());
    add_percentiles(json, "inter_token", tally.gaps());
    json["cold_loads"] = tally.cold_loads();
    json["status"] = to_string(end);
    json["mode"] = to_string(run.wish.mode);
    json["model_types"] = types_of(run.wish);
    json["policy"] = run.policy;
    json["version"] = run.version;
    json["models_pulled"] = run.pulled;
    json["per_model_results"] = by_model(run);
    json["per_node_results"] = by_node(run);
    json["peak_utilization"] = peaks(run);
    json["fleet"] = Json::parse(run.fleet, nullptr, false);
    Json skipped = Json::array();
    for (const auto& [model, why] : run.skipped) {
        skipped.push_back({{"model", model}, {"error", why}});
    }
    json["skipped"] = std::move(skipped);
    Json errors = Json::array();
    for (const auto& [what, count] : tally.errors()) {
        errors.push_back({{"error", what}, {"count", count}});
    }
    json["errors"] = std::move(errors);
    return text_of(json);
}

} // namespace herd::app::bench
