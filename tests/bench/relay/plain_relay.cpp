// The lower bound: a relay that knows nothing of HTTP. It pairs each client connection with a connection to one
// fixed target and copies bytes, with herd's own loop and streams. What herd costs above this is herd's
// own doing (parsing, choosing, recording); what this costs is the kernel's and libs/net's.
//
//   bench_plain_relay --target 127.0.0.1:PORT     prints "relay listening on http://127.0.0.1:PORT"
#include "net/asio.hpp"
#include "net/loop.hpp"
#include "net/network.hpp"
#include "net/task_group.hpp"
#include "posix.hpp"

#include <array>
#include <cstdio>
#include <utility>

namespace herd::bench {
namespace {

using net::Task;

/// One for the loop: a stream that is idle holds no buffer, and copying never spans two turns unless the
/// receiver is full.
using Buffer = std::array<char, 16 * 1024>;

struct Pair {
    std::unique_ptr<net::Stream> client;
    std::unique_ptr<net::Stream> node;

    void close()
    {
        client->close();
        node->close();
    }
};

Task<void> copy(std::shared_ptr<Pair> pair, net::Stream* from, net::Stream* to, Buffer* buffer)
{
    while (co_await from->readable()) {
        const auto got = from->try_read(*buffer);
        if (got.would_block()) {
            continue;
        }
        if (!got.done()) {
            break;
        }
        std::string_view bytes(buffer->data(), got.bytes);
        const std::array<std::string_view, 1> pieces{bytes};
        const auto put = to->try_write(pieces);
        if (!put.done() && !put.would_block()) {
            break;
        }
        bytes.remove_prefix(put.bytes);
        if (!bytes.empty()) {
            const std::string rest(bytes); // the buffer is everybody's: what waits is copied out
            if (!co_await net::write_all(*to, rest)) {
                break;
            }
        }
    }
    pair->close();
}

class Relay {
public:
    Relay(net::Loop& loop, net::Network& network, net::Endpoint target)
        : loop_(loop), network_(network), target_(target), tasks_(loop, "relay")
    {
    }

    Task<void> serve(std::unique_ptr<net::Stream> client)
    {
        auto node = co_await network_.connect(target_, loop_.now() + std::chrono::seconds{5});
        if (!node) {
            co_return;
        }
        const auto pair = std::make_shared<Pair>(std::move(client), std::move(*node));
        tasks_.spawn("upward", copy(pair, pair->client.get(), pair->node.get(), &buffer_));
        tasks_.spawn("downward", copy(pair, pair->node.get(), pair->client.get(), &buffer_));
    }

    Task<void> accept(std::unique_ptr<net::Listener> listener)
    {
        for (;;) {
            auto client = co_await listener->accept();
            if (!client) {
                co_return;
            }
            tasks_.spawn("pair", serve(std::move(*client)));
        }
    }

    void start(std::unique_ptr<net::Listener> listener) { tasks_.spawn("accept", accept(std::move(listener))); }

private:
    net::Loop& loop_;
    net::Network& network_;
    net::Endpoint target_;
    net::TaskGroup tasks_;
    Buffer buffer_{};
};

} // namespace
} // namespace herd::bench

int main(int argc, char** argv)
{
    using namespace herd;
    bench::live_with_parent();
    const auto target = base::Endpoint::parse(bench::option(argc, argv, "--target").value_or(""));
    if (!target) {
        (void)std::fputs("usage: bench_plain_relay --target 127.0.0.1:PORT\n", stderr);
        return 2;
    }
    auto bound = net::bind_tcp({base::IpAddress::loopback(), 0}, 1);
    if (!bound) {
        (void)std::fprintf(stderr, "relay: %s\n", bound.error().message().c_str());
        return 1;
    }
    net::Loop loop;
    const auto network = net::make_network(loop);
    std::printf("relay listening on http://%s\n", bound->front().local.text().c_str());
    (void)std::fflush(stdout);
    auto listener = network->listen(std::move(bound->front()));
    if (!listener) {
        return 1;
    }
    bench::Relay relay(loop, *network, *target);
    relay.start(std::move(*listener));
    loop.run();
}
