#pragma once
// One try of an exchange at one node, up to the first byte of the answer's body: connect, send, wait for
// the head, look at what a failing answer says. The client has seen nothing when this returns.
#include "fleet/profile.hpp"
#include "http/pool.hpp"
#include "http/server.hpp"
#include "proxy/failover.hpp"
#include "proxy/relay.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace herd::proxy {

struct AttemptInput {
    const fleet::Address* address{nullptr};
    std::string_view own_id{};
    base::Endpoint client{};  ///< for X-Forwarded-For
    std::string_view body{};  ///< the whole request body, or with `streamed` the part that was read already
    std::string_view target{}; ///< of the request line
    bool decoded{false};      ///< the body is not encoded as the client's head says
    base::Duration connect_timeout{}; ///< 0: the pool's
    bool streamed{false};     ///< the rest of the body comes from the client as it goes
    bool fresh{false};        ///< use no connection that served before
    base::Duration first_byte_timeout{}; ///< 0: as long as it takes
    RelayOptions relay{};
};

/// What came of it. Exactly one of: an error, an answer that looks_failed() (with `failure_text`), or an
/// answer ready to be relayed.
struct Attempt {
    std::unique_ptr<http::ClientConnection> connection{};
    Phase phase{Phase::connecting};
    std::optional<base::Error> error{};
    bool client_gone{false};
    bool body_too_large{false}; ///< the request's body passed the limit on its way
    bool reused{false};
    base::Duration connect{};
    http::ResponseHead head{};
    std::string failure_text{};
    bool whole{false}; ///< failure_text is all of the body
    /// First pieces of the body, valid until the connection is used again. Empty: the body is empty.
    std::span<const std::string_view> first{};
};

/// All that is borrowed must outlive the call. Requires: `attempt` is new. Awaits: yes.
[[nodiscard]] net::Task<void> try_node(http::ServerExchange& exchange, http::Pool& pool, const AttemptInput& input,
                                       Attempt& attempt);

} // namespace herd::proxy
