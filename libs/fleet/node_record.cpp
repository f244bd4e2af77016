#include "fleet/node_record.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr int slots_max = 4096; ///< what a node may claim; more is a mistake
constexpr double use_half_life_s = 300;

} // namespace

base::Instant NodeTimers::earliest() const
{
    return std::min({confirm, confirm_limit, hedge, silence, verdict, poll, poll_limit, probe_again, gone, forget, watch, twin});
}

bool NodeRecord::last_resort() const
{
    return liveness == Liveness::suspect && tcp_proven && !waits && !drained_by_operator && !switched_off() && routable(announced);
}

bool NodeRecord::carries(const std::vector<std::string>& wanted) const
{
    return std::ranges::all_of(wanted, [this](const std::string& label) {
        return std::ranges::binary_search(labels, label);
    });
}

void NodeRecord::set_labels(std::vector<std::string> own)
{
    own_labels = std::move(own);
    labels = settings == nullptr ? own_labels : normalized_labels(own_labels, settings->labels);
}

Learning& ModelOnNode::learn()
{
    if (learning == nullptr) {
        learning = std::make_unique<Learning>();
        learning->digest = digest; // else its first answer would seem to be that of another model, and what is believed cached forgotten
    }
    return *learning;
}

void ModelOnNode::used(base::Instant now)
{
    uses = use_rate(now) * use_half_life_s + 1;
    last_used = now;
}

double ModelOnNode::use_rate(base::Instant now) const
{
    if (uses <= 0) {
        return 0;
    }
    return uses * std::exp2(-std::max(0.0, base::seconds(now - last_used)) / use_half_life_s) / use_half_life_s;
}

void ModelOnNode::unloaded()
{
    loaded = false;
    warm = false;
    options_class.reset();
    slots_seen = 0; // it may be loaded otherwise
    if (learning != nullptr) {
        learning->belief.clear();
    }
}

int NodeRecord::slots_of(const ModelOnNode& model) const
{
    if (!model.slots && model.one_slot) {
        return 1; // what is set for all models does not hold for it
    }
    auto told = model.slots ? model.slots : facts->slots ? facts->slots : configured_slots;
    if (!told && is_static() && settings != nullptr && settings->max_parallel > 0) {
        told = settings->max_parallel; // nobody is there to find out, and a person said how many it takes at a time
    }
    const int slots = std::clamp(told.value_or(1), 1, slots_max);
    return !model.slots && model.slots_seen > 0 ? std::min(slots, model.slots_seen) : slots;
}

int NodeRecord::foreign_of(const ModelOnNode& model) const
{
    if (model.tool != Tool::none) {
        return 0; // what others send to its Ollama takes no slot of it
    }
    if (model.wire_hash != 0 && facts->loaded.size() > 1) {
        return model.foreign;
    }
    return foreign > 0 && facts->loaded.size() <= 1 && (model.loaded || model.in_flight > 0) ? foreign : 0;
}

int NodeRecord::free_slots_of(const ModelOnNode& model) const
{
    const int free = slots_of(model) - model.in_flight - foreign_of(model);
    const int cap = settings == nullptr || settings->max_parallel == 0 ? free : settings->max_parallel - in_flight;
    return std::max(0, std::min(free, cap));
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
