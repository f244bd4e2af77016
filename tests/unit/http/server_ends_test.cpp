// How exchanges and connections end: clients that are slow or leave, limits, the drain.
#include "served.hpp"

using namespace herd;
using namespace herd::test;

TEST_CASE("an answer that breaks off looks broken to the client")
{
    Served s([](ServerExchange& exchange) -> net::Task<void> {
        ResponseHead head;
        head.framing = Framing::chunked;
        exchange.begin(std::move(head));
        const std::array<std::string_view, 1> piece{"half"};
        (void)co_await exchange.write(piece);
        if (exchange.head().target == "/abort") {
            exchange.abort();
        }
    });
    CHECK(s.ask(get).ends_with("<reset>"));
    s.connect();
    CHECK(s.ask("GET /abort HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("<reset>"));
}

TEST_CASE("an answer is never longer or shorter than its head says")
{
    for (const auto* body : {"too long", "no"}) {
        Served s([body](ServerExchange& exchange) -> net::Task<void> {
            ResponseHead head;
            head.framing = Framing::length;
            head.content_length = 5;
            exchange.begin(std::move(head));
            const std::string_view text = body;
            const std::array<std::string_view, 1> piece{text};
            const auto sent = co_await exchange.end(piece);
            CHECK_FALSE(sent);
        });
        CHECK(s.ask(get).find("500 Internal") != std::string::npos);
    }
}

TEST_CASE("slow clients get their deadlines")
{
    {
        Served s(echo);
        s.settle(119s);
        CHECK(s.receive().empty());
        s.settle(2s);
        CHECK(s.receive() == "<end>"); // an idle connection, closed without a word
    }
    {
        Served s(echo);
        s.send("GET / HT");
        s.settle(9s);
        CHECK(s.receive().empty());
        s.send("TP/1.1\r\n"); // more of it does not help: the head as a whole has 10 s
        s.settle(2s);
        CHECK(undated(s.receive()) == failure(408, "Request Timeout@/") + "<end>");
    }
    {
        Served s(echo);
        s.send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
        for (int i = 0; i < 5; ++i) {
            s.settle(50s);
            s.send("x");
        }
        CHECK(s.receive().empty()); // it goes on, so it may
        s.settle(61s);
        CHECK(undated(s.receive()) == failure(408, "Request Timeout@/b") + "<end>");
    }
}

TEST_CASE("a client that does not read is aborted, one that reads slowly is not")
{
    std::size_t written = 0;
    base::Errc code{};
    Served s(
        [&](ServerExchange& exchange) -> net::Task<void> {
            ResponseHead head;
            head.framing = Framing::chunked;
            exchange.begin(std::move(head));
            const std::string block(1000, 'x');
            const std::array<std::string_view, 1> piece{block};
            for (int i = 0; i < 20; ++i) {
                if (const auto ok = co_await exchange.write(piece); !ok) {
                    code = ok.error().code;
                    CHECK(ok.error().source == base::Source::client);
                    co_return;
                }
                ++written;
            }
            (void)co_await exchange.end();
        },
        {}, {.buffer_bytes = 2500});
    s.send(get);
    CHECK(written == 2);
    std::array<char, 1100> space{};
    for (int i = 0; i < 3; ++i) {
        s.settle(50s);
        CHECK(s.client->try_read(space).done());
        s.settle();
    }
    CHECK(written >= 4);
    CHECK(s.server.connections() == 1);
    s.settle(61s);
    CHECK(code == base::Errc::timed_out);
    CHECK(s.server.connections() == 0);
}

TEST_CASE("the handler hears at once that its client went away")
{
    for (const bool reset : {false, true}) {
        bool heard = false;
        bool gone = false;
        Served s([&](ServerExchange& exchange) -> net::Task<void> {
            net::Event event(exchange.loop());
            exchange.on_client_gone([&] {
                heard = true;
                event.notify();
            });
            co_await event.wait();
            gone = exchange.client_gone();
        });
        s.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        CHECK(s.server.exchanges() == 1);
        CHECK_FALSE(heard);
        reset ? s.client->abort() : s.client->close();
        s.settle(1ms);
        CHECK(heard);
        CHECK(gone);
        CHECK(s.server.connections() == 0);
    }
}

TEST_CASE("a client that leaves in the middle of its body is told to the handler as an error")
{
    base::Errc code{};
    Served s([&](ServerExchange& exchange) -> net::Task<void> {
        const auto body = co_await exchange.read_all(1000);
        code = body ? base::Errc::internal : body.error().code;
        CHECK(body.error().source == base::Source::client);
    });
    s.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    s.client->close();
    s.settle(1ms);
    CHECK(code == base::Errc::closed);
    s.connect();
    s.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    s.client->abort();
    s.settle(1ms);
    CHECK(code == base::Errc::reset);
}

TEST_CASE("a client that only ended its side still gets its answer")
{
    Served s([](ServerExchange& exchange) -> net::Task<void> {
        (void)co_await net::sleep_for(exchange.loop(), 1s);
        CHECK(exchange.client_gone());
        (void)co_await exchange.respond({}, "late");
    });
    s.send(get);
    s.client->finish_sending();
    s.settle(2s);
    CHECK(undated(s.receive()) == answer("late") + "<end>");
}

TEST_CASE("an early answer reaches a client that is still uploading")
{
    const auto reject = [](ServerExchange& exchange) -> net::Task<void> {
        (void)co_await exchange.respond({.status = 200}, "have it");
    };
    {
        // A long body: the answer says that the connection ends, and is not lost to a reset.
        Served s(reject, {}, {.buffer_bytes = 4096});
        s.send("POST /blob HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + std::string(3000, 'x'));
        CHECK(undated(s.receive()) == answer("have it", "Connection: close\r\n") + "<end>");
        s.send(std::string(20000, 'x'));
        s.settle(3s);
        CHECK(s.server.connections() == 0);
    }
    {
        // A short one is dropped, and the connection lives on.
        Served s(reject);
        s.send("POST /blob HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + std::string(300, 'x'));
        s.send(std::string(700, 'x') + get);
        CHECK(undated(s.receive()) == answer("have it") + answer("have it"));
    }
}

TEST_CASE("a body beyond its limit is refused before it is read")
{
    Served s([](ServerExchange& exchange) -> net::Task<void> {
        const auto body = co_await exchange.read_all(10);
        CHECK_FALSE(body);
        CHECK(body.error().code == base::Errc::too_large);
        (void)co_await exchange.respond({.status = 413}, "no");
    });
    CHECK(undated(s.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")) == failure(413, "no") + "<end>");
    s.connect();
    CHECK(undated(s.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n0\r\n\r\n"))
          == "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 2\r\n\r\nno");
}

TEST_CASE("draining lets answers finish and closes the rest")
{
    Served s(slow);
    s.send(get);
    auto busy = std::move(s.client);
    s.connect();
    auto idle = std::move(s.client);
    s.connect();
    CHECK(s.server.connections() == 3);
    net::TaskGroup tasks(s.loop, "test");
    bool drained = false;
    struct Go {
        static net::Task<void> drain(Served& served, bool& done)
        {
            co_await served.server.drain(served.time.now() + 10s);
            done = true;
        }
    };
    tasks.spawn("drain", Go::drain(s, drained));
    s.settle(100ms);
    CHECK(s.server.connections() == 1);
    CHECK_FALSE(drained);
    CHECK(s.receive() == "<end>");
    s.settle(1s);
    CHECK(drained);
    std::swap(s.client, busy);
    CHECK(undated(s.receive()) == answer("/x", "Connection: close\r\n") + "<end>");
    run(s.time, s.loop, tasks.join());
}

TEST_CASE("draining aborts what does not finish in time")
{
    Served s([](ServerExchange& exchange) -> net::Task<void> {
        while (!exchange.client_gone()) { // hears nothing, so the group's cancellation is what ends it
            (void)co_await net::sleep_for(exchange.loop(), 1h);
        }
    });
    s.send(get);
    const auto before = s.time.now();
    run(s.time, s.loop, s.server.drain(s.time.now() + 5s), 1min);
    CHECK(s.time.now() - before < 6s);
    CHECK(s.server.connections() == 0);
    CHECK(s.receive() == "<reset>");
}

TEST_CASE("connections beyond the cap are told to come back later")
{
    Served s(echo, {.connections_max = 1});
    auto first = std::move(s.client);
    s.connect();
    CHECK(s.receive().starts_with("HTTP/1.1 503 "));
    s.client.reset();
    s.settle(3s);
    CHECK(s.server.connections() == 1);
    std::swap(s.client, first);
    CHECK(undated(s.ask(get)) == answer("GET /x "));
}

TEST_CASE("servers that share a count share the cap")
{
    const auto all = std::make_shared<std::atomic<std::size_t>>(0);
    {
        Served one(echo, {.connections_max = 2, .connections = all});
        *all += 1; // another loop's
        const auto first = std::move(one.client);
        one.connect();
        CHECK(one.receive().starts_with("HTTP/1.1 503 "));
        CHECK(all->load() == 2);
        *all -= 1;
        one.connect();
        CHECK(undated(one.ask(get)) == answer("GET /x "));
        CHECK(all->load() == 2);
    }
    CHECK(all->load() == 0);
}

TEST_CASE("whichever operation fails, the connection ends and nothing is left")
{
    for (const auto* request : {"POST /y HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n0123456789012345678901234567890123456789",
                                "GET /y HTTP/1.1\r\nHost: a\r\n\r\nGET /z HTTP/1.1\r\nHost: a\r\n\r\n"}) {
        std::size_t n = 0;
        for (bool survived = false; !survived; ++n) {
            REQUIRE(n < 200);
            Served s(stream_abc, {}, {.buffer_bytes = 64, .read_bytes_max = 16, .write_bytes_max = 20});
            s.server_end->fail_after(n);
            s.send(request);
            for (int i = 0; i < 10; ++i) {
                (void)s.receive();
            }
            s.settle(200s);
            survived = s.receive() != "<reset>";
            CHECK(s.server.connections() == 0);
        }
        CHECK(n > 10);
    }
}

TEST_CASE("a server accepts from a listener, and stops accepting when drained")
{
    World w;
    herd::testing::MemoryWorld world(w.loop);
    const base::IpAddress here = base::IpAddress::v4({10, 0, 0, 1});
    auto network = world.host(here);
    Server server(w.loop, {}, echo, error_body);
    server.serve(*network->listen(herd::testing::memory_socket({here, 80})));
    struct Go {
        static net::Task<bool> connects(net::Network& network, base::Endpoint to, base::Instant deadline)
        {
            const auto stream = co_await network.connect(to, deadline);
            co_return stream.has_value();
        }
    };
    CHECK(run(w.time, w.loop, Go::connects(*network, {here, 80}, w.time.now() + 1s)));
    run(w.time, w.loop, server.drain(w.time.now() + 1s));
    CHECK_FALSE(run(w.time, w.loop, Go::connects(*network, {here, 80}, w.time.now() + 1s)));
}
