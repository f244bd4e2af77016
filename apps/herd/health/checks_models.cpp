// Whether models are where and how they should be: in VRAM, the same everywhere, loaded once and not again and
// again, with a context that fits what is asked of them.
#include "herd/health/registry.hpp"

#include "base/text.hpp"
#include "base/units.hpp"
#include "fleet/model_name.hpp"

#include <algorithm>
#include <bit>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace herd::app::health {

namespace {

using namespace std::chrono_literals;

constexpr double gib = 1024.0 * 1024 * 1024;
double in_gib(base::Bytes bytes) { return static_cast<double>(bytes) / gib; }

/// What is loaded on nodes that take requests.
template <class Each>
void each_loaded(const Evidence& e, Each each)
{
    for (const fleet::NodeView* view : e.fleet.routable()) {
        for (const fleet::LoadedModel& loaded : view->facts->loaded) {
            each(*view, loaded);
        }
    }
}

bool has_gpu(const fleet::NodeFacts& facts)
{
    return std::ranges::any_of(facts.gpus, [](const fleet::Gpu& gpu) { return gpu.vram_total > 0; });
}

/// An advice to raise OLLAMA_KEEP_ALIVE, with what it is now where that is known.
std::string keep_alive_now(const Evidence& e, const std::string& node)
{
    const fleet::NodeView* view = e.fleet.find(node);
    const std::string set = view != nullptr && view->facts ? view->facts->settings.keep_alive : std::string{};
    return set.empty() ? "" : fmt::format(" (now {})", set);
}

void vram_spill(const Evidence& e, Findings& out)
{
    each_loaded(e, [&](const fleet::NodeView& view, const fleet::LoadedModel& loaded) {
        if (loaded.size == 0 || loaded.size_vram >= loaded.size || (loaded.size_vram == 0 && !has_gpu(*view.facts))) {
            return;
        }
        const double outside = 100.0 * (1 - static_cast<double>(loaded.size_vram) / static_cast<double>(loaded.size));
        if (outside < 1) {
            return;
        }
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("{} on {} runs {:.0f} % on the CPU: {:.1f} of {:.1f} GiB do not fit into VRAM", loaded.name, view.name,
                                              outside, in_gib(loaded.size - loaded.size_vram), in_gib(loaded.size)),
                       .advice = fmt::format("a smaller context{}, fewer parallel requests (OLLAMA_NUM_PARALLEL=1), a smaller quantisation of {}, "
                                             "or `ollama stop` what else is loaded on {}",
                                             loaded.context_length > 4096 ? fmt::format(" (now {})", loaded.context_length) : "", loaded.name,
                                             view.name),
                       .node = view.name,
                       .model = loaded.name,
                       .data = {{"size_gb", in_gib(loaded.size)}, {"size_vram_gb", in_gib(loaded.size_vram)}}});
    });
}

void digest_conflict(const Evidence& e, Findings& out)
{
    for (const auto& [key, holders] : e.fleet.models) {
        std::map<std::string, std::vector<std::string>> by_digest;
        std::string name;
        for (const fleet::Holder& holder : holders) {
            const fleet::NodeView& view = e.fleet.nodes[holder.node];
            if (!view.facts || holder.tool != fleet::Tool::none || holder.model >= view.facts->models.size() || view.state == fleet::NodeState::offline) {
                continue;
            }
            const fleet::Model& model = view.facts->models[holder.model];
            if (!model.digest.empty()) {
                name = model.name;
                by_digest[model.digest].push_back(view.name);
            }
        }
        if (by_digest.size() < 2) {
            continue;
        }
        Finding finding{.model = name};
        std::string each;
        for (const auto& [digest, nodes] : by_digest) {
            each += fmt::format("{}{} on {}", each.empty() ? "" : ", ", digest.substr(0, 12), fmt::join(nodes, " and "));
            finding.nodes.insert(finding.nodes.end(), nodes.begin(), nodes.end());
        }
        finding.summary = fmt::format("{} is {} different models: {}", name, by_digest.size(), each);
        finding.advice = fmt::format("`ollama pull {}` on each of these nodes, or keep them apart by copying one to another name (`ollama cp`)", name);
        finding.data = {{"digests", static_cast<std::int64_t>(by_digest.size())}};
        out.push_back(std::move(finding));
    }
}

