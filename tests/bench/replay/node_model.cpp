#include "node_model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace herd::replay {
namespace {

constexpr double prefill_half_context = 50'000; ///< tokens: there a prompt's tokens cost twice as much
constexpr double decode_half_context = 100'000;
constexpr double load_fixed_s = 1;
constexpr double failure_s = 0.05;
constexpr int loaded_max = 3;                   ///< OLLAMA_MAX_LOADED_MODELS of one card
constexpr double prefill_share = 0.75;          ///< of a runner that also decodes
constexpr double done_s = 1e-9;

} // namespace

// Seen on one computer (parity.md 6.4): 107, 160 and 211 tokens/s for 1, 2 and 4.
double batch_gain(double n) { return n / (1 + (n - 1) / 3); }

double prefill_seconds(const NodeSpec& node, const ModelSpec& model, double input, double cached)
{
    const double from = std::min(cached, input - 1); // one token is always evaluated
    const double tokens = input - from + (input * input - from * from) / (2 * prefill_half_context);
    return tokens * node.slower / (node.prefill * model.speed);
}

double decode_seconds(const NodeSpec& node, const ModelSpec& model, double input, double output)
{
    return output * node.slower / (node.decode * model.speed) * (1 + (input + output / 2) / decode_half_context);
}

NodeModel::NodeModel(Agenda& agenda, const Workload& workload, int index, std::uint64_t seed, Ears ears)
    : agenda_(agenda), workload_(workload), spec_(workload.nodes[static_cast<std::size_t>(index)]), index_(index),
      seed_(seed), ears_(std::move(ears))
{
    for (const int model : spec_.resident) {
        auto runner = std::make_unique<Runner>(spec_.cache_tokens);
        runner->model = model;
        runner->context = workload_.models[static_cast<std::size_t>(model)].context;
        runner->gib = size_gib(model, runner->context);
        runner->loading = false;
        runners_.push_back(std::move(runner));
    }
}

// ---- what things cost -------------------------------------------------------------------------------

double NodeModel::size_gib(int model, int context) const
{
    const auto& spec = workload_.models[static_cast<std::size_t>(model)];
    return spec.gib + spec.kv_kib * context * spec_.slots / (1024.0 * 1024.0) + 0.5;
}

int NodeModel::context_of(const Request& request) const
{
    return request.num_ctx.value_or(workload_.models[static_cast<std::size_t>(request.model)].context);
}

/// The same for every policy: it depends on the request, the node and the seed alone.
double NodeModel::noise(int request, std::uint64_t salt) const
{
    const auto unit = [](std::uint64_t x) { return (static_cast<double>(x >> 11U) + 0.5) * 0x1p-53; };
    const auto a = mix(seed_ + salt, mix(static_cast<std::uint64_t>(request), static_cast<std::uint64_t>(index_)));
    const double normal = std::sqrt(-2 * std::log(unit(a))) * std::cos(2 * std::numbers::pi * unit(mix(a, 1)));
    return std::exp(workload_.noise * normal);
}

double NodeModel::prefill_seconds(const Request& request, int cached) const
{
    return replay::prefill_seconds(spec_, workload_.models[static_cast<std::size_t>(request.model)], request.input, cached);
}

double NodeModel::decode_seconds(const Request& request) const
{
    return replay::decode_seconds(spec_, workload_.models[static_cast<std::size_t>(request.model)], request.input,
                                  request.output);
}

double NodeModel::load_seconds(double gib) const { return load_fixed_s + gib / spec_.load_gib_s; }

// ---- arriving ---------------------------------------------------------------------------------------

void NodeModel::submit(int request)
{
    const double now = agenda_.now();
    if (!alive_) {
        agenda_.in(0.001, [this, request] { ears_.ended(request, Ended{.end = End::refused, .total = 0.001}); });
        return;
    }
    if (std::ranges::any_of(spec_.failing, [now](const Span& span) { return span.holds(now); })) {
        agenda_.in(failure_s, [this, request] { ears_.ended(request, Ended{.end = End::failed, .total = failure_s}); });
        return;
    }
    advance();
    const auto& r = workload_.requests[static_cast<std::size_t>(request)];
    Job job;
    job.request = request;
    job.model = r.model;
    job.context = context_of(r);
    job.submitted = now;
    auto* runner = find(r.model);
    if (runner != nullptr && !runner->loading && runner->context == job.context) {
        enter(*runner, job); // straight to the runner, past whoever waits for a load
    } else {
        pending_.push_back(job);
    }
    settle();
}

