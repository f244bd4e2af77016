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

/// The request as the node gets it.
void make_head(http::ServerExchange& exchange, const AttemptInput& input, http::RequestHead& head)
{
    make_node_head(exchange.head(), *input.address, input.client, input.own_id, exchange.secure(), head);
    const std::string_view came = exchange.head().target;
    if (input.target.data() != came.data()) { // "/f/ID" is ours; what the node's address adds to the target stays
        head.target.replace(input.address->path_prefix.size(), came.size(), input.target);
    }
    if (input.decoded) {
        head.fields.remove("Content-Encoding");
    }
}

/// Sends a body that comes from the client as it goes. False: `attempt.error` is set, or the client is gone.
net::Task<bool> upload(http::ServerExchange& exchange, const AttemptInput& input, Attempt& attempt)
{
    auto& connection = *attempt.connection;
    http::RequestHead head;
    make_head(exchange, input, head);
    const auto sent = co_await connection.send_head(head);
    if (!sent) {
        attempt.error = sent.error();
        co_return false;
    }
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

/// Sends head and body as far as the socket takes them. True: all of it.
bool send_at_once(http::ServerExchange& exchange, const AttemptInput& input, Attempt& attempt)
{
    thread_local http::RequestHead head; // NOLINT: its memory serves every request of this loop
    make_head(exchange, input, head);
    if (!input.body.empty() || head.framing != http::Framing::none) {
        head.framing = http::Framing::length;
        head.content_length = input.body.size();
    }
    return attempt.connection->try_send(head, input.body);
}

/// What was left. False: `attempt.error` is set, or the client is gone.
net::Task<bool> send_rest(http::ServerExchange& exchange, const AttemptInput& input, Attempt& attempt)
{
    auto& connection = *attempt.connection;
    GoneGuard client(exchange, connection);
    SilenceGuard silence(exchange.loop(), connection, input.relay.idle_timeout);
    silence.arm();
    auto sent = co_await connection.send_rest();
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

/// The answer's head, or why there will be none, if that is known already.
bool take_head(Attempt& attempt)
{
    auto head = attempt.connection->try_read_head();
    if (!head) {
        return false;
    }
    if (*head) {
        attempt.head = std::move(**head);
    } else {
        attempt.error = std::move(head->error());
    }
    return true;
}

void take_first(base::Result<std::span<const std::string_view>> pieces, Attempt& attempt)
{
    if (pieces) {
        attempt.first = *pieces;
    } else {
        attempt.error = std::move(pieces.error());
    }
}

} // namespace

net::Task<void> try_node(http::ServerExchange& exchange, http::Pool& pool, const AttemptInput& input, Attempt& attempt)
{
    const auto& to = input.address->endpoint;
    attempt.connection = input.fresh ? nullptr : pool.take_idle(to, input.address->trust().get());
    attempt.reused = attempt.connection != nullptr;
    if (!attempt.reused) {
        auto taken = co_await pool.take(to, true, base::Instant::max(), input.address->trust(), input.connect_timeout);
        if (!taken) {
            attempt.error = std::move(taken.error());
            attempt.client_gone = exchange.client_gone();
            co_return;
        }
        attempt.connection = std::move(taken->connection);
        attempt.connect = taken->connect;
    }
    co_await exchange.loop().turn();
    if (exchange.client_gone()) {
        attempt.client_gone = true;
        co_return;
    }
    auto& connection = *attempt.connection;
    attempt.phase = Phase::sent;
    connection.stream().acknowledge_within(input.streamed ? base::Duration{} : acknowledge_timeout);
    if (input.streamed) {
        if (!co_await upload(exchange, input, attempt)) {
            co_return;
        }
    } else if (!send_at_once(exchange, input, attempt) && !co_await send_rest(exchange, input, attempt)) {
        co_return;
    }

    GoneGuard client(exchange, connection);
    // An upload that ended early has an answer under way, or none at all.
    const bool early = input.streamed && !exchange.body_complete();
    SilenceGuard silence(exchange.loop(), connection, early ? early_head_timeout : input.first_byte_timeout);
    silence.arm();
    while (!take_head(attempt)) {
        if (!co_await connection.readable()) {
            attempt.error = connection.closed_error();
            break;
        }
    }
    if (!attempt.error) {
        attempt.phase = Phase::answered;
        if (attempt.head.status == 403 && input.address->proof != nullptr && attempt.head.fields.find("X-Herd-Proof")) {
            attempt.error = base::Error{base::Errc::forbidden, base::Source::node, base::Retry::never, "its agent refused this herd's proof", {}};
            connection.close();
        } else if (looks_failed(attempt.head.status)) {
            silence.disarm();
            co_await read_failure(exchange, attempt);
        } else if (auto first = connection.try_read_body()) {
            take_first(std::move(*first), attempt);
        } else {
            take_first(co_await connection.read_body(), attempt);
        }
    }
    if (silence.expired()) {
        attempt.error = timed_out("no answer in time");
    }
    attempt.client_gone = client.gone();
}

} // namespace herd::proxy
