#pragma once
// `proxy` of a configured node: through whom it is reached. Pure.
#include "base/error.hpp"
#include "base/peer_trust.hpp"
#include "http/url.hpp"

#include <string>
#include <string_view>

namespace herd::app {

/// "http://[user:password@]host:port" or "socks5://…"; what is no letter, digit or "-._~" of the user and the
/// password is percent-encoded. Errors: bad_config, one phrase without the password.
[[nodiscard]] base::Result<base::Tunnel> parse_proxy(std::string_view text, const http::Url& node);
/// The same text with "***" for the user and the password, when there are any.
[[nodiscard]] std::string masked_proxy(std::string_view text);

} // namespace herd::app
