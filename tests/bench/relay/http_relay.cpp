// The second lower bound: a relay of herd's own HTTP library and nothing else. It parses, bounds and frames both
// sides and keeps connections, but reads no body, chooses no node and records nothing. The plain relay is the
// price of libs/net, this less that is the price of libs/http, and herd less this is the price of herd.
//
//   bench_http_relay --target 127.0.0.1:PORT     prints "relay listening on http://127.0.0.1:PORT"
#include "http/client.hpp"
#include "http/hop.hpp"
#include "http/pool.hpp"
#include "http/server.hpp"
#include "net/loop.hpp"
#include "net/network.hpp"
#include "posix.hpp"

#include <cstdio>

namespace herd::bench {
namespace {

constexpr std::size_t body_bytes_max = 1024 * 1024;

class Relay {
public:
    Relay(net::Loop& loop, net::Network& network, base::Endpoint target) : target_(target), pool_(loop, network, options())
    {
    }

    net::Task<void> handle(http::ServerExchange& exchange)
    {
        const auto body = co_await exchange.read_all(body_bytes_max);
        if (!body) {
            co_return;
        }
        auto taken = co_await pool_.take(target_);
        if (!taken) {
            co_return;
        }
        http::ClientConnection& node = *taken->connection;
        http::RequestHead onward;
        onward.method = exchange.head().method;
        onward.target = exchange.head().target;
        http::copy_end_to_end(exchange.head().fields, onward.fields);
        onward.framing = body->empty() ? http::Framing::none : http::Framing::length;
        onward.content_length = body->size();
        if (const auto sent = co_await node.send(onward, *body); !sent) {
            co_return;
        }
        auto head = co_await node.read_head();
        if (!head) {
            co_return;
        }
        http::ResponseHead answer;
        answer.status = head->status;
        answer.framing = head->framing;
        answer.content_length = head->content_length;
        http::copy_end_to_end(head->fields, answer.fields);
        exchange.begin(std::move(answer));
        exchange.on_client_gone([&node] { node.close(); });
        co_await answer_body(exchange, node);
        exchange.on_client_gone(nullptr);
        pool_.give_back(std::move(taken->connection));
    }

private:
    static http::PoolOptions options()
    {
        http::PoolOptions options;
        options.idle_per_endpoint = 4096;
        options.idle_total = 4096;
        return options;
    }

    static net::Task<void> answer_body(http::ServerExchange& exchange, http::ClientConnection& node)
    {
        for (;;) {
            const auto pieces = co_await node.read_body();
            if (!pieces) {
                exchange.abort();
                co_return;
            }
            if (pieces->empty() || node.reusable()) {
                (void)co_await exchange.end(*pieces);
                (void)co_await node.read_body(); // lets go of the last buffer
                co_return;
            }
            if (const auto written = co_await exchange.write(*pieces); !written) {
                co_return;
            }
        }
    }

    base::Endpoint target_;
    http::Pool pool_;
};

http::ResponseHead failure(int status, std::string_view reason, std::string_view, std::string& body)
{
    http::ResponseHead head;
    head.status = status;
    body = reason;
    return head;
}

} // namespace
} // namespace herd::bench

int main(int argc, char** argv)
{
    using namespace herd;
    bench::live_with_parent();
    const auto target = base::Endpoint::parse(bench::option(argc, argv, "--target").value_or(""));
    if (!target) {
        (void)std::fputs("usage: bench_http_relay --target 127.0.0.1:PORT\n", stderr);
        return 2;
    }
    auto bound = net::bind_tcp({base::IpAddress::loopback(), 0}, 1);
    if (!bound) {
        (void)std::fprintf(stderr, "relay: %s\n", bound.error().message().c_str());
        return 1;
    }
    net::Loop loop;
    const auto network = net::make_network(loop);
    bench::Relay relay(loop, *network, *target);
    http::Server server(loop, {}, [&relay](http::ServerExchange& exchange) { return relay.handle(exchange); },
                        bench::failure);
    std::printf("relay listening on http://%s\n", bound->front().local.text().c_str());
    (void)std::fflush(stdout);
    auto listener = network->listen(std::move(bound->front()));
    if (!listener) {
        return 1;
    }
    server.serve(std::move(*listener));
    loop.run();
}
