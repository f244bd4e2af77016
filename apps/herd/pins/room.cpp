#include "herd/pins/room.hpp"

#include "fleet/hardware.hpp"
#include "fleet/memory_fit.hpp"
#include "fleet/model_name.hpp"
#include "herd/admin/fleet_status.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::app::pins {

namespace {

constexpr base::Bytes slack = 600 * base::mib; ///< working memory of a runner
constexpr double of_vram = 0.95;
constexpr double of_ram = 0.8; ///< the rest is the machine's own
constexpr std::int64_t context_default = 4096;

double in_gib(base::Bytes bytes) { return static_cast<double>(bytes) / static_cast<double>(base::gib); }

base::Bytes share(double part, base::Bytes whole) { return static_cast<base::Bytes>(part * static_cast<double>(whole)); }

std::string display_of(const fleet::NodeFacts& facts, const std::string& key)
{
    const auto model = std::ranges::find(facts.models, key, &fleet::Model::key);
    return model == facts.models.end() ? key.substr(key.rfind('/') + 1) : fleet::ModelName::parse(model->name).display;
}

} // namespace

base::Bytes resident_bytes(const fleet::NodeFacts& facts, const std::string& key, int num_ctx)
{
    if (const auto loaded = std::ranges::find(facts.loaded, key, &fleet::LoadedModel::key); loaded != facts.loaded.end() && loaded->size > 0) {
        return loaded->size;
    }
    const auto model = std::ranges::find(facts.models, key, &fleet::Model::key);
    if (model == facts.models.end() || model->size == 0) {
        return 0;
    }
    const auto context = static_cast<double>(num_ctx > 0 ? num_ctx : facts.settings.context_length.value_or(context_default));
    const int slots = std::max(facts.slots.value_or(facts.settings.num_parallel.value_or(1)), 1);
    const auto cache = static_cast<base::Bytes>(fleet::cache_bytes_per_token(model->cache_per_token, model->size) * context * slots);
    return model->size + cache + (model->size > 64 * base::mib ? slack : 0);
}

base::Bytes free_bytes(const fleet::NodeFacts& facts)
{
    const auto hardware = fleet::hardware_of(facts);
    if (hardware.vram_total == 0 || hardware.unified) {
        return facts.host.memory_available;
    }
    base::Bytes free = 0;
    for (const fleet::Gpu& gpu : facts.gpus) {
        free += gpu.failed ? 0 : gpu.vram_free.value_or(0);
    }
    return free;
}

std::optional<Shortage> shortage(const fleet::NodeView& node, const std::string& key, const std::vector<std::string>& pinned)
{
    const fleet::NodeFacts* facts = node.facts.get();
    if (facts == nullptr || std::ranges::find(facts->loaded, key, &fleet::LoadedModel::key) != facts->loaded.end()) {
        return std::nullopt;
    }
    const auto hardware = fleet::hardware_of(*facts);
    const bool gpu = hardware.vram_total > 0;
    Shortage out{.node = node.name, .requested = resident_bytes(*facts, key), .total = gpu ? hardware.vram_total : hardware.ram_total};
    out.budget = share(gpu ? of_vram : of_ram, out.total);
    for (const std::string& other : pinned) {
        if (other != key) {
            out.others.emplace_back(display_of(*facts, other), resident_bytes(*facts, other));
            out.pinned += out.others.back().second;
        }
    }
    const bool tells = facts->settings.max_loaded_models || !facts->agent_version.empty();
    if (const auto most = admin::hot_model_cap(*facts); tells && out.others.size() + 1 > most) {
        out.why = fmt::format("{} keeps {} models in memory at a time (OLLAMA_MAX_LOADED_MODELS), and {} are pinned there already", node.name, most,
                              out.others.size());
        return out;
    }
    // One alone may stand partly in the host's memory; of several Ollama would unload one for the other.
    if (gpu && out.others.empty() && !hardware.unified) {
        out.budget = share(of_ram, hardware.vram_total + hardware.ram_total);
    }
    if (out.total == 0 || out.requested + out.pinned <= out.budget) {
        return std::nullopt;
    }
    out.why = fmt::format("{} takes about {:.1f} GiB, {:.1f} GiB are pinned on {} already, and {:.1f} of its {:.1f} GiB may be", display_of(*facts, key),
                          in_gib(out.requested), in_gib(out.pinned), node.name, in_gib(out.budget), in_gib(out.total));
    return out;
}

} // namespace herd::app::pins
