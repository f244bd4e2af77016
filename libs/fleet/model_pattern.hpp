#pragma once
// Names of models with a * behind their beginning, as lists of what may be pulled or served have them. Pure.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::fleet {

/// "llama3.2:3b", or the beginning of names with a * behind it. Compared as names are: "qwen3*" is of Ollama's library,
/// "someone/qwen3*" of that namespace, "hf.co/someone/*" and "hf.co/*" of another registry.
struct ModelPattern {
    std::string text{};     ///< as written
    std::string key{};      ///< ModelName::key, or the beginning of such keys
    bool beginning{false};
    /// Of models that can be pulled. Nothing: none could be called so.
    [[nodiscard]] static std::optional<ModelPattern> parse(std::string_view text);
    /// Of models that a node may serve: a cloud's as well, and a * alone is each and every one.
    [[nodiscard]] static std::optional<ModelPattern> parse_served(std::string_view text);
    [[nodiscard]] bool fits(std::string_view model_key) const;
    bool operator==(const ModelPattern&) const = default;
};

[[nodiscard]] bool fits_any(const std::vector<ModelPattern>& patterns, std::string_view model_key);

} // namespace herd::fleet
