#include "sim/fleet/world.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"

#include <cstdlib>
#include <iostream>
#include <stdexcept>

namespace herd::test {

using namespace std::chrono_literals;
using namespace herd::fleet;

base::Endpoint Box::api() const
{
    return {agent.address, is_static || gateway ? agent.port : std::uint16_t{11434}};
}

World::World(std::uint64_t seed, FleetOptions options)
    : options_(options), rng_(seed)
{
    options_.settle_time = std::min<base::Duration>(options_.settle_time, 1500ms); // scenes are built within it
    fleet_ = std::make_unique<Fleet>(options_, base::Rng{seed + 1}, now_);
}

base::WallTime World::wall() const
{
    return base::WallTime{std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch())};
}

// ---- the LAN ----------------------------------------------------------------------------------------

Box& World::add_box(const std::string& name, std::vector<std::string> models, int slots)
{
    auto box = std::make_unique<Box>();
    const unsigned n = ++last_address_;
    box->id = base::NodeId::random(rng_);
    box->name = name;
    box->agent = {base::IpAddress::v4({10, static_cast<std::uint8_t>(n >> 16U), static_cast<std::uint8_t>(n >> 8U),
                                       static_cast<std::uint8_t>(n)}),
                  11436};
    box->boot_id = 1000 + n;
    box->models = std::move(models);
    box->slots = slots;
    auto& out = *box;
    boxes_.emplace(out.id, std::move(box));
    return out;
}

Box& World::add_static(const std::string& name, std::vector<std::string> models)
{
    auto& box = add_box(name, std::move(models));
    box.is_static = true;
    box.agent.port = 11434;
    configure(box);
    return box;
}

void World::configure(const Box& box)
{
    feed(StaticAdded{box.id, box.name, "http://" + box.agent.text(), Address{.endpoint = box.agent, .host_header = box.agent.text()},
                     box.labels, box.slots});
}

