#pragma once
// One handshake with an Ollana server (lana.md 12.6 B3).
#include "herd/devices/server_book.hpp"
#include "http/pool.hpp"
#include "net/network.hpp"

#include <string>

namespace herd::app::devices {

struct HandshakeCall {
    base::IpAddress address{};
    std::string own_id{}; ///< a secret that any server we ask learns: it goes out once the certificate is seen to fit
    std::string pin{};    ///< SHA-256 in hexadecimal that it must show; empty: any
};

/// Asks, within some seconds. `pool`: for the look at an old server, which speaks plain HTTP.
[[nodiscard]] net::Task<Handshake> shake_hands(net::Loop& loop, net::Network& network, http::Pool& pool, HandshakeCall call);

/// What an answer to the handshake means. Pure.
[[nodiscard]] Handshake read_handshake(int status, std::string_view body);

} // namespace herd::app::devices
