// Whether the boxes are well: memory, disk, GPUs, and who else uses them.
#include "herd/health/registry.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::app::health {

namespace {

using namespace std::chrono_literals;

constexpr double gib = 1024.0 * 1024 * 1024;

double in_gib(base::Bytes bytes) { return static_cast<double>(bytes) / gib; }
double percent(base::Bytes part, base::Bytes whole)
{
    return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

/// Nodes that tell about their box, and are there.
template <class Each>
void each_box(const Evidence& e, Each each)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        const bool there = view.state != fleet::NodeState::offline && view.state != fleet::NodeState::unreachable;
        if (there && view.facts && view.facts->host.memory_total > 0) {
            each(view, *view.facts);
        }
    }
}

void memory_pressure(const Evidence& e, Findings& out)
{
    each_box(e, [&](const fleet::NodeView& view, const fleet::NodeFacts& facts) {
        const fleet::HostLoad& host = facts.host;
        const double free = percent(host.memory_available, host.memory_total);
        const double stalled = host.memory_pressure.value_or(0);
        const bool critical = free < 3 || stalled >= 40;
        if (free >= 8 && stalled < 10) {
            return;
        }
        out.push_back({.severity = critical ? Severity::critical : Severity::warning,
                       .summary = fmt::format("{} has {:.1f} of {:.1f} GiB memory available{}", view.name, in_gib(host.memory_available),
                                              in_gib(host.memory_total),
                                              stalled >= 10 ? fmt::format("; programs wait for memory {:.0f} % of the time", stalled) : ""),
                       .advice = fmt::format("on {}: end other programs, `ollama stop MODEL`, or OLLAMA_MAX_LOADED_MODELS={} in Ollama's "
                                             "environment",
                                             view.name, std::max<std::size_t>(facts.loaded.size(), 2) - 1),
                       .node = view.name,
                       .data = {{"used_gb", in_gib(host.memory_total - std::min(host.memory_available, host.memory_total))},
                                {"total_gb", in_gib(host.memory_total)},
                                {"pressure", std::string{critical ? "critical" : "warn"}}}});
    });
}

void swap_in_use(const Evidence& e, Findings& out)
{
    each_box(e, [&](const fleet::NodeView& view, const fleet::NodeFacts& facts) {
        const fleet::HostLoad& host = facts.host;
        const NodeMemory* memory = e.history.find(view.id);
        if (host.swap_used < std::max<base::Bytes>(512 * base::mib, host.memory_total / 20) || memory == nullptr || memory->swap.empty()) {
            return;
        }
        const auto before = std::ranges::min_element(memory->swap, {}, &NodeMemory::SwapSample::used)->used;
        const auto grown = host.swap_used > before ? host.swap_used - before : 0;
        const bool serious = grown > 256 * base::mib || percent(host.memory_available, host.memory_total) < 15;
        out.push_back({.severity = serious ? Severity::warning : Severity::info,
                       .summary = fmt::format("{} has {:.1f} GiB in swap{}", view.name, in_gib(host.swap_used),
                                              grown > 256 * base::mib ? fmt::format(", {:.1f} GiB more than 10 minutes ago", in_gib(grown)) : ""),
                       .advice = fmt::format("a model in swap is slower than disk: smaller models or fewer at a time on {} "
                                             "(OLLAMA_MAX_LOADED_MODELS); `swapoff -a && swapon -a` when memory is free again",
                                             view.name),
                       .node = view.name,
                       .data = {{"swap_used_gb", in_gib(host.swap_used)}}});
    });
}

void gpu_lost(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        const NodeMemory* memory = e.history.find(view.id);
        if (!view.facts || memory == nullptr || view.state == fleet::NodeState::offline) {
            continue;
        }
        const auto advice = fmt::format("on {}: `nvidia-smi` (or `rocm-smi`) and `dmesg | tail`; restart Ollama once the driver answers", view.name);
        const auto& gpus = view.facts->gpus;
        for (const fleet::Gpu& gpu : gpus) {
            if (gpu.failed) {
                out.push_back({.severity = Severity::critical,
                               .summary = fmt::format("a GPU of {} ({}) does not answer any more", view.name, gpu.name.empty() ? gpu.vendor : gpu.name),
                               .advice = advice,
                               .node = view.name});
            }
        }
        if (memory->gpu_boot == view.facts->boot_id && gpus.size() < memory->gpus_most) {
            out.push_back({.severity = Severity::critical,
                           .summary = fmt::format("{} has {} of {} GPUs left", view.name, gpus.size(), memory->gpus_most),
                           .advice = advice,
                           .node = view.name});
        }
        for (const fleet::LoadedModel& loaded : view.facts->loaded) {
            const auto pair = e.history.pairings().find({view.name, loaded.key});
            if (pair == e.history.pairings().end() || loaded.size == 0 || pair->second.best_context != loaded.context_length) {
                continue;
            }
            const double now = percent(loaded.size_vram, loaded.size);
            const double best = 100 * pair->second.best_share;
            if (best >= 50 && now < best / 2) {
                out.push_back({.severity = Severity::critical,
                               .summary = fmt::format("{} on {} was {:.0f} % in VRAM and now is {:.0f} %", loaded.name, view.name, best, now),
                               .advice = advice,
                               .node = view.name,
                               .model = loaded.name});
            }
        }
    }
}

