#include "herd_policy.hpp"

#include "fleet/fleet.hpp"
#include "fleet/model_name.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

namespace herd::replay {
namespace {

using namespace std::chrono_literals;

constexpr double latency_s = 0.001;
constexpr double agent_look_s = 1; ///< the agent reads /api/ps so often
constexpr double beat_s = 5;       ///< slower than the 1 s of a real agent: a replay lasts for hours
constexpr double gib = 1024.0 * 1024 * 1024;

base::Instant instant_of(double seconds)
{
    return base::Instant{std::chrono::hours{24}} + base::Duration{std::llround(seconds * 1e9)};
}
double seconds_of(base::Instant instant) { return base::seconds(instant - instant_of(0)); }
base::Duration duration_of(double seconds) { return base::Duration{std::llround(seconds * 1e9)}; }

class HerdFleet final : public Policy {
public:
    explicit HerdFleet(Host& host);
    void arrive(int request, const std::vector<int>& tried) override;
    void ended(int request, int node, const Ended& ended) override;
    void node_changed(int node) override;
    void memory_changed(int node) override;
    [[nodiscard]] std::string check() override { return fleet_.check(instant_of(host_.now())); }

private:
    /// The agent of a node, as the LAN sees it.
    struct Box {
        base::NodeId id{};
        base::Endpoint agent{};
        std::uint64_t boot{1};
        std::uint32_t seq{0};
        std::uint32_t rev{1};
        bool watched{false};
        bool told{true};  ///< the document is as the watchers know it
        bool heard{false};
    };

    void feed(const fleet::Event& event);
    void rearm();
    void act(const fleet::Effect& effect);
    void act(const fleet::Confirm& confirm);
    void beat(int node, std::uint64_t boot);
    void announce(int node);
    [[nodiscard]] fleet::NodeFacts facts(int node);
    [[nodiscard]] fleet::HostLoad load_of(int node);
    [[nodiscard]] std::vector<fleet::Gpu> gpus_of(int node);
    [[nodiscard]] fleet::Profile profile_of(const Request& request) const;
    [[nodiscard]] std::string digest_of(int model) const;
    [[nodiscard]] int node_of(const base::NodeId& id) const { return by_id_.at(id); }
    Box& box(int node) { return boxes_[static_cast<std::size_t>(node)]; }

