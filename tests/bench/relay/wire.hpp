#pragma once
// What the benchmark's fake Ollama and its load generator say to each other. Every answer is a function of
// what was asked (and, in streams, of the moment it was sent), so that the receiver can compare each byte:
// a relay that mixes, drops, doubles or delays anything is found out, not averaged away.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herd::bench {

inline constexpr std::string_view model_name = "bench:latest";
inline constexpr std::string_view model_digest = "5f1c9d3ab2e47086f1d2c3b4a5968778695a4b3c2d1e0f00112233445566aabb";
inline constexpr std::size_t ask_body_bytes = 512;
inline constexpr std::size_t small_body_bytes = 1024;

/// One request. `rate` 0 asks for one JSON object; else for `chunks` NDJSON lines, `rate` per second, the
/// first at once and the last with `done:true`.
struct Ask {
    std::uint32_t id{0};
    std::uint32_t rate{0};
    std::uint32_t chunks{0};
};

/// A whole `POST /api/chat` with a body of exactly `ask_body_bytes`.
[[nodiscard]] std::string request(const Ask& ask, std::string_view host);
/// Overwrites the id in bytes made by request(): all asks of a kind differ in nothing else.
void set_request_id(std::string& request_bytes, std::uint32_t id);
/// Finds the ask in a request body.
[[nodiscard]] std::optional<Ask> read_ask(std::string_view body);

/// The answer to an Ask with rate 0: exactly `small_body_bytes`.
[[nodiscard]] std::string small_body(std::uint32_t id);
/// Overwrites the id in bytes made by small_body().
void set_small_body_id(std::string& body, std::uint32_t id);

/// Line `sequence` (from 0) of a stream, newline included, 150 to 300 bytes; appended to `out`.
/// `stamp` is the sender's CLOCK_MONOTONIC in nanoseconds, written in a field of fixed width.
void append_line(std::string& out, const Ask& ask, std::uint32_t sequence, std::uint64_t stamp);
/// The stamp when `line` is exactly line `sequence` of the stream, whatever its stamp; else nothing.
[[nodiscard]] std::optional<std::uint64_t> check_line(std::string_view line, const Ask& ask, std::uint32_t sequence);

/// CLOCK_MONOTONIC in nanoseconds: the same clock in every process of this machine.
[[nodiscard]] std::uint64_t now_ns();

} // namespace herd::bench
