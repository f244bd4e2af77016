#pragma once
// The named nodes of flags and file, and the world they are checked against.
#include "herd/static_nodes.hpp"

#include <vector>

namespace herd::app {

/// All or none. Blocks for their files. Errors: bad_config, one sentence.
[[nodiscard]] base::Result<std::vector<StaticNode>> configured_nodes(const HerdOptions& options, const NodeSurroundings& around);

/// This host's addresses, this process's environment, this session's keyring; `listeners` are herd's own sockets.
[[nodiscard]] NodeSurroundings surroundings_of(const std::vector<base::Endpoint>& listeners);

} // namespace herd::app
