#include "herd-node/media/kept_body.hpp"

#include "net/timer.hpp"

#include <numeric>

namespace herd::node {

net::Task<base::Result<KeptBody>> read_kept(http::ServerExchange& exchange, std::atomic<std::uint64_t>& total, BodyLimits limits)
{
    const auto& head = exchange.head();
    if (head.framing == http::Framing::length && head.content_length > limits.each) {
        co_return base::fail(base::Errc::too_large, "body", base::Source::client);
    }
    KeptBody body{.text = {}, .share = std::make_unique<proxy::KeptBytes>(total, limits.together)};
    bool late = false;
    net::Timer timer(exchange.loop());
    timer.call_after(limits.time, [&] {
        late = true;
        exchange.interrupt_read();
    });
    for (;;) {
        const auto pieces = co_await exchange.read_body();
        if (late) {
            co_return base::fail(base::Errc::timed_out, "body", base::Source::client);
        }
        if (!pieces) {
            co_return std::unexpected(pieces.error());
        }
        if (pieces->empty()) {
            co_return body;
        }
        const auto size = std::accumulate(pieces->begin(), pieces->end(), std::size_t{0},
                                          [](std::size_t sum, std::string_view piece) { return sum + piece.size(); });
        if (size > limits.each - body.text.size()) {
            co_return base::fail(base::Errc::too_large, "body", base::Source::client);
        }
        if (!body.share->grow(size)) { // as it comes, not as it is announced: who only announces takes nothing from others
            co_return base::fail(base::Errc::queue_full, "body");
        }
        for (const std::string_view piece : *pieces) {
            body.text += piece;
        }
    }
}

} // namespace herd::node
