// The instrument is tested before it measures: a relay that damages an answer must not get a figure.
#include "answer_reader.hpp"
#include "wire.hpp"

#include "support/catch.hpp"

using namespace herd::bench;

namespace {

const Ask stream{17, 20, 5};

std::string stream_answer()
{
    std::string out = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::uint32_t i = 0; i < stream.chunks; ++i) {
        std::string line;
        append_line(line, stream, i, 1'000'000 + i);
        constexpr std::string_view hex = "0123456789abcdef";
        out.push_back(hex[line.size() / 16 / 16 % 16]);
        out.push_back(hex[line.size() / 16 % 16]);
        out.push_back(hex[line.size() % 16]);
        out.append("\r\n").append(line).append("\r\n");
    }
    return out.append("0\r\n\r\n");
}

/// Reads `bytes` in pieces of `step`; the body, or "bad: …" / "more: …".
std::string read_in_pieces(std::string_view bytes, std::size_t step)
{
    AnswerReader reader;
    std::string body;
    while (!bytes.empty()) {
        auto piece = bytes.substr(0, step);
        bytes.remove_prefix(piece.size());
        const auto state = reader.feed(piece, body);
        if (state == AnswerReader::State::bad) {
            return "bad: " + reader.error();
        }
        if (state == AnswerReader::State::complete) {
            return piece.empty() && bytes.empty() ? body : "bad: bytes after the answer";
        }
    }
    return "more: " + body;
}

} // namespace

TEST_CASE("an answer is read the same however it is cut")
{
    const auto answer = stream_answer();
    const auto whole = read_in_pieces(answer, answer.size());
    REQUIRE(whole.starts_with("{\"model\":\"bench:latest\""));
    for (std::size_t step = 1; step < 400; ++step) {
        REQUIRE(read_in_pieces(answer, step) == whole);
    }
}

TEST_CASE("an answer that is cut off, refused or ambiguous is not complete")
{
    const auto answer = stream_answer();
    CHECK(read_in_pieces(answer.substr(0, answer.size() - 1), 64).starts_with("more:"));
    CHECK(read_in_pieces("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 64).starts_with("bad: not a 200"));
    CHECK(read_in_pieces("HTTP/1.1 200 OK\r\n\r\n", 64).starts_with("bad: neither"));
    CHECK(read_in_pieces("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 64)
              .starts_with("bad: neither"));
    CHECK(read_in_pieces("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 64).starts_with("bad: bytes"));
}

TEST_CASE("every byte of a chunk but its stamp is compared")
{
    std::string line;
    append_line(line, stream, 3, 987'654'321);
    REQUIRE(check_line(line, stream, 3) == 987'654'321);
    CHECK_FALSE(check_line(line, stream, 2));
    CHECK_FALSE(check_line(line, {18, 20, 5}, 3));
    CHECK_FALSE(check_line(line.substr(0, line.size() - 1), stream, 3));
    const auto stamp = line.find("0000000000987654321");
    REQUIRE(stamp != std::string::npos);
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (i < stamp || i >= stamp + 19) {
            auto damaged = line;
            damaged[i] = damaged[i] == 'x' ? 'y' : 'x';
            CHECK_FALSE(check_line(damaged, stream, 3));
        }
    }
}

TEST_CASE("a request carries its ask and has the size that the benchmark names")
{
    auto bytes = request({1, 20, 400}, "127.0.0.1:1");
    set_request_id(bytes, 4'000'000'000U);
    const auto body = std::string_view(bytes).substr(bytes.find("\r\n\r\n") + 4);
    CHECK(body.size() == ask_body_bytes);
    const auto ask = read_ask(body);
    REQUIRE(ask);
    CHECK(ask->id == 4'000'000'000U);
    CHECK(ask->rate == 20);
    CHECK(ask->chunks == 400);
    auto small = small_body(1);
    CHECK(small.size() == small_body_bytes);
    set_small_body_id(small, 2);
    CHECK(small == small_body(2));
}
