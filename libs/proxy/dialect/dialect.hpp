#pragma once
// The three languages clients speak to us, behind one face: how an error looks before the first byte, and
// how it looks inside a stream. Each language has its own file beside this one. Pure.
// Source: design/contract.md 5; reference/ollama-api.md 1.2 to 1.5; reference/parity.md 1.2.
#include "proxy/problem.hpp"
#include "proxy/routes.hpp"

#include <string>
#include <string_view>

namespace herd::proxy {

struct ErrorText {
    std::string body{};
    std::string_view content_type{};
};

/// The body of an error answer.
[[nodiscard]] ErrorText error_text(Dialect dialect, const Problem& problem);

/// An error as the last event of a stream that has begun; empty when the stream has no form for it.
/// `fresh_line`: the stream so far ended at the end of an event, so nothing must be closed first.
[[nodiscard]] std::string in_band_error(StreamKind kind, const Problem& problem, bool fresh_line);

namespace ollama {
[[nodiscard]] ErrorText error_text(const Problem& problem);
[[nodiscard]] std::string in_band_error(const Problem& problem, bool fresh_line);
} // namespace ollama

namespace openai {
[[nodiscard]] ErrorText error_text(const Problem& problem);
[[nodiscard]] std::string in_band_error(const Problem& problem, bool fresh_line);
/// The Responses API tells errors in an event of their own.
[[nodiscard]] std::string in_band_response_error(const Problem& problem, bool fresh_line);
} // namespace openai

namespace anthropic {
[[nodiscard]] ErrorText error_text(const Problem& problem);
[[nodiscard]] std::string in_band_error(const Problem& problem, bool fresh_line);
} // namespace anthropic

} // namespace herd::proxy
