#pragma once
// One small request with a deadline, answered whole: probes, confirmations, merged lists.
#include "http/pool.hpp"

namespace herd::http {

struct Answer {
    ResponseHead head{};
    std::string body{};
    base::Duration took{};
};

struct FetchOptions {
    base::Duration timeout{std::chrono::seconds{1}}; ///< of the whole exchange, connecting included
    std::size_t body_bytes_max{4 * 1024 * 1024};
    bool fresh{false}; ///< a new connection: for measuring and for probing life
    Trust trust{};     ///< null: plain HTTP, straight there
};

/// `head.framing` is set from the body, and Host from `to` when it is missing. Follows no redirects. A stale reused connection is retried once on a new one.
/// Errors: refused, unreachable, timed_out, reset, closed, malformed, too_large.
[[nodiscard]] net::Task<base::Result<Answer>> fetch(net::Loop& loop, Pool& pool, base::Endpoint to, RequestHead head,
                                                    std::string body, FetchOptions options);

} // namespace herd::http
