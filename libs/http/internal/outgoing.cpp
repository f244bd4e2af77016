#include "http/internal/outgoing.hpp"

#include <charconv>

namespace herd::http::internal {

namespace {

constexpr std::size_t gather_max = 16; // what Stream::try_write takes

/// Fills a gathering write, leaving out the bytes that are sent already.
struct Gather {
    std::array<std::string_view, gather_max> pieces{};
    std::size_t count{0};
    std::size_t skip;

    void add(std::string_view piece)
    {
        if (skip >= piece.size()) {
            skip -= piece.size();
            return;
        }
        if (count < pieces.size()) {
            pieces[count++] = piece.substr(skip);
        }
        skip = 0;
    }
};

} // namespace

Outgoing::Outgoing(std::string_view head, std::span<const std::string_view> pieces, bool chunked, bool last)
    : head_(head), pieces_(pieces)
{
    for (const std::string_view piece : pieces) {
        payload_ += piece.size();
    }
    if (chunked) {
        if (payload_ > 0) {
            char* end = std::to_chars(line_.data(), line_.data() + 16, payload_, 16).ptr;
            *end++ = '\r';
            *end++ = '\n';
            line_length_ = static_cast<std::uint8_t>(end - line_.data());
            tail_ = last ? "\r\n0\r\n\r\n" : "\r\n";
        } else if (last) {
            tail_ = "0\r\n\r\n";
        }
    }
    size_ = head_.size() + line_length_ + payload_ + tail_.size();
}

net::Io Outgoing::write(net::Stream& stream, std::size_t offset) const
{
    Gather gather{.skip = offset};
    gather.add(head_);
    gather.add({line_.data(), line_length_});
    for (const std::string_view piece : pieces_) {
        gather.add(piece);
    }
    gather.add(tail_);
    return stream.try_write({gather.pieces.data(), gather.count});
}

} // namespace herd::http::internal