void gpu_throttled(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        if (!view.facts || view.state == fleet::NodeState::offline) {
            continue;
        }
        for (const fleet::Gpu& gpu : view.facts->gpus) {
            const double heat = gpu.temperature_c.value_or(0);
            if (gpu.throttled || heat >= 90) {
                out.push_back({.severity = Severity::warning,
                               .summary = fmt::format("a GPU of {} ({}) {}{}", view.name, gpu.name.empty() ? gpu.vendor : gpu.name,
                                                      gpu.throttled ? "slows down for heat" : "is hot",
                                                      gpu.temperature_c ? fmt::format(": {:.0f} °C", heat) : ""),
                               .advice = fmt::format("clean and cool {}, or lower its power limit: `nvidia-smi -pl WATTS`", view.name),
                               .node = view.name,
                               .data = {{"temperature_c", heat}, {"throttled", gpu.throttled}}});
            }
        }
    }
}

void foreign_traffic(const Evidence& e, Findings& out)
{
    for (const auto& [id, memory] : e.history.nodes()) {
        if (memory.foreign_since && e.now - *memory.foreign_since >= 10s) {
            out.push_back({.severity = Severity::info,
                           .summary = fmt::format("{} works on at least {} requests that did not come through this herd", memory.name, memory.foreign),
                           .advice = fmt::format("point those clients at herd, or give {} fewer slots (herd-node --slots N)", memory.name),
                           .node = memory.name,
                           .data = {{"foreign_requests", static_cast<std::int64_t>(memory.foreign)}}});
        } else if (memory.busy_since && e.now - *memory.busy_since >= 60s) {
            out.push_back({.severity = Severity::info,
                           .summary = fmt::format("a GPU of {} has been busy for {:.0f} s without any request through this herd", memory.name,
                                                  base::seconds(e.now - *memory.busy_since)),
                           .advice = fmt::format("`nvidia-smi` on {} names the program; point clients of its Ollama at herd", memory.name),
                           .node = memory.name});
        }
    }
}

void underutilized_memory(const Evidence& e, Findings& out)
{
    each_box(e, [&](const fleet::NodeView& view, const fleet::NodeFacts& facts) {
        base::Bytes total = 0;
        base::Bytes free = 0;
        for (const fleet::Gpu& gpu : facts.gpus) { // where there is VRAM, that is what counts
            total += gpu.vram_total;
            free += gpu.vram_free.value_or(0);
        }
        if (total == 0) {
            total = facts.host.memory_total;
            free = facts.host.memory_available;
        }
        const auto thrashing = e.history.traffic().find(view.name);
        const bool busy_loading = thrashing != e.history.traffic().end() && thrashing->second.windows.recent(e.now).cold_loads >= 3;
        if (view.takes_requests() && percent(free, total) > 50 && facts.loaded.size() <= 2 && !busy_loading) {
            out.push_back({.severity = Severity::info,
                           .summary = fmt::format("{} has {:.1f} of {:.1f} GiB free and {} loaded", view.name, in_gib(free), in_gib(total),
                                                  counted(facts.loaded.size(), "model")),
                           .advice = fmt::format("room for more or larger models on {}", view.name),
                           .node = view.name,
                           .data = {{"available_gb", in_gib(free)}, {"available_pct", percent(free, total)},
                                    {"models_loaded", static_cast<std::int64_t>(facts.loaded.size())}},
                           .activity = true});
        }
    });
}

void judge_disk(double free, double used_part, std::string whose, std::string advice, std::string node, Findings& out)
{
    if (used_part >= 10) {
        return;
    }
    out.push_back({.severity = used_part < 3 ? Severity::critical : Severity::warning,
                   .summary = fmt::format("{} has {:.1f} GiB free ({:.1f} %)", whose, free, used_part),
                   .advice = std::move(advice),
                   .node = std::move(node),
                   .data = {{"free_gb", free}, {"free_pct", used_part}}});
}