void default_context_mismatch(const Evidence& e, Findings& out)
{
    struct Seen {
        std::string name;
        std::map<int, std::vector<std::string>> nodes;
    };
    std::map<std::string, Seen> models;
    each_loaded(e, [&](const fleet::NodeView& view, const fleet::LoadedModel& loaded) {
        if (loaded.context_length > 0) {
            models[loaded.key].name = loaded.name;
            models[loaded.key].nodes[loaded.context_length].push_back(view.name);
        }
    });
    for (const auto& [key, seen] : models) {
        if (seen.nodes.size() < 2) {
            continue;
        }
        Finding finding{.model = seen.name};
        std::string each;
        for (const auto& [context, nodes] : seen.nodes) {
            each += fmt::format("{}{} on {}", each.empty() ? "" : ", ", context, fmt::join(nodes, " and "));
            finding.nodes.insert(finding.nodes.end(), nodes.begin(), nodes.end());
        }
        finding.summary = fmt::format("{} is loaded with different contexts: {}", seen.name, each);
        finding.advice = fmt::format("set OLLAMA_CONTEXT_LENGTH={} on all of them and restart Ollama there; clients that send their own num_ctx "
                                     "cause this too",
                                     seen.nodes.rbegin()->first);
        out.push_back(std::move(finding));
    }
}

void model_thrashing(const Evidence& e, Findings& out)
{
    for (const auto& [key, pair] : e.history.pairings()) {
        const Counts hour = pair.windows.recent(e.now);
        const Counts day = pair.windows.day(e.now);
        if (day.cold_loads < 3) {
            continue;
        }
        const fleet::NodeView* view = e.fleet.find(key.first);
        const double available = view != nullptr && view->facts ? in_gib(view->facts->host.memory_available) : 0;
        Finding finding{.node = key.first, .model = pair.model};
        finding.severity = hour.cold_loads >= 3 ? Severity::warning : Severity::info;
        finding.resolved = hour.cold_loads == 0;
        finding.activity = hour.cold_loads > 0 && hour.cold_loads < 3;
        finding.summary = fmt::format("{} was loaded {} times on {} in the last hour, {} times in 24 h", pair.model, hour.cold_loads, key.first,
                                      day.cold_loads);
        finding.advice = fmt::format("on {}: OLLAMA_KEEP_ALIVE=24h{} and a higher OLLAMA_MAX_LOADED_MODELS{}", key.first,
                                     keep_alive_now(e, key.first), available > 4 ? fmt::format("; {:.0f} GiB are available", available) : "");
        finding.data = {{"cold_loads_24h", static_cast<std::int64_t>(day.cold_loads)}, {"cold_loads_1h", static_cast<std::int64_t>(hour.cold_loads)},
                        {"available_gb", available}};
        out.push_back(std::move(finding));
    }
}

void context_reload_storm(const Evidence& e, Findings& out)
{
    for (const auto& [key, pair] : e.history.pairings()) {
        const Counts recent = pair.windows.recent(e.now, 10min);
        const auto reloads = std::max(recent.context_reloads, recent.class_reloads); // two views of the same thing
        if (reloads < 3) {
            continue;
        }
        const int larger = std::max(pair.context, pair.context_other);
        const auto contexts = pair.context_other > 0
            ? fmt::format(" (contexts {} and {})", std::min(pair.context, pair.context_other), larger)
            : std::string{};
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("{} was loaded anew {} times on {} in 10 minutes because requests want other options{}", pair.model,
                                              reloads, key.first, contexts),
                       .advice = larger > 0 ? fmt::format("let all clients send the same num_ctx ({}), or none and OLLAMA_CONTEXT_LENGTH={} on {}",
                                                          larger, larger, key.first)
                                            : fmt::format("let all clients of {} send the same num_ctx and num_batch, or none", pair.model),
                       .node = key.first,
                       .model = pair.model,
                       .data = {{"reloads_10min", static_cast<std::int64_t>(reloads)}}});
    }
}

