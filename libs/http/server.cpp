#include "http/server.hpp"

#include "base/assert.hpp"
#include "http/internal/connection.hpp"
#include "net/timer.hpp"

#include <array>
#include <vector>

namespace herd::http {

net::Task<base::Result<std::string>> ServerExchange::read_all(std::size_t limit)
{
    std::string all;
    const RequestHead& request = head();
    if (request.framing == Framing::length) {
        if (request.content_length > limit) {
            co_return base::fail(base::Errc::too_large, "body", base::Source::client);
        }
        all.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(request.content_length, 1024 * 1024)));
    }
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
                co_return base::fail(base::Errc::too_large, "body", base::Source::client);
            }
            all += piece;
        }
    }
}

net::Task<base::Result<void>> ServerExchange::respond(ResponseHead answer, std::string_view body)
{
    answer.framing = Framing::length;
    answer.content_length = body.size();
    begin(std::move(answer));
    const std::array<std::string_view, 1> pieces{body};
    co_return co_await end(pieces);
}

struct Server::Impl {
    static constexpr std::size_t refusals_max = 64;

    Impl(net::Loop& loop, ServerOptions options, Handler handler, ErrorBody error_body)
        : core(std::make_shared<internal::ServerCore>(
              internal::ServerCore{loop, options, std::move(handler), std::move(error_body)})),
          tasks(loop, "http.server")
    {
        if (!core->options.connections) {
            core->options.connections = std::make_shared<std::atomic<std::size_t>>(0);
        }
    }

    static net::Task<void> accept(Impl& server, net::Listener& listener)
    {
        for (;;) {
            auto stream = co_await listener.accept();
            if (!stream) {
                co_return;
            }
            server.add(std::move(*stream));
        }
    }

    /// One that is refused takes nobody's place.
    struct PlaceLeft {
        explicit PlaceLeft(std::atomic<std::size_t>& all) : all_(all) { --all_; }
        PlaceLeft(const PlaceLeft&) = delete;
        PlaceLeft& operator=(const PlaceLeft&) = delete;
        ~PlaceLeft() { ++all_; }

    private:
        std::atomic<std::size_t>& all_;
    };

    static net::Task<void> refuse(std::shared_ptr<internal::ServerCore> core, std::unique_ptr<net::Stream> stream)
    {
        ++core->refusals;
        {
            internal::Connection connection(core, std::move(stream));
            const PlaceLeft left(*core->options.connections);
            co_await connection.refuse();
        }
        --core->refusals;
    }

    void add(std::unique_ptr<net::Stream> stream)
    {
        if (core->draining) {
            return;
        }
        if (*core->options.connections < core->options.connections_max) {
            tasks.spawn("http.connection",
                        internal::Connection::run(std::make_unique<internal::Connection>(core, std::move(stream))));
        } else if (core->refusals < refusals_max) {
            tasks.spawn("http.refusal", refuse(core, std::move(stream)));
        }
    }

    void each_connection(void (internal::Connection::*act)())
    {
        for (internal::Connection* c = core->first; c != nullptr;) {
            internal::Connection* const current = c;
            c = c->next();
            (current->*act)();
        }
    }

    std::shared_ptr<internal::ServerCore> core;
    net::TaskGroup tasks;
    std::vector<std::unique_ptr<net::Listener>> listeners;
};

Server::Server(net::Loop& loop, ServerOptions options, Handler handler, ErrorBody error_body)
    : impl_(std::make_unique<Impl>(loop, options, std::move(handler), std::move(error_body)))
{
}

Server::~Server() = default;

void Server::serve(std::unique_ptr<net::Listener> listener)
{
    net::Listener& accepting = *listener;
    impl_->listeners.push_back(std::move(listener));
    impl_->tasks.spawn("http.accept", Impl::accept(*impl_, accepting));
}

void Server::serve_stream(std::unique_ptr<net::Stream> stream) { impl_->add(std::move(stream)); }

void Server::set_tls(std::shared_ptr<const net::TlsContext> tls, bool tls_only)
{
    impl_->core->options.tls = std::move(tls);
    impl_->core->options.tls_only = tls_only;
}

std::size_t Server::connections() const { return impl_->core->connections; }
std::size_t Server::exchanges() const { return impl_->core->exchanges; }

net::Task<void> Server::drain(base::Instant deadline)
{
    Impl& server = *impl_;
    server.core->draining = true;
    for (const auto& listener : server.listeners) {
        listener->close();
    }
    server.each_connection(&internal::Connection::drain);
    net::Timer timer(server.core->loop);
    timer.call_at(deadline, [&server] {
        server.each_connection(&internal::Connection::kill);
        server.tasks.cancel(); // for handlers that wait for something else than their client
    });
    co_await server.tasks.join();
}

} // namespace herd::http
