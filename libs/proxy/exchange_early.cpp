// When the head of a stream left before any node had answered: what is said meanwhile, and how the end is told
// when it is no stream after all. Attempts go on as always: nothing of an answer was given away yet.
#include "proxy/exchange.hpp"

#include "proxy/dialect/dialect.hpp"
#include "proxy/guards.hpp"
#include "proxy/json_reader.hpp"

#include <array>
#include <cmath>

namespace herd::proxy {
namespace {

constexpr std::size_t told_bytes_max = 64 * 1024;
constexpr base::Duration told_timeout = std::chrono::seconds{5};

bool is_sse(StreamKind kind)
{
    return kind == StreamKind::sse_done || kind == StreamKind::sse_response || kind == StreamKind::sse_message;
}

/// What an error answer says, in any of the three dialects; empty when it says nothing that can be read.
std::string message_in(std::string_view body, int depth = 0)
{
    JsonReader reader(body);
    std::string message;
    if (depth > 2 || !reader.enter()) {
        return message;
    }
    while (const auto key = reader.next_key()) {
        if (*key == "error" && reader.kind() == JsonReader::Kind::object) {
            return message_in(reader.skip(), depth + 1);
        }
        if ((*key == "error" || *key == "message") && reader.kind() == JsonReader::Kind::string) {
            (void)JsonReader::unescape(reader.string(), message);
        } else {
            reader.skip();
        }
    }
    return message;
}

} // namespace

/// Not while the client still sends its body: two would use the connection at once.
bool Exchange::speaks_early() const
{
    return options_->early_head > base::Duration::zero() && is_sse(route_.stream) && record_.stream && !streamed_;
}

net::Task<void> Exchange::serve_aloud()
{
    early_ = std::make_unique<EarlyHead>(client_, [this] { return early_head(); }, [this] { return early_words(); });
    early_->start(began_ + options_->early_head);
    co_await serve();
    co_await quiet();
}

/// From here on nobody but the caller writes to the client.
net::Task<void> Exchange::quiet()
{
    if (early_) {
        co_await early_->stop();
    }
}

/// What is known before a node has answered. Not which node: that one might yet fail.
http::ResponseHead Exchange::early_head() const
{
    http::ResponseHead head;
    head.status = 200;
    head.framing = http::Framing::chunked;
    head.fields.add("Content-Type", "text/event-stream");
    head.fields.add("Cache-Control", "no-cache");
    if (profile_.fallbacks.empty()) {
        head.fields.add("X-Herd-Model", Visit::field_value(record_.model));
    }
    visit_.stamp(head.fields);
    return head;
}

net::Task<std::string> Exchange::early_words()
{
    if (phase_ != 'Q') {
        const auto& model = record_.model;
        co_return granted_->was_loaded ? "waiting for " + granted_->node_name : "loading " + model + " on " + granted_->node_name;
    }
    if (pulling_) {
        co_return pulling_words();
    }
    const auto standing = co_await context_.scheduler.standing(ticket_);
    if (!standing) {
        co_return "queued";
    }
    auto words = standing->held      ? "waiting for a node that has " + record_.model
                 : standing->loading ? "loading " + record_.model
                                     : "queued " + ordinal(standing->ahead + 1);
    if (standing->wait_s >= 1 && standing->wait_s < 86'400) {
        words.append(standing->held ? ", at most " : ", about ").append(std::to_string(std::lround(standing->wait_s))).append(" s");
    }
    co_return words;
}

/// The node's answer may follow an early head: a stream of the kind that was promised.
bool Exchange::fits_early_head() const
{
    return attempt_.head.status == 200
           && attempt_.head.fields.find("Content-Type").value_or("").starts_with("text/event-stream")
           && !attempt_.head.fields.find("Content-Encoding");
}

/// What the head could not say yet: the node, and the model when it is not the one asked for. A client that left
/// meanwhile is noticed by whoever writes next.
net::Task<void> Exchange::name_node()
{
    const auto what = record_.fallback ? "running " + record_.model + " on " : std::string("running on ");
    const auto text = EarlyHead::comment(what + granted_->node_name);
    const std::array pieces{std::string_view(text)};
    (void)co_await client_.write(pieces);
}

/// The node answered, but with no stream: what it says becomes the stream's error.
net::Task<void> Exchange::tell_in_stream()
{
    auto text = std::move(attempt_.failure_text);
    for (const auto piece : attempt_.first) {
        text.append(piece);
    }
    {
        SilenceGuard silence(context_.loop, *attempt_.connection, told_timeout);
        silence.arm();
        while (!attempt_.connection->body_complete() && text.size() < told_bytes_max) {
            const auto pieces = co_await attempt_.connection->read_body();
            if (!pieces || pieces->empty()) {
                break;
            }
            for (const auto piece : *pieces) {
                text.append(piece);
            }
        }
    }
    attempt_.connection->close();
    auto outcome = visit_.outcome_of(fleet::Result::served);
    outcome.status = attempt_.head.status;
    record_.attempts.push_back({granted_->node_name, outcome.result, outcome.took});
    visit_.held_->finish(std::move(outcome));
    ended('N', Stage::head);
    co_await say_in_stream(node_said(attempt_.head.status, text));
}

/// A node's answer that is no stream, as an error of ours: its words, and a code that says whose mistake it is.
Problem Exchange::node_said(int status, std::string_view body)
{
    auto message = message_in(body);
    if (message.empty()) {
        message = "the request failed with status " + std::to_string(status);
    }
    return {status, status < 500 ? "bad_request" : "node_failed", std::move(message)};
}

/// After the head has left: the error in the stream's own form.
net::Task<void> Exchange::say_in_stream(Problem problem)
{
    record_.status = 200; // what the client was told
    record_.error = problem.message.substr(0, 512);
    record_.first_byte = context_.loop.now() - began_;
    const auto text = in_band_error(route_.stream, problem, true);
    client_.close_after();
    const std::array last{std::string_view(text)};
    const auto said = co_await client_.end(last);
    if (!said) {
        client_left(Stage::data);
    }
}

} // namespace herd::proxy
