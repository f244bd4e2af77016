#pragma once
// A recording that was sent to be written down: a multipart form. Pure.
// Source: reference/parity.md 2.14; RFC 7578.
#include <expected>
#include <string>
#include <string_view>

namespace herd::node {

struct AudioForm {
    std::string_view audio{};      ///< in the body
    bool has_audio{false};
    std::string extension{};       ///< of the file's name: "wav"; empty when it has none that is fit for a file of ours
    std::string model{};
    std::string language{};
    std::string response_format{};
};

/// Errors: one sentence that says what is wrong. Whether there is an audio file at all is the caller's question.
[[nodiscard]] std::expected<AudioForm, std::string> parse_audio_form(std::string_view body, std::string_view content_type);

} // namespace herd::node
