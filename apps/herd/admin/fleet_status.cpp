#include "herd/admin/fleet_status.hpp"

#include "fleet/called.hpp"
#include "fleet/hardware.hpp"
#include "fleet/tool.hpp"
#include "herd/admin/views.hpp"
#include "herd/pins/at_node.hpp"
#include "proxy/merged.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace herd::app::admin {

namespace {

using Json = nlohmann::ordered_json;

double in_gb(base::Bytes bytes)
{
    return std::round(static_cast<double>(bytes) / (1024.0 * 1024 * 1024) * 100) / 100;
}

/// As herd's health check memory_pressure draws the lines.
std::string_view pressure_of(const fleet::HostLoad& host)
{
    const double free = static_cast<double>(host.memory_available) / static_cast<double>(host.memory_total);
    const double stalled = host.memory_pressure.value_or(0);
    return free < 0.03 || stalled >= 40 ? "critical" : free < 0.08 || stalled >= 10 ? "warn" : "normal";
}

/// A member of the row that the node's own /api/ps or /api/tags had; empty when there is none.
std::string detail_of(const Json& row, const char* key)
{
    const auto details = row.is_object() ? row.find("details") : row.end();
    if (!row.is_object() || details == row.end() || !details->is_object()) {
        return {};
    }
    const auto found = details->find(key);
    return found != details->end() && found->is_string() ? found->get<std::string>() : std::string{};
}

int in_flight_of(const fleet::Snapshot& snapshot, std::size_t node, const std::string& key)
{
    const auto holders = snapshot.models.find(key);
    if (holders == snapshot.models.end()) {
        return 0;
    }
    const auto found = std::ranges::find(holders->second, node, &fleet::Holder::node);
    return found == holders->second.end() ? 0 : found->in_flight;
}

/// The node's tools of one kind, as Ollama Herd's agents tell of them; null: it has none.
Json tools_json(const fleet::Snapshot& snapshot, std::size_t index, fleet::Tool kind, const char* works)
{
    const fleet::NodeView& view = snapshot.nodes[index];
    Json available = Json::array();
    bool busy = false;
    for (const fleet::Model& model : view.facts->models) {
        if (fleet::tool_of(model.row) == kind && view.allows(model.key)) {
            available.push_back({{"name", proxy::short_name(model.name)}, {"binary", fleet::backend_of(model.row)}});
            busy = busy || in_flight_of(snapshot, index, model.key) > 0;
        }
    }
    return available.empty() ? Json(nullptr) : Json{{"models_available", std::move(available)}, {works, busy}};
}

/// Tools are asked where everything else is.
void put_tools(Json& json, const fleet::Snapshot& snapshot, std::size_t index)
{
    const auto port = snapshot.nodes[index].address.endpoint.port;
    if (Json image = tools_json(snapshot, index, fleet::Tool::image, "generating"); !image.is_null()) {
        json["image"] = std::move(image);
        json["image_port"] = port;
    }
    if (Json speech = tools_json(snapshot, index, fleet::Tool::speech, "transcribing"); !speech.is_null()) {
        json["transcription"] = std::move(speech);
        json["transcription_port"] = port;
    }
}

Json ollama_json(const fleet::Snapshot& snapshot, std::size_t index)
{
    const fleet::NodeView& view = snapshot.nodes[index];
    Json loaded = Json::array();
    for (const fleet::LoadedModel& model : view.facts->loaded) {
        const Json row = Json::parse(model.row, nullptr, false);
        loaded.push_back({{"name", model.name},
                          {"size_gb", in_gb(model.size)},
                          {"requests_active", in_flight_of(snapshot, index, model.key)},
                          {"parameter_size", detail_of(row, "parameter_size")},
                          {"quantization", detail_of(row, "quantization_level")},
                          {"context_length", model.context_length}});
    }
    Json available = Json::array();
    for (const fleet::Model& model : view.facts->models) {
        if (view.allows(model.key)) {
            available.push_back(model.name);
        }
    }
    return {{"models_loaded", std::move(loaded)}, {"models_available", std::move(available)}, {"requests_active", view.in_flight}};
}

/// Those in silicon; where the kernel does not tell these (ARM, containers), threads are all that is known.
int cores_of(const fleet::HostLoad& host) { return host.cores_physical > 0 ? host.cores_physical : host.cores; }

Json node_json(const fleet::Snapshot& snapshot, std::size_t index, const std::string& name, base::Instant now)
{
    const fleet::NodeView& view = snapshot.nodes[index];
    static const auto nothing = std::make_shared<const fleet::NodeFacts>();
    const fleet::NodeFacts& facts = view.facts ? *view.facts : *nothing;
    const fleet::HostLoad& host = facts.host;
    Json json{{"node_id", name},
              {"status", status_word(view.state)},
              {"hardware",
               {{"memory_total_gb", in_gb(host.memory_total)},
                {"cores_physical", cores_of(host)},
                {"chip", facts.gpus.empty() ? facts.cpu : facts.gpus.front().name},
                {"memory_bandwidth_gbps", facts.gpus.empty() ? 0.0 : fleet::memory_bandwidth(facts.gpus.front()).value_or(0) / 1e9},
                {"arch", facts.arch}}},
              {"ollama_url", view.url}};
    if (host.memory_total > 0) { // a plain Ollama tells nothing of its host
        json["cpu"] = {{"cores_physical", cores_of(host)}, {"utilization_pct", std::round(host.cpu_busy.value_or(0) * 1000) / 10}};
        json["memory"] = {{"total_gb", in_gb(host.memory_total)},
                          {"used_gb", in_gb(host.memory_total - std::min(host.memory_available, host.memory_total))},
                          {"available_gb", in_gb(host.memory_available)},
                          {"pressure", pressure_of(host)},
                          {"wired_gb", 0.0},
                          {"compressed_gb", 0.0}};
    }
    if (view.facts) {
        json["ollama"] = ollama_json(snapshot, index);
    }
    if (view.facts) {
        put_tools(json, snapshot, index);
    }
    json["models_loaded_count"] = facts.loaded.size();
    json["free_slots"] = hot_model_cap(facts) - std::min(hot_model_cap(facts), facts.loaded.size());
    json["herd"] = Json::parse(node(snapshot, view, now), nullptr, false);
    return json;
}

std::string_view kind_of(fleet::Tool tool, const fleet::Model& model)
{
    if (tool != fleet::Tool::none) {
        return tool == fleet::Tool::image ? "image" : "stt";
    }
    return pins::embeds(model) ? "embed" : "text";
}

/// As the first node that has it tells of it; what nobody has any more is no more than its name.
fleet::Model model_of(const fleet::Snapshot& snapshot, const std::string& key, const std::string& name)
{
    const auto holders = snapshot.models.find(key);
    if (holders != snapshot.models.end() && !holders->second.empty()) {
        const fleet::Holder& first = holders->second.front();
        const auto& facts = snapshot.nodes[first.node].facts;
        if (facts && first.model < facts->models.size()) {
            return facts->models[first.model];
        }
    }
    return {.name = name};
}

Json queue_json(const std::string& node, const std::string& model, std::string_view kind, int pending, int in_flight, int concurrency,
                const QueueCounts& counts)
{
    return {{"node_id", node},
            {"model", model},
            {"pending", pending},
            {"in_flight", in_flight},
            {"completed", counts.completed},
            {"failed", counts.failed},
            {"concurrency", concurrency},
            {"request_type", kind},
            {"avg_latency_ms", counts.latency_ms},
            {"avg_prompt_tokens", counts.prompt_tokens},
            {"avg_completion_tokens", counts.completion_tokens},
            {"stats_samples", counts.completed}};
}

/// One per model and node that has it in memory, works on it, or did; and one per model that is waited for.
Json queues_json(const fleet::Snapshot& snapshot, const std::vector<std::string>& names, const QueueCountsOf& counts)
{
    Json queues = Json::object();
    for (const auto& [key, holders] : snapshot.models) {
        for (const fleet::Holder& holder : holders) {
            const fleet::NodeView& view = snapshot.nodes[holder.node];
            const std::string& name = names[holder.node];
            if ((!holder.loaded && holder.in_flight == 0 && !counts.contains({name, key})) || !view.facts
                || holder.model >= view.facts->models.size()) {
                continue;
            }
            const fleet::Model& model = view.facts->models[holder.model];
            queues[name + ":" + model.name] = queue_json(name, model.name, kind_of(holder.tool, model), 0, holder.in_flight, holder.slots, counts_at(counts, name, key));
        }
    }
    for (const auto& [key, queue] : snapshot.queues) {
        const auto tool = snapshot.tools.find(key);
        const auto kind = kind_of(tool == snapshot.tools.end() ? fleet::Tool::none : tool->second, model_of(snapshot, key, queue.model));
        queues["*:" + queue.model] = queue_json("*", queue.model, kind, queue.waiting, 0, 0, {});
    }
    return queues;
}

} // namespace

