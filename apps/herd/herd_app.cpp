#include "herd/herd_app.hpp"

#include "base/log.hpp"
#include "herd/configured_nodes.hpp"
#include "herd/on_loop.hpp"
#include "herd/translate.hpp"

#include <algorithm>

namespace herd::app {

namespace {
constexpr base::Duration lateness_interval = std::chrono::milliseconds{500};
constexpr base::Duration lateness_alarm = std::chrono::milliseconds{250};
constexpr base::Duration last_words = std::chrono::milliseconds{300}; // what "now" leaves for telling clients
} // namespace

HerdApp::HerdApp(ServeOptions serve, HerdSockets sockets, discovery::Authenticator authenticator,
                 Installation installation, Reload reload, std::shared_ptr<const net::TlsContext> tls)
    : options_(std::move(serve.options)), shown_(std::move(serve.effective_json)), installation_(installation),
      tls_(std::move(tls)), reload_(std::move(reload)), rng_(base::random_seed())
{
    for (std::size_t i = 0; i < sockets.listen.size(); ++i) {
        loops_.push_back(std::make_unique<net::Loop>());
    }
    net::Loop& loop = main_loop();
    network_ = net::make_network(loop);
    tasks_ = std::make_unique<net::TaskGroup>(loop, "herd");
    lateness_timer_ = std::make_unique<net::Timer>(loop);
    fleet_ = std::make_unique<FleetOwner>(loop, fleet_options(options_), base::Rng(rng_.next()));
    fleet_->on_effect([this](const fleet::Effect& effect) { carry_out(effect); });
    proofs_ = std::make_unique<discovery::ProofBook>(installation_.id, authenticator, [this](const fleet::NodeId& node, std::shared_ptr<const std::string> proof) {
        // Later: the announcement that brought it may be the one that makes the node known.
        main_loop().post([this, node, proof = std::move(proof)] { fleet_->apply(fleet::ProofMade{node, proof}); });
    });
    build_policy(std::move(serve.managed));
    build_ledger();
    build_health();
    build_keys();
    build_relays(sockets);
    build_discovery(sockets, authenticator);
    build_bench();
}

HerdApp::~HerdApp() = default;

void HerdApp::build_keys()
{
    auto publish = [this](net::Loop& asker, keys::Published published) { return publish_access(asker, std::move(published)); };
    keys_ = std::make_unique<keys::KeyKeeper>(main_loop(), options_.state_dir + "/keys.db", key_rules(options_), std::move(publish));
    devices_ = std::make_unique<devices::DeviceKeeper>(main_loop(), *keys_, options_.state_dir + "/devices.json", device_options(options_));
}

/// Returns when every relay loop goes by it.
net::Task<void> HerdApp::publish_access(net::Loop& asker, keys::Published published)
{
    for (const auto& relay : relays_) {
        auto give = [&unit = *relay, published] {
            unit.set_access(published);
            return true;
        };
        (void)co_await on_loop(asker, relay->loop(), std::move(give));
    }
}

void HerdApp::build_relays(HerdSockets& sockets)
{
    controls_->version = version();
    controls_->started_at = main_loop().now();
    controls_->counts = [this] {
        return admin::Counts{requests_total_.load(), requests_failed_.load(), shared_->exchanges.load()};
    };
    controls_->stop = [this] { main_loop().post([this] { request_stop(); }); };
    controls_->config = [this](net::Loop& asker) { return config_from(asker); };
    controls_->add_node = [this](net::Loop& asker, StaticNode node) { return add_node_from(asker, std::move(node)); };
    controls_->make_node = [this](net::Loop& asker, ConfiguredNode settings) { return make_node_from(asker, std::move(settings)); };
    controls_->named_node = [this](net::Loop& asker, std::string name) { return named_node_from(asker, std::move(name)); };
    controls_->remove_node = [this](net::Loop& asker, fleet::NodeId id, std::string if_match) {
        return remove_node_from(asker, id, std::move(if_match));
    };
    controls_->reload = [this](net::Loop& asker) { return reload_from(asker); };
    controls_->announce = [this](net::Loop& asker, admin::Twin twin) { return announce_from(asker, std::move(twin)); };
    http::PoolOptions pool;
    pool.idle_per_endpoint = options_.limits.idle_connections_per_node;
    pool.connect_timeout = options_.proxy.connect_timeout;
    http::ServerOptions server = server_options(options_);
    server.tls = tls_;
    server.tls_only = options_.tls.only;
    server.connections = std::make_shared<std::atomic<std::size_t>>(0);
    for (std::size_t i = 0; i < loops_.size(); ++i) {
        RelayParts parts{.fleet = fleet_.get(),
                         .index = static_cast<std::uint16_t>(i),
                         .server = server,
                         .pool = pool,
                         .proxy = policy_->proxy(),
                         .shared = shared_,
                         .controls = controls_,
                         .rng = base::Rng(rng_.next()),
                         .sink = [this](proxy::ExchangeRecord&& r) { record(std::move(r)); },
                         .ledger = ledger_.get(),
                         .own_answers = &own_answers_,
                         .in_flight = [this](net::Loop& asker) { return in_flight_from(asker); },
                         .scene = [this](net::Loop& asker) { return scene_from(asker); },
                         .keys = keys_.get(),
                         .devices = devices_.get(),
                         .knocked = [this](std::string id, base::IpAddress from) {
                             main_loop().dispatch([this, id = std::move(id), from] { devices_->knocked(id, from); });
                         },
                         .gate = gate_rules(options_)};
        relays_.push_back(std::make_unique<RelayUnit>(*loops_[i], std::move(parts)));
    }
    std::vector<net::Loop*> loops;
    for (const auto& relay : relays_) {
        loops.push_back(&relay->loop());
    }
    shared_->unrequire = [this](const std::string& key) { main_loop().dispatch([this, key] { sync_->drop(key); }); };
    shared_->bring = [this](proxy::WantedModel wanted, std::weak_ptr<proxy::PullWait> waiting) {
        main_loop().dispatch([this, wanted = std::move(wanted), waiting = std::move(waiting)]() mutable { sync_->bring(std::move(wanted), std::move(waiting)); });
    };
    ledger_->listens_to(std::move(loops));
    unserved_ = std::move(sockets.listen);
}

void HerdApp::build_discovery(HerdSockets& sockets, const discovery::Authenticator& authenticator)
{
    net::Loop& loop = main_loop();
    listening_ = sockets.local;
    ScoutHooks hooks;
    std::uint16_t udp_port = 0; // where nodes reach us by unicast
    if (sockets.discovery) {
        const std::uint16_t own_port = sockets.discovery->own_udp_port;
        udp_port = own_port != 0 ? own_port : sockets.discovery->port;
        discovery::HerdSideOptions side;
        side.id = installation_.id;
        side.boot_id = installation_.boot_id;
        side.cluster = discovery::cluster_of(options_.cluster);
        side.authenticator = authenticator;
        side.api_port = sockets.local.empty() ? std::uint16_t{0} : sockets.local.front().port;
        side.udp_port = own_port;
        side.allow_nat = options_.discovery.allow_nat;
        side.nodes_limit = options_.limits.nodes;
        side.listens = sockets.discovery->listens;
        ollana_port_ = side.listens && sockets.discovery->port == discovery::ollana_udp_port;
        discovery::HerdBeaconHandlers handlers;
        handlers.sighting = [this](const discovery::Sighting& sighting) { heard(sighting); };
        handlers.resumed = [this] { fleet_->apply(fleet::EarsImpaired{"resumed from suspend"}); };
        handlers.ollana_server = [this](const base::IpAddress& address) {
            if (!stopping_) {
                devices_->server_heard(address);
            }
        };
        handlers.link_changed = [this](bool lost) {
            if (lost) {
                fleet_->apply(fleet::EarsImpaired{"an interface lost its link"});
            }
        };
        beacon_ = std::make_unique<discovery::HerdBeacon>(loop, std::move(*sockets.discovery),
                                                          discovery::HerdSide(std::move(side), base::Rng(rng_.next())),
                                                          std::move(handlers));
        hooks.solicit = [this](const base::Endpoint& udp) { beacon_->solicit(udp); };
        hooks.confirmed = [this](const discovery::NodeDocument& document, const base::IpAddress& from, bool authenticated) {
            beacon_->herd().confirmed(main_loop().now(), document.sender_id, document.boot_id, document.seq, from, authenticated);
        };
        hooks.unreachable = [this](const fleet::NodeId& id, bool unreachable) {
            beacon_->herd().set_ack_flag(id, discovery::ack_flag::api_unreachable, unreachable);
        };
    }
    discovery::InquiryOptions inquiry;
    inquiry.herd_id = installation_.id;
    inquiry.udp_port = udp_port;
    scout_ = std::make_unique<Scout>(loop, *network_, *fleet_, inquiry, *proofs_, std::move(hooks),
                                     surroundings_of(sockets.local));
    sync_ = std::make_unique<sync::Keeper>(loop, *network_, *fleet_, shared_->pulls, base::Rng(rng_.next()));
    pins_ = std::make_unique<pins::Keeper>(loop, *network_, *fleet_, base::Rng(rng_.next()));
    rates_ = std::make_unique<RatesKeeper>(loop, *fleet_, options_.state_dir + "/rates.json");
    pool_ = std::make_unique<PoolKeeper>(loop, *fleet_, *scout_, options_.state_dir + "/fleet.json");
}

base::Result<void> HerdApp::start()
{
    if (auto known = keys_->load(); !known) { // never as if there were none
        return known;
    }
    devices_->load(); // before the loops are told who may come
    for (const auto& relay : relays_) {
        relay->set_access(keys_->current()); // their loops do not run yet
    }
    keys_->watch_use();
    ledger_->start();
    health_->start();
    for (std::size_t i = 0; i < relays_.size(); ++i) {
        for (net::BoundSocket& socket : unserved_[i]) {
            if (auto served = relays_[i]->listen(std::move(socket)); !served) {
                return served;
            }
        }
    }
    unserved_.clear();
    if (const std::size_t known = pool_->restore(beacon_ != nullptr); beacon_) {
        beacon_->herd().set_pool_size(static_cast<std::uint32_t>(known));
    }
    auto nodes = configured_nodes(options_, scout_->surroundings());
    if (!nodes) {
        return std::unexpected(nodes.error());
    }
    scout_->replace_configured(std::move(*nodes));
    pool_->recall();
    use_ollana_servers();
    rates_->restore();
    bench_->load();
    sync_->require(requirements(options_, policy_->in_force()));
    want_pins();
    if (beacon_) {
        tell_openness();
        apply_ollana(options_);
        beacon_->start();
    }
    watch_lateness();
    return {};
}

/// The one line of join mode `open`.
void HerdApp::tell_openness() const
{
    if (beacon_ && options_.discovery.join == JoinMode::open) {
        log::warn("discovery", "fleet_open",
                  {{"what", "anyone on this LAN can join and will see prompts"},
                   {"remedy", "make a fleet key and switch to keyed mode with `herd fleet-key new`"}});
    }
}

void HerdApp::run()
{
    for (std::size_t i = 1; i < loops_.size(); ++i) {
        threads_.emplace_back([loop = loops_[i].get()] { loop->run(); });
    }
    main_loop().run();
    for (std::size_t i = 1; i < loops_.size(); ++i) {
        loops_[i]->stop();
    }
    for (std::thread& thread : threads_) { // tidy: allow(banned-call) one thread per relay loop, joined below
        thread.join();
    }
    threads_.clear();
    ledger_->stop(); // writes down what is left
}

void HerdApp::carry_out(const fleet::Effect& effect)
{
    if (const auto* flipped = std::get_if<fleet::StateFlipped>(&effect)) {
        const bool bad = flipped->to == fleet::NodeState::suspect || flipped->to == fleet::NodeState::offline
            || flipped->to == fleet::NodeState::unreachable;
        log::write(bad ? log::Level::warn : log::Level::info, "fleet", "node_flipped",
                   {{"node", flipped->name},
                    {"id", flipped->id.text()},
                    {"from", fleet::to_string(flipped->from)},
                    {"to", fleet::to_string(flipped->to)},
                    {"why", flipped->reason}});
    } else if (const auto* drop = std::get_if<fleet::DropConnections>(&effect)) {
        for (const auto& relay : relays_) {
            relay->loop().dispatch([&unit = *relay, gone = *drop] { unit.drop_connections(gone.endpoint, gone.host_lost); });
        }
    } else if (const auto* approval = std::get_if<fleet::ApprovalWanted>(&effect)) {
        if (beacon_) {
            beacon_->herd().set_ack_flag(approval->id, discovery::ack_flag::not_approved, approval->wanted);
        }
        log::info("fleet", approval->wanted ? "node_waits_for_approval" : "node_waits_no_more",
                  {{"node", approval->name}, {"id", approval->id.text()}, {"at", approval->agent.text()}});
    } else if (const auto* twin = std::get_if<fleet::DuplicateId>(&effect)) {
        if (beacon_) {
            beacon_->herd().set_duplicate(twin->id, twin->boot_id);
        }
        log::write(twin->boot_id != 0 ? log::Level::warn : log::Level::info, "fleet",
                   twin->boot_id != 0 ? "duplicate_id" : "duplicate_id_gone",
                   {{"node", twin->name}, {"id", twin->id.text()}, {"kept", twin->kept.text()}, {"younger", twin->younger.text()}});
    } else if (std::holds_alternative<fleet::SavePool>(effect)) {
        pool_->save_soon();
    } else if (const auto* confirm = std::get_if<fleet::Confirm>(&effect)) {
        scout_->carry_out(*confirm);
    } else if (const auto* probe = std::get_if<fleet::Probe>(&effect)) {
        scout_->carry_out(*probe);
    } else if (const auto* watch = std::get_if<fleet::Watch>(&effect)) {
        scout_->carry_out(*watch);
    } else if (const auto* unwatch = std::get_if<fleet::Unwatch>(&effect)) {
        scout_->carry_out(*unwatch);
    } else if (const auto* poll = std::get_if<fleet::PollStatic>(&effect)) {
        scout_->carry_out(*poll);
    }
}

void HerdApp::heard(const discovery::Sighting& sighting)
{
    if (!stopping_) {
        if (sighting.authenticated && sighting.announce() != nullptr) {
            proofs_->heard(main_loop().now(), sighting.id(), {sighting.header.boot_id, sighting.header.seq}); // before anybody asks it
        }
        fleet_->apply(event_of(sighting));
        health_->heard(sighting, clock_.wall());
    }
}

void HerdApp::watch_lateness()
{
    lateness_timer_->call_after(lateness_interval, [this] {
        if (const base::Duration late = main_loop().take_lateness(); late > lateness_alarm) {
            health_->late(late);
            fleet_->apply(fleet::EarsImpaired{"this herd was busy"});
        }
        watch_lateness();
    });
}

base::Result<admin::TwinAnswer> HerdApp::take_announcement(const admin::Twin& twin)
{
    if (!beacon_) {
        return base::fail(base::Errc::forbidden, "discovery is switched off on this herd");
    }
    auto document = discovery::parse_node_document(twin.body);
    if (!document) {
        return std::unexpected(document.error());
    }
    discovery::HerdSide& side = beacon_->herd();
    const auto nonce = discovery::parse_nonce(twin.nonce);
    const bool authenticated = nonce && side.authenticator().http_check(*nonce, twin.body, twin.mac);
    auto sighting = side.on_http_announce(main_loop().now(), beacon_->arrival_of(twin.peer), discovery::header_of(*document),
                                          discovery::facts_of(*document).announce, authenticated);
    if (!sighting) {
        return base::fail(base::Errc::forbidden, "announcement not taken: " + std::string{discovery::to_string(sighting.error())});
    }
    heard(*sighting);
    discovery::AnnounceAnswer answer;
    answer.herd = installation_.id;
    answer.boot_id = installation_.boot_id;
    answer.wanted_interval_ms = side.wanted_interval_ms();
    answer.flags = side.ack_flags(sighting->id(), sighting->header.boot_id);
    admin::TwinAnswer said{.body = discovery::to_json(answer)};
    said.mac = nonce ? side.authenticator().http_mac(*nonce, said.body) : std::string{};
    return said;
}

net::Task<base::Result<admin::TwinAnswer>> HerdApp::announce_from(net::Loop& asker, admin::Twin twin)
{
    auto work = [this, twin = std::move(twin)] { return take_announcement(twin); };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

net::Task<std::string> HerdApp::config_from(net::Loop& asker)
{
    auto work = [this] { return shown_; };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

void HerdApp::request_stop()
{
    if (stopping_) {
        stop_now();
        return;
    }
    stopping_ = true;
    ledger_->end_events(); // or their viewers would hold up the end
    log::info("app", "stopping", {{"grace_s", base::milliseconds(options_.proxy.shutdown_grace) / 1000}});
    tasks_->spawn("shut_down", shut_down());
}

void HerdApp::stop_now()
{
    stopping_ = true;
    if (std::exchange(hurried_, true)) {
        leave();
        return;
    }
    for (const auto& relay : relays_) {
        relay->loop().dispatch([&unit = *relay] { unit.cut_short(); });
    }
    lateness_timer_->call_after(last_words, [this] { leave(); }); // being late is of no interest any more
}

/// Whoever is in the middle of something stays there.
void HerdApp::leave()
{
    stopped_now_ = true;
    save_last();
    main_loop().stop();
}

void HerdApp::save_last()
{
    pool_->save_last();
    rates_->save_last();
    keys_->save_last();
}

net::Task<void> HerdApp::shut_down()
{
    net::Loop& loop = main_loop();
    co_await bench_->stop(); // or it would go on asking those that are to end
    if (beacon_) {
        beacon_->stop();
        const base::Instant expected = beacon_->herd().ollana().expected_until();
        if (expected > loop.now()) { // an Ollana client on its way
            (void)co_await net::sleep_for(loop, expected - loop.now());
        }
    }
    const base::Instant deadline = loop.now() + options_.proxy.shutdown_grace;
    // Each relay drains on its own loop; the last one to finish ends the wait.
    const auto left = std::make_shared<std::size_t>(relays_.size());
    const auto drained = std::make_shared<net::Event>(loop);
    for (const auto& relay : relays_) {
        relay->loop().dispatch([&loop, &unit = *relay, deadline, left, drained] {
            unit.drain(deadline, [&loop, left, drained] {
                loop.dispatch([left, drained] {
                    if (--*left == 0) {
                        drained->notify();
                    }
                });
            });
        });
    }
    co_await drained->wait();
    co_await health_->stop(loop);
    co_await sync_->stop();
    co_await devices_->stop();
    co_await pins_->stop();
    co_await scout_->stop();
    fleet_->stop();
    lateness_timer_->cancel();
    save_last();
    loop.stop();
}

} // namespace herd::app
