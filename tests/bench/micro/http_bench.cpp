// What libs/http costs per message, without a socket: reading heads, following chunks, writing heads.
#include "http/hop.hpp"
#include "http/parser.hpp"
#include "micro.hpp"

#include <cstdlib>
#include <string>

namespace {

using namespace herd;
using bench::keep;
using bench::measure;

[[noreturn]] void wrong(const char* what)
{
    (void)std::fprintf(stderr, "http_bench: %s\n", what);
    std::exit(1);
}

/// Feeds one whole message and asserts that it was one; returns the payload bytes.
std::size_t read_message(http::Parser& parser, std::string_view bytes)
{
    std::size_t payload = 0;
    while (!bytes.empty()) {
        const auto step = parser.execute({bytes.data(), bytes.size()});
        if (!step) {
            wrong(step.error().message().c_str());
        }
        for (const auto piece : parser.body()) {
            payload += piece.size();
        }
        bytes.remove_prefix(step->consumed);
        if (step->message_complete) {
            if (!bytes.empty()) {
                wrong("bytes after the message");
            }
            return payload;
        }
    }
    wrong("message without end");
}

std::string post(std::size_t body_bytes)
{
    return "POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:11435\r\nUser-Agent: ollama-python/0.6.0 (x86_64 linux) Python/3.11.7\r\n"
           "Accept: application/json\r\nAccept-Encoding: gzip, deflate, zstd\r\nConnection: keep-alive\r\n"
           "Content-Type: application/json\r\nContent-Length: "
        + std::to_string(body_bytes) + "\r\n\r\n" + std::string(body_bytes, 'x');
}

constexpr std::string_view stream_head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                                         "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n";

void parsing()
{
    const http::ParserLimits limits;
    http::Parser requests(http::Parser::Role::request, limits);
    const std::string small = post(512);
    measure("request: 7 fields, 512 B body", [&] { keep(read_message(requests, small)); }, small.size());
    measure("a new request parser", [&] {
        const http::Parser fresh(http::Parser::Role::request, limits);
        keep(fresh);
    });

    http::Parser responses(http::Parser::Role::response, limits);
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
                               "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 1024\r\n\r\n"
        + std::string(1024, 'y');
    measure("response: 3 fields, 1 KB body", [&] { keep(read_message(responses, answer)); }, answer.size());
}

void chunks()
{
    http::Parser parser(http::Parser::Role::response, {});
    const std::string_view head = stream_head;
    if (!parser.execute({head.data(), head.size()})) {
        wrong("the head of the stream");
    }
    const std::string one = "e6\r\n" + std::string(0xe6, 'z') + "\r\n";
    const auto feed = [&parser](std::string_view bytes) {
        for (std::string_view left = bytes; !left.empty();) {
            const auto step = parser.execute({left.data(), left.size()});
            if (!step || step->consumed == 0) {
                wrong("a chunk");
            }
            keep(parser.body());
            left.remove_prefix(step->consumed);
        }
    };
    measure("one chunk of 230 B per read", [&] { feed(one); }, one.size());
    std::string many;
    while (many.size() + one.size() <= 16 * 1024) {
        many += one;
    }
    measure("16 KiB of such chunks per read", [&] { feed(many); }, many.size());
    const std::string large = "3ff0\r\n" + std::string(0x3ff0, 'z') + "\r\n";
    measure("one chunk of 16 KiB per read", [&] { feed(large); }, large.size());
}

void heads()
{
    const std::string bytes = post(0);
    http::Parser parser(http::Parser::Role::request, {});
    (void)read_message(parser, bytes);
    const http::RequestHead head = std::move(parser.request());
    std::string out;
    measure("copy end-to-end fields and write a request head", [&] {
        http::RequestHead onward;
        onward.method = head.method;
        onward.target = head.target;
        http::copy_end_to_end(head.fields, onward.fields);
        http::add_via(onward.fields, "3f2a91c05d7e");
        onward.fields.set("Host", "127.0.0.1:11434");
        onward.framing = http::Framing::length;
        onward.content_length = 512;
        out.clear();
        http::serialize(onward, out);
        keep(out);
    });
}

} // namespace

int main()
{
    bench::print_header();
    parsing();
    chunks();
    heads();
}