const QueueCounts& counts_at(const QueueCountsOf& counts, const std::string& distinct_name, const std::string& key)
{
    static const QueueCounts none;
    const auto found = counts.find({distinct_name, key});
    return found == counts.end() ? none : found->second;
}

std::string_view status_word(fleet::NodeState state)
{
    switch (state) {
    case fleet::NodeState::online: return "online";
    case fleet::NodeState::suspect:
    case fleet::NodeState::draining: return "degraded";
    case fleet::NodeState::offline:
    case fleet::NodeState::unreachable:
    case fleet::NodeState::unknown: break;
    }
    return "offline";
}

std::size_t hot_model_cap(const fleet::NodeFacts& facts)
{
    return facts.settings.max_loaded_models ? static_cast<std::size_t>(*facts.settings.max_loaded_models)
                                            : 3 * std::max<std::size_t>(facts.gpus.size(), 1);
}

std::string fleet_status(const fleet::Snapshot& snapshot, const QueueCountsOf& counts, base::Instant now)
{
    const auto names = fleet::distinct_names(snapshot);
    Json nodes = Json::array();
    std::size_t online = 0;
    std::size_t loaded = 0;
    int active = 0;
    for (std::size_t i = 0; i < snapshot.nodes.size(); ++i) {
        const fleet::NodeView& view = snapshot.nodes[i];
        online += view.takes_requests() ? 1U : 0U;
        loaded += view.facts && status_word(view.state) != "offline" ? view.facts->loaded.size() : 0;
        active += view.in_flight;
        nodes.push_back(node_json(snapshot, i, names[i], now));
    }
    const Json json{{"fleet",
                     {{"nodes_total", snapshot.nodes.size()}, {"nodes_online", online}, {"models_loaded", loaded}, {"requests_active", active}}},
                    {"nodes", std::move(nodes)},
                    {"queues", queues_json(snapshot, names, counts)},
                    {"timestamp", std::chrono::duration<double>(snapshot.taken_at.time_since_epoch()).count()}};
    // Names come from the network; what is not UTF-8 is shown as the replacement character.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace herd::app::admin
