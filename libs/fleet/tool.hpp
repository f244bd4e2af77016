#pragma once
// Tools beside a node that its agent runs for requests: they are listed among its models, and asked as a model is, but
// are none of Ollama's. A tool does one thing at a time, and there is nothing to load: it counts as loaded, always.
// Why: docs/adr/0021-tools-are-models.md.
#include <cstdint>
#include <string_view>

namespace herd::fleet {

enum class Tool : std::uint8_t {
    none,   ///< a model of Ollama's, or of another server
    image,  ///< makes images
    speech, ///< writes speech down
};

/// `row`: the model's object in /api/tags or in the node's document, as it was written; possibly empty. Pure.
[[nodiscard]] Tool tool_of(std::string_view row);
/// What made it, for people: "mflux". Empty: not told.
[[nodiscard]] std::string_view backend_of(std::string_view row);
/// The row says what its model can do, and what such a tool does is none of it.
[[nodiscard]] bool lacks_skill_of(Tool tool, std::string_view row);
/// Its agent wants it in /api/tags and /v1/models.
[[nodiscard]] bool is_listed(std::string_view row);

} // namespace herd::fleet
