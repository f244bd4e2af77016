#include "fleet/node_record.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

constexpr int slots_max = 4096; ///< what a node may claim; more is a mistake

} // namespace

base::Instant NodeTimers::earliest() const
{
    return std::min({confirm, confirm_limit, hedge, silence, verdict, poll, poll_limit, probe_again, gone, forget, watch});
}

bool NodeRecord::last_resort() const
{
    return liveness == Liveness::suspect && tcp_proven && !drained_by_operator && routable(announced);
}

bool NodeRecord::carries(const std::vector<std::string>& wanted) const
{
    return std::ranges::all_of(wanted, [this](const std::string& label) {
        return std::ranges::binary_search(labels, label);
    });
}

int NodeRecord::slots_of(const ModelOnNode& model) const
{
    const auto told = model.slots ? model.slots : facts->slots ? facts->slots : configured_slots;
    return std::clamp(told.value_or(1), 1, slots_max);
}

int NodeRecord::free_slots_of(const ModelOnNode& model) const
{
    return std::max(0, slots_of(model) - model.in_flight);
}

Bytes NodeRecord::free_memory() const
{
    const auto& cards = gpus.empty() ? facts->gpus : gpus;
    Bytes vram = 0;
    bool has_vram = false;
    for (const auto& gpu : cards) {
        if (gpu.vram_total > 0) {
            has_vram = true;
            vram += gpu.vram_free.value_or(0);
        }
    }
    return has_vram ? vram : (host ? host->memory_available : facts->host.memory_available);
}

std::vector<std::string> normalized_labels(const std::vector<std::string>& a, const std::vector<std::string>& b)
{
    std::vector<std::string> out;
    for (const auto* list : {&a, &b}) {
        for (const auto& label : *list) {
            if (auto text = base::lower(base::trim(label)); !text.empty()) {
                out.push_back(std::move(text));
            }
        }
    }
    std::ranges::sort(out);
    const auto rest = std::ranges::unique(out);
    out.erase(rest.begin(), rest.end());
    return out;
}

} // namespace herd::fleet
