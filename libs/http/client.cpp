#include "http/client.hpp"

#include "base/assert.hpp"
#include "http/internal/inbound.hpp"
#include "http/internal/outgoing.hpp"
#include "http/internal/place.hpp"
#include "net/wake.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace herd::http {

namespace {

using Pieces = std::span<const std::string_view>;

constexpr std::uint8_t interim_max = 16; // of one answer: without end they would keep a core busy
enum class Woken : std::uint8_t { closed, input, writable }; // closed is also what a cancelled task gets

} // namespace

struct ClientConnection::Impl {
    Impl(net::Loop& loop, std::unique_ptr<net::Stream> s, const ParserLimits& limits)
        : stream(std::move(s)), in(Parser::Role::response, limits), wake(loop)
    {
    }

    void begin_request(const RequestHead& head);
    /// Writes what the socket takes now; the rest, if any, is for write_rest().
    std::size_t write_now(const internal::Outgoing& out);
    /// True when all of it is out, false when the answer came first.
    net::Task<base::Result<bool>> write_rest(internal::Outgoing out, std::size_t offset);
    net::Task<base::Result<void>> write(internal::Outgoing out, bool last);
    void watch_input();
    void on_input();
    /// Reads once. What it returns is why there will be no more; nothing, and nothing read, is possible.
    std::optional<base::Error> take_input();
    /// The last read took everything: wait before the next one (and hold no buffer).
    bool must_wait();
    /// What read_head() and read_body() return, or nothing if the stream must become readable first.
    std::optional<base::Result<ResponseHead>> next_head();
    std::optional<base::Result<Pieces>> next_pieces();
    base::Error error(base::Errc code, std::string context, std::error_code cause = {}) const;

    internal::Place place;
    std::unique_ptr<net::Stream> stream;
    internal::Inbound in;
    net::Wake<Woken> wake; // of a write that waits for room or for an early answer
    struct Unsent { // of a request whose socket was full
        std::string head;
        std::string_view body;
        std::size_t offset;
    };
    std::unique_ptr<Unsent> unsent;
    net::Callback early_work; // of a sender that waits for something else
    std::uint64_t body_left{0}; // of the request, with Framing::length
    bool chunked{false};       // how the request's body is framed
    bool sent{true};           // the request is out, completely
    bool input_seen{false};    // something arrived while the request was being sent
    bool begun{false};         // a byte of the answer arrived
    std::uint8_t interim{0};   // answers of 1xx before this one
    bool complete{false};      // the answer's last byte was read
    bool keep_alive{false};
    bool closed{false};
    base::Errc why_closed{base::Errc::cancelled};
};

ClientConnection::ClientConnection(net::Loop& loop, std::unique_ptr<net::Stream> stream, ParserLimits limits)
    : impl_(std::make_unique<Impl>(loop, std::move(stream), limits))
{
}

ClientConnection::~ClientConnection() { close(); }

net::Stream& ClientConnection::stream() { return *impl_->stream; }
internal::Place& ClientConnection::place() { return impl_->place; }
bool ClientConnection::answer_begun() const { return impl_->begun; }
bool ClientConnection::body_complete() const { return impl_->complete; }

void ClientConnection::close() noexcept
{
    impl_->closed = true;
    impl_->stream->close();
    impl_->wake.wake_later(Woken::closed);
}

void ClientConnection::give_up() noexcept
{
    impl_->why_closed = base::Errc::timed_out;
    close();
}

bool ClientConnection::reusable() const
{
    const Impl& c = *impl_;
    return c.complete && c.keep_alive && c.sent && c.in.empty() && !c.closed && c.stream->is_open();
}

base::Error ClientConnection::Impl::error(base::Errc code, std::string context, std::error_code cause) const
{
    return {code, base::Source::node, begun ? base::Retry::never : base::Retry::if_unsent, std::move(context), cause};
}

// --- sending ---

void ClientConnection::Impl::begin_request(const RequestHead& head)
{
    HERD_ASSERT(head.framing != Framing::until_close);
    begun = complete = keep_alive = input_seen = false;
    sent = false;
    chunked = head.framing == Framing::chunked;
    body_left = head.framing == Framing::length ? head.content_length : 0;
    in.parser().expect_no_body(head.method == "HEAD");
}

void ClientConnection::Impl::on_input()
{
    // A watch may run for nothing: a session ticket of TLS, or bytes that were read before it was asked for.
    if (in.empty() && in.fill(*stream).would_block()) {
        return watch_input();
    }
    input_seen = true;
    if (wake.waiting()) {
        wake.wake(Woken::input);
    } else if (auto work = std::exchange(early_work, nullptr)) {
        work();
    }
}

