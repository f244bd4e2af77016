#include "fleet/knowledge.hpp"

#include "fleet/memory_fit.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr double trusted_cached_share = 0.5; ///< of a prompt: with more in the cache its time says little of the speed
constexpr double too_fast = 2.5;             ///< times the known rate: that was the cache, not the node
constexpr int full_well_wanted = 32;         ///< answers with all slots taken and nothing queued inside: one more is tried
constexpr double own_clock_trust = 0.3;
constexpr double trusted_load_share = 0.5;   ///< of an answer's time: what a longer load leaves over is mostly its misprediction
constexpr double own_clock_least_s = 0.02;     ///< a stream flows at least as long, and for such a share of its time
constexpr double own_clock_least_share = 0.02;

double seconds_of(base::Duration duration) { return base::seconds(duration); }

std::uint64_t sibling_key(const NodeRecord& node, const ModelOnNode& model)
{
    return (node.hardware.kind ^ (model.digest * 0x9e3779b97f4a7c15ULL)) | 1U;
}

} // namespace

std::uint64_t digest_hash(std::string_view digest)
{
    if (digest.starts_with("sha256:")) {
        digest.remove_prefix(7);
    }
    if (digest.empty()) {
        return 0;
    }
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : digest) {
        hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
    }
    return hash == 0 ? 1 : hash;
}

Rates* Knowledge::sibling(const NodeRecord& node, const ModelOnNode& model, bool make)
{
    if (model.digest == 0 || !node.hardware.known) {
        return nullptr;
    }
    const auto key = sibling_key(node, model);
    const auto at = siblings_.find(key);
    if (at != siblings_.end()) {
        return &at->second;
    }
    return make && siblings_.size() < siblings_max ? &siblings_[key] : nullptr;
}

Speed Knowledge::speed_of(const NodeRecord& node, const ModelOnNode& model, double in_vram) const
{
    const bool ours = model.learning != nullptr && model.learning->digest == model.digest;
    if (ours && model.learning->sure) {
        return model.learning->fitted;
    }
    const auto* rates = ours ? &model.learning->rates : nullptr;
    auto guess = guess_speed(node.hardware, model.size, in_vram);
    if (const auto at = calibrations_.find(model.digest); at != calibrations_.end()) {
        const double prefill = std::exp(at->second.prefill);
        const double decode = std::exp(at->second.decode);
        guess.prefill_s *= prefill;
        guess.decode_s *= decode;
        guess.decode_slope_s *= decode;
    }
    if (model.digest != 0 && node.hardware.known) {
        if (const auto at = siblings_.find(sibling_key(node, model)); at != siblings_.end()) {
            guess = at->second.speed(guess);
        }
    }
    return rates == nullptr ? guess : rates->speed(guess);
}

void Knowledge::calibrate(const NodeRecord& node, const ModelOnNode& model, double prefill_each_s, double decode_each_s,
                          double others)
{
    constexpr double remembered = 24; // answers that count
    if (model.digest == 0 || (calibrations_.size() >= siblings_max && !calibrations_.contains(model.digest))) {
        return;
    }
    const auto guess = guess_speed(node.hardware, model.size, model.in_vram);
    const auto note = [&](double& mean, double& weight, double seen, double guessed) {
        if (seen > 0 && guessed > 0) {
            weight = std::min(weight + 1, remembered);
            mean += (std::clamp(std::log(seen / guessed), -5.0, 5.0) - mean) / weight;
        }
    };
    auto& entry = calibrations_[model.digest];
    note(entry.prefill, entry.prefill_weight, prefill_each_s, guess.prefill_s);
    note(entry.decode, entry.decode_weight, decode_each_s, guess.decode(others));
}

/// Requests that were queued inside the node tell that it has fewer slots than we thought; those that were not, that it
/// may have one more again. Who was sent when more were believed in says nothing new, and the server's own command line
/// (ModelOnNode::slots) is not doubted.
void Knowledge::note_inside_queue(NodeRecord& node, ModelOnNode& model, const Assumed& assumed, const Timings& timings)
{
    const int slots = node.slots_of(model);
    if (timings.total <= base::Duration{} || timings.eval <= base::Duration{} || assumed.loading || model.slots
        || assumed.slots != slots) {
        return;
    }
    const double rest = seconds_of(timings.total - timings.load - timings.prompt_eval - timings.eval);
    const double limit = std::max(1.0, 0.3 * seconds_of(timings.total));
    if (rest > limit && !assumed.alone && slots > 1 && node.foreign_of(model) == 0) {
        model.slots_seen = slots - 1;
        model.full_well = 0;
    } else if (model.slots_seen > 0 && rest <= limit && assumed.full && ++model.full_well >= full_well_wanted) {
        ++model.slots_seen; // bounded by what was told
        model.full_well = 0;
    }
}

