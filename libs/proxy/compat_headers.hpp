#pragma once
// Response fields for programs that were written for Ollama Herd or OllamaFlow. Off unless asked for.
// Source: reference/parity.md 1.3.
#include "http/message.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herd::proxy {

/// As which version of Ollama Herd they are spoken.
enum class FleetHeaders : std::uint8_t { off, v06, v08 };

struct CompatHeaders {
    FleetHeaders fleet{FleetHeaders::off}; ///< X-Fleet-*
    bool ollamaflow{false};                ///< X-OllamaFlow-*
    [[nodiscard]] bool any() const { return fleet != FleetHeaders::off || ollamaflow; }
};

/// How an answer came about. Texts are fit to stand in a field.
struct ServedAs {
    std::string request_id{};
    std::string node{};
    std::string model{};
    std::string requested_model{};
    std::string_view backend{}; ///< ollama, openai, cloud
    std::size_t retries{0};
    bool fallback{false};
    bool chosen{false};                  ///< among nodes, for a slot: else nothing was predicted
    bool bound{false};                   ///< its conversation was bound to the node
    bool familiar{false};                ///< the node is believed to know the prompt's beginning
    double predicted_s{0};
    double prompt_tokens{0};             ///< estimated
    std::optional<int> context_length{}; ///< that the model runs with; nothing: unknown
};

/// Adds what `wanted` says.
void add_compat_fields(http::Fields& fields, const CompatHeaders& wanted, const ServedAs& served);

} // namespace herd::proxy
