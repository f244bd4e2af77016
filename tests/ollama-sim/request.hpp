#pragma once
// Request bodies as Go's encoding/json reads them: keys match regardless of case, the last one wins,
// only the first JSON value counts.
#include <nlohmann/json.hpp>

#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace herd::sim {

using Json = nlohmann::ordered_json;

/// The object, or what Ollama would say of the text.
[[nodiscard]] std::expected<Json, std::string> parse_body(std::string_view text);
/// Null when absent.
[[nodiscard]] const Json& field(const Json& object, std::string_view name);
[[nodiscard]] std::string text_of(const Json& object, std::string_view name);
/// model, else its deprecated alias name.
[[nodiscard]] std::string model_of(const Json& object);

/// A Go duration string, or seconds as a number; negative means for ever (-1 s).
/// Errors: Ollama's sentence.
[[nodiscard]] std::expected<std::optional<std::int64_t>, std::string> keep_alive_ns(const Json& object);

} // namespace herd::sim
