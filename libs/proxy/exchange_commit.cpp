// An exchange from the decision to let an answer through to its end: commit, relay, what is added when the
// node fails in the middle, and the outcome.
#include "proxy/exchange.hpp"

#include "proxy/dialect/dialect.hpp"
#include "proxy/heads.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {
namespace {

/// Whether the answer is a stream of the kind that the route is known for.
StreamKind kind_of(const http::ResponseHead& head, StreamKind of_route)
{
    if (head.status >= 300 || head.fields.find("Content-Encoding")) {
        return StreamKind::none;
    }
    const auto type = head.fields.find("Content-Type").value_or("");
    switch (of_route) {
    case StreamKind::ndjson_done:
    case StreamKind::ndjson_success: return type.starts_with("application/x-ndjson") ? of_route : StreamKind::none;
    case StreamKind::sse_done:
    case StreamKind::sse_response:
    case StreamKind::sse_message: return type.starts_with("text/event-stream") ? of_route : StreamKind::none;
    case StreamKind::none: break;
    }
    return StreamKind::none;
}

/// Names come from the network: what cannot stand in a field becomes '?'.
std::string field_value(std::string_view text)
{
    std::string out(text.substr(0, 256));
    std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return out;
}

} // namespace

net::Task<void> Exchange::relay(Attempt attempt, HeldLease& held)
{
    const auto& lease = held.lease();
    target_ = {lease.node, lease.node_name, lease.address};
    kind_ = kind_of(attempt.head, route_.stream);
    record_.stream = record_.stream && kind_ != StreamKind::none;
    phase_ = 'D';
    record_.status = attempt.head.status;
    const auto first_byte = context_.loop.now() - held.since();
    record_.first_byte = context_.loop.now() - began_;

    auto head = client_head(attempt.head);
    if (head.framing == http::Framing::until_close) {
        head.framing = http::Framing::chunked;
    }
    stamp_proxied(head.fields, lease.node_name, record_.attempts.size());
    stamp(head.fields);
    const std::array failure{std::string_view(attempt.failure_text)};
    RelayExtras extras;
    extras.tail = &tail_;
    extras.first = attempt.failure_text.empty() ? attempt.first : std::span<const std::string_view>(failure);
    extras.last_words = [this, &held, first_byte](RelayEnd end) {
        auto words = last_words(end);
        if (end == RelayEnd::complete) {
            node_done(held, first_byte);
        }
        return words;
    };
    if (route_.handling == Handling::create || route_.handling == Handling::pull) {
        extras.before_write = [this] { return before_write(); };
    }
    const bool empty = extras.first.empty();
    client_.begin(std::move(head)); // the commit point: the head leaves with the first bytes
    std::string().swap(body_); // (assigning keeps the memory) not needed again, and the answer may take an hour
    kept_.give_back();
    Relayed relayed;
    if (empty) {
        node_done(held, first_byte);
        if (const auto done = co_await client_.end(); !done) {
            relayed = {RelayEnd::client_gone, false, done.error()};
        }
    } else {
        relayed = co_await relay_answer(client_, *attempt.connection, {.idle_timeout = options_.idle_timeout}, extras);
    }
    if (relayed.end == RelayEnd::complete) {
        context_.pool.give_back(lease.address.endpoint, std::move(attempt.connection));
    }
    finish_relay(relayed, held, first_byte);
}

/// An error in the dialect of the stream when it did not end as such streams do.
std::string Exchange::last_words(RelayEnd end)
{
    tail_end_ = tail_.end(kind_);
    if (kind_ == StreamKind::none || tail_end_ != TailEnd::open) {
        return {};
    }
    std::string message = "node '" + target_.name + "' ";
    switch (end) {
    case RelayEnd::complete: message += "ended the stream before it was done"; break;
    case RelayEnd::node_silent: message += "fell silent in the middle of the answer"; break;
    default: message += "was lost in the middle of the answer"; break;
    }
    return in_band_error(kind_, message, tail_.at_event_end(kind_));
}

/// Before "success" reaches the client, the fleet knows of the model: who lists or uses it next will see it.
net::Task<void> Exchange::before_write()
{
    if (reread_ || tail_.end(StreamKind::ndjson_success) != TailEnd::proper) {
        co_return;
    }
    reread_ = true;
    std::vector<Target> targets{target_};
    co_await reread_models(context_, options_.own_id, std::move(targets));
}

void Exchange::stamp_proxied(http::Fields& fields, const std::string& node, std::size_t retries) const
{
    fields.add("X-Herd-Node", field_value(node));
    fields.add("X-Herd-Model", field_value(record_.model));
    fields.add("X-Herd-Retries", std::to_string(retries));
    fields.add("X-Herd-Queue-Ms", std::to_string(base::milliseconds(record_.queue)));
}

fleet::Outcome Exchange::outcome_of(fleet::Result result, const HeldLease& held) const
{
    fleet::Outcome outcome;
    outcome.result = result;
    outcome.took = context_.loop.now() - held.since();
    return outcome;
}

/// The node's part is over, and its slot free, before the client hears the end: what the client asks next finds
/// both the slot and the blob where they are.
void Exchange::node_done(HeldLease& held, base::Duration first_byte)
{
    auto outcome = outcome_of(fleet::Result::served, held);
    outcome.status = record_.status;
    outcome.first_byte = first_byte;
    if (record_.status < 300) {
        outcome.timings = tail_.timings();
    }
    if (tail_end_ != TailEnd::proper) {
        outcome.reason = tail_end_ == TailEnd::error ? "an error inside the stream" : "no end of the stream";
        record_.error = outcome.reason;
    }
    record_.timings = outcome.timings;
    record_.attempts.push_back({held.lease().node_name, outcome.result, outcome.took});
    if (route_.handling == Handling::blob && record_.status < 300) { // uploaded, or a HEAD that found it
        context_.shared->blobs.add(route_.parameter, held.lease().node);
    }
    held.finish(std::move(outcome));
}

void Exchange::finish_relay(const Relayed& relayed, HeldLease& held, base::Duration first_byte)
{
    if (held.finished()) { // by node_done()
        if (relayed.end == RelayEnd::client_gone) {
            client_left(Stage::data);
        } else if (tail_end_ != TailEnd::proper) {
            ended('N', Stage::data);
        }
        return;
    }
    auto outcome = outcome_of(fleet::Result::broken, held);
    outcome.status = record_.status;
    outcome.first_byte = first_byte;
    if (relayed.end == RelayEnd::client_gone) {
        outcome.result = fleet::Result::cancelled;
        client_left(Stage::data);
    } else {
        const bool silent = relayed.end == RelayEnd::node_silent;
        outcome.result = silent ? fleet::Result::timed_out : fleet::Result::broken;
        outcome.reason = silent ? "silent in the middle of the answer" : relayed.error.message();
        record_.error = outcome.reason;
        ended(silent ? 'T' : 'N', Stage::data);
    }
    record_.attempts.push_back({held.lease().node_name, outcome.result, outcome.took});
    held.finish(std::move(outcome));
}

} // namespace herd::proxy
