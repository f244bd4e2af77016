#include "http/parser.hpp"
#include "support/catch.hpp"
#include "transcript.hpp"

using namespace herd;
using namespace herd::http;
using namespace herd::http::testing;
using Role = Parser::Role;

TEST_CASE("a request head is read whole")
{
    const auto t = parse(Role::request, "POST /api/chat?a=b HTTP/1.1\r\nHost: herd:11435\r\nX-Empty:\r\nX-Pad: \t v w \t\r\n"
                                        "Content-Length: 5\r\n\r\nhello");
    REQUIRE(t.error.empty());
    REQUIRE(t.requests.size() == 1);
    const RequestHead& head = t.requests[0];
    CHECK(head.method == "POST");
    CHECK(head.target == "/api/chat?a=b");
    CHECK(head.minor == 1);
    CHECK(head.keep_alive);
    CHECK(head.framing == Framing::length);
    CHECK(head.content_length == 5);
    CHECK(head.fields.find("x-pad") == "v w");
    CHECK(head.fields.find("x-empty") == "");
    CHECK(head.fields.size() == 4);
    CHECK(t.bodies[0] == "hello");
    CHECK(t.complete == 1);
}

TEST_CASE("requests that every client sends are accepted")
{
    const auto keeps = [](std::string_view bytes) {
        const auto t = parse(Role::request, bytes);
        CHECK(t.error.empty());
        REQUIRE(t.requests.size() == 1);
        return t.requests[0].keep_alive;
    };
    CHECK(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(keeps("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(keeps("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(keeps("DELETE /api/delete HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
    CHECK(keeps("PATCH / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"));
    CHECK_FALSE(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"));
    CHECK_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
    CHECK(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    CHECK(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"));
    CHECK(keeps("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(keeps("GET /\"{}|^`\\ HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(keeps("GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\r\n\r\n"));
}

TEST_CASE("expectations are noted")
{
    CHECK(parse(Role::request, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
              .requests[0].expects_continue);
    CHECK_FALSE(parse(Role::request, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
                    .requests[0].expects_continue);
}

TEST_CASE("pipelined requests come out one after the other, at every cut")
{
    const std::string_view bytes = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                                   "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                                   "\r\n" // what old clients send behind a request
                                   "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
                                   "3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: v\r\nT2:\r\n\r\n"
                                   "DELETE /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    const auto t = parse(Role::request, bytes);
    CHECK(t.error.empty());
    REQUIRE(t.requests.size() == 4);
    CHECK(t.requests[2].target == "/3");
    CHECK(t.bodies == std::vector<std::string>{"abc", "", "abc0123456789", ""});
    CHECK(t.complete == 4);
    CHECK(t.consumed == bytes.size());
    CHECK(first_cut_that_differs(Role::request, bytes) == std::string_view::npos);
}

TEST_CASE("answers of every framing are read, at every cut")
{
    const std::string_view bytes = "HTTP/1.1 100 Continue\r\n\r\n"
                                   "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                                   "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
                                   "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n"
                                   "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
                                   "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                                   "HTTP/1.0 404 Not Found\r\n\r\nall the rest\r\n\r\n";
    const auto t = parse(Role::response, bytes);
    CHECK(t.error.empty());
    REQUIRE(t.responses.size() == 7);
    CHECK(t.responses[0].status == 100);
    CHECK(t.responses[2].reason == "OK");
    CHECK(t.responses[4].framing == Framing::none);
    CHECK(t.responses[5].reason.empty());
    CHECK(t.responses[5].framing == Framing::chunked);
    CHECK(t.responses[6].framing == Framing::until_close);
    CHECK_FALSE(t.responses[6].keep_alive);
    CHECK(t.bodies == std::vector<std::string>{"", "", "body", "", "", "hello", "all the rest\r\n\r\n"});
    CHECK(t.complete == 6);
    CHECK(first_cut_that_differs(Role::response, bytes) == std::string_view::npos);
}

TEST_CASE("the end of the stream completes only an answer without length")
{
    const auto ends_well = [](std::string_view bytes) {
        Parser parser(Role::response, {});
        CHECK(feed(parser, Role::response, {bytes}).error.empty());
        return parser.finish();
    };
    CHECK(ends_well("HTTP/1.1 200 OK\r\n\r\nabc"));
    CHECK(ends_well("HTTP/1.1 200 OK\r\n\r\n"));
    CHECK_FALSE(ends_well("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"));
    CHECK_FALSE(ends_well("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"));
    CHECK_FALSE(ends_well("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"));
    CHECK_FALSE(ends_well("HTTP/1.1 20"));
    CHECK_FALSE(ends_well(""));
}

TEST_CASE("the answer to HEAD has no body, whatever its fields say")
{
    Parser parser(Role::response, {});
    parser.expect_no_body(true);
    const std::string_view bytes = "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n";
    const auto t = feed(parser, Role::response, {bytes, bytes});
    CHECK(t.error.empty());
    CHECK(t.complete == 2);
    CHECK(t.responses[0].framing == Framing::length);
    CHECK(t.responses[0].content_length == 400);
    parser.expect_no_body(false);
    CHECK(feed(parser, Role::response, {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}).bodies[0] == "ok");
}

TEST_CASE("a parser knows when it is between messages")
{
    Parser parser(Role::request, {});
    CHECK(parser.between_messages());
    CHECK(feed(parser, Role::request, {"G"}).error.empty());
    CHECK_FALSE(parser.between_messages());
    CHECK(feed(parser, Role::request, {"ET / HTTP/1.1\r\nHost: a\r\n\r\n"}).complete == 1);
    CHECK(parser.between_messages());
}

TEST_CASE("many small chunks come in several steps, none lost")
{
    std::string bytes = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    std::string expected;
    for (int i = 0; i < 100; ++i) {
        bytes += "2\r\n" + std::to_string(10 + i % 90) + "\r\n";
        expected += std::to_string(10 + i % 90);
    }
    bytes += "0\r\n\r\n";
    const auto t = parse(Role::request, bytes);
    CHECK(t.error.empty());
    CHECK(t.bodies[0] == expected);
    CHECK(t.complete == 1);
}

TEST_CASE("a target in absolute form goes on in origin form, its authority as Host")
{
    const auto one = [](std::string_view target, std::string_view rest) {
        CAPTURE(std::string(target));
        const auto t = parse(Role::request, "GET " + std::string(target) + " " + std::string(rest) + "\r\n");
        REQUIRE(t.error.empty());
        REQUIRE(t.complete == 1);
        return t.requests[0];
    };
    const auto head = one("http://Herd.lan:11435/api/tags?a=http://b/", "HTTP/1.1\r\nHost: herd.LAN:11435\r\n");
    CHECK(head.target == "/api/tags?a=http://b/");
    CHECK(head.path() == "/api/tags");
    CHECK(*head.fields.find("Host") == "herd.LAN:11435");
    CHECK(one("HTTP://a", "HTTP/1.1\r\nHost: a:80\r\n").target == "/");
    CHECK(one("http://a:80?x", "HTTP/1.1\r\nHost: a\r\n").target == "/?x");
    CHECK(one("http://a:/y", "HTTP/1.1\r\nHost: a\r\n").target == "/y");
    CHECK(one("https://[::1]:443//z", "HTTP/1.1\r\nHost: [::1]\r\n").target == "//z");
    const auto old = one("http://a:8080/", "HTTP/1.0\r\n");
    CHECK(old.fields.count("host") == 1);
    CHECK(*old.fields.find("host") == "a:8080");
    CHECK(parse(Role::request, "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").requests.at(0).target == "*");
    CHECK(parse(Role::request, "OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").requests.at(0).target == "/");
}

TEST_CASE("limits name what passed them")
{
    const std::string host = "Host: a\r\n";
    CHECK(parse(Role::request, "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n" + host + "\r\n").error == "too_large: target");
    CHECK(parse(Role::request, "GET /" + std::string(70000, 'a')).error == "too_large: target");
    CHECK(parse(Role::request, "GET / HTTP/1.1\r\nX: " + std::string(40000, 'a') + "\r\n\r\n").error == "too_large: head");
    CHECK(parse(Role::request, "GET / HTTP/1.1\r\nX: " + std::string(40000, 'a')).error == "too_large: head");
    std::string many = "GET / HTTP/1.1\r\n" + host;
    for (int i = 0; i < 128; ++i) {
        many += "A:\r\n";
    }
    CHECK(parse(Role::request, many + "\r\n").error == "too_large: fields");

    const std::string chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    CHECK(parse(Role::request, chunked + "1;" + std::string(300, 'x') + "\r\n").error == "too_large: chunk");
    std::string flood = chunked;
    for (int i = 0; i < 100; ++i) {
        flood += "1;abcd\r\nx\r\n";
    }
    CHECK(parse(Role::request, flood).error == "too_large: chunk");
    CHECK(parse(Role::request, chunked + "0\r\nX: " + std::string(5000, 'x') + "\r\n\r\n").error == "too_large: chunk");

    // Byte by byte the same limits hold.
    Parser parser(Role::request, {});
    std::string_view one = "a";
    CHECK(feed(parser, Role::request, {"GET / HTTP/1.1\r\nX: "}).error.empty());
    CHECK(feed(parser, Role::request, std::vector<std::string_view>(40000, one)).error == "too_large: head");
}

TEST_CASE("after an error a parser says no more than that")
{
    Parser parser(Role::request, {});
    CHECK_FALSE(feed(parser, Role::request, {"bad\n"}).error.empty());
    CHECK_FALSE(feed(parser, Role::request, {"GET / HTTP/1.1\r\nHost: a\r\n\r\n"}).error.empty());
}

TEST_CASE("a head that was refused tells its target as far as it came")
{
    const auto target_of = [](std::vector<std::string> pieces) {
        Parser parser(Parser::Role::request, {.head_bytes = 1024, .target_bytes = 64});
        for (const auto& piece : pieces) {
            (void)parser.execute(piece);
        }
        return std::string(parser.refused_target());
    };
    CHECK(target_of({"GET /v1/models HTTP/1.1\r\nHost: a\r\nX: " + std::string(2000, 'x') + "\r\n\r\n"}) == "/v1/models");
    CHECK(target_of({"POST /v1/mes", "sages HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n"}) == "/v1/messages");
    CHECK(target_of({"POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"}) == "/api/chat");
    CHECK(target_of({"GET /v1/messages/" + std::string(200, 'a') + " HTTP/1.1\r\n"}).starts_with("/v1/messages/aaa"));
    CHECK(target_of({"GET /api/tags HTTP/1.1\r\nHost: a\r\n"}) == "/api/tags"); // never ended
    CHECK(target_of({"\x16\x03\x01 /x\r\n"}) == "/x"); // whoever it was, it gets an answer
    CHECK(target_of({"nonsense\r\n\r\n"}).empty());
    CHECK(target_of({"GET /api/tags HTTP/1.1\r\nHost: a\r\n\r\n"}).empty()); // was not refused
}