/// Per model over all nodes: what its pairings counted.
struct Summed {
    std::string name{};
    Counts hour{};
    Counts day{};
    int context{0};
    std::uint64_t p99{0};
    std::uint64_t samples{0};
    std::vector<std::string> nodes{};
};

std::map<std::string, Summed> by_model(const Evidence& e, std::uint32_t Counts::* what)
{
    std::map<std::string, Summed> models;
    for (const auto& [key, pair] : e.history.pairings()) {
        const Counts day = pair.windows.day(e.now);
        if (what != nullptr && day.*what == 0) {
            continue;
        }
        Summed& sum = models[key.second];
        sum.name = pair.model;
        sum.day += day;
        sum.hour += pair.windows.recent(e.now);
        sum.context = std::max(sum.context, pair.context);
        sum.p99 = std::max(sum.p99, pair.tokens.percentile(0.99).value_or(0));
        sum.samples += pair.tokens.count();
        sum.nodes.push_back(key.first);
    }
    return models;
}

void context_too_small(const Evidence& e, Findings& out)
{
    for (auto& [key, sum] : by_model(e, &Counts::context_full)) {
        if (sum.day.context_full < 3) {
            continue;
        }
        const int wanted = sum.context * 2;
        Finding finding{.model = sum.name, .nodes = sum.nodes};
        finding.severity = sum.hour.context_full > 0 ? Severity::warning : Severity::info;
        finding.resolved = sum.hour.context_full == 0;
        finding.summary = fmt::format("{} of {} requests to {} filled its context of {} tokens in 24 h: Ollama cuts off what does not fit",
                                      sum.day.context_full, sum.day.requests, sum.name, sum.context);
        finding.advice = fmt::format("OLLAMA_CONTEXT_LENGTH={} on {}, or \"num_ctx\": {} in the clients' options", wanted,
                                     fmt::join(sum.nodes, ", "), wanted);
        finding.data = {{"full_24h", static_cast<std::int64_t>(sum.day.context_full)}, {"context", static_cast<std::int64_t>(sum.context)}};
        out.push_back(std::move(finding));
    }
}

void context_waste(const Evidence& e, Findings& out)
{
    constexpr int ollamas_own = 4096;
    for (auto& [key, sum] : by_model(e, nullptr)) {
        if (sum.samples < 10 || sum.p99 == 0 || sum.context <= ollamas_own) {
            continue;
        }
        const double ratio = static_cast<double>(sum.context) / static_cast<double>(sum.p99);
        if (ratio <= 4) {
            continue;
        }
        const auto recommended = std::max<std::uint64_t>(std::bit_ceil(sum.p99 * 2), 2048);
        const double saved = 100 * (1 - static_cast<double>(recommended) / sum.context);
        if (saved <= 0) {
            continue;
        }
        out.push_back({.severity = ratio > 8 ? Severity::warning : Severity::info,
                       .summary = fmt::format("{} is loaded with a context of {}, but 99 % of its {} requests used less than {} tokens", sum.name,
                                              sum.context, sum.samples, sum.p99),
                       .advice = fmt::format("\"num_ctx\": {} (or OLLAMA_CONTEXT_LENGTH={}) saves {:.0f} % of its context's memory", recommended,
                                             recommended, saved),
                       .model = sum.name,
                       .nodes = sum.nodes,
                       .data = {{"wasteful_models",
                                 std::vector<Row>{Row{{"model", sum.name},
                                                 {"allocated", static_cast<std::int64_t>(sum.context)},
                                                 {"total_p99", static_cast<std::int64_t>(sum.p99)},
                                                 {"ratio", ratio},
                                                 {"recommended", static_cast<std::int64_t>(recommended)},
                                                 {"savings_pct", saved},
                                                 {"requests", static_cast<std::int64_t>(sum.samples)}}}}}});
    }
}

/// Seconds of OLLAMA_KEEP_ALIVE as Ollama reads it: a duration, or bare seconds; negative: for ever.
std::optional<double> keep_alive_seconds(const std::string& text)
{
    if (text.empty() || text.front() == '-') {
        return std::nullopt;
    }
    if (text.find_first_not_of("0123456789") == std::string::npos) {
        const auto number = base::parse_unsigned(text);
        return number ? std::optional{static_cast<double>(*number)} : std::nullopt;
    }
    const auto duration = base::parse_duration(text);
    return duration ? std::optional{base::seconds(*duration)} : std::nullopt;
}

