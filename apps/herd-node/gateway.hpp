#pragma once
// The gateway to the local Ollama: whatever comes to the agent's port outside its own paths is relayed, both
// ways as it comes, with the same relay code as herd's. A strict relay: Host is Ollama's own, Origin and
// hop-by-hop fields stay here, there is no time limit on the first byte, and a client that leaves closes
// Ollama's side at once, so that Ollama stops working for nobody.
#include "herd-node/agent.hpp"
#include "herd-node/backend.hpp"
#include "herd-node/media/media.hpp"
#include "http/pool.hpp"
#include "http/server.hpp"
#include "proxy/cors.hpp"
#include "proxy/routes.hpp"

#include <string>

namespace herd::node {

struct GatewayOptions {
    std::string own_id{};            ///< how we name ourselves in Via
    std::uint64_t body_bytes_max{0}; ///< 0: Ollama decides
    MediaOptions media{};
    std::string path{}; ///< where programs are looked for: $PATH
};

/// Thread: the loop's.
class Gateway {
public:
    Gateway(net::Loop& loop, net::Network& network, http::Pool& pool, Backend& backend, GatewayOptions options);
    Gateway(const Gateway&) = delete;
    Gateway& operator=(const Gateway&) = delete;

    [[nodiscard]] net::Task<void> handle(http::ServerExchange& exchange);
    [[nodiscard]] Traffic traffic() const { return traffic_; }
    /// The tools beside this node, which answer here.
    [[nodiscard]] Media& media() { return media_; }
    /// From now on: finishes what is in flight, takes nothing new.
    void drain() { draining_ = true; }

private:
    enum class Outcome : std::uint8_t {
        done,  ///< answered, or nobody is there to be answered
        stale, ///< a kept connection was dead before a byte came; the request can be sent again
    };
    class Counted;
    // `read`: what was read of the body already.
    net::Task<void> relay(http::ServerExchange& exchange, base::Endpoint to, std::string_view read);
    net::Task<Outcome> attempt(http::ServerExchange& exchange, http::Pool::Taken& taken, base::Endpoint to, std::string_view read);
    net::Task<bool> send(http::ServerExchange& exchange, http::ClientConnection& connection,
                         base::Endpoint to, std::string_view read);
    net::Task<void> fail(http::ServerExchange& exchange, int status, std::string_view known, std::string sentence);
    net::Task<void> refuse(http::ServerExchange& exchange, int status, std::string sentence);
    void note(const proxy::Route& route);

    http::Pool& pool_;
    Backend& backend_;
    GatewayOptions options_;
    proxy::CorsPolicy cors_;
    Media media_;
    Traffic traffic_{};
    bool draining_{false};
};

} // namespace herd::node
