#include "discovery/beacon.hpp"

#include "base/assert.hpp"
#include "base/log.hpp"
#include "discovery/internal/sockets.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"

#include <algorithm>

namespace herd::discovery {

using namespace std::chrono_literals;

namespace {

constexpr base::Duration resolve_again = 30s;
constexpr base::Duration resolve_retry = 5s;
constexpr base::Duration resolve_timeout = 4s;
constexpr base::Duration leave_step = 10ms;
constexpr base::Duration leave_limit = 1s;
constexpr std::size_t addresses_per_name = 4;
constexpr std::uint16_t default_api_port = 11435;

void log_warnings(const DiscoverySockets& sockets)
{
    for (const std::string& warning : sockets.warnings) {
        log::warn("discovery", "degraded", {{"why", warning}});
    }
}

void add_once(std::vector<base::Endpoint>& list, const base::Endpoint& endpoint)
{
    if (endpoint.port != 0 && std::ranges::find(list, endpoint) == list.end()) {
        list.push_back(endpoint);
    }
}

/// The PORT of --herd may be the herd's HTTP port or its discovery port: both are tried for both.
ConfiguredHerd configured(const base::HostPort& herd, const std::vector<base::IpAddress>& addresses,
                          std::uint16_t discovery_port)
{
    ConfiguredHerd result;
    result.name = herd.port == 0 ? herd.host : herd.host + ':' + std::to_string(herd.port);
    for (const base::IpAddress& address : addresses) {
        add_once(result.udp, {address, herd.port});
        add_once(result.udp, {address, discovery_port != 0 ? discovery_port : default_discovery_port});
        if (herd.port != discovery_port) {
            add_once(result.http, {address, herd.port});
        }
        add_once(result.http, {address, default_api_port});
    }
    return result;
}

} // namespace

// ------------------------------------------------------------------------------------------------- node

struct NodeBeacon::Impl {
    Impl(net::Loop& owner, net::Network& net, DiscoverySockets bound, Announcer core, std::vector<base::HostPort> herds,
         NodeBeaconHandlers called)
        : loop(owner), network(net), discovery_port(bound.port), announcer(std::move(core)), named(std::move(herds)),
          handlers(std::move(called)), timer(owner), resolve_timer(owner), tasks(owner, "discovery.node")
    {
        log_warnings(bound);
        sockets = std::make_unique<internal::Sockets>(
            owner, std::move(bound),
            internal::SocketHandlers{
                [this](const Arrival& arrival, ByteView bytes) { perform(announcer.on_datagram(loop.now(), arrival, bytes)); },
                [this](const base::Endpoint& at) { perform(announcer.unreachable(loop.now(), at)); },
                [this](bool) {
                    if (handlers.link_changed) {
                        handlers.link_changed();
                    }
                    perform(announcer.link_changed(loop.now()));
                },
                [this] { perform(announcer.resumed(loop.now())); }});
    }

    void perform(const NodeActions& actions)
    {
        for (const NodeAction& action : actions) {
            if (const auto* send = std::get_if<Send>(&action)) {
                sockets->send(*send);
            } else if (const auto* post = std::get_if<HttpAnnounce>(&action)) {
                if (handlers.http_announce) {
                    handlers.http_announce(*post);
                }
            } else if (const auto* notice = std::get_if<Notice>(&action); notice != nullptr && handlers.notice) {
                handlers.notice(*notice);
            }
        }
        arm();
    }

    void arm()
    {
        const auto next = announcer.next_deadline();
        if (!next || closed) {
            timer.cancel();
            return;
        }
        timer.call_at(*next, [this] { perform(announcer.on_timer(loop.now())); });
    }

