#pragma once
// The scheduler's question without an exchange: what POST /herd/v1/route is asked about. The body is a whole
// inference body, or no more than {"model": …}; "path" beside it says which route is meant; without it the one that would
// be served is. Pure.
#include "base/ip.hpp"
#include "fleet/profile.hpp"
#include "fleet/snapshot.hpp"
#include "http/message.hpp"
#include "proxy/access.hpp"
#include "proxy/problem.hpp"
#include "proxy/proxy.hpp"

#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace herd::proxy {

/// As the exchange would ask for such a request: the same fields count, num_ctx goes to its bucket, an alias is its
/// model (`snapshot`: for those that depend on what there is). `key`: whose question it is; one that is for a frontend asks
/// there. Null: nobody's in particular.
/// Errors: no JSON object, no model, a model or path that makes no sense; 400 in all cases. 403: a frontend that the key is
/// not for.
[[nodiscard]] std::expected<fleet::Profile, Problem> read_question(std::string_view body, const http::Fields& fields,
                                                                   const base::Endpoint& peer, base::Instant now,
                                                                   const ProxyOptions& options,
                                                                   const fleet::Snapshot& snapshot = {},
                                                                   const Key* key = nullptr);

/// The body as `node` would get it, without the members that only a question has ("path", "frontend"): what is pinned for the
/// frontend is written in, then what is pinned for the node (null: nobody was chosen). Nothing: nothing is pinned for such a
/// request. Requires: read_question took it.
[[nodiscard]] std::optional<std::string> pinned_body(std::string_view body, const http::Fields& fields, const ProxyOptions& options,
                                                     const fleet::NodeView* node, const Key* key = nullptr);

} // namespace herd::proxy
