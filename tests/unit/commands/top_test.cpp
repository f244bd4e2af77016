// `herd top` as it is drawn: from the admin API's bodies to lines that fit the screen.
#include "herd/cli/top_frame.hpp"

#include "support/catch.hpp"

#include <algorithm>
#include <string>

using namespace herd;
using namespace herd::app;

namespace {

const std::string status_body = R"({"version":"0.1.0","uptime_s":3723,"nodes":{"total":3,"online":2,"offline":1},
    "requests":{"in_flight":1,"queued":2,"total":120,"failed":3}})";

std::string node_body(const std::string& name, const std::string& state, const std::string& more = "")
{
    return R"({"name":")" + name + R"(","state":")" + state + R"(","latency_ms":0.42,"slots":{"total":4,"free":1},"queued":0,
        "cpu":{"busy":0.5},"memory":{"total_bytes":68719476736,"available_bytes":34359738368},"gpus":[],
        "loaded":[{"name":"llama3.2:3b"}])" + more + "}";
}

TopNews news(const std::string& nodes)
{
    return {.status = status_body,
            .nodes = R"({"nodes":[)" + nodes + "]}",
            .running = R"({"requests":[{"id":"a","at":"2026-01-01T00:00:00Z","phase":"streaming","status":null,"model":"qwen3:8b","node":"studio"}]})",
            .ended = R"({"requests":[{"id":"b","at":"2026-01-01T00:00:00Z","status":200,"model":"llama3.2:3b","node":"attic","total_ms":1234.5,"ttft_ms":83.2,"tokens_per_s":51.3}]})",
            .trouble = ""};
}

std::size_t columns(const std::string& line)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool shows(const TopFrame& frame, const std::string& text)
{
    return std::ranges::any_of(frame.lines, [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

const base::WallTime later = base::WallTime{std::chrono::seconds{1767225605}}; // five seconds into 2026

} // namespace

TEST_CASE("top shows the fleet, its nodes and their requests")
{
    const auto frame = top_frame(news(node_body("studio", "online") + "," + node_body("attic", "offline", R"(,"state_reason":"silent for 3 s")")),
                                 {.columns = 120}, "http://127.0.0.1:11435", later);
    CHECK(shows(frame, "2 of 3 nodes online"));
    CHECK(shows(frame, "3 failed"));
    CHECK(shows(frame, "3/4"));
    CHECK(shows(frame, "32.0 GiB"));
    CHECK(shows(frame, "silent for 3 s"));
    CHECK(shows(frame, "streaming"));
    CHECK(shows(frame, "5.00 s"));
    CHECK(shows(frame, "1.23 s"));
    CHECK(shows(frame, "51"));
}

TEST_CASE("top tells of a node that everything is sent to")
{
    auto all = news(node_body("studio", "offline") + "," + node_body("attic", "online"));
    CHECK_FALSE(shows(top_frame(all, {.columns = 100}, "", later), "is sent to"));
    all.status = R"({"version":"0.1.0","use":[{"frontend":"default","node":"studio","state":"offline"}]})";
    CHECK(shows(top_frame(all, {.columns = 100}, "", later), "everything is sent to studio, which is offline"));
}

TEST_CASE("a node in trouble stands above those that are well")
{
    const auto frame = top_frame(news(node_body("aaa", "online") + "," + node_body("zzz", "offline")), {.columns = 100}, "", later);
    const auto line_of = [&](const std::string& name) {
        return std::ranges::find_if(frame.lines, [&](const std::string& line) { return line.starts_with(name); }) - frame.lines.begin();
    };
    CHECK(line_of("zzz") < line_of("aaa"));
}

TEST_CASE("no line is wider than the screen and no picture longer, at any size")
{
    std::string nodes;
    for (int i = 0; i < 40; ++i) {
        nodes += (i ? "," : "") + node_body("a-node-with-quite-a-long-name-" + std::to_string(i), i % 5 ? "online" : "suspect");
    }
    for (const int width : {20, 40, 71, 80, 99, 120, 250}) {
        for (const int height : {4, 10, 24, 60}) {
            const auto frame = top_frame(news(nodes), {.columns = width, .lines = height}, "http://127.0.0.1:11435", later);
            CHECK(frame.lines.size() == static_cast<std::size_t>(height));
            for (const auto& line : frame.lines) {
                CHECK(columns(line) <= static_cast<std::size_t>(width));
            }
        }
    }
}

TEST_CASE("what does not fit can be scrolled to, and no further")
{
    std::string nodes;
    for (int i = 10; i < 50; ++i) {
        nodes += (i > 10 ? "," : "") + node_body("n" + std::to_string(i), "online");
    }
    const auto top = top_frame(news(nodes), {.columns = 100, .lines = 24}, "", later);
    CHECK(top.scroll_max > 20);
    CHECK(shows(top, "n10 "));
    const auto bottom = top_frame(news(nodes), {.columns = 100, .lines = 24, .scroll = 1000}, "", later);
    CHECK(shows(bottom, "n49 "));
    CHECK_FALSE(shows(bottom, "n10 "));
}

TEST_CASE("names from the network cannot command the terminal")
{
    const auto frame = top_frame(news(node_body(R"(evil\u001b[2Jname)", "online")), {.columns = 100, .lines = 24}, "", later);
    CHECK_FALSE(shows(frame, "\x1b[2J"));
    CHECK(shows(frame, "evil"));
}

TEST_CASE("old news stay with the reason why they are old; nonsense is left out")
{
    auto stale = news(node_body("studio", "online"));
    stale.trouble = "no herd answers at http://127.0.0.1:11435 (refused)";
    const auto frame = top_frame(stale, {.columns = 100, .lines = 24}, "", later);
    CHECK(shows(frame, "studio"));
    CHECK(shows(frame, "trying again"));
    const auto nonsense = top_frame({.status = "[", .nodes = R"({"nodes":[1,null,{"name":7}]})", .running = "null", .ended = "{}", .trouble = ""},
                                    {.columns = 80, .lines = 10}, "", later);
    CHECK(nonsense.lines.size() == 10);
}
