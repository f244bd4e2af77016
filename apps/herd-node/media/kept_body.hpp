#pragma once
// Bodies that must be read whole before it is known for which tool they are, or whether for any. What all of them take
// together is bounded, whoever sends them and however slowly: unfinished uploads from all over the LAN must not take the
// machine's memory.
#include "base/time.hpp"
#include "http/server.hpp"
#include "proxy/kept_bytes.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace herd::node {

struct BodyLimits {
    std::size_t each{0};
    base::Bytes together{0};
    base::Duration time{}; ///< from the first byte of the body to its last
};

/// A body, and its share of what all may take for as long as it is kept.
struct KeptBody {
    std::string text{};
    std::unique_ptr<proxy::KeptBytes> share{};
};

/// The whole body. `total`: of all that are kept; outlives them.
/// Errors: as http::ServerExchange::read_all(), timed_out also for one that comes too slowly; queue_full: others take
/// what there is.
[[nodiscard]] net::Task<base::Result<KeptBody>> read_kept(http::ServerExchange& exchange, std::atomic<std::uint64_t>& total, BodyLimits limits);

} // namespace herd::node
