#pragma once
// What a herd remembers of its fleet, so that after a restart it asks everybody it knew at once instead of
// waiting to hear from them (lana.md 6): the pool of announced nodes, and the plain ones added at run time.
#include "base/dates.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/ip.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace herd::store {

struct SavedNode {
    base::NodeId id{};
    std::string name{};
    base::Endpoint agent{}; ///< where its agent answered last
    std::uint64_t boot_id{0};
    std::vector<std::string> labels{};
    bool drained{false}; ///< by an operator
    base::WallTime seen{};
    bool left{false}; ///< it said goodbye
};

/// A plain Ollama added with `herd nodes add`.
struct SavedStaticNode {
    std::string url{};
    std::string name{};
    std::vector<std::string> labels{};
    int slots{0};         ///< 0: not known
    std::string bearer{}; ///< secret; the file is 0600
    bool drained{false};
    std::string settings{}; ///< all that was said of it, as JSON; empty in files of older versions
    base::MaybeDates dates{}; ///< files of older versions have none
};

/// What a node had on its disk: a request for a model that only an absent node has is held, not told "not found"
/// (which makes an `ollama run` pull it).
struct SavedModels {
    base::NodeId node{};
    std::vector<std::string> names{};
};

struct FleetState {
    std::vector<SavedNode> nodes{};
    std::vector<SavedStaticNode> static_nodes{};
    /// Configured nodes (of flags and file, which are not kept here) that an operator drained.
    std::vector<base::NodeId> drained_configured{};
    /// Announced nodes that an operator let in (join mode `approve`), known now or not.
    std::vector<base::NodeId> approved{};
    /// Of announced, added and configured nodes. Within the limits below; files of older versions have none.
    std::vector<SavedModels> models{};
    base::WallTime saved_at{};
};

inline constexpr std::size_t model_names_per_node = 4096;
inline constexpr std::size_t model_names_in_all = 65536;
inline constexpr std::size_t model_name_bytes = 512;
inline constexpr base::Duration node_memory = std::chrono::hours{24};

struct LoadedFleetState {
    FleetState state{};
    std::string warning{}; ///< one sentence for the log; empty when all is well
};

/// Never fails: without a file the fleet is empty; one that makes no sense is set aside as .bad. Nodes not
/// seen for `node_memory` before `now` are left out. Blocks.
[[nodiscard]] LoadedFleetState load_fleet_state(const std::string& path, base::WallTime now);

/// Atomic, 0600. Errors: io. Blocks (fsync): give it to net::Blocking.
[[nodiscard]] base::Result<void> save_fleet_state(const std::string& path, const FleetState& state);

/// The text form, for tests. parse: malformed when anything is not as we write it.
[[nodiscard]] std::string to_json(const FleetState& state);
[[nodiscard]] base::Result<FleetState> parse_fleet_state(std::string_view text);

} // namespace herd::store
