#pragma once
// What `herd top` shows, as lines of text: the fleet in one line, a line for each node, and the requests that run and
// that ended last. Pure: bodies of the admin API in, lines out.
#include "base/time.hpp"

#include <string>
#include <vector>

namespace herd::app {

/// Bodies as herd sent them; what is empty or not JSON is left out of the picture.
struct TopNews {
    std::string status{};  ///< GET /herd/v1/status
    std::string nodes{};   ///< GET /herd/v1/nodes
    std::string running{}; ///< GET /herd/v1/requests?status=in_flight
    std::string ended{};   ///< GET /herd/v1/requests
    std::string trouble{}; ///< why this is not current; empty when it is
};

struct TopShape {
    int columns{100};
    int lines{0};        ///< 0: as many as it takes, and no last line with keys
    std::size_t scroll{0}; ///< nodes left out at the top
    bool colours{false};
    bool unicode{true};
    bool paused{false};
};

struct TopFrame {
    std::vector<std::string> lines{};
    std::size_t scroll_max{0};
};

[[nodiscard]] TopFrame top_frame(const TopNews& news, const TopShape& shape, const std::string& url, base::WallTime now);

} // namespace herd::app