void World::start(Box& box)
{
    box.running = true;
    const auto id = box.id;
    const auto boot = box.boot_id;
    const auto first = 1us * static_cast<std::int64_t>(rng_.between(0, 20'000));
    for (const auto offset : {0ms, 100ms, 300ms, 700ms}) {
        at(first + offset, [this, id, boot] {
            auto& b = this->box(id);
            if (b.running && b.boot_id == boot) {
                send_announcement(b);
            }
        });
    }
    at(first + 900ms, [this, id, boot] { beat(id, boot); });
}

void World::beat(base::NodeId id, std::uint64_t boot_id)
{
    auto& b = box(id);
    if (!b.running || b.boot_id != boot_id) {
        return;
    }
    send_announcement(b);
    const auto less = static_cast<std::int64_t>(rng_.between(0, static_cast<std::uint64_t>(b.interval.count() / 4)));
    at(b.interval - Duration{less}, [this, id, boot_id] { beat(id, boot_id); });
}

void World::send_announcement(Box& box)
{
    ++box.seq;
    deliver(box, box.seq);
}

void World::deliver(Box& box, std::uint32_t seq)
{
    const int copies = duplicates > 0 && rng_.chance(duplicates) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
        if (!box.cabled || !box.udp || box.frozen || lost()) {
            continue;
        }
        auto seen = datagram(box);
        seen.seq = seq;
        const auto extra = jitter.count() == 0 ? 0 : rng_.between(0, static_cast<std::uint64_t>(jitter.count()));
        at(latency + Duration{static_cast<std::int64_t>(extra)}, [this, seen] { arrive(seen); });
    }
}

NodeSeen World::datagram(const Box& box) const
{
    NodeSeen seen;
    seen.id = box.id;
    seen.source = {box.agent.address, 40'000};
    seen.boot_id = box.boot_id;
    seen.seq = box.seq;
    seen.state_rev = box.state_rev;
    seen.announced = box.announced;
    seen.interval = box.interval;
    seen.api_port = box.api().port;
    seen.agent_port = box.agent.port;
    seen.name = box.name;
    HostLoad host;
    host.cores = 8;
    host.memory_total = host.memory_available = box.memory;
    seen.host = host;
    return seen;
}

/// The listener: order, and what must be doubted.
void World::arrive(NodeSeen seen)
{
    const auto known = heard_.find(seen.id);
    if (known == heard_.end()) {
        seen.doubt = Doubt::new_id;
    } else if (known->second.boot_id != seen.boot_id) {
        seen.doubt = Doubt::new_boot;
    } else if (static_cast<std::int32_t>(seen.seq - known->second.seq) <= 0) {
        return; // seen already, or late
    } else if (known->second.address != seen.source.address) {
        seen.doubt = Doubt::address_change;
    } else {
        known->second.seq = seen.seq;
    }
    feed(seen);
}

NodeFacts World::facts(const Box& box) const
{
    NodeFacts facts;
    facts.name = box.name;
    facts.boot_id = box.boot_id;
    facts.state_rev = box.state_rev;
    facts.seq = box.seq;
    facts.announced = box.announced;
    facts.api_port = box.api().port;
    facts.agent_port = box.agent.port;
    facts.gateway = box.gateway;
    facts.authenticated = box.keyed;
    facts.labels = box.labels;
    facts.slots = box.slots;
    facts.host.cores = 8;
    facts.host.memory_total = facts.host.memory_available = box.memory;
    for (const auto& name : box.models) {
        const auto row = box.rows.find(name);
        facts.models.push_back({name, ModelName::parse(name).key, "d", 1, {}, row == box.rows.end() ? std::string{} : row->second});
    }
    for (const auto& name : box.loaded) {
        facts.loaded.push_back({name, ModelName::parse(name).key, "d", 1, 1, 4096, {}, {}, box.counts ? facts.loaded.size() + 1 : 0, {}});
    }
    return facts;
}

void World::stop(Box& box)
{
    announce_state(box, AnnouncedState::draining);
    for (const auto in : {200ms, 250ms, 350ms}) {
        if (box.cabled && box.udp && !lost()) {
            at(in, [this, id = box.id, boot = box.boot_id] { feed(NodeLeft{id, boot, "shutdown"}); });
        }
    }
    at(200ms, [this, id = box.id, boot = box.boot_id] {
        if (auto& b = this->box(id); b.boot_id == boot) {
            kill(b);
        }
    });
}

void World::kill(Box& box)
{
    box.running = false;
    const auto watched = watched_.find(box.id);
    if (watched != watched_.end() && box.cabled) {
        const auto boot = watched->second;
        watched_.erase(watched);
        at(latency, [this, id = box.id, boot, life = life_] {
            if (life == life_) {
                feed(CanaryLost{id, boot});
            }
        });
    }
}

void World::restart(Box& box)
{
    kill(box);
    ++box.boot_id;
    box.seq = 0;
    box.announced = AnnouncedState::ready;
    start(box);
}

void World::announce_state(Box& box, AnnouncedState state)
{
    box.announced = state;
    ++box.state_rev;
    send_announcement(box);
    at(100ms, [this, id = box.id, boot = box.boot_id] {
        auto& b = this->box(id);
        if (b.running && b.boot_id == boot) {
            send_announcement(b);
        }
    });
}

void World::document_changed(Box& box)
{
    ++box.state_rev;
    if (box.cabled && watched_.contains(box.id)) {
        at(latency, [this, id = box.id] { feed(NodeChanged{id}); });
    }
    send_announcement(box);
}

std::vector<Box*> World::boxes()
{
    std::vector<Box*> out;
    for (auto& [id, box] : boxes_) {
        out.push_back(box.get());
    }
    return out;
}

void World::restart_herd(bool with_saved_pool)
{
    PoolRestored pool{fleet_->saved_pool(), fleet_->approved()};
    ++life_;
    heard_.clear();
    watched_.clear();
    fleet_ = std::make_unique<Fleet>(options_, base::Rng{rng_.next()}, now_);
    for (const auto ticket : asked_) {
        answers_.try_emplace(ticket); // the clients of the old process see a broken connection
    }
    if (with_saved_pool) {
        feed(pool);
    }
    for (const auto* box : boxes()) {
        if (box->is_static) {
            configure(*box);
        }
    }
    // BEACON with SOLICIT, four times in the first second; answered within a window.
    for (const auto in : {0ms, 100ms, 300ms, 700ms}) {
        for (const auto* one : boxes()) {
            const auto id = one->id;
            const auto window = std::min<std::uint64_t>(500'000, 20'000 + 200 * boxes_.size());
            const auto wait = 1us * static_cast<std::int64_t>(rng_.between(0, window));
            at(in + wait, [this, id] {
                auto& b = this->box(id);
                const bool greeted = heard_.contains(id); // known-answer suppression
                if (b.running && b.cabled && !b.is_static && !greeted && !lost()) {
                    send_announcement(b);
                }
            });
        }
    }
}

// ---- clients ----------------------------------------------------------------------------------------

Profile World::profile_of(const std::string& model, const std::string& client)
{
    Profile profile;
    profile.model = model;
    profile.model_key = ModelName::parse(model).key;
    profile.client = client;
    return profile;
}

Ticket World::ask(Profile profile)
{
    const auto ticket = ++last_ticket_;
    asked_.insert(ticket);
    feed(AcquireWanted{ticket, std::move(profile)});
    return ticket;
}

Ticket World::ask(const std::string& model, const std::string& client) { return ask(profile_of(model, client)); }

void World::finish(LeaseId lease, Result result)
{
    Outcome outcome;
    outcome.result = result;
    outcome.took = 1s;
    feed(LeaseFinished{lease, outcome});
}

const Answer* World::answer(Ticket ticket) const
{
    const auto at = answers_.find(ticket);
    return at == answers_.end() ? nullptr : &at->second;
}

const Lease& World::lease(Ticket ticket) const
{
    const auto* found = answer(ticket);
    if (found == nullptr || !found->lease) {
        throw std::runtime_error("ticket without a lease: "
                                 + (found == nullptr ? std::string("waits") : found->refusal->error.message()));
    }
    return *found->lease;
}

std::string World::where(const std::string& model)
{
    const auto ticket = ask(model);
    const auto* found = answer(ticket);
    if (found == nullptr) {
        cancel(ticket);
        return "waits";
    }
    if (!found->lease) {
        return std::string(base::to_string(found->refusal->error.code));
    }
    const auto name = found->lease->node_name;
    finish(found->lease->id, Result::cancelled);
    return name;
}

// ---- time -------------------------------------------------------------------------------------------

void World::at(Duration in, std::function<void()> action) { agenda_.emplace(now_ + in, std::move(action)); }

void World::run_for(Duration duration)
{
    const auto end = now_ + duration;
    (void)run_until([] { return false; }, duration);
    now_ = end;
}

bool World::run_until(const std::function<bool()>& done, Duration limit)
{
    const auto end = now_ + limit;
    while (!done()) {
        const auto deadline = fleet_->next_deadline();
        const auto action = agenda_.empty() ? Instant::max() : agenda_.begin()->first;
        const auto next = std::min(action, deadline.value_or(Instant::max()));
        if (next > end) {
            now_ = end;
            return done();
        }
        now_ = std::max(now_, next);
        if (deadline && *deadline <= now_) {
            feed(Tick{});
        } else {
            const auto what = std::move(agenda_.begin()->second);
            agenda_.erase(agenda_.begin());
            what();
        }
    }
    return true;
}

void World::feed(const Event& event)
{
    Effects effects;
    fleet_->apply(event, now_, wall(), effects);
    ++steps;
    if (std::getenv("HERD_TRACE") != nullptr) {
        trace(event, effects);
    }
    if (check_every > 0 && steps % static_cast<std::size_t>(check_every) == 0) {
        check(event);
    }
    for (const auto& effect : effects) {
        act(effect);
    }
}

/// One line per event, for whoever replays a seed.
void World::trace(const Event& event, const Effects& effects) const
{
    std::cerr << steps << " " << base::milliseconds(now_.time_since_epoch()) << " ms: event " << event.index();
    std::visit(
        [](const auto& e) {
            if constexpr (requires { e.id; }) {
                std::cerr << " " << e.id.text().substr(0, 4);
            }
            if constexpr (requires { e.announced; }) {
                std::cerr << " boot " << e.boot_id << " seq " << e.seq << " state " << static_cast<int>(e.announced)
                          << " doubt " << static_cast<int>(e.doubt) << " from " << e.source.text();
            }
            if constexpr (requires { e.agent; }) {
                std::cerr << " agent " << e.agent.text();
            }
        },
        event);
    for (const auto& effect : effects) {
        std::cerr << " | effect " << effect.index();
        if (const auto* flip = std::get_if<StateFlipped>(&effect)) {
            std::cerr << " -> " << to_string(flip->to) << " (" << flip->reason << ")";
        }
    }
    std::cerr << "\n";
}

void World::check(const Event& event)
{
    if (const auto wrong = fleet_->check(now_); !wrong.empty()) {
        throw std::runtime_error("broken promise after step " + std::to_string(steps) + ", event " + std::to_string(event.index()) + ": "
                                 + wrong);
    }
}

NodeState World::state(const Box& box)
{
    const auto picture = snapshot();
    const auto* view = picture->find(box.id);
    return view == nullptr ? NodeState::offline : view->state;
}

std::string World::reason(const Box& box)
{
    const auto picture = snapshot();
    const auto* view = picture->find(box.id);
    return view == nullptr ? "not known" : view->state_reason;
}

std::size_t World::online() { return snapshot()->routable().size(); }

// ---- the app's part ---------------------------------------------------------------------------------

Box* World::box_at(const base::Endpoint& endpoint, bool api)
{
    Box* found = nullptr; // of several that had the address one after the other, whoever is there
    for (auto& [id, box] : boxes_) {
        if ((api ? box->api() : box->agent) == endpoint && (found == nullptr || box->running)) {
            found = box.get();
        }
    }
    return found;
}

/// Nothing when it connected, else why not. A lost SYN is a timeout: its repetition comes after a second.
std::optional<base::Errc> World::connect(const Box* box, bool api)
{
    if (box == nullptr || !box->cabled || lost() || lost()) {
        return base::Errc::timed_out;
    }
    const bool listens = api && (box->is_static || !box->gateway) ? box->ollama : box->running;
    return listens ? std::nullopt : std::optional{base::Errc::refused};
}

void World::act(const Effect& effect)
{
    if (const auto* confirm = std::get_if<Confirm>(&effect)) {
        act_confirm(*confirm);
    } else if (const auto* approval = std::get_if<ApprovalWanted>(&effect)) {
        approvals.push_back(*approval);
    } else if (const auto* twin = std::get_if<DuplicateId>(&effect)) {
        twins.push_back(*twin);
    } else if (const auto* probe = std::get_if<Probe>(&effect)) {
        act_probe(*probe);
    } else if (const auto* poll = std::get_if<PollStatic>(&effect)) {
        act_poll(*poll);
    } else if (const auto* watch = std::get_if<Watch>(&effect)) {
        act_watch(*watch);
    } else if (const auto* unwatch = std::get_if<Unwatch>(&effect)) {
        watched_.erase(unwatch->id);
    } else if (const auto* drop = std::get_if<DropConnections>(&effect)) {
        dropped.push_back(drop->endpoint);
        if (drop->host_lost) {
            lost_hosts.emplace_back(now_, drop->endpoint);
        }
    } else if (const auto* flip = std::get_if<StateFlipped>(&effect)) {
        ++flips[flip->to];
        flip_log.emplace_back(now_, *flip);
    } else if (const auto* granted = std::get_if<Granted>(&effect)) {
        if (!answers_.try_emplace(granted->ticket, Answer{granted->lease, {}, now_}).second) {
            throw std::runtime_error("a ticket was answered twice");
        }
        if (on_answer) {
            on_answer(granted->ticket, Answer{granted->lease, {}, now_});
        }
    } else if (const auto* refused = std::get_if<Refused>(&effect)) {
        if (!answers_.try_emplace(refused->ticket, Answer{{}, refused->refusal, now_}).second) {
            throw std::runtime_error("a ticket was answered twice");
        }
        if (on_answer) {
            on_answer(refused->ticket, Answer{{}, refused->refusal, now_});
        }
    }
}

void World::act_confirm(const Confirm& confirm)
{
    ++confirms;
    at(confirm.delay + latency, [this, confirm, life = life_] {
        if (life != life_) {
            return;
        }
        const auto* box = box_at(confirm.agent, false);
        const auto failed = box != nullptr && (box->id != confirm.id || box->stranger) ? std::optional{base::Errc::conflict}
            : box != nullptr && box->frozen                                                  ? std::optional{base::Errc::timed_out}
                                                                                             : connect(box, false);
        if (!failed && !box->member) {
            at(latency, [this, confirm, life] {
                if (life == life_) {
                    feed(NodeConfirmFailed{confirm.id, confirm.agent, base::Errc::forbidden, "no member"});
                }
            });
            return;
        }
        if (failed) {
            const auto wait = *failed == base::Errc::timed_out ? 300ms : 1ms;
            at(wait, [this, confirm, why = *failed, life] {
                if (life == life_) {
                    feed(NodeConfirmFailed{confirm.id, confirm.agent, why, {}});
                }
            });
            return;
        }
        auto facts = this->facts(*box);
        const bool same = confirm.boot_id != 0 && facts.boot_id == confirm.boot_id
            && facts.state_rev == confirm.state_rev;
        at(latency, [this, confirm, facts, same, life] {
            if (life == life_) {
                auto& heard = heard_[confirm.id];
                heard = {facts.boot_id, std::max(facts.seq, heard.boot_id == facts.boot_id ? heard.seq : 0U),
                         confirm.agent.address};
                feed(NodeConfirmed{confirm.id, confirm.agent, same ? NodeFacts{} : facts, 2 * latency, same});
            }
        });
    });
}

void World::act_probe(const Probe& probe)
{
    ++probes;
    if (probe.udp.port != 0) {
        for (int i = 0; i < 5; ++i) {
            at(80ms * i + latency, [this, probe] {
                const auto found = boxes_.find(probe.id);
                if (found == boxes_.end()) {
                    return; // an invented id
                }
                auto& b = *found->second;
                if (b.running && b.cabled && b.udp && b.agent.address == probe.udp.address && !lost()) {
                    send_announcement(b);
                }
            });
        }
    }
    at(latency, [this, probe, life = life_] {
        const auto* there = box_at(probe.tcp, true);
        auto failed = connect(there, true);
        if (!failed && probe.ask && !there->speaks_ollama) {
            failed = base::Errc::malformed;
        }
        const auto wait = failed == base::Errc::timed_out ? 300ms : 1ms;
        at(wait, [this, probe, failed, life] {
            if (life == life_) {
                feed(ProbeDone{probe.id, !failed, failed.value_or(base::Errc::refused), 2 * latency, probe.ask != nullptr,
                               failed == base::Errc::malformed ? "what answers is no Ollama" : ""});
            }
        });
    });
}

void World::act_poll(const PollStatic& poll)
{
    at(latency, [this, poll, life = life_] {
        auto& b = box(poll.id);
        const auto failed = connect(&b, true);
        const auto wait = failed == base::Errc::timed_out ? 300ms : 1ms;
        StaticPolled done{poll.id, {}, Address{.endpoint = b.agent, .host_header = b.agent.text(), .manner = b.manner}, 2 * latency,
                          failed.value_or(base::Errc::refused), {}};
        if (!failed) {
            done.facts = facts(b);
            if (!poll.full) {
                done.facts->models.clear();
                done.facts->loaded.clear();
            }
        }
        at(wait, [this, done, life] {
            if (life == life_) {
                feed(done);
            }
        });
    });
}

void World::act_watch(const Watch& watch)
{
    const auto* box = box_at(watch.agent, false);
    if (connect(box, false)) {
        at(300ms, [this, watch, life = life_] {
            if (life == life_) {
                feed(CanaryLost{watch.id, watch.boot_id});
            }
        });
        return;
    }
    watched_[watch.id] = watch.boot_id;
}

std::uint64_t number_or(const char* variable, std::uint64_t otherwise)
{
    const char* text = std::getenv(variable);
    return text == nullptr ? otherwise : base::parse_unsigned(text).value_or(otherwise);
}

} // namespace herd::test
