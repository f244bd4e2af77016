#include "herd-node/agent.hpp"

#include "base/log.hpp"
#include "fleet/model_name.hpp"

#include <algorithm>

namespace herd::node {

namespace {

constexpr int ticks_to_flip = 2; // BUSY comes and goes only when it lasts
constexpr base::Duration addresses_every = std::chrono::seconds{5};

/// Requests that the loaded models can run at a time; one each where nobody says.
int capacity(const discovery::NodeDocument& document)
{
    int slots = 0;
    for (const auto& model : document.loaded) {
        slots += model.slots.value_or(document.slots.value_or(1));
    }
    return slots;
}

} // namespace

Agent::Agent(net::Loop& loop, AgentOptions options, Sources sources, std::function<void(bool)> on_change)
    : loop_(loop),
      options_(std::move(options)),
      sources_(std::move(sources)),
      on_change_(std::move(on_change)),
      host_(options_.root),
      gpus_(GpuWatchOptions{.root = options_.root, .nvml = options_.nvml}),
      document_(options_.constant),
      timer_(loop)
{
    document_.host = host_.read();
}

void Agent::start() { tick(); }
void Agent::stop() { timer_.cancel(); }

void Agent::drain()
{
    draining_ = true;
    refresh();
}

void Agent::set_keys(std::vector<std::uint8_t> ids)
{
    const auto before = document_;
    document_.keys = std::move(ids);
    publish(before);
}

void Agent::addresses_changed()
{
    const auto before = document_;
    addresses_at_ = loop_.now() + addresses_every;
    if (sources_.addresses) {
        document_.addresses = sources_.addresses();
    }
    publish(before);
}

void Agent::refresh()
{
    const auto before = document_;
    take_backend();
    document_.state = judge();
    publish(before);
}

void Agent::tick()
{
    const auto now = loop_.now();
    const bool look_at_addresses = now >= addresses_at_ && sources_.addresses;
    const bool gpus_changed = gpus_.tick(now);
    take_load();
    const auto state = judge();
    if (gpus_changed || look_at_addresses || state != document_.state) {
        const auto before = document_;
        document_.state = state;
        document_.gpus = gpus_.cards();
        if (look_at_addresses) {
            addresses_at_ = now + addresses_every;
            document_.addresses = sources_.addresses();
        }
        publish(before);
    } else {
        on_change_(false);
    }
    timer_.call_at(now + options_.every, [this] { tick(); });
}

void Agent::take_backend()
{
    const BackendView& backend = sources_.backend();
    const RunnerView& runners = sources_.runners();
    document_.state_reason = backend.reason;
    document_.ollama_version = backend.version;
    document_.models = backend.models;
    for (const auto& tool : sources_.tools()) {
        if (!has_model(backend.models, fleet::ModelName::parse(tool.name).key)) {
            document_.models.push_back(tool);
            hidden_.erase(tool.name);
        } else if (hidden_.insert(tool.name).second) { // it is as if it were not there
            log::warn("media", "tool_hidden", {{"model", tool.name}, {"why", "Ollama has a model of that name"}});
        }
    }
    document_.loaded = backend.loaded;
    // Ollama lists them by time of unloading, which every request moves; that must not look like news.
    std::ranges::sort(document_.loaded, {}, &discovery::LoadedFacts::name);
    assign_slots(document_.loaded, runners, options_.slots);
    document_.slots = default_slots(runners, options_.slots);
    document_.settings = {};
    if (runners.settings) {
        document_.settings = {.keep_alive = runners.settings->keep_alive,
                              .num_parallel = runners.settings->num_parallel,
                              .max_loaded_models = runners.settings->max_loaded_models,
                              .context_length = runners.settings->context_length};
    }
    document_.disk = {};
    if (runners.disk) {
        document_.disk = {.total = runners.disk->total, .free = runners.disk->free};
    }
}

/// Numbers that change all the time and are nobody's reason to fetch.
void Agent::take_load()
{
    document_.host = host_.read();
    const Traffic traffic = sources_.traffic();
    // Those that reach Ollama beside the gateway take its slots too.
    document_.in_flight = traffic.in_flight + sources_.runners().foreign;
    const int slots = capacity(document_);
    document_.queued = std::max(0, traffic.working - std::max(slots, 1));
    const bool crowded = slots > 0 && traffic.working > slots;
    crowded_ticks_ = crowded ? std::max(crowded_ticks_, 0) + 1 : std::min(crowded_ticks_, 0) - 1;
    crowded_ticks_ = std::clamp(crowded_ticks_, -ticks_to_flip, ticks_to_flip);
    if (crowded_ticks_ == ticks_to_flip || crowded_ticks_ == -ticks_to_flip) {
        busy_ = crowded_ticks_ > 0;
    }
}

discovery::State Agent::judge() const
{
    if (draining_) {
        return discovery::State::draining;
    }
    switch (sources_.backend().state) {
    case BackendState::unknown: return discovery::State::init;
    case BackendState::down:
    case BackendState::refused: return discovery::State::backend_down;
    case BackendState::up: break;
    }
    return busy_ ? discovery::State::busy : discovery::State::ready;
}

void Agent::publish(const discovery::NodeDocument& before)
{
    const bool stable_part = discovery::differs_in_stable_part(before, document_);
    if (stable_part) {
        ++document_.state_rev;
    }
    on_change_(stable_part || before.state != document_.state);
}

} // namespace herd::node
