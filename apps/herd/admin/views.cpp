#include "herd/admin/views.hpp"

#include "base/units.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app::admin {

namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value)
{
    return value ? Json(*value) : Json(nullptr);
}

std::string text(const Json& json)
{
    // Names come from the network; what is not UTF-8 is shown as the replacement character.
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

Slots slots_of(const fleet::Snapshot& snapshot, std::size_t index)
{
    Slots slots;
    const fleet::NodeView& view = snapshot.nodes[index];
    int cold = view.facts ? view.facts->slots.value_or(1) : 1;
    for (const auto& [key, holders] : snapshot.models) {
        for (const fleet::Holder& holder : holders) {
            if (holder.node == index && holder.loaded) {
                slots.total += holder.slots;
            } else if (holder.node == index) {
                cold = std::max(cold, holder.slots);
            }
        }
    }
    if (slots.total == 0) {
        slots.total = cold;
    }
    slots.free = slots.total - view.in_flight - view.foreign;
    if (view.settings != nullptr && view.settings->max_parallel > 0) {
        slots.free = std::min(slots.free, view.settings->max_parallel - view.in_flight);
    }
    slots.free = std::max(slots.free, 0);
    return slots;
}

namespace {

Json gpu_json(const fleet::Gpu& gpu)
{
    return {{"name", gpu.name},
            {"vendor", gpu.vendor},
            {"vram_total_bytes", gpu.vram_total},
            {"vram_free_bytes", or_null(gpu.vram_free)},
            {"busy", or_null(gpu.busy)},
            {"temperature_c", or_null(gpu.temperature_c)},
            {"power_w", or_null(gpu.power_w)},
            {"memory_gb_per_s", or_null(gpu.memory_gb_per_s)}};
}

Json host_json(const fleet::NodeView& view)
{
    const fleet::NodeFacts empty;
    const fleet::NodeFacts& facts = view.facts ? *view.facts : empty;
    const fleet::HostLoad& host = facts.host;
    const bool known = host.memory_total > 0; // a plain Ollama tells nothing of its host
    Json gpus = Json::array();
    for (const fleet::Gpu& gpu : facts.gpus) {
        gpus.push_back(gpu_json(gpu));
    }
    return {{"cpu",
             {{"cores", known ? Json(host.cores) : Json(nullptr)},
              {"busy", or_null(host.cpu_busy)},
              {"load1", or_null(host.load1)},
              {"model", facts.cpu.empty() ? Json(nullptr) : Json(facts.cpu)},
              {"arch", facts.arch.empty() ? Json(nullptr) : Json(facts.arch)}}},
            {"memory",
             {{"total_bytes", known ? Json(host.memory_total) : Json(nullptr)},
              {"available_bytes", known ? Json(host.memory_available) : Json(nullptr)},
              {"swap_used_bytes", known ? Json(host.swap_used) : Json(nullptr)}}},
            {"gpus", std::move(gpus)}};
}

/// Those that it may not serve are told too, as such.
Json models_of(const fleet::NodeView& view, const fleet::NodeFacts& facts)
{
    Json models = Json::array();
    for (const fleet::Model& model : facts.models) {
        models.push_back(
            {{"name", model.name}, {"digest", model.digest}, {"size", model.size}, {"modified_at", model.modified_at}});
        if (!view.allows(model.key)) {
            models.back()["allowed"] = false;
        }
    }
    return models;
}

Json models_allowed_at(const fleet::NodeSettings& settings)
{
    Json patterns = Json::array();
    for (const fleet::ModelPattern& pattern : settings.models_allow) {
        patterns.push_back(pattern.text);
    }
    return patterns;
}

Json loaded_of(const fleet::NodeFacts& facts)
{
    Json loaded = Json::array();
    for (const fleet::LoadedModel& model : facts.loaded) {
        loaded.push_back({{"name", model.name},
                          {"digest", model.digest},
                          {"size", model.size},
                          {"size_vram", model.size_vram},
                          {"context_length", model.context_length},
                          {"expires_at", model.expires_at},
                          {"slots", or_null(model.slots)}});
    }
    return loaded;
}

/// By model: tokens per second, and seconds to load it. Guesses from hardware or siblings are marked as such.
Json rates_of(const fleet::NodeView& view)
{
    const auto rounded = [](double value) { return std::round(value * 100) / 100; };
    Json rates = Json::object();
    for (const fleet::RateView& one : view.rates) {
        rates[one.model] = {{"prefill_tokens_per_s", rounded(one.prefill_rate)},
                            {"decode_tokens_per_s", rounded(one.decode_rate)},
                            {"load_s", rounded(one.load_s)},
                            {"measured", one.measured}};
    }
    return rates;
}

Json node_json(const fleet::Snapshot& snapshot, std::size_t index, base::Instant now)
{
    const fleet::NodeView& view = snapshot.nodes[index];
    const fleet::NodeFacts empty;
    const fleet::NodeFacts& facts = view.facts ? *view.facts : empty;
    const Slots slots = slots_of(snapshot, index);
    const bool seen = view.last_seen != base::Instant{};
    Json json{{"id", view.id.text()},
              {"name", view.name},
              {"address", view.address.endpoint.address.text()},
              {"url", view.url},
              {"state", fleet::to_string(view.state)},
              {"state_reason", view.state_reason},
              {"trust", fleet::to_string(view.trust)},
              {"since", timestamp(view.since)},
              {"last_seen_ms", seen ? Json(base::milliseconds(now - view.last_seen)) : Json(nullptr)},
              {"latency_ms", view.latency ? Json(base::seconds(*view.latency) * 1000) : Json(nullptr)},
              {"version", facts.agent_version},
              {"ollama_version", facts.ollama_version},
              {"labels", view.labels},
              {"gateway", facts.gateway && view.agent.port != 0}};
    json.update(host_json(view));
    json["slots"] = {{"total", slots.total}, {"free", slots.free}};
    json["in_flight"] = view.in_flight;
    json["queued"] = view.queued;
    json["models"] = models_of(view, facts);
    json["loaded"] = loaded_of(facts);
    json["rates"] = rates_of(view);
    json["source"] = fleet::to_string(view.source);
    json["api"] = fleet::to_string(view.address.api());
    json["cloud"] = view.address.cloud();
    json["tls"] = view.address.trust() != nullptr && view.address.trust()->tls;
    if (!facts.keys.empty()) {
        json["keys"] = facts.keys;
    }
    if (view.settings != nullptr) { // all of them, pins too: /herd/v1/nodes/ID/settings
        const auto& set = *view.settings;
        json["settings"] = {{"active", set.active},
                            {"weight", set.weight},
                            {"tier", set.tier},
                            {"models_allow", models_allowed_at(set)},
                            {"allow_completions", set.allow_completions},
                            {"allow_embeddings", set.allow_embeddings},
                            {"max_parallel", set.max_parallel},
                            {"queue_limit", set.queue_limit ? Json(*set.queue_limit) : Json(nullptr)}};
    }
    return json;
}

/// What nodes have and may not serve: none of the fleet's models on their account.
Json not_allowed(const fleet::Snapshot& snapshot, const proxy::ModelFilter& seen)
{
    Json list = Json::array();
    for (const fleet::NodeView& view : snapshot.nodes) {
        if (!view.facts) {
            continue;
        }
        for (const fleet::Model& model : view.facts->models) {
            if (!view.allows(model.key) && (!seen || seen(model.key))) {
                list.push_back({{"name", model.name}, {"node", view.name}});
            }
        }
    }
    return list;
}

} // namespace

std::string status(const fleet::Snapshot& snapshot, const StatusInput& input)
{
    Json states{{"total", snapshot.nodes.size()}};
    using enum fleet::NodeState;
    for (const auto state : {online, suspect, offline, draining, unreachable, unknown}) {
        states[std::string{fleet::to_string(state)}] = std::ranges::count(snapshot.nodes, state, &fleet::NodeView::state);
    }
    std::set<std::string> available;
    std::set<std::string> loaded;
    for (const auto& [key, holders] : snapshot.models) {
        for (const fleet::Holder& holder : holders) {
            if (snapshot.nodes[holder.node].takes_requests()) {
                available.insert(key);
                if (holder.loaded) {
                    loaded.insert(key);
                }
            }
        }
    }
    const auto queued = static_cast<std::uint64_t>(std::max(0, snapshot.totals.queued));
    return text({{"version", input.version},
                 {"uptime_s", base::milliseconds(input.uptime) / 1000},
                 {"nodes", std::move(states)},
                 {"models", {{"available", available.size()}, {"loaded", loaded.size()}}},
                 {"requests", // an exchange that waits is not in flight
                  {{"in_flight", input.counts.in_flight - std::min(input.counts.in_flight, queued)},
                   {"queued", queued},
                   {"total", input.counts.total},
                   {"failed", input.counts.failed}}},
                 {"reloads", {{"avoided", snapshot.totals.reloads_avoided}, {"caused", snapshot.totals.reloads_caused}}}});
}

std::string nodes(const fleet::Snapshot& snapshot, base::Instant now)
{
    Json list = Json::array();
    for (std::size_t i = 0; i < snapshot.nodes.size(); ++i) {
        list.push_back(node_json(snapshot, i, now));
    }
    return text({{"nodes", std::move(list)}});
}

std::string node(const fleet::Snapshot& snapshot, const fleet::NodeView& view, base::Instant now, const std::string& key_status)
{
    auto json = node_json(snapshot, static_cast<std::size_t>(&view - snapshot.nodes.data()), now);
    if (!key_status.empty()) {
        json["key_status"] = key_status;
    }
    return text(json);
}

std::string models(const fleet::Snapshot& snapshot, const proxy::ModelFilter& seen)
{
    Json list = Json::array();
    for (const auto& [key, holders] : snapshot.models) {
        if (seen && !seen(key)) {
            continue;
        }
        Json where = Json::array();
        std::set<std::string> digests;
        std::string name;
        for (const fleet::Holder& holder : holders) {
            const fleet::NodeView& view = snapshot.nodes[holder.node];
            const fleet::Model& model = view.facts->models[holder.model];
            const auto resident = std::ranges::find(view.facts->loaded, model.key, &fleet::LoadedModel::key);
            name = model.name;
            if (!model.digest.empty()) { // of an absent node that was remembered, only names are known
                digests.insert(model.digest);
            }
            where.push_back({{"node", view.name},
                             {"digest", model.digest},
                             {"size", model.size},
                             {"loaded", holder.loaded},
                             {"context_length",
                              resident != view.facts->loaded.end() ? Json(resident->context_length) : Json(nullptr)},
                             {"slots", holder.slots},
                             {"in_flight", holder.in_flight}});
        }
        list.push_back({{"name", name}, {"digests", digests}, {"nodes", std::move(where)}});
    }
    Json out{{"models", std::move(list)}};
    if (auto closed = not_allowed(snapshot, seen); !closed.empty()) {
        out["not_allowed"] = std::move(closed);
    }
    return text(out);
}

std::string error(std::string_view message) { return text({{"error", message}}); }

Unread unread(const base::Error& why, std::size_t limit)
{
    if (why.code == base::Errc::too_large) {
        return {413, error("the body is longer than " + base::format_bytes(limit) + ", the most that is taken here")};
    }
    if (why.code == base::Errc::timed_out) {
        return {400, error("the rest of the body did not come in time")};
    }
    return {400, error("the body could not be read: " + (why.context.empty() ? std::string{base::to_string(why.code)} : why.context))};
}

std::string reloaded(const std::vector<std::string>& needs_restart)
{
    const std::string status = needs_restart.empty()
        ? std::string{"reloaded"}
        : fmt::format("reloaded; restart herd to apply: {}", fmt::join(needs_restart, ", "));
    return text({{"status", status}, {"needs_restart", needs_restart}});
}

std::string readiness(const fleet::Snapshot& snapshot)
{
    const std::size_t routable = snapshot.routable().size();
    return text({{"status", routable > 0 ? "ready" : "no routable node"},
                 {"nodes_routable", routable},
                 {"nodes_total", snapshot.nodes.size()}});
}

} // namespace herd::app::admin
