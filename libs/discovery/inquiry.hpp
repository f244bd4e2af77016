#pragma once
// Believing a node: its document is fetched over TCP from the address its datagram came from (lana.md 5), and
// a canary connection (GET /herd/v1/watch) tells of changes and, by ending, of death.
// Only GET, no redirects, a bounded body, 300 ms: an announcement cannot make us do more than that.
// With a fleet key both sides prove that they hold it: the question carries a proof (proof.hpp), the answer a Herd-MAC.
#include "base/error.hpp"
#include "base/ids.hpp"
#include "discovery/authenticator.hpp"
#include "discovery/node_document.hpp"
#include "discovery/proof.hpp"
#include "http/fetch.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace herd::discovery {

struct InquiryOptions {
    base::Uuid herd_id{};
    std::uint16_t udp_port{0}; ///< where this herd hears unicast; 0: it does not
    base::Duration timeout{std::chrono::milliseconds{300}};
};

/// What a node said. Without a document: unchanged since the version asked about.
struct Confirmation {
    std::optional<NodeDocument> document{};
    base::Duration round_trip{};
    bool authenticated{false}; ///< under a right Herd-MAC
};

/// Thread: the loop of its pool.
class Inquiry {
public:
    /// `proofs` outlives this object; its authenticator is the one in force.
    Inquiry(net::Loop& loop, http::Pool& pool, InquiryOptions options, ProofBook& proofs);

    /// Asks `agent` for its document; boot and rev as known (0: nothing is). The answer must carry the id
    /// `expected` and, where the fleet or that node is keyed, a right Herd-MAC over our nonce and the body.
    /// Errors: refused, timed_out, …: as fetch; malformed; conflict (another id lives there); forbidden (no
    /// MAC or a wrong one, or it wants a proof that we cannot give). The context is a sentence for the operator.
    [[nodiscard]] net::Task<base::Result<Confirmation>> confirm(base::NodeId expected, base::Endpoint agent,
                                                                std::uint64_t known_boot, std::uint32_t known_rev);

private:
    struct Asked;
    net::Task<base::Result<Asked>> ask(base::NodeId expected, base::Endpoint agent, std::uint64_t known_boot, std::uint32_t known_rev);

    net::Loop& loop_;
    http::Pool& pool_;
    InquiryOptions options_;
    ProofBook& proofs_;
};

/// The canary: one long answer of lines. Thread: its loop's. Owned by the task that runs it.
class WatchConnection {
public:
    /// `proof`: for an agent that wants one; may be null.
    WatchConnection(net::Loop& loop, net::Network& network, base::Uuid herd_id, std::shared_ptr<const std::string> proof = {});
    WatchConnection(const WatchConnection&) = delete;
    WatchConnection& operator=(const WatchConnection&) = delete;
    ~WatchConnection();

    /// Connects and reads lines until the connection ends; each whole line goes to `on_line`. A node that says
    /// nothing at all for 30 s is taken for gone. Returns why it ended: closed, reset, refused, timed_out,
    /// malformed, unsupported (the agent does not serve it), cancelled (after close()).
    [[nodiscard]] net::Task<base::Error> run(base::Endpoint agent, std::function<void(const WatchLine&)> on_line);
    /// Ends run(). May be called any time.
    void close();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

} // namespace herd::discovery
