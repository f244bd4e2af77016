#pragma once
// Answers without a Content-Type: Ollana's server drops every header of its Ollama (lana.md 12.5), and calls whatever has
// a body "application/octet-stream" (seen of 0.6.3). What is missing is told from the route and from how the body begins,
// as Ollama itself would have said it. Pure.
#include "http/message.hpp"
#include "proxy/routes.hpp"

#include <string_view>

namespace herd::proxy {

/// The Content-Type that an answer of that route must have had; empty when it has no body. `stream`: one was asked for.
[[nodiscard]] std::string_view type_of_bare(const Route& route, bool stream, int status, std::string_view body_begin);

/// Writes it where there is none, or none that says anything. Requires: the answer of an Ollana server.
void restore_type(http::ResponseHead& head, const Route& route, bool stream, std::string_view body_begin);

} // namespace herd::proxy
