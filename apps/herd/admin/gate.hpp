#pragma once
// Who may use herd's own routes. Without keys: reading is open, changes come from this machine and never on behalf of
// a web page. With keys on (they are required, or there is a key with admin scope that was not revoked): the
// scope that surface.hpp says. One way stays open so that nobody locks himself out: while no admin key is good, keys can be made,
// listed and revoked from this machine. Pure but for counting wrong keys.
#include "base/ip.hpp"
#include "herd/admin/surface.hpp"
#include "http/message.hpp"
#include "proxy/access.hpp"

#include <optional>

namespace herd::app::admin {

struct GateRules {
    bool admin_anywhere{false};       ///< [access] admin_from = "anywhere": without keys, changes are not for loopback alone
    std::vector<std::string> hosts{}; ///< [cors] hosts: further names under which changes are accepted
    bool ollamaflow{false};           ///< [compat] ollamaflow_admin: /v1.0/frontends and /v1.0/backends are herd's own
};

struct Verdict {
    proxy::KeyPtr key{};                    ///< good, and shown; may be null when nobody has to be asked
    bool by_cookie{false};
    std::optional<proxy::Problem> refused{};
};

/// `access` may be null.
[[nodiscard]] Verdict judge(const http::RequestHead& head, const base::Endpoint& peer, const proxy::Access* access,
                            const GateRules& rules, base::Instant now, base::WallTime wall);

/// Why a request that changes something is refused where there are no keys; empty when it may.
[[nodiscard]] std::string write_refusal(const http::RequestHead& head, const base::Endpoint& peer, const GateRules& rules = {});

} // namespace herd::app::admin