void NodeModel::preload(int model)
{
    if (!alive_ || find(model) != nullptr) {
        return;
    }
    advance();
    Job job;
    job.model = model;
    job.context = workload_.models[static_cast<std::size_t>(model)].context;
    job.submitted = agenda_.now();
    pending_.push_back(job);
    settle();
}

NodeModel::Runner* NodeModel::find(int model)
{
    const auto at = std::ranges::find(runners_, model, [](const RunnerPtr& runner) { return runner->model; });
    return at == runners_.end() ? nullptr : at->get();
}

void NodeModel::enter(Runner& runner, Job job)
{
    runner.used_at = agenda_.now();
    if (job.request < 0) {
        return; // it wanted the load alone
    }
    job.placed = agenda_.now();
    runner.waiting.push_back(job);
    fill_slots(runner);
}

void NodeModel::fill_slots(Runner& runner)
{
    while (!runner.waiting.empty() && runner.active.size() < static_cast<std::size_t>(spec_.slots)) {
        auto job = runner.waiting.front();
        runner.waiting.pop_front();
        const auto& request = workload_.requests[static_cast<std::size_t>(job.request)];
        job.begun = agenda_.now();
        job.cached = request.blocks ? std::min(runner.cache.match(*request.blocks), request.input - 1) : 0;
        job.work = prefill_seconds(request, job.cached) * noise(job.request, 1);
        job.decode_work = decode_seconds(request) * noise(job.request, 2);
        runner.active.push_back(job);
    }
}

// ---- loading ----------------------------------------------------------------------------------------

/// One at a time and in order, as Ollama's scheduler: who needs a load waits behind whoever needs one.
void NodeModel::schedule_pending()
{
    while (!pending_.empty()) {
        if (std::ranges::any_of(runners_, [](const RunnerPtr& runner) { return runner->loading; })) {
            return;
        }
        const auto job = pending_.front();
        auto* runner = find(job.model);
        if (runner != nullptr && (runner->context == job.context || job.request < 0)) {
            pending_.pop_front();
            enter(*runner, job);
            continue;
        }
        const bool again = runner != nullptr;
        if (again) {
            if (!runner->idle()) {
                return; // its requests end first
            }
            std::erase_if(runners_, [&](const RunnerPtr& r) { return r.get() == runner; });
            memory_changed_ = true;
        }
        if (!make_room(size_gib(job.model, job.context))) {
            return;
        }
        start_load(job.model, job.context, again);
    }
}

/// Evicts idle models, the least recently used first; false while what is left is busy.
bool NodeModel::make_room(double gib)
{
    while (!runners_.empty() && (memory_used_gib() + gib > spec_.memory_gib || runners_.size() >= loaded_max)) {
        Runner* oldest = nullptr;
        for (const auto& runner : runners_) {
            if (runner->idle() && (oldest == nullptr || runner->used_at < oldest->used_at)) {
                oldest = runner.get();
            }
        }
        if (oldest == nullptr) {
            return false;
        }
        std::erase_if(runners_, [&](const RunnerPtr& r) { return r.get() == oldest; });
        ++counters_.evictions;
        memory_changed_ = true;
    }
    return true;
}

void NodeModel::start_load(int model, int context, bool again)
{
    ++counters_.loads;
    counters_.reloads += again ? 1 : 0;
    auto runner = std::make_unique<Runner>(spec_.cache_tokens);
    runner->model = model;
    runner->context = context;
    runner->gib = size_gib(model, context);
    runner->used_at = agenda_.now();
    runner->ready_at = agenda_.now() + load_seconds(runner->gib);
    auto* loading = runner.get();
    agenda_.at(runner->ready_at, [this, loading, life = life_] {
        if (life == life_) { // nobody unloads what is loading
            advance();
            loading->loading = false;
            memory_changed_ = true;
            settle();
        }
    });
    runners_.push_back(std::move(runner));
}

std::vector<Resident> NodeModel::residents() const
{
    std::vector<Resident> out;
    for (const auto& runner : runners_) {
        if (!runner->loading) {
            out.push_back({runner->model, runner->context, runner->gib, runner->used_at});
        }
    }
    return out;
}

double NodeModel::memory_used_gib() const
{
    double used = 0;
    for (const auto& runner : runners_) {
        used += runner->gib;
    }
    return used;
}

// ---- working ----------------------------------------------------------------------------------------

