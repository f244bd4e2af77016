// How requests for tools are read, served one at a time and answered: on a server in memory, in virtual time.
#include "support/catch.hpp"

#include "base/text.hpp"
#include "herd-node/media/kept_body.hpp"
#include "herd-node/media/tool_desk.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

using namespace herd;
using namespace herd::node;
using namespace std::chrono_literals;

namespace {

const base::IpAddress server_host = base::IpAddress::v4({10, 0, 0, 7});
const base::IpAddress client_host = base::IpAddress::v4({10, 0, 0, 9});
const base::Endpoint server_at{server_host, 11436};

/// A server whose handler is the test's, and its clients.
struct Place {
    net::VirtualTime time{};
    net::Loop loop{};
    testing::MemoryWorld memory{loop};
    std::unique_ptr<net::Network> server_network{memory.host(server_host)};
    std::unique_ptr<net::Network> client_network{memory.host(client_host)};
    http::Server server;

    explicit Place(http::Handler handler)
        : server(loop, {}, std::move(handler), [](int status, std::string_view, std::string_view, std::string&) {
              http::ResponseHead head;
              head.status = status;
              return head;
          })
    {
        server.serve(*server_network->listen(testing::memory_socket(server_at)));
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { testing::run(time, loop, server.drain(loop.now())); }

    std::unique_ptr<net::Stream> say(std::string_view bytes)
    {
        auto stream = testing::run(time, loop, client_network->connect(server_at, loop.now() + 1s));
        REQUIRE(stream);
        more(**stream, bytes);
        return std::move(*stream);
    }
    void more(net::Stream& stream, std::string_view bytes)
    {
        const std::array pieces{bytes};
        REQUIRE(stream.try_write(pieces).bytes == bytes.size());
        time.run_for(loop, 5ms);
    }
    static std::string heard(net::Stream& stream)
    {
        std::string all;
        std::array<char, 4096> block{};
        for (auto io = stream.try_read(block); io.done(); io = stream.try_read(block)) {
            all.append(block.data(), io.bytes);
        }
        return all;
    }
};

std::string upload(std::size_t length, std::size_t sent)
{
    return "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n" + std::string(sent, 'x');
}

} // namespace

TEST_CASE("unfinished uploads take no more than their share of the memory, and not for ever")
{
    std::atomic<std::uint64_t> total{0};
    Place place([&](http::ServerExchange& exchange) -> net::Task<void> {
        auto body = co_await read_kept(exchange, total, {.each = 100, .together = 150, .time = 30s});
        exchange.close_after();
        const std::string said = body ? body->text : std::string(base::to_string(body.error().code));
        (void)co_await exchange.respond({}, said);
    });
    const auto first = place.say(upload(100, 90));
    const auto second = place.say(upload(100, 50)); // what it announces is not counted
    CHECK(total == 140);
    CHECK(Place::heard(*place.say(upload(11, 11))).ends_with("queue_full"));
    CHECK(Place::heard(*place.say(upload(10, 10))).ends_with(std::string(10, 'x')));
    CHECK(Place::heard(*place.say(upload(101, 0))).ends_with("too_large"));
    place.more(*first, std::string(10, 'x'));
    CHECK(Place::heard(*first).ends_with(std::string(100, 'x')));
    CHECK(total == 50);
    for (int i = 0; i < 4; ++i) {
        place.time.run_for(place.loop, 9s);
        if (i < 3) {
            place.more(*second, "x"); // never idle for long
        }
    }
    CHECK(Place::heard(*second).ends_with("timed_out"));
    CHECK(total == 0);
}

TEST_CASE("a client that does not read what a tool made keeps nobody from the tool")
{
    std::unique_ptr<ToolDesk> desk;
    int made = 0;
    const ToolDesk::Work work = [&](ToolUse&) -> net::Task<ToolAnswer> {
        ++made;
        ToolAnswer answer;
        answer.body.assign(made == 1 ? 1'000'000 : 10, 'z'); // of the first, 64 KiB are on their way
        co_return answer;
    };
    const ToolJob job{.key = "k", .name = "painter", .what = "image", .timeout = 30s};
    Place place([&](http::ServerExchange& exchange) -> net::Task<void> { co_await desk->serve(exchange, job, work); });
    desk = std::make_unique<ToolDesk>(place.loop, [](const http::RequestHead&, http::Fields&) {}, [](std::string_view) { return false; });
    constexpr std::string_view asking = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    const auto slow = place.say(asking);
    CHECK(made == 1);
    const auto other = place.say(asking);
    CHECK(made == 2);
    CHECK(Place::heard(*other).ends_with(std::string(10, 'z')));
    std::size_t read = 0;
    for (int i = 0; i < 13; ++i) { // it trickles, so that the connection is never idle for long
        place.time.run_for(place.loop, 50s);
        std::array<char, 4096> block{};
        const auto io = slow->try_read(block);
        read += io.done() ? io.bytes : 0;
    }
    CHECK(read < 100'000);
    while (true) {
        std::array<char, 4096> block{};
        const auto io = slow->try_read(block);
        place.time.run_for(place.loop, 1ms);
        if (!io.done()) {
            break;
        }
        read += io.bytes;
    }
    CHECK(read < 500'000); // and does not last for ever
}

TEST_CASE("a tool's last words are cut between two characters")
{
    std::string printed = "loading\na";
    for (int i = 0; i < 200; ++i) {
        printed += "é"; // so that the limit falls into one
    }
    const ToolJob job{.key = "k", .name = "painter", .what = "image"};
    const auto answer = ToolDesk::failed(job, "it ended with status 1", printed);
    CHECK(base::is_utf8(answer.body));
    CHECK(answer.body.find("\\ufffd") == std::string::npos);
    CHECK(answer.body.find("status 1: a\u00e9") != std::string::npos);
}
