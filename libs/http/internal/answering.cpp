// How a connection writes its answers.
#include "base/assert.hpp"
#include "http/internal/connection.hpp"
#include "http/internal/date.hpp"
#include "http/internal/serialize.hpp"

#include <array>
#include <utility>

namespace herd::http::internal {

namespace {

net::Task<base::Result<void>> at_once(base::Result<void> result) { co_return result; }

} // namespace

void Connection::begin(ResponseHead answer)
{
    HERD_ASSERT(!begun_);
    begun_ = true;
    const RequestHead& request = head();
    if (answer.framing == Framing::until_close || answer.framing == Framing::chunked) {
        answer.framing = request.minor == 0 ? Framing::until_close : Framing::chunked;
    }
    keep_ = keep_ && answer.framing != Framing::until_close && !must_close_for_body() && !core_->draining;
    answer.keep_alive = keep_;
    answer.minor = 1;
    framing_ = answer.framing;
    left_ = framing_ == Framing::length ? answer.content_length : 0;
    const bool head_only = request.method == "HEAD";
    bodiless_ = head_only || answer.status == 204 || answer.status == 304;
    const bool dated = answer.fields.find("date").has_value();
    head_out_.clear();
    out_already_ = 0;
    serialize_response(answer,
                       {.lines = dated ? std::string_view{} : date_line(core_->loop.wall()),
                        .client_minor = request.minor,
                        .length_unknown = head_only},
                       head_out_);
}

/// The rest of the request's body is too long to be dropped, or may never come.
bool Connection::must_close_for_body() const
{
    if (body_complete_) {
        return false;
    }
    const RequestHead& request = head();
    return continue_pending_
           || (request.framing == Framing::length
               && request.content_length - bytes_in_ > core_->options.drain_body_bytes);
}

net::Task<base::Result<void>> Connection::flush()
{
    HERD_ASSERT(begun_);
    return send(Outgoing(head_out_, {}, false, false));
}

net::Task<base::Result<void>> Connection::write(std::span<const std::string_view> pieces)
{
    return put(pieces, false);
}

net::Task<base::Result<void>> Connection::end(std::span<const std::string_view> pieces) { return put(pieces, true); }

net::Task<base::Result<void>> Connection::put(std::span<const std::string_view> pieces, bool last)
{
    HERD_ASSERT(begun_ && !ended_);
    if (bodiless_) {
        ended_ = last;
        return last ? send(Outgoing(head_out_, {}, false, false)) : at_once({});
    }
    const Outgoing out(head_out_, pieces, framing_ == Framing::chunked, last);
    if (framing_ == Framing::length || framing_ == Framing::none) {
        // Never more than was announced, and no end before it: the client would misread what follows.
        if (out.payload() > left_ || (last && out.payload() < left_)) {
            return at_once(base::fail(base::Errc::internal, "the answer's length is not what its head says"));
        }
        left_ -= out.payload();
    }
    if (!last && out.payload() == 0) {
        return at_once({});
    }
    ended_ = last;
    return send(out);
}

/// The usual case: the socket takes all of it.
bool Connection::try_put(std::span<const std::string_view> pieces, bool last)
{
    HERD_ASSERT(begun_ && !ended_);
    const Outgoing out(head_out_, pieces, framing_ == Framing::chunked, last);
    const bool sized = framing_ == Framing::length || framing_ == Framing::none;
    if (bodiless_ || (sized && (out.payload() > left_ || (last && out.payload() < left_))) || (!last && out.payload() == 0)) {
        return false;
    }
    while (out_already_ < out.size()) {
        const net::Io io = out.write(*stream_, out_already_);
        if (!io.done()) {
            return false; // full or failed: send() finds out
        }
        committed_ = true;
        out_already_ += io.bytes;
    }
    out_already_ = 0;
    left_ -= sized ? out.payload() : 0;
    ended_ = last;
    sent(out);
    return true;
}

net::Task<base::Result<void>> Connection::send(Outgoing out)
{
    std::size_t offset = std::exchange(out_already_, 0);
    while (offset < out.size()) {
        const net::Io io = out.write(*stream_, offset);
        if (io.done()) {
            committed_ = true;
            offset += io.bytes;
            continue;
        }
        bool open = stream_->is_open();
        if (io.would_block() && open) {
            timed_out_ = false;
            writing_ = true;
            deadline_.set_after(core_->options.write_idle_timeout);
            open = co_await stream_->writable();
            deadline_.clear();
            writing_ = false;
            if (open) {
                continue;
            }
        }
        keep_ = false;
        gone_ = true;
        ended_ = false;
        if (timed_out_) {
            co_return base::fail(base::Errc::timed_out, "the client does not read", base::Source::client);
        }
        co_return std::unexpected(base::Error{open ? base::errc_of(io.cause) : base::Errc::closed, base::Source::client,
                                              base::Retry::never, "the client went away", io.cause});
    }
    sent(out);
    co_return base::Result<void>{};
}

void Connection::sent(const Outgoing& out)
{
    bytes_out_ += out.payload();
    if (ended_) {
        head_out_.clear(); // the next answer fills it at once
    } else if (!head_out_.empty()) {
        std::string().swap(head_out_); // (assigning keeps the memory) a stream may take an hour
    }
}

void Connection::abort()
{
    keep_ = false;
    stream_->abort();
}

ResponseHead Connection::own_answer(int status, std::string_view reason, std::string& body)
{
    in_exchange_ = true;
    begun_ = committed_ = ended_ = false;
    // Where the head was no good what a method of it says is void; of its target it may be told who asks.
    const bool has_request = body_complete_ ? in_.parser().between_messages() : true;
    const std::string target{has_request ? std::string_view(head().target) : in_.parser().refused_target()};
    if (!has_request) {
        in_.parser().request() = {};
    }
    ResponseHead answer = core_->error_body(status, reason, target, body);
    answer.status = status;
    return answer;
}

net::Task<void> Connection::answer_error(int status)
{
    std::string body;
    ResponseHead answer = own_answer(status, reason_phrase(status), body);
    (void)co_await respond(std::move(answer), body); // a client that left needs no answer
    in_exchange_ = false;
}

net::Task<void> Connection::answer_unasked(Unasked unasked)
{
    const std::string_view reason = unasked.sentence.empty() ? reason_phrase(unasked.status) : unasked.sentence;
    std::string body;
    ResponseHead answer = own_answer(unasked.status, reason, body);
    if (core_->options.on_own_answer) {
        core_->options.on_own_answer({.peer = peer(),
                                      .status = unasked.status,
                                      .reason = reason,
                                      .why = unasked.why,
                                      .method = unasked.head_good ? std::string_view(head().method) : std::string_view{},
                                      .target = unasked.head_good ? std::string_view(head().target) : std::string_view{},
                                      .waited = unasked.waited,
                                      .body_bytes = body.size()},
                                     answer);
    }
    (void)co_await respond(std::move(answer), body);
    in_exchange_ = false;
}

net::Task<void> Connection::refuse()
{
    keep_ = false;
    unread_input_ = true;
    co_await answer_unasked({.status = 503, .why = "too many connections"});
    if (!gone_) {
        co_await linger();
    }
    stream_->close();
}

} // namespace herd::http::internal
