#pragma once
// What a client says to herd inside a body: which models will do instead, under which tags it counts. An Ollama passes over
// fields that it does not know; a server that has OpenAI's paths, and the cloud, may refuse them. Pure.
// Source: reference/parity.md 2.12.
#include "proxy/body_peek.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace herd::proxy {

/// There is something of that in it.
[[nodiscard]] bool has_extras(const BodyPeek& peek);

/// `body` without it: fallback_models, fallback, and the tags of metadata, which goes when nothing else is in it. All else
/// keeps its text and order. Requires: `body` begins with a well-formed object; what follows that is left out.
[[nodiscard]] std::string without_extras(std::string_view body);

/// `object` with each member's value as `value` (key and text as written) gives it; empty: left out. The same requirement.
[[nodiscard]] std::string rebuilt(std::string_view object, const std::function<std::string_view(std::string_view, std::string_view)>& value);

} // namespace herd::proxy
