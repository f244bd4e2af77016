#pragma once
// What a URL of a node may be, and which URL is Ollama Cloud's. Pure. Source: reference/parity.md 3.2, 5.
#include "base/ip.hpp"
#include "http/url.hpp"

#include <string>
#include <vector>

namespace herd::app {

/// https, host exactly ollama.com or api.ollama.com, port 443: where the cloud key may go, and nowhere else.
/// (A user part is refused by Url::parse already.)
[[nodiscard]] bool is_cloud_origin(const http::Url& url);
/// The same host in any other way: no key is ever sent there.
[[nodiscard]] bool is_cloud_host(const http::Url& url);

/// Why no node may be there, one phrase; empty when it may. `own_listeners` are this herd's sockets as bound,
/// `own_addresses` this host's addresses.
[[nodiscard]] std::string why_no_node(const http::Url& url, const std::vector<base::Endpoint>& own_listeners,
                                      const std::vector<base::IpAddress>& own_addresses);

} // namespace herd::app
