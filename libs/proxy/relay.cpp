#include "proxy/relay.hpp"

#include "proxy/guards.hpp"
#include "proxy/stream_tail.hpp"

#include <array>

namespace herd::proxy {
namespace {

using Pieces = std::span<const std::string_view>;

base::Error left() { return {base::Errc::cancelled, base::Source::client, base::Retry::never, "the client left", {}}; }

/// Ends the client's message after the node's has ended: with last words, properly, or by breaking it.
net::Task<void> conclude(http::ServerExchange& exchange, Pieces rest, std::string words, Relayed& out)
{
    out.words_said = !words.empty();
    if (out.end != RelayEnd::complete && words.empty()) {
        exchange.abort();
        co_return;
    }
    if (out.words_said) {
        exchange.close_after();
    }
    base::Result<void> done{};
    if (out.words_said && !rest.empty()) {
        done = co_await exchange.write(rest);
    }
    if (done) {
        const std::array last{std::string_view(words)};
        done = co_await exchange.end(out.words_said ? Pieces(last) : rest);
    }
    if (!done) {
        out.end = RelayEnd::client_gone;
        out.error = std::move(done.error());
    }
}

enum class Read : std::uint8_t { pieces, complete, nothing_yet, failed };

/// What has come of the answer's body, without waiting. (Here and below results are taken apart outside of the
/// coroutine: what stands in its frame is paid for by every open stream.)
Read take(http::ClientConnection& connection, Pieces& pieces, base::Error& error)
{
    auto read = connection.try_read_body();
    if (!read) {
        return Read::nothing_yet;
    }
    if (!*read) {
        error = std::move(read->error());
        return Read::failed;
    }
    pieces = **read;
    return pieces.empty() ? Read::complete : Read::pieces;
}

/// False: it could not be written.
bool note(base::Result<void> written, Relayed& out)
{
    if (!written) {
        out.end = RelayEnd::client_gone;
        out.error = std::move(written.error());
    }
    return written.has_value();
}

} // namespace

net::Task<Relayed> relay_answer(http::ServerExchange& exchange, http::ClientConnection& connection,
                                RelayOptions options, const RelayExtras& extras)
{
    Relayed out;
    GoneGuard client(exchange, connection);
    SilenceGuard silence(exchange.loop(), connection, options.idle_timeout);
    auto pieces = extras.first;
    const auto words = [&extras](RelayEnd end) { return extras.last_words ? extras.last_words(end) : std::string(); };
    for (;;) {
        if (pieces.empty()) {
            const auto read = take(connection, pieces, out.error);
            if (read == Read::nothing_yet) {
                silence.arm();
                const bool open = co_await connection.readable();
                silence.disarm();
                if (open) {
                    continue;
                }
                out.error = connection.closed_error();
            }
            if (read == Read::complete) {
                break; // and known only now
            }
            if (read != Read::pieces) {
                out.end = client.gone() ? RelayEnd::client_gone
                          : silence.expired() ? RelayEnd::node_silent
                                              : RelayEnd::node_broken;
                if (client.gone()) {
                    out.error = left();
                }
                break;
            }
        }
        if (extras.tail != nullptr) {
            extras.tail->feed(pieces);
        }
        if (extras.before_write) {
            co_await extras.before_write();
        }
        co_await exchange.loop().turn();
        if (connection.body_complete()) {
            break; // complete: these pieces are the last, and leave together with the end
        }
        if (!exchange.try_write(pieces) && !note(co_await exchange.write(pieces), out)) {
            break;
        }
        pieces = {};
    }
    if (out.end != RelayEnd::complete) {
        connection.close();
        pieces = {};
    }
    if (out.end != RelayEnd::client_gone) {
        auto last = words(out.end);
        co_await conclude(exchange, pieces, std::move(last), out);
    }
    if (out.end == RelayEnd::complete && connection.body_complete()) {
        (void)connection.try_read_body(); // it lets go of the buffer the last pieces were in
    }
    co_return out;
}

net::Task<Uploaded> relay_body(http::ServerExchange& exchange, http::ClientConnection& connection,
                               std::string_view prefix, RelayOptions options)
{
    Uploaded out;
    GoneGuard client(exchange, connection);
    SilenceGuard silence(exchange.loop(), connection, options.idle_timeout);
    // An answer that comes while the client is silent ends the wait for it.
    connection.on_early_answer([&exchange] { exchange.interrupt_read(); });
    const std::array first{prefix};
    Pieces pieces(first);
    std::uint64_t bytes = prefix.size();
    for (;;) {
        if (connection.answer_waiting()) {
            out.end = UploadEnd::early_answer;
            co_return out;
        }
        if (!pieces.empty() && bytes > 0) {
            silence.arm();
            auto sent = co_await connection.send_body(pieces);
            silence.disarm();
            if (!sent) {
                out.end = client.gone() ? UploadEnd::client_gone
                          : silence.expired() ? UploadEnd::node_silent
                                              : UploadEnd::early_answer;
                out.error = client.gone() ? left() : std::move(sent.error());
                co_return out;
            }
        }
        auto read = co_await exchange.read_body();
        if (!read && connection.answer_waiting() && !client.gone() && read.error().code == base::Errc::cancelled) {
            out.end = UploadEnd::early_answer;
            co_return out;
        }
        if (!read) {
            connection.close();
            out.end = UploadEnd::client_gone;
            out.error = std::move(read.error());
            co_return out;
        }
        pieces = *read;
        if (pieces.empty()) {
            break;
        }
        for (const auto piece : pieces) {
            bytes += piece.size();
        }
        if (options.body_bytes_max != 0 && bytes > options.body_bytes_max) {
            connection.close();
            out.end = UploadEnd::too_large;
            out.error = {base::Errc::too_large, base::Source::client, base::Retry::never, "request body too large", {}};
            co_return out;
        }
    }
    silence.arm();
    auto ended = co_await connection.send_end();
    silence.disarm();
    if (!ended) {
        out.end = client.gone() ? UploadEnd::client_gone : UploadEnd::early_answer;
        out.error = client.gone() ? left() : std::move(ended.error());
    }
    co_return out;
}

} // namespace herd::proxy
