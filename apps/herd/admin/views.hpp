#pragma once
// The admin API's JSON, made from snapshots. Pure: values in, text out. Shapes: docs/api and contract §3.
#include "base/dates.hpp"
#include "base/error.hpp"
#include "fleet/snapshot.hpp"
#include "proxy/access.hpp"

#include <cstdint>
#include <string>

namespace herd::app::admin {

/// What only the program knows: counted by the record sink and the proxies.
struct Counts {
    std::uint64_t total{0};
    std::uint64_t failed{0};
    std::uint64_t in_flight{0}; ///< those waiting in the queue included
};

struct StatusInput {
    std::string version{};
    base::Duration uptime{};
    Counts counts{};
};

[[nodiscard]] std::string status(const fleet::Snapshot& snapshot, const StatusInput& input);
/// `now` is the fleet's monotonic time, for last_seen_ms.
[[nodiscard]] std::string nodes(const fleet::Snapshot& snapshot, base::Instant now);
/// `key_status`: as Scout::check_key told; empty: it is not part of the answer.
[[nodiscard]] std::string node(const fleet::Snapshot& snapshot, const fleet::NodeView& view, base::Instant now, const std::string& key_status = {});
/// `seen`: which models the asker may know of.
[[nodiscard]] std::string models(const fleet::Snapshot& snapshot, const proxy::ModelFilter& seen = {});
struct Slots {
    int total{0};
    int free{0};
};
/// Slots of the models in memory; of a cold node, what the first model loaded there would get. Free are those that the
/// scheduler would give: requests that others sent there take some, and a node's `max_parallel` bounds them.
[[nodiscard]] Slots slots_of(const fleet::Snapshot& snapshot, std::size_t index);
[[nodiscard]] std::string error(std::string_view message);
/// Why a body was not read.
struct Unread {
    int status{400};
    std::string body{}; ///< {"error":…}
};
/// `why`: what ServerExchange::read_all(`limit`) said.
[[nodiscard]] Unread unread(const base::Error& why, std::size_t limit);
/// {"status":"reloaded","needs_restart":[…]}; the status names those keys too, for people.
[[nodiscard]] std::string reloaded(const std::vector<std::string>& needs_restart);
/// {"status":"ok","nodes_routable":N}; readiness is N > 0.
[[nodiscard]] std::string readiness(const fleet::Snapshot& snapshot);
using base::timestamp;

} // namespace herd::app::admin
