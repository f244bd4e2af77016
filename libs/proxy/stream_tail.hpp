#pragma once
// The last bytes of an answer, kept as it passes: what the node measured, and whether the stream said its
// last word, are in them. Feeding costs a copy of at most 2 KiB per write; nothing is parsed until the end.
// Source: reference/ollama-api.md 1.5, 3.5.
#include "fleet/profile.hpp"
#include "proxy/routes.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace herd::proxy {

/// How the payload of an answer ended.
enum class TailEnd : std::uint8_t {
    proper, ///< with the word that ends such a stream
    error,  ///< with an error told inside the stream
    open,   ///< without either
};

/// Thread: its loop.
class StreamTail {
public:
    /// Takes pieces of payload, in order.
    void feed(std::span<const std::string_view> pieces);

    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    /// The last bytes, at most 2 KiB (or everything, if that is less).
    [[nodiscard]] std::string_view text() const;
    /// The payload so far ends where an event ends, so that another may follow.
    [[nodiscard]] bool at_event_end(StreamKind kind) const;

    [[nodiscard]] TailEnd end(StreamKind kind) const;
    /// What the node reported: of the last NDJSON line, of the last usage object, or of a JSON body.
    [[nodiscard]] fleet::Timings timings() const;

private:
    static constexpr std::size_t kept = 2048;
    // A ring, made straight when somebody looks; not initialised: 2 KiB per exchange, written before read.
    mutable std::array<char, kept> buffer_;
    mutable std::size_t begin_{0};
    std::size_t size_{0};
    std::uint64_t bytes_{0};
};

} // namespace herd::proxy
