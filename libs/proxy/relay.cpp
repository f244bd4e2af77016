#include "proxy/relay.hpp"

#include "proxy/guards.hpp"

#include <array>

namespace herd::proxy {
namespace {

using Pieces = std::span<const std::string_view>;

base::Error left() { return {base::Errc::cancelled, base::Source::client, base::Retry::never, "the client left", {}}; }

// Results are taken apart in functions that are never inlined: what stands in the frame of relay_answer(), even for a
// moment, is paid for by every open stream.

[[gnu::noinline]] void fail(Relayed& out, RelayEnd end, base::Error&& error)
{
    out.end = end;
    out.error = std::make_unique<base::Error>(std::move(error));
}

/// False: it could not be written.
[[nodiscard, gnu::noinline]] bool note(base::Result<void> written, Relayed& out)
{
    if (!written) {
        fail(out, RelayEnd::client_gone, std::move(written.error()));
    }
    return written.has_value();
}

/// Of the buffer that the last pieces were in.
[[gnu::noinline]] void let_go(http::ClientConnection& connection) { (void)connection.try_read_body(); }

/// False: `out` tells.
net::Task<bool> write(http::ServerExchange& exchange, Pieces pieces, Relayed& out)
{
    co_return note(co_await exchange.write(pieces), out);
}

/// Ends the client's message after the node's has ended: with last words, properly, or by breaking it.
net::Task<void> conclude(http::ServerExchange& exchange, Pieces rest, AnswerWatch* watch, Relayed& out)
{
    const auto words = watch != nullptr ? watch->last_words(out.end) : std::string();
    if (words.empty()) {
        if (out.end == RelayEnd::complete) {
            (void)note(co_await exchange.end(rest), out);
        } else {
            exchange.abort();
        }
        co_return;
    }
    exchange.close_after();
    if (rest.empty() || co_await write(exchange, rest, out)) {
        const std::array last{std::string_view(words)};
        (void)note(co_await exchange.end(last), out);
    }
}

enum class Read : std::uint8_t { pieces, complete, nothing_yet, failed };

/// What has come of the answer's body, without waiting.
[[gnu::noinline]] Read take(http::ClientConnection& connection, Pieces& pieces, Relayed& out)
{
    auto read = connection.try_read_body();
    if (!read) {
        return Read::nothing_yet;
    }
    if (!*read) {
        fail(out, RelayEnd::node_broken, std::move(read->error()));
        return Read::failed;
    }
    pieces = **read;
    return pieces.empty() ? Read::complete : Read::pieces;
}

/// Reading has ended early: who ended it.
[[gnu::noinline]] void blame(const http::ClientConnection& connection, const GoneGuard& client, const SilenceGuard& silence, Relayed& out)
{
    if (out.end == RelayEnd::complete) { // no reading failed: it was closed while that was waited for
        fail(out, RelayEnd::node_broken, connection.closed_error());
    }
    if (client.gone()) {
        fail(out, RelayEnd::client_gone, left());
    } else if (silence.expired()) {
        out.end = RelayEnd::node_silent;
    }
}

} // namespace

net::Task<Relayed> relay_answer(http::ServerExchange& exchange, http::ClientConnection& connection, Pieces pieces,
                                base::Duration idle_timeout, AnswerWatch* watch)
{
    Relayed out;
    GoneGuard client(exchange, connection);
    SilenceGuard silence(exchange.loop(), connection, idle_timeout);
    for (;;) {
        if (pieces.empty()) {
            auto read = take(connection, pieces, out);
            if (read == Read::nothing_yet) {
                silence.arm();
                const bool open = co_await connection.readable();
                silence.disarm();
                if (open) {
                    continue;
                }
                read = Read::failed;
            }
            if (read == Read::failed) {
                blame(connection, client, silence, out);
            }
            if (read != Read::pieces) {
                break; // broken, or complete and known only now
            }
        }
        if (watch != nullptr && watch->passing(pieces)) {
            co_await watch->before_write();
        }
        co_await exchange.loop().turn();
        if (connection.body_complete()) {
            break; // complete: these pieces are the last, and leave together with the end
        }
        if (!exchange.try_write(pieces) && !co_await write(exchange, pieces, out)) {
            break;
        }
        pieces = {};
    }
    if (out.end != RelayEnd::complete) {
        connection.close();
        pieces = {};
    }
    if (out.end != RelayEnd::client_gone) {
        co_await conclude(exchange, pieces, watch, out);
    }
    if (out.end == RelayEnd::complete && connection.body_complete()) {
        let_go(connection);
    }
    co_return std::move(out);
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