/// Seconds of work alone per second, for one request in that phase. The card's time is shared equally by the
/// runners that work; within a runner prefills take turns and decodes are batched.
double NodeModel::speed(const Runner& runner, bool decoding) const
{
    const auto busy = std::ranges::count_if(runners_, [](const RunnerPtr& r) { return !r->active.empty(); });
    const auto decodes = std::ranges::count_if(runner.active, [](const Job& job) { return job.decoding; });
    const auto prefills = static_cast<double>(runner.active.size()) - static_cast<double>(decodes);
    const double share = 1.0 / static_cast<double>(std::max<std::ptrdiff_t>(busy, 1));
    if (decoding) {
        const auto n = static_cast<double>(decodes);
        return share * batch_gain(n) / n * (prefills > 0 ? 1 - prefill_share : 1);
    }
    return share / prefills * (decodes > 0 ? prefill_share : 1);
}

/// Brings what runs up to now. Speeds have been constant since the last call.
void NodeModel::advance()
{
    const double passed = agenda_.now() - advanced_to_;
    advanced_to_ = agenda_.now();
    if (passed <= 0) {
        return;
    }
    for (const auto& runner : runners_) {
        if (runner->active.empty()) {
            continue;
        }
        const double prefill = speed(*runner, false);
        const double decode = speed(*runner, true);
        for (auto& job : runner->active) {
            job.work -= passed * (job.decoding ? decode : prefill);
        }
    }
}

void NodeModel::settle()
{
    for (bool changed = true; changed;) {
        changed = false;
        for (const auto& runner : runners_) {
            for (std::size_t i = 0; i < runner->active.size();) {
                auto& job = runner->active[i];
                if (job.work > done_s) {
                    ++i;
                } else if (!job.decoding) {
                    const auto& request = workload_.requests[static_cast<std::size_t>(job.request)];
                    job.decoding = true;
                    job.prefilled = agenda_.now();
                    job.work = job.decode_work;
                    if (request.blocks) {
                        runner->cache.remember(*request.blocks);
                    }
                    messages_.push_back({job.request, false, {}});
                } else {
                    const auto ended = job;
                    runner->active.erase(runner->active.begin() + static_cast<std::ptrdiff_t>(i));
                    finish(*runner, ended);
                }
            }
            fill_slots(*runner);
        }
        const auto before = pending_.size();
        schedule_pending();
        changed = pending_.size() != before;
    }
    set_alarm();
    tell();
}

void NodeModel::finish(Runner& runner, const Job& job)
{
    const auto& request = workload_.requests[static_cast<std::size_t>(job.request)];
    const double now = agenda_.now();
    runner.used_at = now;
    if (!request.grown.empty()) {
        runner.cache.remember(request.grown);
    }
    counters_.input += request.input;
    counters_.cached += job.cached;
    Ended ended;
    ended.total = now - job.submitted;
    ended.load = job.placed - job.submitted;
    ended.prefill = job.prefilled - job.begun;
    ended.decode = now - job.prefilled;
    ended.input = request.input;
    ended.output = request.output;
    ended.cached = job.cached;
    ended.first_token_sent = true;
    messages_.push_back({job.request, true, ended});
}

/// What happened is told once the node is at rest, since whoever hears it may submit at once.
void NodeModel::tell()
{
    if (telling_) {
        return;
    }
    telling_ = true;
    if (std::exchange(memory_changed_, false) && ears_.memory_changed) {
        ears_.memory_changed();
    }
    while (!messages_.empty()) {
        const auto message = messages_.front();
        messages_.pop_front();
        if (message.is_end) {
            ears_.ended(message.request, message.ended);
        } else {
            ears_.first_token(message.request);
        }
    }
    telling_ = false;
}

void NodeModel::set_alarm()
{
    double soonest = std::numeric_limits<double>::infinity();
    for (const auto& runner : runners_) {
        if (runner->active.empty()) {
            continue;
        }
        const double prefill = speed(*runner, false);
        const double decode = speed(*runner, true);
        for (const auto& job : runner->active) {
            soonest = std::min(soonest, std::max(job.work, 0.0) / (job.decoding ? decode : prefill));
        }
    }
    const auto alarm = ++alarm_;
    if (std::isfinite(soonest)) {
        agenda_.in(soonest + done_s, [this, alarm] {
            if (alarm == alarm_) {
                advance();
                settle();
            }
        });
    }
}

