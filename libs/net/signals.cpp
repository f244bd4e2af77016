#include "net/signals.hpp"

#include <csignal>

#include <asio/signal_set.hpp>

namespace herd::net {

struct Signals::State : std::enable_shared_from_this<Signals::State> {
    State(Loop& loop, SignalHandlers given)
        : handlers(std::move(given)), set(loop.context(), SIGTERM, SIGINT, SIGHUP)
    {
    }

    void wait()
    {
        set.async_wait([self = shared_from_this()](const std::error_code& error, int number) {
            if (error || self->closed) {
                return;
            }
            self->wait(); // first: a handler may destroy the Signals
            self->handle(number);
        });
    }

    void handle(int number)
    {
        Callback& work = number == SIGHUP ? handlers.reload : stopping ? handlers.now : handlers.graceful;
        stopping = stopping || number != SIGHUP;
        if (work) {
            work();
        }
    }

    SignalHandlers handlers;
    ::asio::signal_set set;
    bool stopping{false};
    bool closed{false};
};

Signals::Signals(Loop& loop, SignalHandlers handlers)
    : state_(std::make_shared<State>(loop, std::move(handlers)))
{
    std::signal(SIGPIPE, SIG_IGN); // NOLINT(cert-err33-c)
    state_->wait();
}

Signals::~Signals()
{
    state_->closed = true;
    std::error_code ignored;
    state_->set.cancel(ignored);
    state_->set.clear(ignored);
}

} // namespace herd::net