    /// Names are looked up for ever: DNS may come late, and addresses move.
    net::Task<void> resolve_herds()
    {
        while (!closed) {
            const auto wanted = named; // may change while we ask
            std::vector<ConfiguredHerd> known;
            bool all = true;
            for (std::size_t i = 0; i < wanted.size() && !closed; ++i) {
                auto addresses = co_await network.resolve(wanted[i].host, loop.now() + resolve_timeout);
                if (!addresses) {
                    all = false;
                    if (!complained) {
                        complained = true;
                        log::warn("discovery", "herd_unresolved",
                                  {{"herd", wanted[i].host}, {"why", addresses.error().message()}, {"hint", "tried again every 5 s"}});
                    }
                    // Where it was it may still be: a resolver that fails makes nobody unknown.
                    std::ranges::copy_if(resolved, std::back_inserter(known), [&](const ConfiguredHerd& before) {
                        return before.name == configured(wanted[i], {}, discovery_port).name;
                    });
                    continue;
                }
                addresses->resize(std::min(addresses->size(), addresses_per_name));
                known.push_back(configured(wanted[i], *addresses, discovery_port));
            }
            if (closed) {
                break;
            }
            if (wanted != named) {
                continue;
            }
            resolved = known;
            perform(announcer.set_configured_herds(loop.now(), std::move(known)));
            if (wanted.empty()) {
                break;
            }
            (void)co_await resolve_timer.wait_for(all ? resolve_again : resolve_retry);
        }
        resolving = false;
    }

    void resolve_if_named()
    {
        if (!named.empty() && started && !closed && !resolving) {
            resolving = true;
            tasks.spawn("discovery.resolve", resolve_herds());
        }
    }

    net::Loop& loop;
    net::Network& network;
    std::uint16_t discovery_port;
    Announcer announcer;
    std::vector<base::HostPort> named;
    NodeBeaconHandlers handlers;
    net::Timer timer;
    net::Timer resolve_timer;
    net::TaskGroup tasks;
    std::unique_ptr<internal::Sockets> sockets{};
    std::vector<ConfiguredHerd> resolved{}; ///< of `named`, as far as they were ever found
    bool complained{false};
    bool started{false};
    bool resolving{false}; ///< resolve_herds() runs
    bool closed{false};
};

NodeBeacon::NodeBeacon(net::Loop& loop, net::Network& network, DiscoverySockets sockets, Announcer announcer,
                       std::vector<base::HostPort> herds, NodeBeaconHandlers handlers)
    : impl_(std::make_unique<Impl>(loop, network, std::move(sockets), std::move(announcer), std::move(herds),
                                   std::move(handlers)))
{
}

NodeBeacon::~NodeBeacon() = default;

void NodeBeacon::start()
{
    impl_->sockets->start();
    impl_->perform(impl_->announcer.start(impl_->loop.now()));
    impl_->started = true;
    impl_->resolve_if_named();
}

void NodeBeacon::set_facts(Facts facts)
{
    impl_->perform(impl_->announcer.set_facts(impl_->loop.now(), std::move(facts)));
}

void NodeBeacon::herd_asked(const base::Uuid& id, const base::IpAddress& peer, const base::Endpoint& udp)
{
    impl_->perform(impl_->announcer.herd_asked(impl_->loop.now(), id, peer, udp));
}

void NodeBeacon::http_announced(const std::string& herd, const base::Uuid& id, std::uint16_t flags)
{
    impl_->perform(impl_->announcer.http_announced(impl_->loop.now(), herd, id, flags));
}

void NodeBeacon::set_authenticator(Authenticator authenticator)
{
    impl_->announcer.set_authenticator(std::move(authenticator));
}

void NodeBeacon::set_herds(std::vector<base::HostPort> herds)
{
    if (impl_->named == herds) {
        return;
    }
    impl_->named = std::move(herds);
    impl_->complained = false;
    impl_->resolve_timer.cancel(); // look now; a look in progress begins again when it sees the change
    impl_->resolve_if_named();
}

net::Task<void> NodeBeacon::leave(LeaveReason reason)
{
    impl_->perform(impl_->announcer.leave(impl_->loop.now(), reason));
    const auto limit = impl_->loop.now() + leave_limit;
    while (!impl_->announcer.left() && !impl_->closed && impl_->loop.now() < limit) {
        if (!co_await net::sleep_for(impl_->loop, leave_step)) {
            break;
        }
    }
}

net::Task<void> NodeBeacon::stop()
{
    impl_->closed = true;
    impl_->sockets->close();
    impl_->timer.cancel();
    impl_->resolve_timer.cancel();
    impl_->tasks.cancel();
    co_await impl_->tasks.join();
}

const Announcer& NodeBeacon::announcer() const { return impl_->announcer; }

// ------------------------------------------------------------------------------------------------- herd

struct HerdBeacon::Impl {
    Impl(net::Loop& owner, DiscoverySockets bound, HerdSide core, HerdBeaconHandlers called)
        : loop(owner), herd(std::move(core)), handlers(std::move(called)), timer(owner)
    {
        log_warnings(bound);
        sockets = std::make_unique<internal::Sockets>(
            owner, std::move(bound),
            internal::SocketHandlers{
                [this](const Arrival& arrival, ByteView bytes) { take(herd.on_datagram(loop.now(), arrival, bytes)); },
                [this](const base::Endpoint& at) {
                    if (handlers.unreachable) {
                        handlers.unreachable(at);
                    }
                },
                [this](bool lost) {
                    perform(herd.link_changed(loop.now()));
                    if (handlers.link_changed) {
                        handlers.link_changed(lost);
                    }
                },
                [this] {
                    perform(herd.resumed(loop.now()));
                    if (handlers.resumed) {
                        handlers.resumed();
                    }
                }});
    }

