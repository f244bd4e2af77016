#pragma once
// What one write puts on the wire: a head that still waits, the line of a chunk, payload pieces where they
// lie, the end of the chunk or of the message. Gathered, never copied, and resumable at any byte.
#include "net/stream.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace herd::http::internal {

/// Views: what it was made from must outlive it. `last` ends the message.
class Outgoing {
public:
    Outgoing(std::string_view head, std::span<const std::string_view> pieces, bool chunked, bool last);

    [[nodiscard]] std::size_t size() const { return size_; }       ///< bytes on the wire
    [[nodiscard]] std::size_t payload() const { return payload_; } ///< of them, the pieces
    /// Tries to write what comes after the first `offset` bytes. Requires offset < size().
    [[nodiscard]] net::Io write(net::Stream& stream, std::size_t offset) const;

private:
    std::string_view head_;
    std::span<const std::string_view> pieces_;
    std::string_view tail_;
    std::size_t payload_{0};
    std::size_t size_{0};
    std::array<char, 18> line_{}; // size of the chunk in hex, CRLF
    std::uint8_t line_length_{0};
};

} // namespace herd::http::internal
