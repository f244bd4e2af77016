#pragma once
// How an answer looks in each API: pieces, end, the whole thing when not streaming, and errors. Pure.
// Shapes follow reference/ollama-probe.txt, part 3.
#include "base/time.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace herd::sim {

struct Spoken {
    std::string model{}; ///< exactly as the client wrote it
    std::string text{};
    std::string done_reason{"stop"};
    base::Duration total{}, load{}, prompt_eval{}, eval{};
    std::int64_t prompt_tokens{0}, cached_tokens{0}, output_tokens{0};
};

class Speaker {
public:
    Speaker() = default;
    Speaker(const Speaker&) = delete;
    Speaker& operator=(const Speaker&) = delete;
    virtual ~Speaker() = default;
    [[nodiscard]] virtual std::string_view stream_type() const = 0;
    [[nodiscard]] virtual std::string opening(const Spoken&) { return {}; } ///< before the first piece
    [[nodiscard]] virtual std::string piece(const Spoken& so_far, std::string_view token) = 0;
    [[nodiscard]] virtual std::string closing(const Spoken& all) = 0;
    [[nodiscard]] virtual std::string whole(const Spoken& all) = 0;
    [[nodiscard]] virtual std::string error_line(std::string_view message) = 0; ///< after the first piece
};

/// `path` is one of the six inference routes; `chatty` options as the request had them.
struct SpeakerOptions {
    std::string path{};
    std::string model{};
    bool include_usage{false};
    std::uint64_t seed{0};
    base::WallTime now{};
};
[[nodiscard]] std::unique_ptr<Speaker> make_speaker(const SpeakerOptions& options);

/// The body of an error before the first byte, in the dialect of `path`.
[[nodiscard]] std::string error_body(std::string_view path, int status, std::string_view message);

[[nodiscard]] std::unique_ptr<Speaker> make_native_speaker(const SpeakerOptions& options);
[[nodiscard]] std::unique_ptr<Speaker> make_openai_speaker(const SpeakerOptions& options);
[[nodiscard]] std::unique_ptr<Speaker> make_responses_speaker(const SpeakerOptions& options);
[[nodiscard]] std::unique_ptr<Speaker> make_anthropic_speaker(const SpeakerOptions& options);

} // namespace herd::sim
