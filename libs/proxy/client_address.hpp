#pragma once
// Who asked, when a reverse proxy that a person trusts stands in between: the address that it passed on. Pure.
#include "base/ip.hpp"
#include "http/message.hpp"

#include <vector>

namespace herd::proxy {

/// The peer, unless it is one of `trusted`: then the last address of X-Forwarded-For that is none of them. What stands before
/// that was written by whoever wished to, and what is no address ends the search. The port is 0 when it is not the peer.
[[nodiscard]] base::Endpoint client_of(const http::Fields& fields, const base::Endpoint& peer, const std::vector<base::IpNetwork>& trusted);

} // namespace herd::proxy
