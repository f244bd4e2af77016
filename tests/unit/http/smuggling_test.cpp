// Everything that two HTTP readers could understand differently must be refused, in one piece and at every cut.
#include "http/parser.hpp"
#include "support/catch.hpp"
#include "transcript.hpp"

using namespace herd;
using namespace herd::http;
using namespace herd::http::testing;
using Role = Parser::Role;

namespace {

void refused(Role role, std::string_view bytes)
{
    CAPTURE(std::string(bytes));
    const auto t = parse(role, bytes);
    CHECK_FALSE(t.error.empty());
    CHECK(t.complete == 0);
    // Cut differently it may be refused with another word, but refused it is.
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
        Parser parser(role, {});
        const auto other = feed(parser, role, {bytes.substr(0, cut), bytes.substr(cut)});
        if (other.error.empty() || other.complete != 0) {
            CAPTURE(cut);
            FAIL_CHECK("accepted when cut");
        }
    }
}

std::string get(std::string_view fields) { return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n"; }
std::string post(std::string_view fields, std::string_view body)
{
    return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }

} // namespace

TEST_CASE("an absolute form that is not strictly one, or that Host contradicts, is refused")
{
    for (const auto* target : {"http://", "http:///x", "http://:80/", "http://user@a/", "http://user:pass@a/", "http://a@a/", "http://a:port/", "http://a:123456/",
                               "http://a,b/", "http://[::1/", "http://[]/", "http://a/#x", "http://a#x", "http://a\\@b/", "http:/a/", "http:a", "ftp://a/", "ws://a/",
                               "file:///etc/passwd", "a:80", "a/x", "http://b/", "http://a:8080/", "https://a:80/", "http://a.b/", "http://a./"}) {
        refused(Role::request, "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    refused(Role::request, "GET http://a/ HTTP/1.1\r\n\r\n");                       // Host is needed all the same
    refused(Role::request, "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n");
    refused(Role::request, "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    refused(Role::request, "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n");        // even though it would be overlooked
    refused(Role::request, "GET http://a/ HTTP/1.0\r\nHost: b\r\n\r\n");
    refused(Role::request, "CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(parse(Role::request, "GET http://a/" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n").error == "too_large: target");
}

TEST_CASE("ambiguous lengths are refused")
{
    for (const auto* fields :
         {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
          "Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n",
          "Content-Length: 5, 5\r\n", "Content-Length: +5\r\n", "Content-Length: -5\r\n", "Content-Length: 0x5\r\n",
          "Content-Length: 5 5\r\n", "Content-Length:\r\n", "Content-Length: 5;\r\n", "Content-Length: five\r\n",
          "Content-Length: 99999999999999999999\r\n", "Content-Length: 18446744073709551617\r\n",
          "Transfer-Encoding: identity\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, gzip\r\n",
          "Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunkedx\r\n",
          "Transfer-Encoding: \"chunked\"\r\n", "Transfer-Encoding: chunked;q=1\r\n", "Transfer-Encoding:\r\n",
          "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
          "Transfer-Encoding: \x0b"
          "chunked\r\n",
          "Transfer_Encoding: x\r\nTransfer-Encoding : chunked\r\n"}) {
        refused(Role::request, post(fields, "0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        if (std::string_view(fields).find("Transfer_") == std::string_view::npos) {
            refused(Role::response, "HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n0\r\n\r\n");
        }
    }
    refused(Role::request, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    refused(Role::response, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

TEST_CASE("line ends other than CRLF are refused")
{
    refused(Role::request, "GET / HTTP/1.1\nHost: a\r\n\r\n");
    refused(Role::request, "GET / HTTP/1.1\r\nHost: a\n\r\n");
    refused(Role::request, "GET / HTTP/1.1\r\nHost: a\r\n\n");
    refused(Role::request, "GET / HTTP/1.1\n\n");
    refused(Role::request, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    refused(Role::request, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    refused(Role::request, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    refused(Role::request, get("X: a\rY: b\r\n"));
    refused(Role::request, get("X: a\r\rY: b\r\n"));
    refused(Role::request, get("X: a\r\r\n"));
    refused(Role::request, get("X\r: a\r\n"));
    refused(Role::response, "HTTP/1.1 200 OK\nX: y\r\n\r\n");
    refused(Role::response, "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n");
    refused(Role::response, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n");
}

TEST_CASE("folded fields are refused")
{
    refused(Role::request, get("X: a\r\n b\r\n"));
    refused(Role::request, get("X: a\r\n\tb\r\n"));
    refused(Role::request, "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n");
    refused(Role::request, post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"));
    refused(Role::response, "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("field names and values with what does not belong there are refused")
{
    for (const std::string_view fields :
         {std::string_view("X : a\r\n"), std::string_view("X\t: a\r\n"), std::string_view(": a\r\n"),
          std::string_view("X\r\n"), std::string_view("X Y: a\r\n"), std::string_view("X(: a\r\n"),
          std::string_view("X\x80: a\r\n"), std::string_view("X\0: a\r\n", 7), std::string_view("X: a\0b\r\n", 8),
          std::string_view("X: a\x01\r\n"), std::string_view("X: a\x7f\r\n"), std::string_view("X: \x1b[0m\r\n"),
          std::string_view("X: a\x0c\r\n"), std::string_view("\x00X: a\r\n", 7)}) {
        refused(Role::request, get(fields));
        refused(Role::response, "HTTP/1.1 200 OK\r\n" + std::string(fields) + "Content-Length: 0\r\n\r\n");
    }
}

TEST_CASE("odd start lines are refused")
{
    for (const std::string_view line :
         {std::string_view("GET /"), std::string_view("GET / HTTP/0.9"), std::string_view("GET / HTTP/2.0"),
          std::string_view("GET / HTTP/1.2"), std::string_view("GET / HTTP/1.10"), std::string_view("GET / HTTP/11"),
          std::string_view("GET / http/1.1"), std::string_view("GET / HTTP/1.1 "), std::string_view("GET /  HTTP/1.1"),
          std::string_view("GET  / HTTP/1.1"), std::string_view(" GET / HTTP/1.1"), std::string_view("GET\t/ HTTP/1.1"),
          std::string_view("GET / a HTTP/1.1"), std::string_view("GET /\ta HTTP/1.1"), std::string_view("GET /\x7f HTTP/1.1"),
          std::string_view("GET /\x01 HTTP/1.1"), std::string_view("GET /\0 HTTP/1.1", 15),
          std::string_view("GET /\xc3\xa9 HTTP/1.1"), std::string_view("GET /a#b HTTP/1.1"),
          std::string_view("GET a HTTP/1.1"), std::string_view("GET * HTTP/1.1"), std::string_view("GET ?a HTTP/1.1"),
          std::string_view("CONNECT a:80 HTTP/1.1"), std::string_view("CONNECT / HTTP/1.1"),
          std::string_view("G(T / HTTP/1.1"), std::string_view("get / HTTP/1.1"), std::string_view("BREW / HTTP/1.1"),
          std::string_view("PRI * HTTP/2.0"), std::string_view("/ HTTP/1.1"), std::string_view("GET HTTP/1.1"),
          std::string_view("HTTP/1.1 200 OK"), std::string_view("GET / RTSP/1.0"), std::string_view("SOURCE / ICE/1.0")}) {
        refused(Role::request, std::string(line) + "\r\nHost: a\r\n\r\n");
    }
    for (const auto* line : {"HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1 abc OK", "HTTP/2.0 200 OK",
                             "HTTP/0.9 200 OK", "http/1.1 200 OK", "HTTP/1.1 600 No", "HTTP/1.1 099 No", "ICY 200 OK",
                             "HTTP/1.1 200 O\x01K", "GET / HTTP/1.1", " HTTP/1.1 200 OK", "HTTP/1.1 200OK", "HTTP/1.1"}) {
        refused(Role::response, std::string(line) + "\r\nContent-Length: 0\r\n\r\n");
    }
    refused(Role::request, "\x16\x03\x01\x02\x00\x01");
    refused(Role::response, "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("a missing, doubled or strange Host is refused")
{
    refused(Role::request, "GET / HTTP/1.1\r\n\r\n");
    refused(Role::request, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    refused(Role::request, "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n");
    for (const auto* host : {"a,b", "a b", "u@a", "a/b", "http://a", "[::1", "a:b", "a:80:80", "\xc3\xa9"}) {
        refused(Role::request, "GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
    }
}

TEST_CASE("upgrades are refused")
{
    refused(Role::request, get("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    refused(Role::request, get("Upgrade: h2c, websocket\r\n"));
    refused(Role::request, get("Upgrade: h2c\r\nUpgrade: websocket\r\n"));
    refused(Role::request, get("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n"));
    refused(Role::response, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
}

TEST_CASE("chunk framing is exact")
{
    for (const std::string_view body :
         {std::string_view("+5\r\nhello\r\n0\r\n\r\n"), std::string_view("-5\r\nhello\r\n0\r\n\r\n"),
          std::string_view("0x5\r\nhello\r\n0\r\n\r\n"), std::string_view(" 5\r\nhello\r\n0\r\n\r\n"),
          std::string_view("5 \r\nhello\r\n0\r\n\r\n"), std::string_view("5\t\r\nhello\r\n0\r\n\r\n"),
          std::string_view("\r\nhello\r\n0\r\n\r\n"), std::string_view(";x\r\nhello\r\n0\r\n\r\n"),
          std::string_view("5\nhello\r\n0\r\n\r\n"), std::string_view("5\rhello\r\n0\r\n\r\n"),
          std::string_view("5\r\nhello\n0\r\n\r\n"), std::string_view("5\r\nhello0\r\n\r\n"),
          std::string_view("5\r\nhello!\r\n0\r\n\r\n"), std::string_view("5\r\nhello\r\r\n0\r\n\r\n"),
          std::string_view("5;a\nb\r\nhello\r\n0\r\n\r\n"), std::string_view("5;a\rb\r\nhello\r\n0\r\n\r\n"),
          std::string_view("5;a\0\r\nhello\r\n0\r\n\r\n", 18), std::string_view("g\r\n"),
          std::string_view("10000000000000000\r\n"), std::string_view("FFFFFFFFFFFFFFFF\r\n"),
          std::string_view("00000000000000005\r\nhello\r\n0\r\n\r\n"), std::string_view("5.\r\nhello\r\n0\r\n\r\n"),
          std::string_view("5_0\r\n"), std::string_view("0\n\n"), std::string_view("0\r\n\n"), std::string_view("0\r\n\rX"),
          std::string_view("0\r\nX: a\n\r\n"), std::string_view("0\r\n X: a\r\n\r\n"), std::string_view("0\r\nX : a\r\n\r\n"),
          std::string_view("0\r\nX\r\n\r\n"), std::string_view("0\r\n: a\r\n\r\n"), std::string_view("0\r\nX: \0\r\n\r\n", 12),
          std::string_view("0\r\nContent-Length: 5\r\n\r\n"), std::string_view("0\r\ntransfer-encoding: chunked\r\n\r\n"),
          std::string_view("0\r\nHOST: b\r\n\r\n")}) {
        refused(Role::request, chunked(body));
        refused(Role::response, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(body));
    }
}

TEST_CASE("what follows a length is the next request and nothing else")
{
    const auto t = parse(Role::request, post("Content-Length: 4\r\n", "GET GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(t.error.empty());
    REQUIRE(t.requests.size() == 2);
    CHECK(t.bodies[0] == "GET ");
    CHECK(t.requests[1].target == "/2");
}
