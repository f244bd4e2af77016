#include "http/hop.hpp"
#include "http/internal/grammar.hpp"
#include "http/message.hpp"
#include "http/url.hpp"
#include "support/catch.hpp"

using namespace herd;
using namespace herd::http;

TEST_CASE("fields keep order and spelling and are found whatever the case")
{
    Fields fields;
    fields.add("Content-Type", "application/json");
    fields.add("X-A", "1");
    fields.add("x-a", "2, 3,, 4 ");
    CHECK(fields.size() == 3);
    CHECK(fields.find("content-TYPE") == "application/json");
    CHECK(fields.find("X-a") == "1");
    CHECK(fields.count("x-A") == 2);
    CHECK(fields.list("X-A") == std::vector<std::string_view>{"1", "2", "3", "4"});
    CHECK_FALSE(fields.find("X-B"));
    CHECK(fields.at(1).name == "X-A");
    fields.set("X-A", "5");
    CHECK(fields.count("X-A") == 1);
    CHECK(fields.at(1).value == "5");
    fields.remove("content-type");
    CHECK(fields.size() == 1);
    fields.clear();
    CHECK(fields.size() == 0);
}

TEST_CASE("a field may be made from another of the same list")
{
    Fields fields;
    fields.add("A", std::string(40, 'a'));
    for (int i = 0; i < 20; ++i) {
        fields.add(fields.at(0).name, *fields.find("A"));
    }
    CHECK(fields.at(20).value == std::string(40, 'a'));
    fields.set("A", *fields.find("a"));
    CHECK(fields.size() == 1);
    CHECK(fields.find("A") == std::string(40, 'a'));
}

TEST_CASE("a request is written with the framing of its head and no other")
{
    RequestHead head;
    head.method = "POST";
    head.target = "/api/chat?x=1";
    head.fields.add("Host", "node");
    head.fields.add("content-length", "99");
    head.fields.add("Transfer-Encoding", "gzip");
    head.fields.add("Connection", "upgrade");
    head.framing = Framing::length;
    head.content_length = 12;
    std::string out;
    serialize(head, out);
    CHECK(out == "POST /api/chat?x=1 HTTP/1.1\r\nHost: node\r\nContent-Length: 12\r\n\r\n");
    out.clear();
    head.framing = Framing::chunked;
    head.keep_alive = false;
    serialize(head, out);
    CHECK(out == "POST /api/chat?x=1 HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    CHECK(head.path() == "/api/chat");
    CHECK(head.query() == "x=1");
    head.target = "/";
    CHECK(head.query().empty());
}

TEST_CASE("an answer is written so that its end is clear")
{
    const auto wire = [](int status, Framing framing, std::uint64_t length = 0, bool keep = true) {
        ResponseHead head;
        head.status = status;
        head.framing = framing;
        head.content_length = length;
        head.keep_alive = keep;
        std::string out;
        serialize(head, out);
        return out;
    };
    CHECK(wire(200, Framing::length, 5) == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    CHECK(wire(200, Framing::none) == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    CHECK(wire(200, Framing::chunked) == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    CHECK(wire(200, Framing::until_close, 0, false) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    CHECK(wire(204, Framing::none) == "HTTP/1.1 204 No Content\r\n\r\n");
    CHECK(wire(204, Framing::length, 3) == "HTTP/1.1 204 No Content\r\n\r\n");
    CHECK(wire(304, Framing::none) == "HTTP/1.1 304 Not Modified\r\n\r\n");
    CHECK(wire(100, Framing::none) == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(wire(299, Framing::none) == "HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("only end-to-end fields pass")
{
    Fields from;
    for (const auto* name : {"Accept", "Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE",
                             "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect", "X-Secret-Hop",
                             "Authorization", "Host"}) {
        from.add(name, std::string_view(name) == "Connection" ? "close, x-secret-hop, host" : "v");
    }
    Fields to;
    copy_end_to_end(from, to);
    std::vector<std::string_view> names;
    for (const Field field : to) {
        names.push_back(field.name);
    }
    CHECK(names == std::vector<std::string_view>{"Accept", "Authorization", "Host"});
}

TEST_CASE("our own Via is recognised and nobody else's")
{
    Fields fields;
    fields.add("Via", "1.0 fred, 1.1 herd-abcd (x)");
    CHECK_FALSE(via_contains(fields, "abc"));
    CHECK(via_contains(fields, "abcd"));
    add_via(fields, "e1");
    CHECK(via_contains(fields, "e1"));
    CHECK(fields.at(1).value == "1.1 herd-e1");
}

TEST_CASE("URLs are read as people write them")
{
    const auto url = Url::parse("HTTP://Box.Lan:11434/");
    REQUIRE(url);
    CHECK(url->host == "box.lan");
    CHECK(url->port == 11434);
    CHECK(url->path.empty());
    CHECK(url->text() == "http://box.lan:11434");
    CHECK(Url::parse("https://a")->port == 443);
    CHECK(Url::parse("http://a")->port == 80);
    CHECK(Url::parse("http://a/ollama//")->path == "/ollama");
    const auto v6 = Url::parse("http://[FE80::1%3]:8080");
    REQUIRE(v6);
    CHECK(v6->host == "fe80::1%3");
    CHECK(v6->authority() == "[fe80::1%3]:8080");
}

TEST_CASE("URLs that cannot be meant are refused with a sentence")
{
    for (const auto* bad :
         {"", "a:1", "ftp://a", "http://", "http://:80", "http://a:0", "http://a:65536", "http://a:b", "http://u:p@a",
          "http://a?b", "http://a/#c", "http:// a", "http://a b", "http://a\n", "http://\xc3\xa4", "http://[::1",
          "http://a,b"}) {
        CAPTURE(bad);
        const auto url = Url::parse(bad);
        REQUIRE_FALSE(url);
        CHECK(url.error().code == base::Errc::bad_config);
        CHECK(url.error().context.ends_with("."));
    }
}

TEST_CASE("hosts of the Host field")
{
    for (const auto* good : {"", "a", "a.b:80", "10.0.0.1:11435", "[::1]", "[fe80::1%25eth0]:1", "a_b-c"}) {
        CAPTURE(good);
        CHECK(internal::is_host(good));
    }
    for (const auto* bad : {"a b", "a,b", "a/b", "u@a", "[::1", "[]", "[::1]x", "a:b", "a:123456", "a:1:2", "\x80", "a\"",
                            "a\\b", "a?b", "a#b", "<a>"}) {
        CAPTURE(bad);
        CHECK_FALSE(internal::is_host(bad));
    }
}