void Knowledge::note_tokens(NodeRecord& node, ModelOnNode& model, const Assumed& assumed, const Timings& timings)
{
    auto& learning = model.learn();
    const auto prompt = static_cast<double>(timings.prompt_tokens);
    const double took = seconds_of(timings.prompt_eval) / assumed.stretch;
    auto* sibling_rates = sibling(node, model, true);
    if (prompt > 0) {
        expect_.note_prompt(assumed.model_key, assumed.prompt_bytes, assumed.images, prompt);
    }
    if (prompt > 0 && took > 0) {
        // Seconds the whole prompt would take tell what was cached, and what was cached tells the speed: each is
        // learned only where the other is known.
        const double believed = std::min(assumed.cache.tokens, prompt);
        const double expected = assumed.speed.prefill(believed, prompt - believed);
        const bool known = learning.rates.prefill_weight() > 0;
        const bool from_cache = known && took * too_fast < expected;
        if (!from_cache && believed <= trusted_cached_share * prompt) {
            learning.rates.note_prefill(believed, prompt - believed, took);
            calibrate(node, model, prompt - believed < 64 ? 0 : took / (prompt - believed), 0, 0);
            if (sibling_rates != nullptr) {
                sibling_rates->note_prefill(believed, prompt - believed, took);
            }
        }
        if (known) {
            const double rate = 1 / std::max(1e-9, assumed.speed.prefill_s + assumed.speed.prefill_slope_s * prompt / 2);
            learning.belief.correct(assumed.cache, std::max(0.0, prompt - took * rate), prompt);
        }
    }
    if (timings.output_tokens > 0) {
        const auto output = static_cast<double>(timings.output_tokens);
        expect_.note_answer(assumed.model_key, assumed.tag, output);
        learning.rates.note_decode(output, seconds_of(timings.eval), assumed.others);
        calibrate(node, model, 0, output < 8 ? 0 : seconds_of(timings.eval) / output, assumed.others);
        if (sibling_rates != nullptr) {
            sibling_rates->note_decode(output, seconds_of(timings.eval), assumed.others);
        }
    }
}

/// Dialects without the node's own timings: tokens from `usage`, time from our clock.
void Knowledge::note_own_clock(ModelOnNode& model, const Assumed& assumed, const Outcome& outcome, double seconds)
{
    const auto& timings = outcome.timings;
    auto& learning = model.learn();
    const double first = seconds_of(outcome.first_byte);
    const double flowing = seconds - first; // an answer in one piece comes all at once
    const bool streamed = first > 0 && flowing > std::max(own_clock_least_s, own_clock_least_share * seconds);
    const auto prompt = static_cast<double>(timings.prompt_tokens);
    const double believed = std::min(assumed.cache.tokens, prompt);
    if (streamed && prompt > 0 && !assumed.loading && believed <= trusted_cached_share * prompt) {
        learning.rates.note_prefill(believed, prompt - believed, first / assumed.stretch, own_clock_trust);
    }
    if (timings.output_tokens > 1 && streamed) {
        const auto output = static_cast<double>(timings.output_tokens);
        expect_.note_answer(assumed.model_key, assumed.tag, output);
        learning.rates.note_decode(output, flowing, assumed.others, own_clock_trust);
    } else if (timings.output_tokens > 0) {
        expect_.note_answer(assumed.model_key, assumed.tag, static_cast<double>(timings.output_tokens));
    }
    if (timings.prompt_tokens > 0) {
        expect_.note_prompt(assumed.model_key, assumed.prompt_bytes, assumed.images,
                            static_cast<double>(timings.prompt_tokens));
    }
    const double load = assumed.loading ? assumed.load_s : 0; // nobody told how long it really took
    if (load <= trusted_load_share * seconds) {
        learning.service_weight = std::min(learning.service_weight + 1, 10.0);
        learning.service_s += (seconds - load - learning.service_s) / learning.service_weight;
    }
}

