#pragma once
// What passes between a client's head and a node's, and what does not. Pure.
// Source: reference/parity.md 1.3, reference/ollama-api.md 2.4.
#include "base/ip.hpp"
#include "fleet/node.hpp"
#include "http/message.hpp"

#include <string_view>

namespace herd::proxy {

/// The head to send to a node: method and target as they came (behind the address's path prefix), the
/// end-to-end fields without credentials, cookies, Origin, Referer and everything that is ours (X-Herd-*,
/// X-Fleet-*, X-OllamaFlow-*); Host, Authorization and Via for the node, X-Forwarded-For and -Proto (`secure`: https). A node outside of this LAN
/// hears neither who asked nor that it was us.
/// Framing is the client's; set it to what will really be sent.
[[nodiscard]] http::RequestHead node_head(const http::RequestHead& client, const fleet::Address& address,
                                          const base::Endpoint& peer, std::string_view own_id, bool secure = false);
/// The same into a head that was used before, for its memory.
void make_node_head(const http::RequestHead& client, const fleet::Address& address, const base::Endpoint& peer,
                    std::string_view own_id, bool secure, http::RequestHead& head);

/// What a person said about speaking to that node: prefix and query around the target, Host, Authorization and
/// further fields. For heads of our own making; node_head() has it all.
void address_to(http::RequestHead& head, const fleet::Address& address);

/// The head to send to the client: the node's status and end-to-end fields without its CORS fields, which
/// are answered by ourselves. Framing is the node's.
[[nodiscard]] http::ResponseHead client_head(http::ResponseHead node);
/// The same, of the head that is there.
void make_client_head(http::ResponseHead& node);

/// True for fields of a request that are for us and go no further.
[[nodiscard]] bool is_ours(std::string_view field_name);

} // namespace herd::proxy
