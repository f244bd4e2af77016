#pragma once
// The reading half of a connection: a parser, and a buffer that is borrowed only while it holds bytes.
#include "http/parser.hpp"
#include "net/buffers.hpp"
#include "net/stream.hpp"

#include <cstdint>
#include <span>

namespace herd::http::internal {

class Inbound {
public:
    Inbound(Parser::Role role, const ParserLimits& limits) : parser_(role, limits) {}

    [[nodiscard]] Parser& parser() { return parser_; }
    [[nodiscard]] std::span<const char> unread() const { return buffer_.bytes().subspan(begin_, end_ - begin_); }
    [[nodiscard]] bool empty() const { return begin_ == end_; }
    /// The last read took all there was: waiting first saves a read that would find nothing.
    [[nodiscard]] bool dry() const { return dry_; }
    /// Before a wait: gives the buffer back, and the next read is worth trying.
    void pause()
    {
        release();
        dry_ = false;
    }

    /// Reads once. Requires empty(); views into earlier input end here. Without bytes no buffer is kept.
    [[nodiscard]] net::Io fill(net::Stream& stream);
    /// Parses on. Requires !empty(). The parser's body() points into the buffer until fill() or release().
    [[nodiscard]] base::Result<Parser::Step> parse();
    /// Gives the buffer back if everything in it was read.
    void release();
    /// Puts bytes in to be read (those of a pipelined request); takes as many as fit. Requires empty().
    [[nodiscard]] std::size_t put(std::string_view bytes);
    void drop_unread() { begin_ = end_; }

private:
    [[nodiscard]] std::span<char> space();
    Parser parser_;
    net::Buffer buffer_;
    std::uint32_t begin_{0};
    std::uint32_t end_{0};
    bool dry_{false};
};

} // namespace herd::http::internal
