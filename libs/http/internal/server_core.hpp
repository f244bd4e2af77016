#pragma once
// What the connections of one server share. Connections keep it alive, so that their remains may be
// destroyed after the server (when a loop ends with work in flight).
#include "http/server.hpp"

#include <cstddef>
#include <memory>

namespace herd::http::internal {

class Connection;

struct ServerCore {
    net::Loop& loop;
    ServerOptions options;
    Handler handler;
    ErrorBody error_body;
    std::size_t connections{0};
    std::size_t exchanges{0};
    std::size_t refusals{0}; // connections beyond the cap that are being told so
    bool draining{false};
    Connection* first{nullptr}; // all connections, linked through themselves
};

} // namespace herd::http::internal
