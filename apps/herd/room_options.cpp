// One table of settings, many rooms: what each of them needs to know.
#include "herd/herd_app.hpp"
#include "proxy/model_rules.hpp"

#include <algorithm>
#include <thread>

namespace herd::app {

std::size_t relay_loops(const HerdOptions& options)
{
    const std::size_t wanted = options.threads != 0 ? options.threads : std::thread::hardware_concurrency();
    return std::clamp<std::size_t>(wanted, 1, 64);
}

fleet::FleetOptions fleet_options(const HerdOptions& options)
{
    fleet::FleetOptions fleet;
    fleet.nodes_max = options.limits.nodes;
    fleet.queue_per_model = options.scheduler.queue_per_model;
    fleet.queue_timeout = options.scheduler.queue_timeout;
    fleet.hold_timeout = options.scheduler.hold_timeout;
    fleet.settle_time = options.scheduler.settle_time;
    fleet.patience = options.scheduler.patience;
    fleet.retry_budget = options.scheduler.retry_budget;
    fleet.retry_budget_min = static_cast<int>(options.scheduler.retry_budget_min);
    fleet.wait_margin = options.scheduler.wait_margin;
    fleet.load_margin = options.scheduler.load_margin;
    fleet.discovery = options.discovery.enabled;
    fleet.approval = options.discovery.join == JoinMode::approve;
    fleet.keyed = !options.discovery.fleet_key_file.empty() || !options.discovery.fleet_key.empty();
    fleet.ids_per_source = options.discovery.join == JoinMode::key ? 0 : fleet.ids_per_source;
    return fleet;
}

std::shared_ptr<const proxy::ProxyOptions> proxy_options(const HerdOptions& options, const base::Uuid& id)
{
    proxy::ProxyOptions proxy;
    proxy.own_id = id.text();
    proxy.max_body = options.proxy.max_body;
    proxy.replay_body = options.proxy.replay_body;
    proxy.replay_total = options.proxy.replay_total;
    proxy.retries = static_cast<int>(options.scheduler.retries);
    proxy.static_connect_timeout = std::max(proxy.static_connect_timeout, options.proxy.connect_timeout);
    proxy.first_byte_timeout = options.proxy.first_byte_timeout;
    proxy.idle_timeout = options.proxy.idle_timeout;
    proxy.queue_timeout = options.scheduler.queue_timeout;
    proxy.num_ctx_buckets = options.scheduler.num_ctx_buckets;
    proxy.total_timeout = options.proxy.total_timeout;
    proxy.compat = options.compat;
    proxy.trusted_proxies = options.access.trusted_proxies;
    proxy.session_headers = options.session_headers;
    proxy.early_head = options.proxy.early_head;
    proxy.cors_origins = options.cors_origins;
    proxy.hosts = options.cors_hosts;
    proxy.loopback_only = std::ranges::all_of(options.listen, [](const base::Endpoint& at) { return at.address.is_loopback(); });
    proxy.exchanges_max = options.proxy.max_in_flight;
    if (auto aliases = proxy::Aliases::compile(options.aliases)) { // checked when they were read
        proxy.aliases = std::move(*aliases);
    }
    if (auto models = proxy::ModelRules::compile(options.models.rules)) { // the same
        proxy.models = std::move(*models);
    }
    if (options.models.auto_pull) {
        proxy.auto_pull = {options.models.auto_pull_allow, options.models.auto_pull_timeout};
    }
    return std::make_shared<const proxy::ProxyOptions>(std::move(proxy));
}

keys::KeyRules key_rules(const HerdOptions& options)
{
    return {.require_key = options.access.require_key,
            .client_in_flight = options.limits.client_in_flight,
            .exchanges_max = options.proxy.max_in_flight};
}

devices::DeviceOptions device_options(const HerdOptions& options) 
{
    return {.clients = options.ollana.clients, .servers = {options.ollana.servers, options.ollana.server_slots}};
}

std::shared_ptr<const admin::GateRules> gate_rules(const HerdOptions& options)
{
    return std::make_shared<const admin::GateRules>(
        admin::GateRules{.admin_anywhere = options.access.admin_from == AdminFrom::anywhere, .hosts = options.cors_hosts, .ollamaflow = options.ollamaflow_admin});
}

http::ServerOptions server_options(const HerdOptions& options)
{
    http::ServerOptions server;
    server.parser.head_bytes = static_cast<std::uint32_t>(options.limits.request_head); // 1 MiB at most
    server.head_timeout = options.proxy.client_header_timeout;
    server.keep_alive_timeout = options.proxy.keep_alive_timeout;
    server.body_idle_timeout = options.proxy.client_body_timeout;
    server.write_idle_timeout = options.proxy.client_write_timeout;
    server.connections_max = options.proxy.max_connections;
    return server;
}

std::vector<sync::Requirement> requirements(const HerdOptions& options, const std::vector<ConfiguredFrontend>& frontends)
{
    std::vector<sync::Requirement> all;
    for (const RequiredModel& each : options.required) {
        all.push_back({.model = each.model, .replicas = each.replicas, .nodes = each.nodes, .labels = each.labels});
    }
    for (const ConfiguredFrontend& frontend : frontends) {
        const auto config = frontend.config();
        if (config.nodes && config.nodes->empty()) { // it has none
            continue;
        }
        auto labels = config.node_labels;
        labels.insert(labels.end(), config.labels_required.begin(), config.labels_required.end()); // else nobody may use it there
        for (const std::string& model : frontend.required_models) {
            all.push_back({.model = model, .nodes = config.nodes.value_or(std::vector<std::string>{}), .labels = labels, .frontend = config.id});
        }
    }
    return all;
}

base::Result<HerdSockets> bind_herd(const HerdOptions& options, std::size_t loops)
{
    HerdSockets sockets;
    sockets.listen.resize(loops);
    for (const base::Endpoint& at : options.listen) {
        auto bound = net::bind_tcp(at, static_cast<int>(loops));
        if (!bound) {
            const bool taken = bound.error().code == base::Errc::in_use;
            return base::fail(bound.error().code,
                              "cannot listen on " + at.text() + ": "
                                  + (taken ? "the port is taken; is another herd (or Ollana) running? Choose another with --listen"
                                           : bound.error().cause.message()));
        }
        sockets.local.push_back(bound->front().local);
        for (std::size_t i = 0; i < loops; ++i) {
            sockets.listen[i].push_back(std::move((*bound)[i]));
        }
    }
    if (options.discovery.enabled) {
        discovery::SocketOptions wanted;
        wanted.role = discovery::Role::herd;
        wanted.port = options.discovery.port;
        wanted.interfaces = options.discovery.interfaces;
        wanted.excluded = options.discovery.exclude_interfaces;
        auto bound = discovery::bind_sockets(wanted);
        if (!bound) {
            return std::unexpected(bound.error());
        }
        sockets.discovery = std::move(*bound);
    }
    return sockets;
}

} // namespace herd::app
