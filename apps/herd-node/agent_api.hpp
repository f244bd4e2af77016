#pragma once
// The agent's own HTTP surface: GET /herd/v1/node (the document), GET /herd/v1/watch (one line per change, and
// the connection whose end tells a herd that this agent is gone) and GET /herd/v1/herds (whom this agent knows and what
// they think of it; for this machine alone).
#include "discovery/authenticator.hpp"
#include "discovery/node_document.hpp"
#include "http/server.hpp"
#include "net/timer.hpp"

#include <functional>
#include <list>
#include <string_view>

namespace herd::node {

struct AgentApiOptions {
    std::size_t watchers_max{64};
    base::Duration keep_alive{std::chrono::seconds{10}}; ///< a line at least this often
};

/// Thread: the loop's.
class AgentApi {
public:
    struct Sources {
        std::function<const discovery::NodeDocument&()> document{};
        /// The seq of the last announcement.
        std::function<std::uint32_t()> seq{};
        std::function<const discovery::Authenticator&()> authenticator{};
        std::function<std::vector<discovery::KnownHerd>()> herds{};
        /// A herd that fetches our document named itself.
        std::function<void(const base::Uuid& id, const base::IpAddress& peer, const base::Endpoint& udp)>
            herd_asked{};
    };
    AgentApi(net::Loop& loop, AgentApiOptions options, Sources sources);

    /// True for paths that are answered here and never relayed.
    [[nodiscard]] static bool owns(std::string_view path);
    /// Requires: owns(exchange.head().path()).
    [[nodiscard]] net::Task<void> handle(http::ServerExchange& exchange);

    /// Tells every watcher that state or state_rev changed.
    void changed();
    /// Ends every watch; later ones end at once.
    void stop();
    [[nodiscard]] std::size_t watchers() const { return watchers_.size(); }

private:
    struct Watcher;
    net::Task<void> node(http::ServerExchange& exchange);
    net::Task<void> watch(http::ServerExchange& exchange);
    net::Task<void> herds(http::ServerExchange& exchange);
    void note_herd(const http::ServerExchange& exchange);

    net::Loop& loop_;
    AgentApiOptions options_;
    Sources sources_;
    std::list<Watcher*> watchers_{};
    bool stopping_{false};
};

/// Herd-MAC over the request's Herd-Nonce, if it has one and we have a key, and `body`.
void add_mac(const http::ServerExchange& exchange, const discovery::Authenticator& authenticator, std::string_view body,
             http::ResponseHead& head);
/// Head of a small answer of ours.
[[nodiscard]] http::ResponseHead answer_head(int status, std::string_view type);
/// A 204 or a 304: a head and nothing behind it.
[[nodiscard]] net::Task<void> respond_bare(http::ServerExchange& exchange, http::ResponseHead head);
/// {"error":"…"} with `status`.
[[nodiscard]] net::Task<void> respond_error(http::ServerExchange& exchange, int status, std::string sentence, http::Fields fields = {});

} // namespace herd::node