void keep_alive_short(const Evidence& e, Findings& out)
{
    for (const auto& [key, pair] : e.history.pairings()) {
        const auto reloads = pair.windows.recent(e.now).idle_reloads;
        if (reloads < 3) {
            continue;
        }
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("{} was unloaded from {} between requests and loaded again {} times in the last hour", pair.model,
                                              key.first, reloads),
                       .advice = fmt::format("OLLAMA_KEEP_ALIVE=1h{} on {}, or \"keep_alive\": \"1h\" in the requests", keep_alive_now(e, key.first),
                                             key.first),
                       .node = key.first,
                       .model = pair.model,
                       .data = {{"reloads_1h", static_cast<std::int64_t>(reloads)}}});
    }
    for (const fleet::NodeView* view : e.fleet.routable()) {
        const auto set = keep_alive_seconds(view->facts->settings.keep_alive);
        if (set && *set < 60) {
            out.push_back({.severity = Severity::warning,
                           .summary = fmt::format("Ollama on {} unloads models after {:.0f} s without a request (OLLAMA_KEEP_ALIVE={})", view->name,
                                                  *set, view->facts->settings.keep_alive),
                           .advice = fmt::format("OLLAMA_KEEP_ALIVE=30m in Ollama's environment on {}, and restart it", view->name),
                           .node = view->name});
        }
    }
}

void kv_cache_bloat(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView* view : e.fleet.routable()) {
        base::Bytes resident = 0;
        base::Bytes weights = 0;
        std::vector<std::string> bloated;
        for (const fleet::LoadedModel& loaded : view->facts->loaded) {
            const auto on_disk = std::ranges::find(view->facts->models, loaded.key, &fleet::Model::key);
            if (on_disk == view->facts->models.end() || on_disk->size < base::gib / 2) {
                continue; // small models: their buffers outweigh them anyway
            }
            resident += loaded.size;
            weights += on_disk->size;
            if (static_cast<double>(loaded.size) > 1.5 * static_cast<double>(on_disk->size)) {
                bloated.push_back(loaded.name);
            }
        }
        if (bloated.empty() || resident <= weights) {
            continue;
        }
        const double share = 100 * static_cast<double>(resident - weights) / static_cast<double>(resident);
        const auto& settings = view->facts->settings;
        out.push_back({.severity = share > 50 ? Severity::warning : Severity::info,
                       .summary = fmt::format("{:.0f} % of what models take on {} is context: {:.1f} GiB for {:.1f} GiB of weights ({})", share,
                                              view->name, in_gib(resident - weights), in_gib(weights), fmt::join(bloated, ", ")),
                       .advice = fmt::format("on {}: a lower OLLAMA_NUM_PARALLEL{} or OLLAMA_CONTEXT_LENGTH{}, or OLLAMA_KV_CACHE_TYPE=q8_0",
                                             view->name, settings.num_parallel ? fmt::format(" (now {})", *settings.num_parallel) : "",
                                             settings.context_length ? fmt::format(" (now {})", *settings.context_length) : ""),
                       .node = view->name,
                       .data = {{"total_vram_gb", in_gib(resident)}, {"estimated_weights_gb", in_gib(weights)},
                                {"kv_cache_gb", in_gib(resident - weights)}, {"kv_cache_pct", share}, {"bloated_models", bloated}}});
    }
}

void model_load_timeout(const Evidence& e, Findings& out)
{
    for (auto& [key, sum] : by_model(e, &Counts::slow_failures)) {
        if (sum.day.slow_failures < 3) {
            continue;
        }
        Finding finding{.model = sum.name, .nodes = sum.nodes};
        finding.severity = sum.hour.slow_failures > 0 ? Severity::warning : Severity::info;
        finding.resolved = sum.hour.slow_failures == 0;
        finding.summary = fmt::format("{} requests to {} failed or moved on after more than 2 minutes in 24 h, {} in the last hour",
                                      sum.day.slow_failures, sum.name, sum.hour.slow_failures);
        finding.advice = fmt::format("keep it loaded (OLLAMA_KEEP_ALIVE=-1 on {}), or raise OLLAMA_LOAD_TIMEOUT there", fmt::join(sum.nodes, ", "));
        finding.data = {{"model", sum.name}, {"timeouts_24h", static_cast<std::int64_t>(sum.day.slow_failures)},
                        {"timeouts_1h", static_cast<std::int64_t>(sum.hour.slow_failures)}, {"nodes", sum.nodes}};
        out.push_back(std::move(finding));
    }
}

