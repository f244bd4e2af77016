#pragma once
// What a speech tool wrote down, and how clients get it. Pure.
// Source: reference/parity.md 2.14.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::node {

struct Transcript {
    struct Chunk {
        std::string text{};
        double start{0}; ///< seconds
        double end{0};
        std::string language{};
    };
    std::string text{};
    std::string language{};
    std::vector<Chunk> chunks{};
};

/// Of what a program printed: a JSON object with "text", and perhaps "language" and "chunks" (or "segments"); else it is the
/// text itself. Nothing: it is empty.
[[nodiscard]] std::optional<Transcript> parse_transcript(std::string_view printed);

/// {"text","language","chunks":[{"text","start","end","chunk_index","language"}]}
[[nodiscard]] std::string transcript_answer(const Transcript& transcript);
/// {"text":…}; `verbose`: with language, duration and segments.
[[nodiscard]] std::string openai_answer(const Transcript& transcript, bool verbose);

/// What a speech service answered to the upload: its id of the job; empty: none that is fit for a path.
[[nodiscard]] std::string job_of(std::string_view body);

struct JobState {
    bool done{false};                       ///< well or not
    std::optional<Transcript> result{};
    std::string error{};
};
/// Of GET /jobs/ID.
[[nodiscard]] JobState job_state_of(std::string_view body);

} // namespace herd::node
