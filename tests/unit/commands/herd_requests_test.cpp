// `herd requests`: lines for people, and a stream taken apart.
#include "herd/cli/follow.hpp"
#include "herd/cli/print_requests.hpp"

#include "support/catch.hpp"

#include <sstream>

using namespace herd;

namespace {

constexpr const char* record = R"({"id":"8dsrurwpfjdrnd5y","at":"2026-11-20T19:58:53.146Z","client":"10.0.0.5","model":"llama3.2:3b",)"
                               R"("node":"box","status":200,"termination":"--","tags":["a"],"prompt_tokens":3,"output_tokens":20,)"
                               R"("queue_ms":0.0,"ttft_ms":17.9,"total_ms":1334.9,"tokens_per_s":59.96})";

struct Screen {
    std::ostringstream out{};
    std::ostringstream err{};
    cli::Terminal terminal{out, err, false};
};

} // namespace

TEST_CASE("requests are listed oldest first, with times as people read them")
{
    Screen screen;
    const std::string later = R"({"at":"2026-11-20T20:00:00.000Z","id":"x","status":502,"termination":"NC","path":"/api/chat"})";
    REQUIRE(app::print_requests(R"({"requests":[)" + later + "," + record + "]}", screen.terminal));
    const std::string text = screen.out.str();
    CHECK(text.find("19:58:53") < text.find("20:00:00"));
    CHECK(text.find("502 NC") != std::string::npos);
    CHECK(text.find("1.3 s") != std::string::npos);
    CHECK(text.find("3+20") != std::string::npos);
    CHECK(text.find("/api/chat") != std::string::npos);
    Screen empty;
    REQUIRE(app::print_requests(R"({"requests":[]})", empty.terminal));
    CHECK(empty.out.str() == "no requests\n");
    CHECK_FALSE(app::print_requests("<html>", empty.terminal));
    CHECK_FALSE(app::print_requests("{}", empty.terminal));
}

TEST_CASE("a line of requests says what it does not know, cuts between letters and fits the terminal")
{
    Screen screen;
    CHECK(app::request_heads(screen.terminal).starts_with("TIME UTC  "));
    const std::string odd = R"({"at":"2026-11-20T20:00:00.000Z","id":"x","status":200,"model":"grüße-grüße-grüße-grüße-grüße:70b",)"
                            R"("node":"ein-langer-name-im-keller","output_tokens":48,"total_ms":5,"client":"10.0.0.5"})";
    const std::string line = app::request_line(odd, screen.terminal);
    CHECK(line.find("  ?+48") != std::string::npos);
    CHECK(line.find("grüße-grüße-grüße-grüße-grü…") != std::string::npos);
    CHECK(line.find("ein-langer-name…") != std::string::npos);
    CHECK(line.ends_with("10.0.0.5"));
    const std::string narrow = app::request_line(odd, screen.terminal, 80);
    CHECK(narrow.find("10.0.0.5") == std::string::npos);
    CHECK(narrow.find("grüße") != std::string::npos);
    CHECK(narrow.ends_with("5 ms"));
    for (const std::size_t room : {40U, 60U, 80U, 100U, 120U, 200U}) {
        const std::string cut = app::request_heads(screen.terminal, room);
        CHECK(cut.size() <= room);
        CHECK(cut.find("TOTAL") != std::string::npos);
    }
}

TEST_CASE("a record of any shape is a line, and cannot drive the terminal")
{
    Screen screen;
    for (const char* odd : {"[]", "7", "null", "\"x\"", "{"}) {
        CHECK(app::request_line(odd, screen.terminal).empty());
    }
    for (const char* odd : {"{}", R"({"status":"x","tags":7,"model":[],"at":1,"total_ms":"y"})"}) {
        CHECK(app::request_line(odd, screen.terminal).find('\n') == std::string::npos);
    }
    CHECK(app::request_line(R"({"model":"a\u001b[31mb","tags":["\u0007"]})", screen.terminal).find('\x1b') == std::string::npos);
    CHECK(app::request_line(R"({"skipped":12})", screen.terminal).find("12 more") != std::string::npos);
}

TEST_CASE("events are found however the bytes are cut")
{
    const std::string text = ": hello\n\nid: b-1\nevent: status\ndata: {}\n\nid: b-2\r\nevent: request\r\ndata: one\ndata: two\n\nid: b-3\nevent: request\nda";
    for (std::size_t step = 1; step < text.size(); ++step) {
        app::EventReader reader;
        std::vector<std::string> seen;
        for (std::size_t at = 0; at < text.size(); at += step) {
            reader.feed(std::string_view{text}.substr(at, step),
                        [&](std::string_view event, std::string_view data) { seen.push_back(std::string{event} + "=" + std::string{data}); });
        }
        CHECK(seen == std::vector<std::string>{"status={}", "request=one\ntwo"});
        CHECK(reader.last_id() == "b-2"); // that of the last whole event
    }
}

TEST_CASE("filters become the API's parameters")
{
    app::Verb verb;
    CHECK(app::requests_path(verb) == "/herd/v1/requests");
    verb.filters = {{"limit", "5"}, {"model", "llama3.2:3b"}, {"node", ""}, {"tag", "a&b"}};
    CHECK(app::requests_path(verb) == "/herd/v1/requests?limit=5&model=llama3.2%3A3b&tag=a%26b");
}
