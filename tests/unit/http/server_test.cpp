// How the server reads requests and writes answers, its own ones among them.
#include "served.hpp"

using namespace herd;
using namespace herd::test;

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