void NodeModel::kill()
{
    advance();
    alive_ = false;
    ++life_;
    ++alarm_;
    const auto lose = [this](const Job& job, bool sent) {
        if (job.request >= 0) {
            messages_.push_back({job.request, true,
                                 Ended{.end = End::broken, .total = agenda_.now() - job.submitted,
                                       .first_token_sent = sent}});
        }
    };
    for (const auto& runner : runners_) {
        std::ranges::for_each(runner->active, [&](const Job& job) { lose(job, job.decoding); });
        std::ranges::for_each(runner->waiting, [&](const Job& job) { lose(job, false); });
    }
    std::ranges::for_each(pending_, [&](const Job& job) { lose(job, false); });
    runners_.clear();
    pending_.clear();
    memory_changed_ = true;
    tell();
}

// ---- the oracle -------------------------------------------------------------------------------------

double NodeModel::would_end(int request) const
{
    const auto& wanted = workload_.requests[static_cast<std::size_t>(request)];
    const double now = agenda_.now();
    if (!alive_ || std::ranges::any_of(spec_.failing, [now](const Span& span) { return span.holds(now); })) {
        return std::numeric_limits<double>::infinity();
    }
    const int context = context_of(wanted);
    std::vector<double> slots(static_cast<std::size_t>(spec_.slots), now); // when each frees
    // Alone-seconds become seconds when the slots are full.
    const double stretch = spec_.slots > 1 ? spec_.slots / batch_gain(spec_.slots) : 1;
    const Runner* same = nullptr;
    int best_cached = 0;
    double elsewhere = 0; ///< work of other runners: shares the card
    const auto serve = [&](double seconds) {
        auto& first = *std::ranges::min_element(slots);
        first += seconds * stretch;
    };
    const auto cost = [&](const Job& job, const PromptCache* cache) {
        const auto& r = workload_.requests[static_cast<std::size_t>(job.request)];
        const int cached = cache != nullptr && r.blocks ? std::min(cache->match(*r.blocks), r.input - 1) : 0;
        return prefill_seconds(r, cached) * noise(job.request, 1) + decode_seconds(r) * noise(job.request, 2);
    };
    const auto shared = [&](const Job& job) { // what that one's prompt will leave for ours
        const auto& r = workload_.requests[static_cast<std::size_t>(job.request)];
        if (!r.blocks || !wanted.blocks || r.model != wanted.model) {
            return;
        }
        int tokens = 0;
        for (std::size_t i = 0; i < std::min(r.blocks->size(), wanted.blocks->size()); ++i) {
            if ((*r.blocks)[i].chain != (*wanted.blocks)[i].chain) {
                break;
            }
            tokens += (*wanted.blocks)[i].tokens;
        }
        best_cached = std::max(best_cached, tokens);
    };
    for (const auto& runner : runners_) {
        double busy = 0;
        for (const auto& job : runner->active) {
            busy += job.work + (job.decoding ? 0 : job.decode_work);
            shared(job);
        }
        if (runner->model == wanted.model && runner->context == context) {
            same = runner.get();
            for (const auto& job : runner->active) {
                serve(job.work + (job.decoding ? 0 : job.decode_work));
            }
            for (const auto& job : runner->waiting) {
                serve(cost(job, &runner->cache));
                shared(job);
            }
            if (runner->loading) {
                for (auto& slot : slots) {
                    slot = std::max(slot, runner->ready_at);
                }
            }
        } else {
            for (const auto& job : runner->waiting) {
                busy += cost(job, &runner->cache);
            }
            elsewhere += busy + (runner->loading ? runner->ready_at - now : 0);
        }
    }
    double loads = 0;
    bool planned = false;
    for (const auto& job : pending_) {
        if (job.model == wanted.model && job.context == context) {
            planned = true;
        } else if (job.request >= 0) {
            elsewhere += cost(job, nullptr);
            loads += load_seconds(size_gib(job.model, job.context)) / 2;
        }
        if (job.request >= 0 && job.model == wanted.model && job.context == context) {
            serve(cost(job, same != nullptr ? &same->cache : nullptr));
            shared(job);
        }
    }
    if (same != nullptr && wanted.blocks) {
        best_cached = std::max(best_cached, same->cache.match(*wanted.blocks));
    }
    const double own = prefill_seconds(wanted, std::min(best_cached, wanted.input - 1)) * noise(request, 1)
        + decode_seconds(wanted) * noise(request, 2);
    double start = *std::ranges::min_element(slots);
    if (same == nullptr) {
        const double size = size_gib(wanted.model, context);
        const bool room = memory_used_gib() + size <= spec_.memory_gib && runners_.size() < loaded_max;
        start += (planned ? 0.5 : 1.0) * load_seconds(size) + loads + (room ? 0 : elsewhere);
    }
    return start + own + (same != nullptr ? std::min(elsewhere, own) : 0);
}

} // namespace herd::replay
