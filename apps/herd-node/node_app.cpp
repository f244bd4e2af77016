#include "herd-node/node_app.hpp"

#include "herd-node/node_app_impl.hpp"

#include "base/log.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <unistd.h>

namespace herd::node {

namespace {

constexpr base::Duration last_words = std::chrono::seconds{1}; // for connections after the grace

std::string full_host_name()
{
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0' ? "node" : name.data();
}

std::string host_name()
{
    const std::string full = full_host_name();
    return full.substr(0, full.find('.'));
}

std::vector<net::Interface> interfaces_now()
{
    return net::list_interfaces().value_or(std::vector<net::Interface>{});
}

/// Addresses at which a connection would end at one of our own listeners.
std::vector<base::Endpoint> own_listeners(const std::vector<base::Endpoint>& listening)
{
    std::vector<base::Endpoint> own;
    const auto interfaces = interfaces_now();
    for (const auto& at : listening) {
        own.push_back(at);
        if (!at.address.is_unspecified()) {
            continue;
        }
        own.push_back({base::IpAddress::loopback(), at.port});
        own.push_back({base::IpAddress::parse("::1").value_or(base::IpAddress{}), at.port});
        for (const auto& interface : interfaces) {
            for (const auto& entry : interface.addresses) {
                own.push_back({entry.address, at.port});
            }
        }
    }
    return own;
}

/// When only this machine reaches us, a web page on a rebound name must not (Ollama would see our Host, not its).
proxy::HostPolicy host_policy(const std::vector<base::Endpoint>& listening)
{
    const bool loopback_only =
        std::ranges::all_of(listening, [](const base::Endpoint& at) { return at.address.is_loopback(); });
    return loopback_only ? proxy::HostPolicy(host_name(), {full_host_name()}) : proxy::HostPolicy{};
}

discovery::NodeDocument constant_part(const NodeOptions& options, const NodeIdentity& identity,
                                      std::uint16_t port)
{
    discovery::NodeDocument document;
    document.sender_id = identity.id;
    document.boot_id = identity.boot_id;
    document.ephemeral_id = identity.ephemeral;
    document.cluster = discovery::cluster_of(options.cluster);
    document.name = options.name.empty() ? host_name() : options.name;
    document.agent_version = "herd-node " HERD_VERSION;
    document.labels = options.labels;
    document.gateway = options.gateway;
    const bool forwarded = options.advertise && options.advertise->port != 0;
    document.agent_port = forwarded ? options.advertise->port : port;
    document.api_port = options.gateway ? document.agent_port : options.ollama.port;
    return document;
}

http::ServerOptions server_options(const NodeOptions::Gateway& relay, std::shared_ptr<const net::TlsContext> tls)
{
    http::ServerOptions options;
    options.tls = std::move(tls);
    options.head_timeout = relay.client_header_timeout;
    options.body_idle_timeout = relay.client_body_timeout;
    options.keep_alive_timeout = relay.keep_alive_timeout;
    options.connections_max = relay.max_connections;
    return options;
}

/// What the server itself says to a request it could not read.
http::ResponseHead error_body(int status, std::string_view reason, std::string_view /*target*/,
                              std::string& body)
{
    body = "{\"error\":\"" + std::string(reason) + "\"}";
    return answer_head(status, "application/json; charset=utf-8");
}

/// Without a gateway nobody could ask its tools.
GatewayOptions gateway_options(const NodeOptions& options, const NodeIdentity& identity)
{
    GatewayOptions made{.own_id = identity.id.text(), .body_bytes_max = options.relay.max_body};
    if (options.gateway) {
        const char* path = std::getenv("PATH"); // NOLINT(concurrency-mt-unsafe): nobody sets it
        made.media = options.media;
        made.path = path == nullptr ? "" : path;
    }
    return made;
}

RunnerWatchOptions with_own(RunnerWatchOptions options, std::function<int()> own)
{
    options.own = std::move(own);
    return options;
}

} // namespace

base::Result<NodeSockets> bind_node(const NodeOptions& options)
{
    NodeSockets sockets;
    for (const auto& at : options.listen) {
        auto bound = net::bind_tcp(at, 1);
        if (!bound) {
            return std::unexpected(bound.error());
        }
        std::ranges::move(*bound, std::back_inserter(sockets.http));
    }
    discovery::SocketOptions discovery;
    discovery.role = discovery::Role::node;
    // Port 0: announce to the herds that were named, and to nobody else.
    discovery.port = options.discovery.enabled ? options.discovery.port : std::uint16_t{0};
    discovery.listen = options.discovery.enabled && options.discovery.listen;
    discovery.interfaces = options.discovery.interfaces;
    discovery.excluded = options.discovery.exclude_interfaces;
    auto bound = discovery::bind_sockets(discovery);
    if (!bound) {
        return std::unexpected(bound.error());
    }
    sockets.discovery = std::move(*bound);
    return sockets;
}

std::vector<base::Endpoint> NodeApp::Impl::locals(const std::vector<net::BoundSocket>& bound)
{
    std::vector<base::Endpoint> found;
    for (const auto& socket : bound) {
        found.push_back(socket.local);
    }
    return found;
}

BackendOptions NodeApp::Impl::backend_options(BackendOptions given, const NodeOptions& options,
                                              const std::vector<base::Endpoint>& listening)
{
    given.url = options.ollama;
    given.own = own_listeners(listening);
    return given;
}

AgentOptions NodeApp::Impl::agent_options(const NodeSeams& seams) const
{
    AgentOptions made;
    made.constant =
        constant_part(options, identity, listening.empty() ? std::uint16_t{0} : listening.front().port);
    made.constant.addresses = addresses();
    made.constant.keys = authenticator.key_ids();
    if (seams.tls && options.gateway) {
        made.constant.tls_pin = seams.tls->fingerprint();
    }
    made.slots = options.slots > 0 ? std::optional{static_cast<int>(options.slots)} : std::nullopt;
    made.root = seams.root;
    made.nvml = seams.nvml;
    return made;
}

NodeApp::Impl::Impl(net::Loop& loop_in, net::Network& network_in, NodeOptions options_in,
                    NodeIdentity identity_in, discovery::Authenticator authenticator_in,
                    NodeSockets sockets_in, NodeSeams seams)
    : loop(loop_in),
      network(network_in),
      options(std::move(options_in)),
      identity(identity_in),
      authenticator(std::move(authenticator_in)),
      sockets(std::move(sockets_in.http)),
      listening(locals(sockets)),
      hosts(host_policy(listening)),
      own_names(host_name(), {full_host_name()}),
      address_rules{options.discovery.interfaces, options.discovery.exclude_interfaces,
                    sockets_in.discovery && sockets_in.discovery->loopback_only},
      root(seams.root),
      first_look(seams.first_look),
      duplicate_id(std::move(seams.on_duplicate_id)),
      pool(loop, network, {}),
      backend(loop, network, pool, backend_options(seams.backend, options, listening),
              [this] { on_backend(); }),
      runners(loop, pool, with_own(seams.runners, [this] { return gateway.traffic().working; }),
              [this] { agent.refresh(); }),
      gateway(loop, network, pool, backend, gateway_options(options, identity)),
      agent(loop, agent_options(seams),
            {[this]() -> const BackendView& { return backend.view(); },
             [this]() -> const RunnerView& { return runners.view(); }, [this] { return gateway.traffic(); },
             [this] { return addresses(); }, [this]() -> const std::vector<discovery::ModelFacts>& { return gateway.media().rows(); }},
            [this](bool material) { on_agent(material); }),
      api(loop, {.keep_alive = seams.watch_keep_alive},
          {[this]() -> const discovery::NodeDocument& { return agent.document(); },
           [this] { return beacon ? beacon->announcer().seq() : 0U; },
           [this]() -> const discovery::Authenticator& { return authenticator; },
           [this] { return beacon ? beacon->announcer().herds() : std::vector<discovery::KnownHerd>{}; },
           [this](const base::Uuid& id, const base::IpAddress& peer, const base::Endpoint& udp) {
               if (announcing) {
                   beacon->herd_asked(id, peer, udp);
               }
           }}),
      gate(identity.id, identity.boot_id),
      proof_timer(loop),
      server(
          loop, server_options(options.relay, seams.tls), [this](http::ServerExchange& e) { return handle(e); },
          error_body),
      backend_known(loop),
      launch_timer(loop),
      tasks(loop, "node_app")
{
    if (!sockets_in.discovery) {
        return;
    }
    static const base::SystemClock clock;
    discovery::AnnouncerOptions announcer;
    announcer.id = identity.id;
    announcer.ephemeral_id = identity.ephemeral;
    announcer.boot_id = identity.boot_id;
    announcer.cluster = agent.document().cluster;
    announcer.authenticator = authenticator;
    announcer.clock = &clock;
    beacon = std::make_unique<discovery::NodeBeacon>(
        loop, network, std::move(*sockets_in.discovery),
        discovery::Announcer(std::move(announcer), discovery::facts_of(agent.document()),
                             base::Rng(base::random_seed())),
        options.herds,
        discovery::NodeBeaconHandlers{
            [this](const discovery::HttpAnnounce& request) { on_http_announce(request); },
            [this](const discovery::Notice& notice) { on_notice(notice); }, [this] { agent.addresses_changed(); }});
}

std::vector<discovery::Subnet> NodeApp::Impl::addresses() const
{
    if (options.advertise) {
        if (const auto numeric = base::IpAddress::parse(options.advertise->host)) {
            return {{*numeric, static_cast<std::uint8_t>(numeric->is_v4() ? 32 : 128)}};
        }
    }
    return announced_addresses(interfaces_now(), address_rules);
}

void NodeApp::Impl::on_backend()
{
    const auto& view = backend.view();
    const bool local = view.endpoint
        && (view.endpoint->address.is_loopback() || is_own_address(interfaces_now(), view.endpoint->address));
    if (!options.gateway && local && view.state == BackendState::up && !std::exchange(warned_loopback, true)
        && loopback_only(options.ollama.port, root)) {
        log::warn(
            "backend", "ollama_hidden",
            {{"advice",
              "Ollama listens on 127.0.0.1 alone: start it with OLLAMA_HOST=0.0.0.0, or use the gateway"}});
    }
    runners.loaded(view.state == BackendState::up && local ? view.endpoint : std::nullopt, view.loaded);
    agent.refresh();
    backend_known.notify();
    start_announcing();
}

void NodeApp::Impl::on_agent(bool material)
{
    if (announcing) {
        beacon->set_facts(discovery::facts_of(agent.document()));
    }
    if (material) {
        api.changed();
    }
}

/// A backend that must not be used is never announced; one that comes to its senses is.
void NodeApp::Impl::start_announcing()
{
    if (!launched || announcing || stopping || !beacon || backend.view().state == BackendState::refused) {
        return;
    }
    announcing = true;
    beacon->set_facts(discovery::facts_of(agent.document()));
    beacon->start();
}

net::Task<void> NodeApp::Impl::launch()
{
    launch_timer.call_after(first_look, [this] { backend_known.notify(); });
    co_await backend_known.wait();
    launch_timer.cancel();
    launched = true;
    start_announcing();
}

NodeApp::NodeApp(net::Loop& loop, net::Network& network, NodeOptions options, NodeIdentity identity,
                 discovery::Authenticator authenticator, NodeSockets sockets, NodeSeams seams)
    : impl_(std::make_unique<Impl>(loop, network, std::move(options), identity, std::move(authenticator),
                                   std::move(sockets), std::move(seams)))
{
}

NodeApp::~NodeApp() = default;

base::Result<void> NodeApp::start()
{
    auto& app = *impl_;
    for (auto& socket : app.sockets) {
        auto listener = app.network.listen(std::move(socket));
        if (!listener) {
            return std::unexpected(listener.error());
        }
        app.server.serve(std::move(*listener));
    }
    app.sockets.clear();
    app.runners.start();
    app.backend.start();
    app.agent.start();
    app.gateway.media().start([&app] { app.agent.refresh(); });
    app.mark_proofs();
    app.tasks.spawn("launch", app.launch());
    return {};
}

net::Task<void> NodeApp::stop(base::Duration grace)
{
    auto& app = *impl_;
    app.agent.drain();
    co_await app.drain_gateway(grace);
    app.gateway.media().stop();
    app.stopping = true;
    if (app.announcing) {
        co_await app.beacon->leave(discovery::LeaveReason::shutdown);
    }
    app.api.stop();
    app.agent.stop();
    app.launch_timer.cancel();
    app.proof_timer.cancel();
    app.backend_known.notify();
    co_await app.server.drain(app.loop.now() + (app.hurry ? base::Duration{} : last_words));
    co_await app.backend.stop();
    co_await app.runners.stop();
    app.tasks.cancel();
    co_await app.tasks.join();
    if (app.beacon) {
        co_await app.beacon->stop();
    }
}

void NodeApp::hurry() { impl_->hurry = true; }

void NodeApp::set_authenticator(discovery::Authenticator authenticator)
{
    impl_->set_keys(std::move(authenticator));
}

void NodeApp::set_herds(std::vector<base::HostPort> herds)
{
    if (impl_->beacon) {
        impl_->beacon->set_herds(std::move(herds));
    }
}

const std::vector<base::Endpoint>& NodeApp::listening() const { return impl_->listening; }
const discovery::NodeDocument& NodeApp::document() const { return impl_->agent.document(); }
const BackendView& NodeApp::backend() const { return impl_->backend.view(); }

} // namespace herd::node
