#pragma once
// Plain Ollamas that a human named: by flag, file or admin API.
#include "base/error.hpp"
#include "fleet/event.hpp"
#include "http/url.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app {

struct StaticNode {
    fleet::NodeId id{}; ///< derived from the URL, so that it survives restarts
    std::string name{};
    http::Url url{};
    std::vector<std::string> labels{};
    std::optional<int> slots{};
    std::string bearer{};
};

/// Checks and completes what was written. `name` may be empty: the URL's host and port then.
/// Errors: bad_config, one sentence.
[[nodiscard]] base::Result<StaticNode> make_static_node(std::string_view url, std::string name,
                                                        std::vector<std::string> labels, std::optional<int> slots,
                                                        std::string bearer);

/// The body of POST /herd/v1/nodes.
[[nodiscard]] base::Result<StaticNode> parse_static_node(std::string_view json);

/// As the fleet wants it; the address is filled in when it is a numeric one.
[[nodiscard]] fleet::StaticAdded added(const StaticNode& node);

} // namespace herd::app