void context_protection_insufficient(const Evidence& e, Findings& out)
{
    for (auto& [key, sum] : by_model(e, &Counts::context_short)) {
        if (sum.day.context_short == 0) {
            continue;
        }
        const bool over = sum.hour.context_short == 0;
        out.push_back({.severity = over ? Severity::info : Severity::warning,
                       .summary = fmt::format("{} to {} in 24 h asked for a larger num_ctx than it ran with{}", counted(sum.day.context_short, "request"), sum.name,
                                              sum.context > 0 ? fmt::format(" ({})", sum.context) : ""),
                       .advice = "a model with a longer context, or a smaller num_ctx in the requests: what does not fit is cut off silently",
                       .model = sum.name,
                       .nodes = sum.nodes,
                       .data = {{"warning_count", static_cast<std::int64_t>(sum.day.context_short)}, {"affected_models", sum.name}},
                       .resolved = over});
    }
}

void context_protection_active(const Evidence& e, Findings& out)
{
    const auto larger = e.history.all().day(e.now).context_larger;
    if (larger > 0) {
        out.push_back({.severity = Severity::info,
                       .summary = fmt::format("{} in 24 h ran with a larger num_ctx than asked for, so that nothing was loaded anew", counted(larger, "request")),
                       .data = {{"stripped", std::int64_t{0}}, {"upgraded", static_cast<std::int64_t>(larger)}, {"warnings", std::int64_t{0}},
                                {"total", static_cast<std::int64_t>(larger)}},
                       .activity = true});
    }
}

/// Whether a routable node has it in memory; and one that has it on disk, if any does.
struct Whereabouts {
    bool loaded{false};
    std::string on_disk{};
};

Whereabouts whereabouts(const fleet::Snapshot& snapshot, const std::string& key)
{
    Whereabouts found;
    const auto holders = snapshot.models.find(key);
    if (holders == snapshot.models.end()) {
        return found;
    }
    for (const fleet::Holder& holder : holders->second) {
        const fleet::NodeView& view = snapshot.nodes[holder.node];
        if (view.takes_requests() && (holder.tool == fleet::Tool::none || snapshot.tools.contains(key))) {
            found.loaded = found.loaded || holder.loaded;
            found.on_disk = found.on_disk.empty() ? view.name : found.on_disk;
        }
    }
    return found;
}

void priority_model_not_loaded(const Evidence& e, Findings& out)
{
    for (const auto& [key, popular] : e.history.popular(e.now)) {
        const auto& [name, priority, recent] = popular;
        const Whereabouts where = whereabouts(e.fleet, key);
        if (where.on_disk.empty() || where.loaded) {
            continue;
        }
        out.push_back({.severity = recent > 0 ? Severity::warning : Severity::info,
                       .summary = fmt::format("{} is in no node's memory, although it is much used ({} in the last hour): the next one waits for a load",
                                      name, counted(recent, "request")),
                       .advice = fmt::format("`ollama run {} \"\" --keepalive 1h` through herd loads it; OLLAMA_KEEP_ALIVE=1h on {} keeps it; `[models] preload_popular` loads such models by itself", name,
                                             where.on_disk),
                       .model = name,
                       .data = {{"missing_models", name}, {"priority", priority}},
                       .activity = recent == 0});
    }
}

/// The models that aliases stand for and of which `wrong` is true: "qwen3:8b" → "opus, sonnet-*".
template <class Wrong>
std::map<std::string, std::string> mapped(const Evidence& e, Wrong wrong)
{
    std::map<std::string, std::string> names;
    if (e.fleet.routable().empty()) {
        return names; // that is another finding
    }
    std::map<std::string, std::string> displays; // by key: two spellings are one model
    for (const Own::Alias& each : e.own.aliases) {
        const auto model = fleet::ModelName::parse(each.model);
        if (!model.cloud && wrong(whereabouts(e.fleet, model.key))) { // a cloud's model need not be anywhere
            std::string& all = names[displays.emplace(model.key, model.display).first->second];
            all += (all.empty() ? "" : ", ") + each.name;
        }
    }
    return names;
}