    void take(Heard heard)
    {
        perform(heard.sends);
        if (heard.sighting && handlers.sighting) {
            handlers.sighting(std::move(*heard.sighting));
        }
        if (heard.ollana_server && handlers.ollana_server) {
            handlers.ollana_server(*heard.ollana_server);
        }
    }

    void perform(const std::vector<Send>& sends)
    {
        for (const Send& send : sends) {
            sockets->send(send);
        }
        arm();
    }

    void arm()
    {
        const auto next = herd.next_deadline();
        if (!next || closed) {
            timer.cancel();
        } else if (armed_for != *next) {
            armed_for = *next;
            timer.call_at(*next, [this] {
                armed_for = {};
                perform(herd.on_timer(loop.now()));
            });
        }
    }

    net::Loop& loop;
    HerdSide herd;
    HerdBeaconHandlers handlers;
    net::Timer timer;
    std::unique_ptr<internal::Sockets> sockets{};
    base::Instant armed_for{};
    bool closed{false};
};

HerdBeacon::HerdBeacon(net::Loop& loop, DiscoverySockets sockets, HerdSide herd, HerdBeaconHandlers handlers)
    : impl_(std::make_unique<Impl>(loop, std::move(sockets), std::move(herd), std::move(handlers)))
{
}

HerdBeacon::~HerdBeacon() = default;

void HerdBeacon::start()
{
    impl_->sockets->start();
    impl_->perform(impl_->herd.start(impl_->loop.now()));
}

void HerdBeacon::solicit(const base::Endpoint& node) { impl_->perform(impl_->herd.solicit(impl_->loop.now(), node)); }

HerdSide& HerdBeacon::herd() { return impl_->herd; }

Arrival HerdBeacon::arrival_of(const base::Endpoint& peer) const { return impl_->sockets->describe_peer(peer); }

std::vector<std::string> HerdBeacon::blocked_interfaces() const
{
    std::vector<std::string> list;
    for (const auto& [name, why] : impl_->sockets->blocked()) {
        list.push_back(name + ": " + why);
    }
    return list;
}

void HerdBeacon::stop()
{
    if (!impl_->closed) {
        impl_->perform(impl_->herd.stop(impl_->loop.now()));
        impl_->closed = true;
        impl_->timer.cancel();
        impl_->sockets->close();
    }
}

} // namespace herd::discovery
