#pragma once
// What the other end of a TLS stream showed, for who wants to recognise it later.
#include "net/crypto.hpp"
#include "net/stream.hpp"

namespace herd::net {

/// SHA-256 of the certificate that the peer of a stream of tls_connect() shows. All zero: none, or no such stream.
[[nodiscard]] Digest peer_certificate(const Stream& stream);

} // namespace herd::net
