#include "http/server.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"
#include "support/catch.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

#include <map>

using namespace herd;
using namespace herd::http;
using herd::testing::make_stream_pair;
using herd::testing::MemoryStream;
using herd::testing::run;
using herd::testing::StreamOptions;
using namespace std::chrono_literals;

namespace {

ResponseHead error_body(int status, std::string_view reason, std::string_view target, std::string& body)
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
std::string undated(std::string text)
{
    for (;;) {
        const auto at = text.find("Date: ");
        if (at == std::string::npos) {
            return text;
        }
        text.erase(at, text.find("\r\n", at) + 2 - at);
    }
}

std::string answer(std::string_view body, std::string_view more = "")
{
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(more) + "\r\n"
           + std::string(body);
}

std::string failure(int status, std::string_view body)
{
    return "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason_phrase(status))
           + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + std::string(body);
}

/// Answers with method, target and body.
net::Task<void> echo(ServerExchange& exchange)
{
    const auto body = co_await exchange.read_all(100000);
    if (!body) {
        co_return;
    }
    (void)co_await exchange.respond({}, exchange.head().method + " " + exchange.head().target + " " + *body);
}

net::Task<void> stream_abc(ServerExchange& exchange)
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

const std::string get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

} // namespace

TEST_CASE("a request is answered, with a date, and the connection stays")
{
    Served s(echo);
    const auto first = s.ask(get);
    CHECK(undated(first) == answer("GET /x "));
    const auto date = first.find("Date: ");
    REQUIRE(date != std::string::npos);
    CHECK(first.substr(date + 31, 6) == " GMT\r\n");
    CHECK(undated(s.ask("POST /y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")) == answer("POST /y hello"));
    CHECK(undated(s.ask("POST /z HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
          == answer("POST /z abcde"));
    CHECK(s.server.connections() == 1);
    CHECK(s.server_end->writes() == 3); // each answer left in one piece
}

TEST_CASE("requests may come byte by byte")
{
    Served s(echo);
    const std::string request = "POST /y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    for (const char c : request) {
        s.send({&c, 1});
    }
    CHECK(undated(s.receive()) == answer("POST /y hello"));
}

TEST_CASE("pipelined requests are answered in order")
{
    Served s(echo);
    std::string requests;
    std::string answers;
    for (int i = 0; i < 50; ++i) {
        const std::string n = std::to_string(i);
        requests += "POST /" + n + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(n.size()) + "\r\n\r\n" + n;
        answers += answer("POST /" + n + " " + n);
    }
    CHECK(undated(s.ask(requests)) == answers);
}

namespace {

net::Task<void> slow(ServerExchange& exchange)
{
    const auto body = co_await exchange.read_all(100000);
    (void)co_await net::sleep_for(exchange.loop(), 1s);
    (void)co_await exchange.respond({}, exchange.head().target + (body ? *body : "?"));
}

} // namespace

TEST_CASE("requests that arrive while another is answered wait for their turn")
{
    Served s(slow);
    s.send(get);
    s.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
    s.send("dyGET /3 HTTP/1.1\r\nHost: a\r\n\r\nGE");
    CHECK(s.receive().empty());
    s.settle(1100ms);
    CHECK(undated(s.receive()) == answer("/x"));
    s.send("T /4 HTTP/1.1\r\nHost: a\r\n\r\n");
    s.settle(5s);
    CHECK(undated(s.receive()) == answer("/2body") + answer("/3") + answer("/4"));
}

TEST_CASE("a client that pipelines without end is held back by its socket")
{
    Served s(slow, {}, {.buffer_bytes = 4096});
    std::string many;
    for (int i = 0; i < 5000; ++i) {
        many += get;
    }
    s.send(many);
    const std::array<std::string_view, 1> more{get};
    CHECK(s.client->try_write(more).would_block());
    s.client->close();
    s.settle(5s);
}

TEST_CASE("a streamed answer is chunked, each write one chunk, the end folded in")
{
    Served s(stream_abc);
    CHECK(undated(s.ask(get)) == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\naa\r\n4\r\nbbbb\r\n6\r\ncccccc\r\n3\r\nend\r\n0\r\n\r\n");
    CHECK(s.server_end->writes() == 4);
    CHECK(undated(s.ask("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")) == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    CHECK(undated(s.ask("GET /x HTTP/1.0\r\n\r\n")) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\naabbbbccccccend<end>");
}

TEST_CASE("connections live and end as asked")
{
    {
        Served s(echo);
        CHECK(undated(s.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
              == answer("GET / ", "Connection: close\r\n") + "<end>");
    }
    {
        Served s(echo);
        CHECK(undated(s.ask("GET / HTTP/1.0\r\n\r\n")) == answer("GET / ", "Connection: close\r\n") + "<end>");
    }
    {
        Served s(echo);
        const std::string keep = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        CHECK(undated(s.ask(keep)) == answer("GET / ", "Connection: keep-alive\r\n"));
        CHECK(undated(s.ask(keep)) == answer("GET / ", "Connection: keep-alive\r\n"));
    }
    {
        Served s([](ServerExchange& exchange) -> net::Task<void> {
            exchange.close_after();
            return echo(exchange);
        });
        CHECK(undated(s.ask(get + get)) == answer("GET /x ", "Connection: close\r\n") + "<end>");
    }
}

TEST_CASE("HEAD gets the head of the answer")
{
    Served s(echo);
    CHECK(undated(s.ask("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")) == "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
    CHECK(undated(s.ask(get)) == answer("GET /x "));
}

TEST_CASE("100 Continue is sent when the handler wants the body, and no other expectation is met")
{
    const std::string expecting = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    {
        Served s(echo);
        CHECK(s.ask(expecting) == "HTTP/1.1 100 Continue\r\n\r\n");
        CHECK(undated(s.ask("abc")) == answer("POST / abc"));
        CHECK(undated(s.ask(expecting + "abc")) == answer("POST / abc")); // it did not wait for us
        CHECK(undated(s.ask(get)) == answer("GET /x "));
    }
    {
        Served s([](ServerExchange& exchange) -> net::Task<void> { // refuses without reading
            (void)co_await exchange.respond({.status = 403}, "no");
        });
        CHECK(undated(s.ask(expecting)) == failure(403, "no") + "<end>");
    }
    {
        Served s(echo);
        CHECK(undated(s.ask("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n")) == failure(417, "Expectation Failed@/") + "<end>");
    }
}

TEST_CASE("bad requests are answered in our words, and closed")
{
    const std::map<std::string, int> cases{
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40000, 'x') + "\r\n\r\n", 431},
        {"GET /" + std::string(9000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    };
    for (const auto& [request, status] : cases) {
        CAPTURE(request.substr(0, 100));
        for (const bool after_a_good_one : {false, true}) {
            Served s(echo);
            CHECK((!after_a_good_one || undated(s.ask(get)) == answer("GET /x ")));
            const std::string target = status == 414 ? "/" + std::string(251, 'x') : "/"; // as far as it is kept
            CHECK(undated(s.ask(request)) == failure(status, std::string(reason_phrase(status)) + "@" + target) + "<end>");
        }
    }
    // In the body the request is known.
    Served s(echo);
    CHECK(undated(s.ask("POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"))
          == failure(400, "Bad Request@/t") + "<end>");
}

namespace {

/// What the server told of its own answers, each in one line.
struct Told {
    ServerOptions options(ServerOptions with = {})
    {
        with.on_own_answer = [this](const OwnAnswer& own, ResponseHead& head) {
            all.push_back(std::to_string(own.status) + " " + std::string(own.reason) + " (" + std::string(own.why) + ") " + std::string(own.method) + " "
                          + std::string(own.target) + " after " + std::to_string(own.waited / 1s) + " s, " + std::to_string(own.body_bytes) + " bytes");
            head.fields.add("X-Id", "7");
        };
        return with;
    }
    std::vector<std::string> all{};
};

} // namespace

TEST_CASE("an answer that no handler was asked for is told of once, and what is added to it goes out")
{
    const auto tell = [](std::string_view request, base::Duration wait, const Handler& handler = echo) {
        Told told;
        Served s(handler, told.options());
        s.send(request);
        s.settle(wait);
        const std::string said = s.receive();
        const bool marked = said.find("X-Id: 7\r\n") != std::string::npos;
        CHECK(told.all.size() == (marked ? 1U : 0U));
        return told.all.empty() ? std::string{} : told.all.front();
    };
    // (The target is told to who words the answer, not to who keeps records: a head that was refused may say anything.)
    CHECK(tell("GET / HTTP/1.1\r\n\r\n", 0s) == "400 Bad Request (Host)   after 0 s, 13 bytes");
    CHECK(tell("GET /secret HTTP/1.1\nHost: a\r\n\r\n", 0s) == "400 Bad Request (bare LF)   after 0 s, 19 bytes");
    CHECK(tell(get + "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40000, 'x') + "\r\n\r\n", 0s)
          == "431 Request Header Fields Too Large (head)   after 0 s, 33 bytes");
    CHECK(tell("GET / HT", 11s) == "408 Request Timeout ()   after 10 s, 17 bytes");
    CHECK(tell("GET /x?y HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 0s) == "417 Expectation Failed () GET /x?y after 0 s, 23 bytes");
    const auto throws = [](ServerExchange&) -> net::Task<void> {
        throw std::runtime_error("a bug");
        co_return;
    };
    CHECK(tell(get, 0s, throws) == "500 Internal Server Error () GET /x after 0 s, 24 bytes");
    // Handlers tell of their own.
    CHECK(tell(get, 0s).empty());
    CHECK(tell("POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 0s).empty());
    CHECK(tell("", 121s).empty()); // an idle connection is no request
}

TEST_CASE("a connection too many is told of")
{
    Told told;
    Served s(echo, told.options({.connections_max = 1}));
    const auto first = std::move(s.client);
    s.connect();
    CHECK(s.receive().find("503 Service Unavailable") != std::string::npos);
    CHECK(told.all == std::vector<std::string>{"503 Service Unavailable (too many connections)   after 0 s, 21 bytes"});
}

TEST_CASE("a handler that gives no answer, or throws, means 500")
{
    for (const bool throws : {false, true}) {
        Served s([throws](ServerExchange& exchange) -> net::Task<void> {
            if (throws) {
                throw std::runtime_error("a bug");
            }
            ResponseHead head;
            head.framing = Framing::chunked;
            exchange.begin(std::move(head)); // but nothing of it is sent
            co_return;
        });
        CHECK(undated(s.ask(get)) == "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 24\r\n\r\nInternal Server Error@/x");
        CHECK(s.server.connections() == 1);
    }
}

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
