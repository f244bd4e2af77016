#pragma once
// `herd use NODE` in the admin API: in the status, and in the decision of POST /herd/v1/route. Pure.
#include "fleet/snapshot.hpp"
#include "proxy/access.hpp"
#include "proxy/frontend.hpp"
#include "proxy/proxy.hpp"

#include <string>
#include <vector>

namespace herd::app::admin {

/// A frontend of which everything is sent to one node.
struct Sent {
    std::string frontend{};
    std::string node{}; ///< its id or name
};

/// All of them; with a key for certain frontends these only. `key` may be null.
[[nodiscard]] std::vector<Sent> sent_of(const proxy::ProxyOptions& options, const proxy::Key* key);

/// The status with "use":[{frontend, node, state}] at its end, if there is any.
[[nodiscard]] std::string with_use(std::string status, const fleet::Snapshot& snapshot, const std::vector<Sent>& sent);

/// The decision as JSON; of nodes that are left out for nothing but `herd use` the reason is "sent_elsewhere", and "sent"
/// says where everything goes. `frontend`: the one that was asked; may be null.
[[nodiscard]] std::string with_sent(std::string decision, const fleet::Snapshot& snapshot, const proxy::Frontend* frontend);

} // namespace herd::app::admin
