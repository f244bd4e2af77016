#pragma once
// A server with one client in memory, and handlers for it: what the tests of the server have in common.
#include "http/server.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"
#include "support/catch.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace herd::test {

using namespace herd::http;
using herd::testing::make_stream_pair;
using herd::testing::MemoryStream;
using herd::testing::run;
using herd::testing::StreamOptions;
using namespace std::chrono_literals;


inline ResponseHead error_body(int status, std::string_view reason, std::string_view target, std::string& body)
{
    body = std::string(reason) + "@" + std::string(target);
    ResponseHead head;
    head.status = status;
    return head;
}

struct World {
    net::VirtualTime time{};
    net::Loop loop{};
};

/// A server with one client in memory, whose bytes the test writes and reads by hand.
struct Served {
    explicit Served(Handler handler, ServerOptions options = {}, StreamOptions stream = {})
        : server(loop, options, std::move(handler), error_body)
    {
        connect(stream);
    }
    ~Served()
    {
        client.reset();
        run(time, loop, server.drain(time.now() + 10s));
        CHECK(server.connections() == 0);
        CHECK(server.exchanges() == 0);
    }
    void connect(StreamOptions stream = {})
    {
        auto [a, b] = make_stream_pair(loop, stream);
        client = std::move(a);
        server_end = b.get();
        server.serve_stream(std::move(b));
        settle();
    }
    void settle(base::Duration span = 0s) { time.run_for(loop, span); }
    void send(std::string_view bytes)
    {
        while (!bytes.empty()) {
            const std::array<std::string_view, 1> pieces{bytes};
            const auto io = client->try_write(pieces);
            if (!io.done()) {
                break;
            }
            bytes.remove_prefix(io.bytes);
            settle();
        }
        settle();
    }
    /// What has come by now; "<end>" or "<reset>" when the server closed.
    std::string receive()
    {
        std::string all;
        std::array<char, 4096> space{};
        for (;;) {
            settle();
            const auto io = client->try_read(space);
            if (io.done()) {
                all.append(space.data(), io.bytes);
                continue;
            }
            return all + (io.state == net::Io::State::end ? "<end>" : io.would_block() ? "" : "<reset>");
        }
    }
    std::string ask(std::string_view bytes)
    {
        send(bytes);
        return receive();
    }
    net::VirtualTime time{};
    net::Loop loop{};
    Server server;
    std::unique_ptr<MemoryStream> client{};
    MemoryStream* server_end{nullptr};
};

/// Without the Date line, which is checked once.
inline std::string undated(std::string text)
{
    for (;;) {
        const auto at = text.find("Date: ");
        if (at == std::string::npos) {
            return text;
        }
        text.erase(at, text.find("\r\n", at) + 2 - at);
    }
}

inline std::string answer(std::string_view body, std::string_view more = "")
{
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(more) + "\r\n"
           + std::string(body);
}

inline std::string failure(int status, std::string_view body)
{
    return "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason_phrase(status))
           + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + std::string(body);
}

/// Answers with method, target and body.
inline net::Task<void> echo(ServerExchange& exchange)
{
    const auto body = co_await exchange.read_all(100000);
    if (!body) {
        co_return;
    }
    (void)co_await exchange.respond({}, exchange.head().method + " " + exchange.head().target + " " + *body);
}

inline net::Task<void> stream_abc(ServerExchange& exchange)
{
    ResponseHead head;
    head.framing = Framing::chunked;
    exchange.begin(std::move(head));
    for (const std::string_view piece : {"a", "bb", "ccc"}) {
        const std::array<std::string_view, 2> pieces{piece, piece};
        if (!co_await exchange.write(pieces)) {
            co_return;
        }
    }
    const std::array<std::string_view, 1> last{"end"};
    (void)co_await exchange.end(last);
}

inline net::Task<void> slow(ServerExchange& exchange)
{
    const auto body = co_await exchange.read_all(100000);
    (void)co_await net::sleep_for(exchange.loop(), 1s);
    (void)co_await exchange.respond({}, exchange.head().target + (body ? *body : "?"));
}

inline const std::string get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

} // namespace herd::test
