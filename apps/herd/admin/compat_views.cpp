#include "herd/admin/compat_views.hpp"

#include "fleet/called.hpp"
#include "fleet/model_name.hpp"
#include "herd/admin/fleet_status.hpp"
#include "herd/pins/at_node.hpp"
#include "herd/records/packed_decision.hpp"
#include "herd/records/record_view.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

namespace herd::app::admin {

namespace {

using Json = nlohmann::ordered_json;
using store::UsageCell;
using ByName = std::map<std::string, UsageCell>;

constexpr int unused_after_days = 7;

std::string text(const Json& json)
{
    // Names come from the network; what is not UTF-8 is shown as the replacement character.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

double epoch(base::WallTime time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }
double ms(base::Duration duration) { return std::round(base::seconds(duration) * 1e6) / 1e3; }
double mean_ms(base::Duration sum, std::uint64_t count) { return count == 0 ? 0.0 : ms(sum / static_cast<std::int64_t>(count)); }
double in_gb(base::Bytes bytes) { return std::round(static_cast<double>(bytes) / (1024.0 * 1024 * 1024) * 100) / 100; }

/// Percentiles aside.
void merge(UsageCell& into, const UsageCell& from)
{
    const bool first = into.requests == 0;
    into.requests += from.requests;
    into.errors += from.errors;
    into.completed += from.completed;
    into.disconnects += from.disconnects;
    into.prompt_tokens += from.prompt_tokens;
    into.output_tokens += from.output_tokens;
    into.total += from.total;
    into.ttft += from.ttft;
    into.total_min = first ? from.total_min : std::min(into.total_min, from.total_min);
    into.total_max = std::max(into.total_max, from.total_max);
    into.first = first ? from.first : std::min(into.first, from.first);
    into.last = std::max(into.last, from.last);
}

ByName by_name(const UsageCells& cells)
{
    ByName all;
    for (const auto& [key, cell] : cells) {
        if (!key.second.empty()) { // requests that reached no model
            merge(all[key.second], cell);
        }
    }
    return all;
}

/// Every request is completed, or left by its client, or one of these: what traces call failed, incomplete or rejected.
std::uint64_t failed_count(const UsageCell& cell) { return cell.requests - cell.completed - cell.disconnects; }

/// Whoever asks for a model that nobody has leaves a record of that name. Models are what answered, or is on a node.
ByName models_by_name(const UsageCells& cells, const fleet::Snapshot& snapshot)
{
    ByName all = by_name(cells);
    std::erase_if(all, [&snapshot](const auto& entry) {
        return entry.second.completed == 0 && !snapshot.models.contains(fleet::ModelName::parse(entry.first).key);
    });
    return all;
}

/// "node\nmodel", as UsageBy::model_on_node has it.
std::pair<std::string, std::string> node_and_model(const std::string& name)
{
    const auto end = std::min(name.find('\n'), name.size());
    return {name.substr(0, end), name.substr(std::min(end + 1, name.size()))};
}

void put_tokens(Json& row, const UsageCell& cell)
{
    row["total_prompt_tokens"] = cell.prompt_tokens;
    row["total_completion_tokens"] = cell.output_tokens;
}

void put_span(Json& row, const UsageCell& cell)
{
    row["first_seen"] = epoch(cell.first);
    row["last_seen"] = epoch(cell.last);
}

std::int64_t whole(const std::optional<double>& value) { return value ? std::llround(*value) : 0; }

/// The largest context that the model is loaded with; 0: it is not.
int allocated(const fleet::Snapshot& snapshot, const std::string& model)
{
    int most = 0;
    for (const fleet::NodeView& view : snapshot.nodes) {
        if (view.facts) {
            for (const fleet::LoadedModel& loaded : view.facts->loaded) {
                most = loaded.name == model ? std::max(most, loaded.context_length) : most;
            }
        }
    }
    return most;
}

std::string_view outcome_word(const store::RequestRecord& record)
{
    if (record.termination.starts_with('C')) {
        return "client_disconnected";
    }
    if (record.status < 400 && record.termination.starts_with('-')) {
        return "completed"; // as UsageCell counts them
    }
    if (record.attempts.empty()) {
        return "rejected"; // never reached a node
    }
    return record.termination == "ND" || record.termination == "TD" ? "incomplete" : "failed";
}

/// The predicted cost in seconds, under the names of the signals whose place each part took. They add up.
Json breakdown(const store::RequestRecord& record)
{
    const auto decision = unpack_decision(record.decision);
    if (!decision || !decision->chosen) {
        return nullptr;
    }
    const auto chosen = std::ranges::find(decision->candidates, *decision->chosen, &fleet::Weighed::node);
    if (chosen == decision->candidates.end()) {
        return nullptr;
    }
    const fleet::Cost& cost = chosen->cost;
    const auto seconds = [](double value) { return std::isfinite(value) ? Json(std::round(value * 1000) / 1000) : Json(nullptr); };
    return {{"thermal", seconds(cost.load_s)},       {"memory_fit", 0.0},
            {"queue_depth", seconds(cost.wait_s)},   {"wait_time", seconds(cost.prefill_s)},
            {"role_affinity", seconds(cost.decode_s)}, {"availability_trend", seconds(cost.risk_s)},
            {"context_fit", 0.0},                    {"total", seconds(cost.total_s())}};
}

Json trace_row(const store::RequestRecord& record)
{
    Json excluded = Json::array(); // those that another attempt followed: as many as there were retries
    for (std::size_t i = 0; i + 1 < record.tries(); ++i) {
        excluded.push_back(record.attempts[i].node);
    }
    const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
    return {{"request_id", record.id},
            {"model", record.model},
            {"original_model", record.requested_model},
            {"node_id", record.node},
            {"score", nullptr},
            {"scores_breakdown", breakdown(record)},
            {"status", outcome_word(record)},
            {"latency_ms", ms(record.total)},
            {"time_to_first_token_ms", record.ttft > base::Duration{} ? Json(ms(record.ttft)) : Json(nullptr)},
            {"prompt_tokens", or_null(record.prompt_tokens)},
            {"completion_tokens", or_null(record.output_tokens)},
            {"retry_count", excluded.size()},
            {"fallback_used", record.fallback},
            {"excluded_nodes", std::move(excluded)},
            {"client_ip", record.client},
            {"original_format", record.api},
            {"error_message", record.error.empty() ? Json(nullptr) : Json(record.error)},
            {"timestamp", epoch(record.at) + base::seconds(record.total)},
            {"tags", record.tags}};
}

} // namespace

std::string trends_json(std::uint64_t hours, const UsageCells& cells)
{
    std::map<std::int64_t, UsageCell> by_bucket;
    for (const auto& [key, cell] : cells) {
        merge(by_bucket[key.first], cell);
    }
    Json data = Json::array();
    for (const auto& [bucket, cell] : by_bucket) {
        Json row{{"hour_bucket", bucket}, {"request_count", cell.requests}, {"avg_latency_ms", mean_ms(cell.total, cell.requests)}};
        put_tokens(row, cell);
        data.push_back(std::move(row));
    }
    return text({{"hours", hours}, {"data", std::move(data)}});
}

std::string model_days_json(std::uint64_t days, const UsageCells& cells, const fleet::Snapshot& snapshot)
{
    const ByName models = models_by_name(cells, snapshot);
    Json daily = Json::array();
    for (const auto& [key, cell] : cells) {
        if (models.contains(key.second)) {
            Json row{{"model_name", key.second}, {"day_bucket", key.first}, {"request_count", cell.requests}, {"avg_latency_ms", mean_ms(cell.total, cell.requests)}};
            put_tokens(row, cell);
            daily.push_back(std::move(row));
        }
    }
    Json summary = Json::array();
    for (const auto& [name, cell] : models) {
        Json row{{"model_name", name},
                 {"total_requests", cell.requests},
                 {"avg_latency_ms", mean_ms(cell.total, cell.requests)},
                 {"min_latency_ms", ms(cell.total_min)},
                 {"max_latency_ms", ms(cell.total_max)}};
        put_tokens(row, cell);
        put_span(row, cell);
        summary.push_back(std::move(row));
    }
    return text({{"days", days}, {"daily", std::move(daily)}, {"summary", std::move(summary)}});
}

std::string overview_json(const UsageCells& cells, const fleet::Snapshot& snapshot)
{
    UsageCell all;
    for (const auto& [key, cell] : cells) {
        merge(all, cell);
    }
    Json json{{"total_requests", all.requests}};
    put_tokens(json, all);
    json["total_tokens"] = all.prompt_tokens + all.output_tokens;
    json["models_count"] = models_by_name(cells, snapshot).size();
    return text(json);
}

std::string node_model_days_json(std::uint64_t days, const UsageCells& cells)
{
    Json data = Json::array();
    for (const auto& [key, cell] : cells) {
        const auto [node, model] = node_and_model(key.second);
        if (node.empty()) {
            continue; // reached none
        }
        Json row{{"node_id", node},
                 {"model", model},
                 {"day_bucket", key.first},
                 {"request_count", cell.requests},
                 {"completed_count", cell.completed},
                 {"failed_count", failed_count(cell)},
                 {"avg_latency_ms", mean_ms(cell.total, cell.requests)},
                 {"avg_ttft_ms", cell.completed > 0 ? Json(mean_ms(cell.ttft, cell.completed)) : Json(nullptr)}};
        put_tokens(row, cell);
        row["total_retries"] = cell.retries;
        row["total_fallbacks"] = cell.fallbacks;
        data.push_back(std::move(row));
    }
    return text({{"days", days}, {"data", std::move(data)}});
}

std::string tags_json(std::uint64_t days, const UsageCells& cells)
{
    Json data = Json::array();
    Json summary = Json::array();
    for (const auto& [tag, cell] : by_name(cells)) {
        Json row{{"tag", tag},
                 {"request_count", cell.requests},
                 {"completed_count", cell.completed},
                 {"failed_count", failed_count(cell)},
                 {"avg_latency_ms", mean_ms(cell.total, cell.requests)},
                 {"avg_ttft_ms", cell.completed > 0 ? Json(mean_ms(cell.ttft, cell.completed)) : Json(nullptr)}};
        put_tokens(row, cell);
        data.push_back(std::move(row));
        Json sum{{"tag", tag},
                 {"total_requests", cell.requests},
                 {"completed_count", cell.completed},
                 {"failed_count", failed_count(cell)},
                 {"avg_latency_ms", mean_ms(cell.total, cell.requests)}};
        put_tokens(sum, cell);
        put_span(sum, cell);
        summary.push_back(std::move(sum));
    }
    return text({{"days", days}, {"data", std::move(data)}, {"summary", std::move(summary)}});
}

std::string tag_days_json(std::uint64_t days, const UsageCells& cells)
{
    Json data = Json::array();
    for (const auto& [key, cell] : cells) {
        data.push_back({{"tag", key.second},
                        {"day_bucket", key.first},
                        {"request_count", cell.requests},
                        {"avg_latency_ms", mean_ms(cell.total, cell.requests)},
                        {"total_tokens", cell.prompt_tokens + cell.output_tokens}});
    }
    return text({{"days", days}, {"data", std::move(data)}});
}

std::string contexts_json(std::uint64_t days, const UsageCells& cells, const UsageCells& day, const fleet::Snapshot& snapshot,
                          const proxy::ModelRules* rules)
{
    Json models = Json::array();
    for (const auto& [key, cell] : cells) {
        if (key.second.empty() || cell.lengths.count() == 0) {
            continue;
        }
        std::int64_t most_today = 0;
        for (const auto& [other, last] : day) {
            most_today = other.second == key.second ? std::max(most_today, last.length_max) : most_today;
        }
        const auto prompt = [&cell](double share) { return whole(cell.prompt_lengths.percentile(share)); };
        const auto p99 = std::min(whole(cell.lengths.percentile(0.99)), cell.length_max);
        const int context = allocated(snapshot, key.second);
        const auto ruled = rules == nullptr ? std::nullopt : rules->num_ctx(fleet::ModelName::parse(key.second).key);
        const auto wanted = static_cast<std::uint64_t>(std::ceil(1.5 * static_cast<double>(std::max(p99, most_today))));
        const auto recommended = std::max<std::uint64_t>(std::bit_ceil(wanted), 4096);
        const double used = context == 0 ? 0 : std::round(1000.0 * static_cast<double>(p99) / context) / 10;
        const double saved = context == 0 ? 0 : std::max(0.0, std::round(1000.0 * (1 - static_cast<double>(recommended) / context)) / 10);
        models.push_back({{"model", key.second},
                          {"allocated_ctx", context == 0 ? Json(nullptr) : Json(context)},
                          {"override_ctx", ruled ? Json(*ruled) : Json(nullptr)},
                          {"request_count", cell.requests},
                          {"prompt_tokens",
                           {{"avg", std::llround(static_cast<double>(cell.prompt_tokens) / static_cast<double>(cell.prompt_lengths.count()))},
                            {"p50", prompt(0.5)}, {"p75", prompt(0.75)}, {"p95", prompt(0.95)}, {"p99", prompt(0.99)},
                            {"max", cell.prompt_length_max}}},
                          {"total_tokens",
                           {{"p95", whole(cell.lengths.percentile(0.95))}, {"p99", p99}, {"max", cell.length_max}, {"max_24h", most_today}}},
                          {"utilization_pct", used},
                          {"recommended_ctx", recommended},
                          {"savings_pct", saved}});
    }
    return text({{"days", days}, {"models", std::move(models)}});
}

std::string model_management_json(const UsageCells& cells, const fleet::Snapshot& snapshot, base::WallTime now)
{
    const ByName used = by_name(cells);
    const auto names = fleet::distinct_names(snapshot);
    Json nodes = Json::array();
    for (std::size_t i = 0; i < snapshot.nodes.size(); ++i) {
        const fleet::NodeView& view = snapshot.nodes[i];
        if (!view.facts) {
            continue;
        }
        Json models = Json::array();
        base::Bytes total = 0;
        for (const fleet::Model& model : view.facts->models) {
            total += model.size;
            const Json row = Json::parse(model.row, nullptr, false);
            const auto detail = [&row](const char* key) {
                const auto details = row.is_object() ? row.find("details") : row.end();
                return row.is_object() && details != row.end() && details->is_object() ? details->value(key, std::string{}) : std::string{};
            };
            const auto found = used.find(view.name + '\n' + model.name); // records have names: several with one are known together
            const bool ever = found != used.end();
            const double idle = ever ? (epoch(now) - epoch(found->second.last)) / 86'400 : 0;
            models.push_back({{"name", model.name},
                              {"display_name", model.name},
                              {"category", pins::embeds(model) ? "embedding" : "general"},
                              {"size_gb", in_gb(model.size)},
                              {"parameter_size", detail("parameter_size")},
                              {"quantization", detail("quantization_level")},
                              {"last_used", ever ? Json(epoch(found->second.last)) : Json(nullptr)},
                              {"days_unused", ever ? Json(std::max(0.0, std::floor(idle))) : Json(nullptr)},
                              {"total_requests", ever ? found->second.requests : 0},
                              {"loaded_in_vram", std::ranges::find(view.facts->loaded, model.key, &fleet::LoadedModel::key) != view.facts->loaded.end()},
                              {"unused", !ever || idle >= unused_after_days}});
        }
        const auto gb_or_null = [](const std::optional<base::Bytes>& bytes) { return bytes ? Json(in_gb(*bytes)) : Json(nullptr); };
        nodes.push_back({{"node_id", names[i]},
                         {"models", std::move(models)},
                         {"total_size_gb", in_gb(total)},
                         {"disk_available_gb", gb_or_null(view.facts->disk_free)},
                         {"disk_total_gb", gb_or_null(view.facts->disk_total)}});
    }
    return text({{"nodes", std::move(nodes)}});
}

std::string traces_json(const std::vector<store::RequestRecord>& records)
{
    Json traces = Json::array();
    for (const store::RequestRecord& record : records) {
        traces.push_back(trace_row(record));
    }
    return text({{"traces", std::move(traces)}});
}

} // namespace herd::app::admin
