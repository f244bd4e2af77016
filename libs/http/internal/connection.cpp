// The life of a connection, and how it reads. How it answers is in answering.cpp.
#include "http/internal/connection.hpp"

#include "base/assert.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <exception>

namespace herd::http::internal {

namespace {

constexpr std::size_t early_body_bytes = 4096; // kept of a body that nobody reads yet

int status_of(const base::Error& error)
{
    switch (error.code) {
    case base::Errc::too_large:
        if (error.context == "target") {
            return 414;
        }
        return error.context == "chunk" ? 413 : 431;
    case base::Errc::unsupported: return error.context == "upgrade" ? 400 : 501;
    case base::Errc::timed_out: return 408;
    default: return 400;
    }
}

} // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<net::Stream> stream)
    : core_(std::move(core)), stream_(std::move(stream)), in_(Parser::Role::request, core_->options.parser),
      wake_(core_->loop), deadline_(core_->loop, [this] { on_deadline(); }), next_(core_->first)
{
    if (next_ != nullptr) {
        next_->previous_ = this;
    }
    core_->first = this;
    ++core_->connections;
    ++*core_->options.connections;
}

Connection::~Connection()
{
    (previous_ != nullptr ? previous_->next_ : core_->first) = next_;
    if (next_ != nullptr) {
        next_->previous_ = previous_;
    }
    --core_->connections;
    --*core_->options.connections;
}

net::Task<void> Connection::run(std::unique_ptr<Connection> self)
{
    Connection& c = *self;
    if (c.core_->options.tls != nullptr && !co_await c.choose_transport()) {
        c.keep_ = false;
    }
    while (c.keep_ && co_await c.read_request()) {
        c.begin_exchange();
        if (const auto expect = c.head().fields.find("expect"); expect && !base::iequals(*expect, "100-continue")) {
            c.keep_ = false;
            co_await c.answer_unasked({.status = 417, .head_good = true});
        } else {
            bool failed = false;
            ++c.core_->exchanges;
            try {
                co_await c.core_->handler(c);
            } catch (const std::exception& e) {
                // A bug of ours in one request must not take the others down; settle() answers 500.
                log::error("http", "handler_failed", {{"target", c.head().path()}, {"what", e.what()}});
                failed = true;
            }
            --c.core_->exchanges;
            if (!c.settled()) {
                co_await c.settle(failed);
            }
        }
        c.in_exchange_ = false;
        c.gone_work_ = nullptr;
        if (!c.keep_ || c.gone_ || c.core_->draining) {
            break;
        }
    }
    const bool unread = c.unread_input_ || !c.early_.empty() || !c.in_.empty();
    if (unread && !c.gone_ && c.stream_->is_open()) {
        co_await c.linger();
    }
    c.stream_->close();
}

void Connection::drain()
{
    keep_ = false;
    if (idle_) {
        wake_.wake_later(Woken::closed);
    }
}

void Connection::dismiss()
{
    if (!in_exchange_ || ended_) {
        return;
    }
    dismissed_ = true;
    keep_ = false;
    if (!body_complete_) {
        wake_.wake_later(Woken::interrupted);
    }
    tell_gone();
}

void Connection::kill()
{
    killed_ = true;
    keep_ = false;
    stream_->abort();
    client_went_away();
    wake_.wake_later(Woken::closed);
}

// --- reading ---

/// Up to the end of a head. False: no further request, the connection is to be closed.
net::Task<bool> Connection::read_request()
{
    idle_ = in_.empty() && early_.empty();
    deadline_.set_after(idle_ ? core_->options.keep_alive_timeout : core_->options.head_timeout);
    body_complete_ = true;
    for (;;) {
        if (in_.empty()) { // as more() does, without a frame of its own
            auto input = input_now();
            while (!input) {
                input = after(co_await wake_.wait());
                input = input ? input : input_now();
            }
            switch (*input) {
            case Input::ready: break;
            case Input::expired:
                deadline_.clear();
                if (!idle_) {
                    keep_ = false;
                    unread_input_ = true;
                    co_await answer_unasked({.status = 408, .waited = core_->options.head_timeout});
                }
                co_return false;
            case Input::ended:
            case Input::reset:
            case Input::closed:
            case Input::interrupted: gone_ = true; co_return false;
            }
            continue;
        }
        if (idle_) {
            idle_ = false;
            deadline_.set_after(core_->options.head_timeout);
        }
        const auto step = in_.parse();
        if (!step) {
            deadline_.clear();
            keep_ = false;
            unread_input_ = true;
            co_await answer_unasked({.status = status_of(step.error()), .why = step.error().context});
            co_return false;
        }
        if (step->head_complete) {
            deadline_.clear();
            body_complete_ = step->message_complete;
            co_return true;
        }
    }
}

/// Waits until there are bytes to parse. Requires in_.empty().
net::Task<Connection::Input> Connection::more()
{
    for (;;) {
        if (const auto input = input_now()) {
            co_return *input;
        }
        if (const auto input = after(co_await wake_.wait())) {
            co_return *input;
        }
    }
}

std::optional<Connection::Input> Connection::input_now()
{
    if (killed_ || (idle_ && !keep_)) {
        return Input::closed;
    }
    if (!in_.dry() || !early_.empty()) {
        const net::Io io = take_input();
        switch (io.state) {
        case net::Io::State::done: return Input::ready;
        case net::Io::State::end: return Input::ended;
        case net::Io::State::failed: return Input::reset;
        case net::Io::State::would_block: break;
        }
    }
    in_.pause();
    arm();
    return std::nullopt;
}

std::optional<Connection::Input> Connection::after(Woken woken)
{
    switch (woken) {
    case Woken::input: break;
    case Woken::expired: return Input::expired;
    case Woken::closed: return Input::closed;
    case Woken::interrupted: return Input::interrupted;
    }
    return std::nullopt;
}

net::Io Connection::take_input()
{
    if (early_.empty()) {
        return in_.fill(*stream_);
    }
    const std::size_t taken = in_.put(early_);
    early_.erase(0, taken);
    if (early_.empty()) {
        std::string().swap(early_); // rarely used: give the memory back
    }
    return {net::Io::State::done, taken, {}};
}

void Connection::begin_exchange()
{
    keep_ = keep_ && head().keep_alive && !core_->draining;
    in_exchange_ = true;
    begun_ = committed_ = ended_ = false;
    bytes_in_ = bytes_out_ = 0;
    body_error_.reset();
    head_out_.clear();
    continue_pending_ = head().expects_continue && !body_complete_;
    if (body_complete_) {
        keep_unread();
    }
    // A body is left in the socket until the handler reads it; everything else is of interest now.
    if (body_complete_ || continue_pending_) {
        watch();
    }
}

/// Puts what belongs to the next request aside, so that no buffer is held while a handler runs.
void Connection::keep_unread()
{
    if (!in_.empty()) {
        const auto unread = in_.unread();
        early_.insert(early_.begin(), unread.begin(), unread.end());
        in_.drop_unread();
    }
    in_.release();
}

void Connection::watch()
{
    const std::size_t limit = body_complete_ ? core_->options.parser.head_bytes : early_body_bytes;
    if (early_.size() < limit && !gone_) {
        arm();
    }
}

void Connection::arm()
{
    if (!watching_) {
        watching_ = true;
        stream_->watch([this] { on_input(); });
    }
}

void Connection::on_input()
{
    watching_ = false;
    if (wake_.waiting()) {
        wake_.wake(Woken::input);
        return;
    }
    if (!in_exchange_) {
        return;
    }
    net::Buffer space = net::borrow_buffer();
    const net::Io io = stream_->try_read(space.bytes());
    if (io.done()) {
        early_.append(space.bytes().data(), io.bytes);
    } else if (!io.would_block()) {
        client_went_away();
        return;
    }
    watch();
}

void Connection::on_deadline()
{
    timed_out_ = true;
    if (writing_) {
        stream_->abort(); // a client that does not read; the write returns
    } else {
        wake_.wake(Woken::expired);
    }
}

void Connection::client_went_away()
{
    gone_ = true;
    tell_gone();
}

void Connection::tell_gone()
{
    if (in_exchange_ && !ended_ && gone_work_) {
        auto work = std::exchange(gone_work_, nullptr);
        work();
    }
}

void Connection::on_client_gone(net::Callback work)
{
    gone_work_ = std::move(work);
    if (client_gone()) {
        tell_gone();
    }
}

void Connection::interrupt_read()
{
    if (in_exchange_) {
        wake_.wake_later(Woken::interrupted);
    }
}

net::Task<base::Result<std::span<const std::string_view>>> Connection::read_body()
{
    for (;;) {
        if (auto pieces = try_read_body()) {
            co_return std::move(*pieces);
        }
        if (auto more = co_await await_body_bytes(); !more) {
            if (more.error().code == base::Errc::cancelled && !client_gone()) {
                co_return std::unexpected(std::move(more.error())); // interrupted: nothing is wrong
            }
            keep_ = false;
            unread_input_ = true;
            body_error_ = std::make_unique<base::Error>(more.error());
            co_return std::unexpected(std::move(more.error()));
        }
    }
}

std::optional<base::Result<std::span<const std::string_view>>> Connection::try_read_body()
{
    using Pieces = std::span<const std::string_view>;
    if (body_error_) {
        return std::unexpected(*body_error_);
    }
    while (!body_complete_) {
        if (in_.empty()) {
            return std::nullopt;
        }
        const auto step = in_.parse();
        if (!step) {
            keep_ = false;
            unread_input_ = true;
            body_error_ = std::make_unique<base::Error>(step.error());
            body_error_->source = base::Source::client;
            return std::unexpected(*body_error_);
        }
        body_complete_ = step->message_complete;
        const Pieces pieces = in_.parser().body();
        for (const std::string_view piece : pieces) {
            bytes_in_ += piece.size();
        }
        if (!pieces.empty()) {
            return pieces;
        }
    }
    keep_unread();
    watch();
    return Pieces{};
}

net::Task<base::Result<void>> Connection::await_body_bytes()
{
    const auto wrong = [](base::Errc code, std::string why) {
        return base::fail(code, std::move(why), base::Source::client);
    };
    if (std::exchange(continue_pending_, false) && !begun_) {
        if (auto sent = co_await send(Outgoing("HTTP/1.1 100 Continue\r\n\r\n", {}, false, false)); !sent) {
            co_return sent;
        }
        committed_ = false; // an interim answer commits to nothing
    }
    deadline_.set_after(core_->options.body_idle_timeout);
    const Input input = co_await more();
    deadline_.clear();
    switch (input) {
    case Input::ready: break;
    case Input::ended: gone_ = true; co_return wrong(base::Errc::closed, "the client ended inside its body");
    case Input::reset: gone_ = true; co_return wrong(base::Errc::reset, "the client went away inside its body");
    case Input::expired: co_return wrong(base::Errc::timed_out, "the client's body stalled");
    case Input::closed: gone_ = true; co_return wrong(base::Errc::cancelled, "the server stops");
    case Input::interrupted: co_return base::fail(base::Errc::cancelled, "interrupted");
    }
    co_return base::Result<void>{};
}

/// The usual case: the answer is out, and its request was read to the end.
bool Connection::settled()
{
    if (!ended_ || !body_complete_ || killed_ || !stream_->is_open()) {
        return false;
    }
    keep_unread();
    return true;
}

/// After the handler: makes sure that there is an answer, and that the next request can be found.
net::Task<void> Connection::settle(bool handler_failed)
{
    if (killed_ || !stream_->is_open()) {
        keep_ = false;
        co_return;
    }
    if (begun_ && !ended_ && committed_) {
        abort();
        co_return;
    }
    if (!ended_) {
        if (gone_) {
            keep_ = false;
            co_return;
        }
        head_out_.clear();
        begun_ = false;
        keep_ = keep_ && !body_error_;
        if (handler_failed) {
            co_await answer_unasked({.status = 500, .head_good = true}); // it did not live to tell of its request
        } else {
            co_await answer_error(body_error_ ? status_of(*body_error_) : 500);
        }
    }
    if (!body_complete_) {
        co_await discard_body();
    }
    keep_unread();
}

/// A small rest of a body is read and dropped; a long one ends the connection, gently.
net::Task<void> Connection::discard_body()
{
    if (continue_pending_ || body_error_ || !keep_) {
        keep_ = false;
        unread_input_ = true;
        co_return;
    }
    const std::uint64_t limit = bytes_in_ + core_->options.drain_body_bytes;
    while (!body_complete_) {
        const auto pieces = co_await read_body();
        if (!pieces || bytes_in_ > limit) {
            keep_ = false;
            unread_input_ = true;
            co_return;
        }
    }
}

/// Closing while the client still sends would reset the connection, and the reset could overtake our
/// answer. So: say that we are done, and read on for a while.
net::Task<void> Connection::linger()
{
    constexpr base::Duration patience = std::chrono::seconds{2};
    stream_->finish_sending();
    in_.drop_unread();
    in_.release();
    std::string().swap(early_);
    idle_ = false;
    deadline_.set_after(patience);
    while (co_await more() == Input::ready) {
        in_.drop_unread();
    }
    deadline_.clear();
}

} // namespace herd::http::internal
