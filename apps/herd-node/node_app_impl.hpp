#pragma once
// What a running agent consists of. Internal to the program: node_app.cpp assembles it, starts and stops it;
// node_app_announce.cpp tells herds of it; node_app_gate.cpp decides who is served.
#include "base/seldom.hpp"
#include "discovery/proof.hpp"
#include "herd-node/addresses.hpp"
#include "herd-node/agent.hpp"
#include "herd-node/agent_api.hpp"
#include "herd-node/gateway.hpp"
#include "herd-node/node_app.hpp"
#include "http/server.hpp"
#include "proxy/host_policy.hpp"

namespace herd::node {

struct NodeApp::Impl {
    Impl(net::Loop& loop_in, net::Network& network_in, NodeOptions options_in, NodeIdentity identity_in,
         discovery::Authenticator authenticator_in, NodeSockets sockets_in, NodeSeams seams);

    void start_announcing();
    void on_backend();
    void on_agent(bool material);
    void on_notice(const discovery::Notice& notice);
    void on_duplicate();
    void on_http_announce(const discovery::HttpAnnounce& request);
    net::Task<void> launch();
    net::Task<void> post_announce(discovery::HttpAnnounce request);
    struct Heard {
        base::Uuid herd{}; ///< nil: nobody took it
        std::uint16_t flags{0};
    };
    net::Task<Heard> post_to(base::Endpoint herd);
    void mark_proofs();
    [[nodiscard]] proxy::HostPolicy::Verdict judge_host(const http::ServerExchange& exchange);
    [[nodiscard]] discovery::ProofGate::Verdict judge_proof(const http::ServerExchange& exchange);
    [[nodiscard]] bool may_pass(const http::ServerExchange& exchange);
    net::Task<void> refuse_stranger(http::ServerExchange& exchange);
    void set_keys(discovery::Authenticator keys);
    net::Task<void> handle(http::ServerExchange& exchange);
    net::Task<void> drain_gateway(base::Duration grace);
    [[nodiscard]] std::vector<discovery::Subnet> addresses() const;
    [[nodiscard]] AgentOptions agent_options(const NodeSeams& seams) const;

    net::Loop& loop;
    net::Network& network;
    NodeOptions options;
    NodeIdentity identity;
    discovery::Authenticator authenticator;
    std::vector<net::BoundSocket> sockets;
    std::vector<base::Endpoint> listening;
    proxy::HostPolicy hosts;
    proxy::HostPolicy own_names; ///< for who comes by loopback
    AddressRules address_rules;
    std::string root;
    base::Duration first_look;
    std::function<void()> duplicate_id;
    http::Pool pool;
    Backend backend;
    RunnerWatch runners;
    Gateway gateway;
    Agent agent;
    AgentApi api;
    std::unique_ptr<discovery::NodeBeacon> beacon;
    discovery::ProofGate gate;
    net::Timer proof_timer;
    base::Seldom tell_stranger{std::chrono::minutes{1}};
    http::Server server;
    net::Event backend_known;
    net::Timer launch_timer;
    net::TaskGroup tasks;
    bool launched{false};
    bool announcing{false};
    bool hurry{false};
    bool stopping{false};
    bool warned_loopback{false};
    bool told_duplicate{false};

private:
    static std::vector<base::Endpoint> locals(const std::vector<net::BoundSocket>& bound);
    static BackendOptions backend_options(BackendOptions given, const NodeOptions& options,
                                          const std::vector<base::Endpoint>& listening);
};

} // namespace herd::node
