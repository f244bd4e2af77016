// How a connection of a server with TLS begins: its first byte tells whether the client speaks TLS or plain HTTP.
#include "base/log.hpp"
#include "http/internal/connection.hpp"

namespace herd::http::internal {

/// False: there is nothing to serve.
net::Task<bool> Connection::choose_transport()
{
    deadline_.set_after(core_->options.keep_alive_timeout);
    const Input input = co_await more();
    deadline_.clear();
    if (input != Input::ready) {
        gone_ = true;
        co_return false;
    }
    if (in_.unread().front() == net::tls_first_byte) {
        co_return co_await shake_hands();
    }
    if (!core_->options.tls_only) {
        co_return true; // what was read is the beginning of a request
    }
    keep_ = false;
    unread_input_ = true;
    in_.drop_unread();
    co_await answer_unasked({.status = 400, .sentence = "this port speaks TLS only: use https"});
    co_return false;
}

net::Task<bool> Connection::shake_hands()
{
    const auto context = core_->options.tls; // a reload may replace it
    const auto first = in_.unread();
    auto inside = net::tls_server(core_->loop, std::move(stream_), *context, {first.data(), first.size()});
    net::TlsStream& shaking = *inside;
    stream_ = std::move(inside);
    in_.drop_unread();
    in_.pause();
    idle_ = false;
    timed_out_ = false;
    writing_ = true; // so that the deadline ends the stream
    deadline_.set_after(core_->options.head_timeout);
    const auto shaken = co_await shaking.handshake();
    deadline_.clear();
    writing_ = false;
    idle_ = true;
    if (!shaken) {
        gone_ = true;
        log::debug("http", "tls_refused", {{"peer", peer().text()}, {"why", timed_out_ ? "no handshake in time" : shaken.error().message()}});
        co_return false;
    }
    secure_ = true;
    co_return true;
}

} // namespace herd::http::internal