void ClientConnection::Impl::watch_input()
{
    if (!input_seen) {
        stream->watch([this] { on_input(); });
    }
}

std::size_t ClientConnection::Impl::write_now(const internal::Outgoing& out)
{
    std::size_t offset = 0;
    while (offset < out.size()) {
        const net::Io io = out.write(*stream, offset);
        if (!io.done()) {
            break; // full or failed: write_rest() finds out
        }
        offset += io.bytes;
    }
    return offset;
}

/// Waits for room when the socket is full; an answer that comes meanwhile ends the wait, for a node that
/// answers early need not read the rest.
net::Task<base::Result<bool>> ClientConnection::Impl::write_rest(internal::Outgoing out, std::size_t offset)
{
    while (offset < out.size()) {
        const net::Io io = out.write(*stream, offset);
        if (io.done()) {
            offset += io.bytes;
            continue;
        }
        if (!io.would_block()) {
            if (closed) {
                co_return std::unexpected(error(why_closed, "closed"));
            }
            // It may have answered before it closed: that answer is worth more than this error.
            if (!in.empty() || in.fill(*stream).done()) {
                input_seen = true;
                co_return false;
            }
            co_return std::unexpected(error(base::errc_of(io.cause), "sending", io.cause));
        }
        watch_input();
        if (input_seen) {
            co_return false;
        }
        stream->watch_writable([this] { wake.wake(Woken::writable); });
        const Woken woken = co_await wake.wait();
        stream->unwatch_writable();
        if (woken == Woken::closed) {
            co_return std::unexpected(error(why_closed, "closed"));
        }
        if (woken == Woken::input) {
            co_return false;
        }
    }
    co_return true;
}

net::Task<base::Result<void>> ClientConnection::Impl::write(internal::Outgoing out, bool last)
{
    std::size_t offset = write_now(out);
    if (offset < out.size()) {
        const auto all = co_await write_rest(out, offset);
        if (!all) {
            co_return std::unexpected(all.error());
        }
        if (!*all) {
            co_return base::Result<void>{};
        }
    }
    body_left -= std::min<std::uint64_t>(body_left, out.payload());
    // An answer may come before the caller says that this was the end; what counts is that all bytes are out.
    sent = last || (!chunked && body_left == 0);
    co_return base::Result<void>{};
}


net::Task<base::Result<void>> ClientConnection::send(const RequestHead& head, std::string_view body)
{
    if (!try_send(head, body)) {
        co_return co_await send_rest();
    }
    co_return base::Result<void>{};
}

bool ClientConnection::try_send(const RequestHead& head, std::string_view body)
{
    HERD_ASSERT(head.framing == Framing::none ? body.empty()
                                              : head.framing == Framing::length && head.content_length == body.size());
    thread_local std::string bytes; // NOLINT: its memory serves every request of this loop
    Impl& c = *impl_;
    c.begin_request(head);
    bytes.clear();
    serialize(head, bytes);
    const std::array<std::string_view, 1> pieces{body};
    const internal::Outgoing out(bytes, pieces, false, true);
    const std::size_t offset = c.write_now(out);
    c.sent = offset == out.size();
    if (!c.sent) {
        c.unsent = std::make_unique<Impl::Unsent>(bytes, body, offset);
    }
    return c.sent;
}

net::Task<base::Result<void>> ClientConnection::send_rest()
{
    Impl& c = *impl_;
    HERD_ASSERT(c.unsent != nullptr);
    const auto rest = std::exchange(c.unsent, nullptr);
    const std::array<std::string_view, 1> pieces{rest->body};
    const auto all = co_await c.write_rest(internal::Outgoing(rest->head, pieces, false, true), rest->offset);
    if (!all) {
        co_return std::unexpected(all.error());
    }
    c.sent = *all;
    co_return base::Result<void>{};
}

net::Task<base::Result<void>> ClientConnection::send_head(const RequestHead& head)
{
    HERD_ASSERT(head.framing == Framing::length || head.framing == Framing::chunked);
    Impl& c = *impl_;
    c.begin_request(head);
    std::string bytes;
    serialize(head, bytes);
    c.watch_input();
    co_return co_await c.write(internal::Outgoing(bytes, {}, false, false), false);
}

net::Task<base::Result<void>> ClientConnection::send_body(std::span<const std::string_view> pieces)
{
    if (impl_->input_seen) {
        co_return base::Result<void>{};
    }
    co_return co_await impl_->write(internal::Outgoing({}, pieces, impl_->chunked, false), false);
}

