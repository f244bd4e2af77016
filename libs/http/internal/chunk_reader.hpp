#pragma once
// Follows chunked framing (RFC 9112 §7.1) without touching the payload. Our own, because this is where
// readers disagree and smuggling lives: sizes are plain hex digits, lines end in CRLF, and that is all.
#include "base/error.hpp"
#include "http/parser.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace herd::http::internal {

class ChunkReader {
public:
    explicit ChunkReader(const ParserLimits& limits) : limits_(limits) {}

    struct Piece {
        std::size_t consumed{0};   ///< framing and payload together
        std::string_view payload{};///< may be empty
        bool complete{false};      ///< the last chunk and the trailers ended
    };
    /// Reads framing up to and including the next run of payload.
    /// Errors: malformed, too_large ("chunk").
    [[nodiscard]] base::Result<Piece> next(std::string_view input);
    void restart();

private:
    enum class State : std::uint8_t {
        size_first, size, extension, size_lf, payload, payload_cr, payload_lf,
        trailer_first, trailer_name, trailer_value, trailer_lf, end_lf, done
    };
    /// One byte of framing. Null when it is fine, else why not.
    [[nodiscard]] const char* step(char c);
    [[nodiscard]] const char* step_size(char c);
    [[nodiscard]] const char* step_trailer(char c);

    const ParserLimits& limits_;
    std::uint64_t left_{0};           // of the current chunk's payload
    std::uint32_t extension_bytes_{0};  // of the whole message: a flood of them is one attack
    std::uint32_t trailer_bytes_{0};
    std::array<char, 17> name_{};     // of a trailer, lower case, as far as it matters
    std::uint8_t name_length_{0};
    std::uint8_t digits_{0};
    State state_{State::size_first};
};

} // namespace herd::http::internal
