#pragma once
// How the server writes a head: as serialize(), with what only a connection knows.
#include "http/message.hpp"

#include <string>
#include <string_view>

namespace herd::http::internal {

struct ResponseExtras {
    std::string_view lines{};   ///< whole further field lines, each with its CRLF
    int client_minor{1};        ///< a 1.0 client must be told that the connection stays
    bool length_unknown{false}; ///< answer to HEAD: do not claim that the body would be empty
};

void serialize_response(const ResponseHead& head, ResponseExtras extras, std::string& out);

} // namespace herd::http::internal
