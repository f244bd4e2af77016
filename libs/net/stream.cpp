#include "net/stream.hpp"

#include <array>

namespace herd::net {

base::Error io_error(const Io& io)
{
    if (io.state == Io::State::end) {
        return {base::Errc::closed, base::Source::self, base::Retry::if_unsent, {}, {}};
    }
    return {base::errc_of(io.cause), base::Source::self, base::Retry::if_unsent, {}, io.cause};
}

Task<Result<std::size_t>> read_some(Stream& stream, std::span<char> into)
{
    for (;;) {
        const Io io = stream.try_read(into);
        switch (io.state) {
        case Io::State::done: co_return io.bytes;
        case Io::State::end: co_return std::size_t{0};
        case Io::State::failed: co_return std::unexpected(io_error(io));
        case Io::State::would_block: break;
        }
        if (!co_await stream.readable()) {
            co_return base::fail(base::Errc::cancelled);
        }
    }
}

Task<Result<void>> write_all(Stream& stream, std::span<const std::string_view> pieces)
{
    std::array<std::string_view, 16> left{};
    std::size_t taken = 0; // pieces already moved into `left`
    std::size_t begin = 0;
    std::size_t end = 0;
    for (;;) {
        if (begin == end) {
            begin = end = 0;
            while (end < left.size() && taken < pieces.size()) {
                left[end++] = pieces[taken++];
            }
            if (end == 0) {
                co_return Result<void>{};
            }
        }
        if (left[begin].empty()) {
            ++begin;
            continue;
        }
        const Io io = stream.try_write({left.data() + begin, end - begin});
        if (io.would_block()) {
            if (!co_await stream.writable()) {
                co_return base::fail(base::Errc::cancelled);
            }
            continue;
        }
        if (!io.done()) {
            co_return std::unexpected(io_error(io));
        }
        for (std::size_t sent = io.bytes; sent > 0;) {
            const std::size_t step = std::min(sent, left[begin].size());
            left[begin].remove_prefix(step);
            sent -= step;
            if (left[begin].empty()) {
                ++begin;
            }
        }
    }
}

Task<Result<void>> write_all(Stream& stream, std::string_view bytes)
{
    const std::array<std::string_view, 1> pieces{bytes};
    co_return co_await write_all(stream, pieces);
}

} // namespace herd::net
