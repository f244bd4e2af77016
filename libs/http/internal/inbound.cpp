#include "http/internal/inbound.hpp"

#include "base/assert.hpp"

#include <algorithm>

namespace herd::http::internal {

net::Io Inbound::fill(net::Stream& stream)
{
    HERD_ASSERT(empty());
    if (!buffer_) {
        buffer_ = net::borrow_buffer();
    }
    const auto space = buffer_.bytes();
    const net::Io io = stream.try_read(space);
    begin_ = 0;
    end_ = io.done() ? static_cast<std::uint32_t>(io.bytes) : 0;
    dry_ = !io.done() || io.bytes < space.size();
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
    if (empty()) {
        buffer_.reset();
        begin_ = end_ = 0;
    }
}

std::size_t Inbound::put(std::string_view bytes)
{
    HERD_ASSERT(empty());
    if (!buffer_) {
        buffer_ = net::borrow_buffer();
    }
    const auto space = buffer_.bytes();
    const std::size_t n = std::min(bytes.size(), space.size());
    std::copy_n(bytes.data(), n, space.data());
    begin_ = 0;
    end_ = static_cast<std::uint32_t>(n);
    return n;
}

} // namespace herd::http::internal
