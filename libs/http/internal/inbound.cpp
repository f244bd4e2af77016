#include "http/internal/inbound.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <new>
#include <string_view>

namespace herd::http::internal {

namespace {

// The front of a buffer holds the parser's list of pieces, so that it costs nothing while there is no buffer.
constexpr std::size_t pieces_bytes = Parser::pieces_max * sizeof(std::string_view);

} // namespace

std::span<char> Inbound::space()
{
    if (!buffer_) {
        buffer_ = net::borrow_buffer();
        auto* first = ::new (static_cast<void*>(buffer_.bytes().data())) std::string_view[Parser::pieces_max]; // NOLINT
        parser_.use_pieces({first, Parser::pieces_max});
    }
    return buffer_.bytes().subspan(pieces_bytes);
}

net::Io Inbound::fill(net::Stream& stream)
{
    HERD_ASSERT(empty());
    const auto room = space();
    const net::Io io = stream.try_read(room);
    begin_ = pieces_bytes;
    end_ = begin_ + (io.done() ? static_cast<std::uint32_t>(io.bytes) : 0);
    dry_ = !io.done() || io.bytes < room.size();
    release();
    return io;
}

base::Result<Parser::Step> Inbound::parse()
{
    HERD_ASSERT(!empty());
    auto step = parser_.execute(unread());
    if (step) {
        begin_ += static_cast<std::uint32_t>(step->consumed);
    }
    return step;
}

void Inbound::release()
{
    if (empty() && buffer_) {
        parser_.use_pieces({});
        buffer_.reset();
        begin_ = end_ = 0;
    }
}

std::size_t Inbound::put(std::string_view bytes)
{
    HERD_ASSERT(empty());
    const auto room = space();
    const std::size_t n = std::min(bytes.size(), room.size());
    std::copy_n(bytes.data(), n, room.data());
    begin_ = pieces_bytes;
    end_ = begin_ + static_cast<std::uint32_t>(n);
    return n;
}

} // namespace herd::http::internal