/// "qwen3:8b (asked for as opus), …" and the models alone.
std::pair<std::string, std::string> told(const std::map<std::string, std::string>& names)
{
    std::string whole;
    std::string models;
    for (const auto& [model, aliases] : names) {
        whole += fmt::format("{}{} (asked for as {})", whole.empty() ? "" : ", ", model, aliases);
        models += (models.empty() ? "" : ", ") + model;
    }
    return {std::move(whole), std::move(models)};
}

void mapped_model_missing(const Evidence& e, Findings& out)
{
    const auto names = mapped(e, [](const Whereabouts& where) { return where.on_disk.empty(); });
    if (names.empty()) {
        return;
    }
    const auto [whole, models] = told(names);
    out.push_back({.severity = Severity::critical,
                   .summary = fmt::format("on no node that takes requests: {}; who asks for that gets 404", whole),
                   .advice = fmt::format("`herd pull {}`, or another model under [aliases]", names.begin()->first),
                   .model = names.size() == 1 ? names.begin()->first : std::string{},
                   .data = {{"missing", models}}});
}

void mapped_model_cold(const Evidence& e, Findings& out)
{
    const auto names = mapped(e, [](const Whereabouts& where) { return !where.on_disk.empty() && !where.loaded; });
    if (names.empty()) {
        return;
    }
    const auto [whole, models] = told(names);
    out.push_back({.severity = Severity::warning,
                   .summary = fmt::format("in no node's memory: {}; who asks for that first waits for a load", whole),
                   .advice = fmt::format("`[[pins]] model = \"{}\"` in herd.toml keeps it in memory", names.begin()->first),
                   .model = names.size() == 1 ? names.begin()->first : std::string{},
                   .data = {{"not_hot", models}}});
}

void required_model_failed(const Evidence& e, Findings& out)
{
    for (const Own::RequiredFailed& each : e.own.required_failed) {
        if (each.failures < 3) {
            continue;
        }
        const double wait = std::max(0.0, base::seconds(each.next_try - e.now));
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("{} could not be pulled to {} {} times: {}; next try in {:.0f} s", each.model, each.node, each.failures,
                                              each.reason, wait),
                       .advice = fmt::format("`curl -X POST http://127.0.0.1:11435/herd/v1/sync/retry` tries at once; or take {} out of [[required]] and required_models",
                                             each.model),
                       .node = each.node,
                       .model = each.model,
                       .data = {{"failures", std::int64_t{each.failures}}, {"reason", each.reason}, {"next_try_s", wait}}});
    }
}

void pin_cannot_fit(const Evidence& e, Findings& out)
{
    for (const Own::RequiredFailed& each : e.own.pins_failed) {
        if (each.failures < 2) {
            continue;
        }
        const double wait = std::max(0.0, base::seconds(each.next_try - e.now));
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("{} is pinned, but could not be kept in {}'s memory, {} times: {}; next try in {:.0f} s", each.model,
                                              each.node, each.failures, each.reason, wait),
                       .advice = fmt::format("`curl -X DELETE http://127.0.0.1:11435/herd/v1/pins/{}` unpins it (or take it out of [[pins]]); or free "
                                             "memory on {}",
                                             each.model, each.node),
                       .node = each.node,
                       .model = each.model,
                       .data = {{"failures", std::int64_t{each.failures}}, {"reason", each.reason}, {"next_try_s", wait}}});
    }
}

