#include "proxy/attempt.hpp"

#include "proxy/guards.hpp"
#include "proxy/heads.hpp"

namespace herd::proxy {
namespace {

constexpr std::size_t failure_bytes_max = 256 * 1024;
constexpr base::Duration failure_timeout = std::chrono::seconds{5};
constexpr base::Duration early_head_timeout = std::chrono::seconds{5};
/// A host that vanished acknowledges nothing. Keep-alive probes do not find it while something is on its way.
constexpr base::Duration acknowledge_timeout = std::chrono::milliseconds{1800};

base::Error timed_out(std::string context)
{
    return {base::Errc::timed_out, base::Source::node, base::Retry::never, std::move(context), {}};
}

/// Sends head and body. False: `attempt.error` is set, or the client is gone.
net::Task<bool> send(http::ServerExchange& exchange, const AttemptInput& input, Attempt& attempt)
{
    auto& connection = *attempt.connection;
    connection.stream().acknowledge_within(input.streamed ? base::Duration{} : acknowledge_timeout);
    auto head = node_head(exchange.head(), *input.address, exchange.peer(), input.own_id);
    if (input.streamed) {
        const auto sent = co_await connection.send_head(head);
        if (sent) {
            auto uploaded = co_await relay_body(exchange, connection, input.body, input.relay);
            switch (uploaded.end) {
            case UploadEnd::complete:
            case UploadEnd::early_answer: co_return true;
            case UploadEnd::client_gone: attempt.client_gone = true; break;
            case UploadEnd::too_large: attempt.body_too_large = true; break;
            case UploadEnd::node_silent: uploaded.error = timed_out("it took no more of the request"); break;
            }
            attempt.error = std::move(uploaded.error);
            co_return false;
        }
        attempt.error = sent.error();
        co_return false;
    }
    if (!input.body.empty() || head.framing != http::Framing::none) {
        head.framing = http::Framing::length;
        head.content_length = input.body.size();
    }
    GoneGuard client(exchange, connection);
    SilenceGuard silence(exchange.loop(), connection, input.relay.idle_timeout);
    silence.arm();
    auto sent = co_await connection.send(head, input.body);
    silence.disarm();
    attempt.client_gone = client.gone();
    if (!sent) {
        attempt.error = silence.expired() ? timed_out("it took no more of the request") : std::move(sent.error());
        co_return false;
    }
    co_return !attempt.client_gone;
}

/// Reads what a failing answer says, as far as it is worth reading. Trouble on the way is an error.
net::Task<void> read_failure(http::ServerExchange& exchange, Attempt& attempt)
{
    SilenceGuard silence(exchange.loop(), *attempt.connection, failure_timeout);
    silence.arm();
    while (attempt.failure_text.size() < failure_bytes_max) {
        const auto pieces = co_await attempt.connection->read_body();
        if (!pieces) {
            attempt.error = silence.expired() ? timed_out("inside an error answer") : pieces.error();
            co_return;
        }
        if (pieces->empty()) {
            attempt.whole = true;
            co_return;
        }
        for (const auto piece : *pieces) {
            attempt.failure_text.append(piece);
        }
    }
}

net::Task<void> await_answer(http::ServerExchange& exchange, const AttemptInput& input, Attempt& attempt)
{
    auto& connection = *attempt.connection;
    GoneGuard client(exchange, connection);
    // An upload that ended early has an answer under way, or none at all.
    const bool early = input.streamed && !exchange.body_complete();
    SilenceGuard silence(exchange.loop(), connection, early ? early_head_timeout : input.first_byte_timeout);
    silence.arm();
    auto head = co_await connection.read_head();
    if (head) {
        attempt.phase = Phase::answered;
        attempt.head = std::move(*head);
        if (looks_failed(attempt.head.status)) {
            silence.disarm();
            co_await read_failure(exchange, attempt);
        } else {
            auto first = co_await connection.read_body();
            if (first) {
                attempt.first = *first;
            } else {
                attempt.error = std::move(first.error());
            }
        }
    } else {
        attempt.error = std::move(head.error());
    }
    if (silence.expired()) {
        attempt.error = timed_out("no answer in time");
    }
    attempt.client_gone = client.gone();
}

} // namespace

net::Task<Attempt> try_node(http::ServerExchange& exchange, http::Pool& pool, AttemptInput input)
{
    Attempt attempt;
    auto taken = co_await pool.take(input.address->endpoint, input.fresh);
    if (!taken) {
        attempt.error = std::move(taken.error());
        attempt.client_gone = exchange.client_gone();
        co_return attempt;
    }
    attempt.connection = std::move(taken->connection);
    attempt.reused = taken->reused;
    attempt.connect = taken->connect;
    if (exchange.client_gone()) {
        attempt.client_gone = true;
        co_return attempt;
    }
    attempt.phase = Phase::sent;
    const bool sent = co_await send(exchange, input, attempt);
    if (sent) {
        co_await await_answer(exchange, input, attempt);
    }
    co_return attempt;
}

} // namespace herd::proxy