/// The two largest models on disk that are not in memory: what to delete first.
std::string dispensable(const fleet::NodeFacts& facts)
{
    std::vector<const fleet::Model*> models;
    for (const fleet::Model& model : facts.models) {
        if (std::ranges::find(facts.loaded, model.key, &fleet::LoadedModel::key) == facts.loaded.end()) {
            models.push_back(&model);
        }
    }
    std::ranges::sort(models, std::ranges::greater{}, &fleet::Model::size);
    std::string names;
    for (std::size_t i = 0; i < std::min<std::size_t>(models.size(), 2); ++i) {
        names += fmt::format("{}{} ({:.1f} GiB)", names.empty() ? "" : ", ", models[i]->name, in_gib(models[i]->size));
    }
    return names;
}

void disk_low(const Evidence& e, Findings& out)
{
    for (const fleet::NodeView& view : e.fleet.nodes) {
        if (view.state == fleet::NodeState::offline || !view.facts || !view.facts->disk_total || !view.facts->disk_free) {
            continue;
        }
        const auto names = dispensable(*view.facts);
        judge_disk(in_gib(*view.facts->disk_free), percent(*view.facts->disk_free, *view.facts->disk_total),
                   fmt::format("the model disk of {}", view.name),
                   fmt::format("on {}: `ollama rm` what is not used{}", view.name, names.empty() ? "" : "; largest not in memory: " + names),
                   view.name, out);
    }
    if (e.own.disk_total && e.own.disk_free) {
        judge_disk(in_gib(*e.own.disk_free), percent(*e.own.disk_free, *e.own.disk_total), fmt::format("herd's disk ({})", e.own.disk_path),
                   "free some room, or keep fewer records: [store] retention = \"7d\"", {}, out);
    }
}

void decode_degraded(const Evidence& e, Findings& out)
{
    for (const auto& [key, pair] : e.history.pairings()) {
        const auto recent = pair.pace.recent(e.now);
        const auto usual = pair.pace.usual(e.now);
        if (!recent || !usual || *recent * 2 >= *usual) {
            continue;
        }
        out.push_back({.severity = *recent * 5 < *usual ? Severity::critical : Severity::warning,
                       .summary = fmt::format("{} on {} writes {:.1f} tokens/s; usual there is {:.1f}", pair.model, key.first, *recent, *usual),
                       .advice = fmt::format("look for other load, heat or a lost GPU on {}: `nvidia-smi`, `top`, `ollama ps`", key.first),
                       .node = key.first,
                       .model = pair.model,
                       .data = {{"tokens_per_s", *recent}, {"usual_tokens_per_s", *usual}}});
    }
}

constexpr Check checks[] = {
    {"memory_pressure", "Low memory",
     "Less than 8 % of a node's memory is available (critical: 3 %), or programs wait for memory 10 % (40 %) of the time.",
     "unload models or end other programs on that node", "warning; critical below 3 %", memory_pressure, 10s, 30s},
    {"swap_in_use", "Swap in use",
     "A node has more than 512 MiB and 5 % of its memory in swap; a warning when that grew by 256 MiB in 10 minutes or memory is below 15 %.",
     "smaller or fewer models at a time there (OLLAMA_MAX_LOADED_MODELS)", "info; warning when it grows", swap_in_use, 10s, 60s},
    {"gpu_lost", "GPU lost",
     "A GPU stopped answering or vanished, or a model that was in VRAM is now less than half of that with the same context. The node goes on "
     "taking requests: it may be the only one with a model, and where others have it too its measured speed keeps most work away. No "
     "canary is sent to let it back in: a person decides (docs/adr/0017-a-lost-gpu.md).",
     "check the driver (`nvidia-smi`, `dmesg`) and restart Ollama; `herd drain NODE` takes the node out meanwhile", "critical", gpu_lost, 0s, 10s},
    {"gpu_throttled", "GPU throttled", "A GPU slows down for heat, or is at 90 °C or more, for 10 s.", "cool it, or lower its power limit",
     "warning", gpu_throttled, 10s, 60s},
    {"disk_low", "Disk nearly full", "Less than 10 % (critical: 3 %) free where a node keeps its models, or where herd keeps its records.",
     "delete models that are not used", "warning; critical below 3 %", disk_low, 0s, 60s},
    {"decode_degraded", "Slower than its own past",
     "The median speed of a model's last 20 answers at a node is below half (critical: a fifth) of its median over the past week.",
     "look for other load, heat or a lost GPU there", "warning; critical below a fifth", decode_degraded, 0s, 60s},
    {"foreign_traffic", "Foreign traffic",
     "A node's gateway has had more requests than this herd sent for 10 s, or its GPU has worked for a minute for nobody of ours.",
     "let those clients use herd, or give that node fewer slots (herd-node --slots)", "info", foreign_traffic, 0s, 30s},
    {"underutilized_memory", "Memory to spare", "More than half of a node's VRAM (without a GPU: memory) is free and at most two models are loaded.",
     "load more or larger models there; costs no points", "info", underutilized_memory, 60s, 60s},
};

} // namespace

std::span<const Check> host_checks() { return checks; }

} // namespace herd::app::health