constexpr Check checks[] = {
    {"vram_spill", "Model partly on the CPU", "A loaded model does not fit into VRAM (size_vram < size) on a node with a GPU.",
     "a smaller context, quantisation or OLLAMA_NUM_PARALLEL", "warning", vram_spill, 5s, 10s},
    {"digest_conflict", "One name, different models", "Nodes have different digests under one model name: answers depend on the node.",
     "`ollama pull` it on each node", "warning", digest_conflict, 2s, 5s},
    {"default_context_mismatch", "Contexts differ", "One model is loaded with different contexts on two nodes.",
     "set OLLAMA_CONTEXT_LENGTH equal on all nodes", "warning", default_context_mismatch, 20s, 20s},
    {"model_thrashing", "Model thrashing",
     "A model was loaded 3 times or more on one node within an hour, each taking more than 1 s; info when that was earlier today.",
     "a longer OLLAMA_KEEP_ALIVE, a higher OLLAMA_MAX_LOADED_MODELS", "warning; info when over", model_thrashing, 0s, 60s},
    {"context_reload_storm", "Reloads for num_ctx", "A resident model was loaded anew 3 times within 10 minutes because requests wanted another context or other options.",
     "let clients agree on num_ctx, or send none", "warning", context_reload_storm, 0s, 60s},
    {"context_too_small", "Context too small", "3 requests or more within 24 h filled the whole context of a model: prompts were cut off.",
     "a larger OLLAMA_CONTEXT_LENGTH or num_ctx", "warning; info when none in the last hour", context_too_small, 0s, 60s},
    {"context_waste", "Context too large",
     "A model's context is more than 4 times (warning: 8 times) what 99 % of at least 10 requests of the last week used, and larger than Ollama's own 4096.",
     "a smaller num_ctx", "info; warning above 8 times", context_waste, 60s, 60s},
    {"keep_alive_short", "Unloaded too soon",
     "A model was unloaded by nothing but time and loaded again within 30 minutes, 3 times in an hour; or OLLAMA_KEEP_ALIVE is below a minute.",
     "a longer OLLAMA_KEEP_ALIVE", "warning", keep_alive_short, 0s, 60s},
    {"kv_cache_bloat", "Context outweighs weights",
     "A loaded model takes more than 1.5 times its size on disk; a warning when more than half of the memory is context.",
     "a lower OLLAMA_NUM_PARALLEL or context, or OLLAMA_KV_CACHE_TYPE=q8_0", "info; warning above 50 %", kv_cache_bloat, 30s, 60s},
    {"model_load_timeout", "Loads that take too long", "3 requests or more for a model failed or were retried after more than 2 minutes within 24 h.",
     "keep it loaded", "warning; info when none in the last hour", model_load_timeout, 0s, 60s},
    {"context_protection_insufficient", "More context asked for than there is",
     "Requests of the last 24 h asked for a larger num_ctx than their model ran with (Ollama cuts it to what the model was trained for).",
     "a model with a longer context, or a smaller num_ctx", "warning; info when none in the last hour", context_protection_insufficient, 0s, 60s},
    {"context_protection_active", "Contexts rounded up", "Requests of the last 24 h ran with a larger num_ctx than they asked for ([models] num_ctx, [scheduler] num_ctx_buckets); costs no points.",
     "nothing", "info", context_protection_active, 0s, 60s},
    {"required_model_failed", "Required model missing", "A pull of a required model failed 3 times at a node.",
     "the reason is told; `POST /herd/v1/sync/retry` tries at once", "warning", required_model_failed, 0s, 5s},
    {"pin_cannot_fit", "Pinned model does not stay", "A pinned model failed to load twice in a row, or was pushed out of memory again.",
     "unpin it, or free memory", "warning", pin_cannot_fit, 0s, 5s},
    {"mapped_model_missing", "Alias without its model", "A model that a name under [aliases] stands for is on no node that takes requests.",
     "pull it, or another model under [aliases]", "critical", mapped_model_missing, 5s, 5s},
    {"mapped_model_cold", "Alias not loaded", "A model that a name under [aliases] stands for is on a node's disk but in no node's memory.",
     "load it, and keep it loaded", "warning", mapped_model_cold, 10s, 5s},
    {"priority_model_not_loaded", "Much used, not loaded",
     "A model is in no node's memory although 3 times its requests of 24 h and a seventh of those of the week make 10 or more.",
     "load it, and keep it loaded", "warning; info, without points, when nobody asked for it in the last hour", priority_model_not_loaded, 300s, 5s},
};

} // namespace

std::span<const Check> model_checks() { return checks; }

} // namespace herd::app::health