net::Task<base::Result<void>> ClientConnection::send_end()
{
    Impl& c = *impl_;
    if (c.sent || c.input_seen) {
        co_return base::Result<void>{};
    }
    if (!c.chunked) {
        co_return std::unexpected(c.error(base::Errc::internal, "the request's body is shorter than its head says"));
    }
    co_return co_await c.write(internal::Outgoing({}, {}, true, true), true);
}

bool ClientConnection::answer_waiting() { return impl_->input_seen; }
void ClientConnection::on_early_answer(net::Callback work) { impl_->early_work = std::move(work); }

// --- the answer ---

std::optional<base::Error> ClientConnection::Impl::take_input()
{
    const net::Io io = in.fill(*stream);
    switch (io.state) {
    case net::Io::State::done: begun = true; break;
    case net::Io::State::would_block: break;
    case net::Io::State::end: return error(base::Errc::closed, begun ? "in its answer" : "before its answer");
    case net::Io::State::failed:
        return error(closed ? why_closed : base::errc_of(io.cause), "reading", io.cause);
    }
    return std::nullopt;
}

std::optional<base::Result<ResponseHead>> ClientConnection::Impl::next_head()
{
    for (;;) {
        if (in.empty()) {
            if (must_wait()) {
                return std::nullopt;
            }
            if (auto wrong = take_input()) {
                return std::unexpected(std::move(*wrong));
            }
            continue;
        }
        begun = true;
        const auto step = in.parse();
        if (!step) {
            return std::unexpected(error(step.error().code, step.error().context));
        }
        if (!step->head_complete) {
            continue;
        }
        if (in.parser().response().status < 200) {
            if (++interim > interim_max) {
                return std::unexpected(error(base::Errc::malformed, "no end of interim answers"));
            }
            continue;
        }
        interim = 0;
        complete = step->message_complete;
        ResponseHead head = std::move(in.parser().response());
        keep_alive = head.keep_alive;
        if (complete) {
            in.release();
        }
        return head;
    }
}

std::optional<base::Result<Pieces>> ClientConnection::Impl::next_pieces()
{
    while (!complete) {
        if (in.empty()) {
            if (must_wait()) {
                return std::nullopt;
            }
            auto wrong = take_input();
            if (wrong && wrong->code == base::Errc::closed && in.parser().finish()) {
                complete = true;
            } else if (wrong) {
                return std::unexpected(std::move(*wrong));
            }
            continue;
        }
        const auto step = in.parse();
        if (!step) {
            return std::unexpected(error(step.error().code, step.error().context));
        }
        complete = step->message_complete;
        if (const Pieces pieces = in.parser().body(); !pieces.empty()) {
            return pieces;
        }
    }
    in.release();
    return Pieces{};
}

bool ClientConnection::Impl::must_wait()
{
    const bool wait = in.dry();
    if (wait) {
        in.pause();
    }
    return wait;
}

// The two coroutines are nothing but the wait: what they keep while they wait is what a stream costs.

net::Task<base::Result<ResponseHead>> ClientConnection::read_head()
{
    Impl& c = *impl_;
    c.stream->unwatch();
    for (;;) {
        if (auto head = c.next_head()) {
            co_return std::move(*head);
        }
        if (!co_await c.stream->readable()) {
            co_return std::unexpected(c.error(c.why_closed, "closed"));
        }
    }
}

net::Task<base::Result<std::span<const std::string_view>>> ClientConnection::read_body()
{
    Impl& c = *impl_;
    for (;;) {
        if (auto pieces = c.next_pieces()) {
            co_return std::move(*pieces);
        }
        if (!co_await c.stream->readable()) {
            co_return std::unexpected(c.error(c.why_closed, "closed"));
        }
    }
}

std::optional<base::Result<std::span<const std::string_view>>> ClientConnection::try_read_body()
{
    return impl_->next_pieces();
}

std::optional<base::Result<ResponseHead>> ClientConnection::try_read_head()
{
    impl_->stream->unwatch();
    return impl_->next_head();
}

net::Task<bool> ClientConnection::readable() { return impl_->stream->readable(); }

base::Error ClientConnection::closed_error() const { return impl_->error(impl_->why_closed, "closed"); }

net::Task<base::Result<std::string>> ClientConnection::read_all(std::size_t limit)
{
    std::string all;
    for (;;) {
        const auto pieces = co_await read_body();
        if (!pieces) {
            co_return std::unexpected(pieces.error());
        }
        if (pieces->empty()) {
            co_return all;
        }
        for (const std::string_view piece : *pieces) {
            if (piece.size() > limit - all.size()) {
                co_return std::unexpected(impl_->error(base::Errc::too_large, "body"));
            }
            all += piece;
        }
    }
}

} // namespace herd::http
