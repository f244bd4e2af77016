#include "fleet/memory_fit.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr Bytes slack = 600 * base::mib;      ///< working memory of the runner on a GPU
constexpr double share_of_free = 0.8;         ///< what Ollama's pre-flight check leaves
constexpr double wanted_soon_s = 300;         ///< Ollama's own keep_alive
constexpr double load_fixed_s = 0.5;          ///< starting a runner
constexpr double load_rate_guess = 1e9;       ///< bytes per second: a usual NVMe disk
constexpr Bytes size_unknown = 4 * base::gib;
constexpr int context_default = 4096;
constexpr int resident_default = 3;           ///< per GPU: OLLAMA_MAX_LOADED_MODELS

Bytes size_of(const ModelOnNode& model) { return model.size == 0 ? size_unknown : model.size; }

Bytes total_memory(const Hardware& hardware)
{
    return hardware.unified ? std::max(hardware.ram_total, hardware.vram_total)
                            : hardware.ram_total + hardware.vram_total;
}

/// How likely someone asks for this model here before Ollama would have dropped it anyway.
double chance_wanted(const ModelOnNode& model, base::Instant now)
{
    if (model.in_flight > 0) {
        return 1;
    }
    const double stranger = 0.1; // loaded by others, or long ago
    return std::max(stranger, 1 - std::exp(-model.use_rate(now) * wanted_soon_s));
}

} // namespace

double cache_bytes_per_token(Bytes told, Bytes size)
{
    if (told > 0) {
        return static_cast<double>(told);
    }
    // 128 KiB for 8 billion weights (4.7 GB), growing with the square root: what common models have.
    return 131072 * std::sqrt(static_cast<double>(size == 0 ? size_unknown : size) / 4.7e9);
}

Bytes memory_needed(const ModelOnNode& model, int num_ctx, int slots)
{
    const int context = num_ctx > 0 ? num_ctx : model.context_length > 0 ? model.context_length : context_default;
    const double per_token = cache_bytes_per_token(model.cache_per_token, model.size);
    const double cache = per_token * context * std::max(slots, 1);
    if (model.memory > 0) {
        const double then = per_token * model.memory_context * std::max(slots, 1);
        return static_cast<Bytes>(std::max(static_cast<double>(size_of(model)),
                                           static_cast<double>(model.memory) + cache - then));
    }
    return size_of(model) + static_cast<Bytes>(cache) + (model.size > 64 * base::mib ? slack : 0);
}

double load_seconds(const NodeRecord& node, const ModelOnNode& model)
{
    double rate = node.load_rate.bytes_per_second();
    if (rate <= 0 && node.kin_load_rate != nullptr) {
        rate = node.kin_load_rate->bytes_per_second();
    }
    return load_fixed_s + static_cast<double>(size_of(model)) / (rate > 0 ? rate : load_rate_guess);
}

Fit fit_of(NodeRecord& node, const ModelOnNode& model, int num_ctx, base::Instant now,
           std::vector<ModelOnNode*>* evicted)
{
    Fit fit;
    const auto& hardware = node.hardware;
    const auto need = static_cast<double>(memory_needed(model, num_ctx, node.slots_of(model)));
    const auto total = static_cast<double>(total_memory(hardware));
    const bool has_gpu = hardware.vram_total > 0;
    if (total > 0 && static_cast<double>(size_of(model)) > total && model.size > 0) {
        fit.fits = false;
        return fit;
    }
    if (model.believed_loaded()) { // with other options: whoever wants those will have to load it again
        fit.others_s += chance_wanted(model, now) * load_seconds(node, model);
    }
    if (has_gpu) {
        fit.in_vram = std::clamp(0.95 * static_cast<double>(hardware.vram_total) / std::max(need, 1.0), 0.0, 1.0);
    }
    if (total <= 0) {
        return fit; // nothing is told of its memory: Ollama will see
    }
    auto free = static_cast<double>(node.free_memory());
    const int resident_max = std::max(resident_default * static_cast<int>(std::max<std::size_t>(node.facts->gpus.size(), 1)),
                                      node.resident_most);
    const auto short_of_memory = [&] { return has_gpu && need > share_of_free * free; };
    if (!short_of_memory() && static_cast<int>(node.facts->loaded.size()) < resident_max) {
        return fit;
    }
    // Ollama takes the first idle one (by keep_alive, which is not told, then by name), else waits for one.
    for (const bool busy : {false, true}) {
        for (auto& [key, other] : node.models) {
            if (&other == &model || other.tool != Tool::none || !other.believed_loaded() || (other.in_flight > 0) != busy) {
                continue;
            }
            const bool too_many = static_cast<int>(node.facts->loaded.size()) - fit.victims >= resident_max;
            if (!short_of_memory() && !too_many) {
                return fit;
            }
            free += static_cast<double>(other.memory > 0 ? other.memory : memory_needed(other, 0, node.slots_of(other)));
            ++fit.victims;
            fit.others_s += chance_wanted(other, now) * load_seconds(node, other);
            if (busy) {
                fit.blocked_s = std::max(fit.blocked_s, 5.0); // the dispatcher knows better, from its leases
            }
            if (evicted != nullptr) {
                evicted->push_back(&other);
            }
        }
    }
    return fit;
}

} // namespace herd::fleet