void Knowledge::note_served(NodeRecord& node, ModelOnNode& model, const Assumed& assumed, const Outcome& outcome,
                            double seconds)
{
    auto& learning = model.learn();
    if (learning.digest != model.digest) {
        learning.rates = {};
        learning.sure = false;
        learning.belief = {};
        learning.digest = model.digest;
    }
    const auto& timings = outcome.timings;
    const double load = seconds_of(timings.load);
    if (load >= LoadRate::seconds_least && model.size > 0) {
        node.load_rate.note(static_cast<double>(model.size), load);
        if (auto* kin = kin_load(node)) {
            kin->note(static_cast<double>(model.size), load);
        }
    }
    if (load >= 1 && !assumed.loading) {
        learning.belief.clear(); // it was not resident after all: what we believed cached was gone
    }
    if (timings.eval > base::Duration{} || timings.prompt_eval > base::Duration{}) {
        note_inside_queue(node, model, assumed, timings);
        note_tokens(node, model, assumed, timings);
    } else {
        note_own_clock(model, assumed, outcome, seconds);
    }
    learning.fit();
}

// ---- kept over a restart ----------------------------------------------------------------------------

void Knowledge::restore(const LearnedRestored& event)
{
    for (const auto& figures : event.figures) {
        if (restored_.size() >= restored_max) {
            return;
        }
        restored_[{figures.node, digest_hash(figures.digest)}] = figures;
    }
}

LoadRate* Knowledge::kin_load(const NodeRecord& node)
{
    if (!node.hardware.known) {
        return nullptr;
    }
    const auto at = kin_loads_.find(node.hardware.kind);
    if (at != kin_loads_.end()) {
        return &at->second;
    }
    return kin_loads_.size() < siblings_max ? &kin_loads_[node.hardware.kind] : nullptr;
}

void Knowledge::adopt(NodeRecord& node)
{
    node.kin_load_rate = kin_load(node);
    if (restored_.empty()) {
        return;
    }
    for (auto& [key, model] : node.models) {
        const auto at = restored_.find({node.id, model.digest});
        if (at == restored_.end() || model.digest == 0 || model.learning != nullptr) {
            continue;
        }
        const auto& kept = at->second;
        const Speed speed{kept.prefill_s, kept.prefill_slope_s, kept.decode_s, kept.decode_slope_s};
        auto& learning = model.learn();
        learning.digest = model.digest;
        learning.rates.restore(speed, kept.weight);
        learning.fit();
        node.load_rate.restore(kept.load_rate);
        if (auto* kin = kin_load(node); kin != nullptr && kin->bytes_per_second() <= 0) {
            kin->restore(kept.load_rate);
        }
        if (auto* rates = sibling(node, model, true); rates != nullptr && rates->decode_weight() <= 0) {
            rates->restore(speed, kept.weight);
        }
        restored_.erase(at);
    }
}

void Knowledge::append_learned(const NodeRecord& node, std::vector<Learned>& out) const
{
    for (const auto& [key, model] : node.models) {
        if (model.learning == nullptr || !model.listed || model.index >= node.facts->models.size()) {
            continue;
        }
        const auto& rates = model.learning->rates;
        const auto& digest = node.facts->models[model.index].digest;
        if (digest.empty() || rates.prefill_weight() + rates.decode_weight() <= 0) {
            continue;
        }
        const auto speed = rates.speed({});
        out.push_back({node.id, digest, rates.prefill_weight() > 0 ? speed.prefill_s : 0, speed.prefill_slope_s,
                       rates.decode_weight() > 0 ? speed.decode_s : 0, speed.decode_slope_s,
                       node.load_rate.bytes_per_second(), std::max(rates.prefill_weight(), rates.decode_weight())});
    }
}

std::vector<RateView> Knowledge::rates_of(const NodeRecord& node) const
{
    std::vector<RateView> out;
    for (const auto& [key, model] : node.models) {
        const bool measured = model.learning != nullptr && model.learning->rates.decode_weight() > 0;
        if (!model.held() || (!measured && !model.believed_loaded()) || model.index >= node.facts->models.size()) {
            continue;
        }
        const auto speed = speed_of(node, model, 1);
        out.push_back({node.facts->models[model.index].name, 1 / std::max(speed.prefill_s, 1e-9),
                       1 / std::max(speed.decode_s, 1e-9), load_seconds(node, model), measured});
    }
    return out;
}

} // namespace herd::fleet