    Host& host_;
    base::Rng rng_;
    fleet::Fleet fleet_;
    std::vector<Box> boxes_{};
    std::map<base::NodeId, int> by_id_{};
    std::unordered_map<fleet::Ticket, int> asked_{};   ///< request
    std::unordered_map<int, fleet::LeaseId> leases_{}; ///< by request
    fleet::Ticket last_ticket_{0};
    std::optional<base::Instant> armed_for_{};
    std::uint64_t alarm_{0};
    std::vector<std::string> keys_{}; ///< of the models
};

fleet::FleetOptions options_of(const Workload& workload)
{
    fleet::FleetOptions options;
    // Nobody is turned away here, as no baseline turns anybody away: a refusal would only flatter the figures.
    options.queue_per_model = workload.requests.size() + 1;
    options.queue_timeout = std::chrono::hours{48};
    return options;
}

HerdFleet::HerdFleet(Host& host)
    : host_(host), rng_(mix(host.seed(), 99)),
      fleet_(options_of(host.workload()), base::Rng{mix(host.seed(), 98)}, instant_of(host.now()))
{
    for (const auto& model : host.workload().models) {
        keys_.push_back(fleet::ModelName::parse(model.name).key);
    }
    for (int n = 0; n < host.nodes(); ++n) {
        Box box;
        box.id = base::NodeId::random(rng_);
        box.agent = {base::IpAddress::v4({10, 0, static_cast<std::uint8_t>(n / 250), static_cast<std::uint8_t>(n % 250 + 1)}),
                     11436};
        box.boot = 1000 + static_cast<std::uint64_t>(n);
        by_id_.emplace(box.id, n);
        boxes_.push_back(box);
        host.agenda().in(0.01 * n, [this, n, boot = box.boot] { beat(n, boot); });
    }
}

// ---- requests ---------------------------------------------------------------------------------------

fleet::Profile HerdFleet::profile_of(const Request& request) const
{
    const auto& model = host_.workload().models[static_cast<std::size_t>(request.model)];
    const double bytes_per_token = model.bytes_per_token * request.bytes_factor;
    fleet::Profile profile;
    profile.model = model.name;
    profile.model_key = keys_[static_cast<std::size_t>(request.model)];
    profile.num_ctx = request.num_ctx;
    profile.options_class = request.num_ctx ? mix(1, static_cast<std::uint64_t>(*request.num_ctx)) : 0;
    profile.prompt_bytes = static_cast<std::size_t>(std::llround(request.input * bytes_per_token));
    if (request.blocks) {
        auto chain = std::make_shared<std::vector<fleet::PromptBlock>>();
        chain->reserve(request.blocks->size());
        for (const auto& block : *request.blocks) {
            chain->push_back({block.chain, static_cast<std::uint32_t>(std::lround(block.tokens * bytes_per_token))});
        }
        profile.prompt = std::move(chain);
    }
    profile.output_tokens_max = request.output_max;
    profile.client = request.client;
    profile.tag = request.tag;
    return profile;
}

void HerdFleet::arrive(int request, const std::vector<int>& tried)
{
    auto profile = profile_of(host_.request(request));
    profile.attempt = static_cast<int>(tried.size());
    for (const int node : tried) {
        profile.exclude.push_back(box(node).id);
    }
    const auto ticket = ++last_ticket_;
    asked_.emplace(ticket, request);
    feed(fleet::AcquireWanted{ticket, std::move(profile)});
}

void HerdFleet::ended(int request, int /*node*/, const Ended& what)
{
    const auto at = leases_.find(request);
    const auto lease = at->second;
    leases_.erase(at);
    fleet::Outcome outcome;
    outcome.took = duration_of(what.total);
    switch (what.end) {
    case End::served:
        outcome.result = fleet::Result::served;
        outcome.status = 200;
        outcome.first_byte = duration_of(what.total - what.decode);
        outcome.timings.total = duration_of(what.total);
        outcome.timings.load = duration_of(what.load + 0.01);
        outcome.timings.prompt_eval = duration_of(what.prefill);
        outcome.timings.eval = duration_of(what.decode);
        outcome.timings.prompt_tokens = what.input; // cached ones included: a real Ollama counts so
        outcome.timings.output_tokens = what.output;
        break;
    case End::failed:
        outcome.result = fleet::Result::failed;
        outcome.status = 500;
        outcome.first_byte = duration_of(what.total);
        outcome.reason = "status 500";
        break;
    case End::broken:
        outcome.result = fleet::Result::broken;
        outcome.status = what.first_token_sent ? 200 : 0;
        outcome.first_byte = what.first_token_sent ? duration_of(what.total / 2) : base::Duration{};
        outcome.reason = "connection reset";
        break;
    case End::refused:
        outcome.result = fleet::Result::refused;
        outcome.reason = "connection refused";
        break;
    }
    feed(fleet::LeaseFinished{lease, std::move(outcome)});
}

// ---- the LAN ----------------------------------------------------------------------------------------

void HerdFleet::beat(int node, std::uint64_t boot)
{
    if (host_.finished() || !host_.node(node).alive() || box(node).boot != boot) {
        return;
    }
    announce(node);
    host_.agenda().in(beat_s * (0.95 + 0.05 * rng_.unit()), [this, node, boot] { beat(node, boot); });
}

void HerdFleet::announce(int node)
{
    auto& b = box(node);
    fleet::NodeSeen seen;
    seen.id = b.id;
    seen.source = {b.agent.address, 40'000};
    seen.boot_id = b.boot;
    seen.seq = ++b.seq;
    seen.state_rev = b.rev;
    seen.announced = fleet::AnnouncedState::ready;
    seen.interval = duration_of(beat_s);
    seen.api_port = b.agent.port;
    seen.agent_port = b.agent.port;
    seen.name = host_.node(node).spec().name;
    seen.host = load_of(node);
    seen.gpus = gpus_of(node);
    seen.doubt = !b.heard ? fleet::Doubt::new_id : b.seq == 1 ? fleet::Doubt::new_boot : fleet::Doubt::none;
    b.heard = true;
    feed(seen);
}

fleet::HostLoad HerdFleet::load_of(int node)
{
    const auto& spec = host_.node(node).spec();
    fleet::HostLoad load;
    load.cores = 16;
    // With a card the model lives in its memory; an Apple chip has only one memory, a plain box only RAM.
    const bool in_ram = spec.vendor != "nvidia";
    load.memory_total = static_cast<base::Bytes>(spec.memory_gib * gib);
    load.memory_available = static_cast<base::Bytes>(
        (in_ram ? std::max(0.0, spec.memory_gib - host_.node(node).memory_used_gib()) : spec.memory_gib * 0.8) * gib);
    return load;
}

std::vector<fleet::Gpu> HerdFleet::gpus_of(int node)
{
    const auto& spec = host_.node(node).spec();
    if (spec.gpu.empty()) {
        return {};
    }
    fleet::Gpu gpu;
    gpu.name = spec.gpu;
    gpu.vendor = spec.vendor;
    gpu.vram_total = static_cast<base::Bytes>(spec.memory_gib * gib);
    gpu.vram_free = static_cast<base::Bytes>(std::max(0.0, spec.memory_gib - host_.node(node).memory_used_gib()) * gib);
    return {gpu};
}

std::string HerdFleet::digest_of(int model) const
{
    auto out = std::to_string(mix(static_cast<std::uint64_t>(model), 4242));
    out.resize(64, 'a');
    return out;
}

fleet::NodeFacts HerdFleet::facts(int node)
{
    const auto& b = box(node);
    const auto& spec = host_.node(node).spec();
    fleet::NodeFacts out;
    out.name = spec.name;
    out.boot_id = b.boot;
    out.state_rev = b.rev;
    out.seq = b.seq;
    out.announced = fleet::AnnouncedState::ready;
    out.api_port = b.agent.port;
    out.agent_port = b.agent.port;
    out.gateway = true;
    out.slots = spec.slots;
    out.host = load_of(node);
    out.gpus = gpus_of(node);
    for (const int m : spec.on_disk) {
        const auto& model = host_.workload().models[static_cast<std::size_t>(m)];
        out.models.push_back({model.name, keys_[static_cast<std::size_t>(m)], digest_of(m),
                              static_cast<base::Bytes>(model.gib * gib), {}, {}});
    }
    for (const auto& resident : host_.node(node).residents()) {
        const auto m = static_cast<std::size_t>(resident.model);
        fleet::LoadedModel row;
        row.name = host_.workload().models[m].name;
        row.key = keys_[m];
        row.digest = digest_of(resident.model);
        row.size = static_cast<base::Bytes>(resident.gib * gib);
        row.size_vram = spec.gpu.empty() ? 0 : row.size;
        row.context_length = resident.context;
        row.slots = spec.slots;
        out.loaded.push_back(std::move(row));
    }
    return out;
}

/// The agent looks each second; what it finds is in its document, and its watchers are told.
void HerdFleet::memory_changed(int node)
{
    auto& b = box(node);
    if (!b.told) {
        return;
    }
    b.told = false;
    host_.agenda().in(agent_look_s * rng_.unit(), [this, node, boot = b.boot] {
        auto& changed = box(node);
        changed.told = true;
        if (!host_.node(node).alive() || changed.boot != boot) {
            return;
        }
        ++changed.rev;
        if (changed.watched) {
            feed(fleet::NodeChanged{changed.id});
        }
        announce(node);
    });
}

/// Killed: its kernel closes the canary connection. Started: a new boot announces itself.
void HerdFleet::node_changed(int node)
{
    auto& b = box(node);
    if (host_.node(node).alive()) {
        ++b.boot;
        b.seq = 0;
        ++b.rev;
        b.told = true;
        host_.agenda().in(0.5, [this, node, boot = b.boot] { beat(node, boot); });
        return;
    }
    if (std::exchange(b.watched, false)) {
        host_.agenda().in(latency_s, [this, id = b.id, boot = b.boot] { feed(fleet::CanaryLost{id, boot}); });
    }
}

// ---- the app's part ---------------------------------------------------------------------------------

void HerdFleet::feed(const fleet::Event& event)
{
    fleet::Effects effects;
    const auto now = instant_of(host_.now());
    fleet_.apply(event, now, base::WallTime{std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch())},
                 effects);
    rearm();
    for (const auto& effect : effects) {
        act(effect);
    }
}

void HerdFleet::rearm()
{
    const auto next = fleet_.next_deadline();
    if (next == armed_for_) {
        return;
    }
    armed_for_ = next;
    const auto alarm = ++alarm_;
    if (next && !host_.finished()) {
        host_.agenda().at(seconds_of(*next), [this, alarm] {
            if (alarm == alarm_) {
                armed_for_.reset();
                feed(fleet::Tick{});
            }
        });
    }
}

void HerdFleet::act(const fleet::Effect& effect)
{
    if (const auto* granted = std::get_if<fleet::Granted>(&effect)) {
        const auto asked = asked_.extract(granted->ticket);
        leases_[asked.mapped()] = granted->lease.id;
        host_.send(asked.mapped(), node_of(granted->lease.node));
    } else if (const auto* refused = std::get_if<fleet::Refused>(&effect)) {
        const auto asked = asked_.extract(refused->ticket);
        host_.refuse(asked.mapped(), refused->refusal.error.message());
    } else if (const auto* confirm = std::get_if<fleet::Confirm>(&effect)) {
        act(*confirm);
    } else if (const auto* probe = std::get_if<fleet::Probe>(&effect)) {
        host_.agenda().in(2 * latency_s, [this, id = probe->id, asked = probe->ask != nullptr] {
            const bool alive = host_.node(node_of(id)).alive();
            feed(fleet::ProbeDone{id, alive, base::Errc::refused, duration_of(2 * latency_s), asked, {}});
            if (alive) {
                announce(node_of(id));
            }
        });
    } else if (const auto* watch = std::get_if<fleet::Watch>(&effect)) {
        auto& b = box(node_of(watch->id));
        if (host_.node(node_of(watch->id)).alive()) {
            b.watched = true;
        } else {
            host_.agenda().in(latency_s, [this, id = b.id, boot = watch->boot_id] { feed(fleet::CanaryLost{id, boot}); });
        }
    } else if (const auto* unwatch = std::get_if<fleet::Unwatch>(&effect)) {
        box(node_of(unwatch->id)).watched = false;
    }
    // Snapshots, saving, logging and idle connections are nobody's concern here.
}

void HerdFleet::act(const fleet::Confirm& confirm)
{
    host_.agenda().in(base::seconds(confirm.delay) + 2 * latency_s, [this, confirm] {
        const int node = node_of(confirm.id);
        if (!host_.node(node).alive()) {
            feed(fleet::NodeConfirmFailed{confirm.id, confirm.agent, base::Errc::refused, {}});
            return;
        }
        auto document = facts(node);
        const bool same = confirm.state_rev != 0 && document.boot_id == confirm.boot_id
            && document.state_rev == confirm.state_rev;
        feed(fleet::NodeConfirmed{confirm.id, confirm.agent, same ? fleet::NodeFacts{} : std::move(document),
                                  duration_of(2 * latency_s), same});
    });
}

} // namespace

PolicyPtr herd_fleet(Host& host) { return std::make_unique<HerdFleet>(host); }

} // namespace herd::replay
