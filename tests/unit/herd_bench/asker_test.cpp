// A request of herd's own, as the proxy's side sees it and as the benchmark hears it.
#include "herd/bench/asker.hpp"
#include "net/virtual_clock.hpp"
#include "support/catch.hpp"
#include "support/run.hpp"

#include <array>
#include <cmath>
#include <optional>

using namespace herd;
using namespace herd::app::bench;
using namespace std::chrono_literals;

namespace {

using Handle = Asker::Handle;

struct Desk {
    explicit Desk(Handle handle) : asker(loop, base::Rng(1), std::move(handle)) {}
    Told ask()
    {
        begin();
        time.run_for(loop, 10s);
        REQUIRE(told);
        return *told;
    }
    void begin()
    {
        asker.ask({.path = "/api/chat", .body = "{}"}, [this](Told said) { told = std::move(said); });
    }
    /// As the proxy does at the end of each.
    void record(http::ServerExchange& exchange, std::string termination = "--", std::string error = {})
    {
        proxy::ExchangeRecord one;
        one.id = exchange.head().fields.find("X-Request-Id").value_or("");
        one.node = "n1";
        one.termination = std::move(termination);
        one.error = std::move(error);
        one.timings.output_tokens = 3;
        asker.ended(one);
    }

    net::VirtualTime time{};
    net::Loop loop{};
    Asker asker;
    std::optional<Told> told{};
};

http::ResponseHead stream_head()
{
    http::ResponseHead head;
    head.fields.add("Content-Type", "application/x-ndjson");
    return head;
}

net::Task<void> stream(Desk& desk, http::ServerExchange& exchange)
{
    const auto body = co_await exchange.read_all(100);
    CHECK(body == "{}");
    CHECK(exchange.is_own());
    CHECK(exchange.peer().address.is_loopback());
    CHECK(exchange.head().fields.find("X-Herd-Tags") == "benchmark");
    exchange.begin(stream_head());
    (void)co_await net::sleep_for(desk.loop, 500ms);
    const std::array first{std::string_view{"{}\n"}};
    CHECK(exchange.try_write(first));
    (void)co_await net::sleep_for(desk.loop, 40ms);
    const std::array pair{std::string_view{"{}\n{"}, std::string_view{"}\n"}};
    CHECK(exchange.try_write(pair));
    (void)co_await net::sleep_for(desk.loop, 10ms);
    const std::array last{std::string_view{"{\"done\":true}\n"}};
    CHECK(exchange.try_end(last));
    desk.record(exchange);
}

constexpr std::size_t flood_bytes = 65536;

net::Task<void> flood(Desk& desk, http::ServerExchange& exchange)
{
    const std::string lines(flood_bytes, '\n');
    const std::array piece{std::string_view{lines}};
    exchange.begin(stream_head());
    for (int i = 0; i < 99; ++i) {
        CHECK(exchange.try_write(piece));
    }
    CHECK(exchange.try_end(piece));
    desk.record(exchange);
    co_return;
}

net::Task<void> refuse(Desk& desk, http::ServerExchange& exchange)
{
    http::ResponseHead head;
    head.status = 404;
    (void)co_await exchange.respond(std::move(head), R"({"error":"model 'm' not found"})");
    desk.record(exchange);
}

net::Task<void> break_off(Desk& desk, http::ServerExchange& exchange)
{
    exchange.begin(stream_head());
    const std::array first{std::string_view{"{}\n"}};
    CHECK(exchange.try_write(first));
    exchange.abort();
    desk.record(exchange, "ND", "the node was lost");
    co_return;
}

/// Waits for the client to leave.
net::Task<void> hang(Desk& desk, http::ServerExchange& exchange)
{
    exchange.begin(stream_head());
    net::Event left(desk.loop);
    exchange.on_client_gone([&left] { left.notify(); });
    co_await left.wait();
    CHECK(exchange.client_gone());
    const std::array more{std::string_view{"{}\n"}};
    CHECK_FALSE(exchange.try_write(more));
    const auto ended = co_await exchange.end(more);
    CHECK_FALSE(ended);
    desk.record(exchange, "CD");
}

} // namespace

TEST_CASE("a stream is timed as its client hears it, token by token")
{
    std::optional<Desk> desk;
    desk.emplace([&desk](http::ServerExchange& exchange) { return stream(*desk, exchange); });
    const Told told = desk->ask();
    CHECK(told.well);
    CHECK(told.node == "n1");
    CHECK(told.timings.output_tokens == 3);
    CHECK(told.first == 500ms);
    CHECK(told.total == 550ms);
    CHECK(told.gaps.count() == 3);
    CHECK(std::abs(told.gaps.percentile(0.1).value() / 10 - 1) < 0.03);
    CHECK(std::abs(told.gaps.percentile(0.5).value() / 20 - 1) < 0.03);
    CHECK(std::abs(told.gaps.percentile(1).value() / 20 - 1) < 0.03);
}

TEST_CASE("a node that sends line ends without end costs no memory for each of them")
{
    std::optional<Desk> desk;
    desk.emplace([&desk](http::ServerExchange& exchange) { return flood(*desk, exchange); });
    const Told told = desk->ask();
    CHECK(told.well);
    CHECK(told.gaps.count() == 100 * flood_bytes - 1);
    CHECK(told.gaps.steps().size() == 1);
}

TEST_CASE("a refusal is a failure in the words of whoever refused")
{
    std::optional<Desk> desk;
    desk.emplace([&desk](http::ServerExchange& exchange) { return refuse(*desk, exchange); });
    const Told told = desk->ask();
    CHECK_FALSE(told.well);
    CHECK_FALSE(told.cut);
    CHECK(told.error == "model 'm' not found");
}

TEST_CASE("an answer that breaks off is a failure")
{
    std::optional<Desk> desk;
    desk.emplace([&desk](http::ServerExchange& exchange) { return break_off(*desk, exchange); });
    const Told told = desk->ask();
    CHECK_FALSE(told.well);
    CHECK(told.error == "the node was lost");
}

TEST_CASE("whoever works for a request learns at once that the benchmark left, and it counts as neither good nor failed")
{
    std::optional<Desk> desk;
    desk.emplace([&desk](http::ServerExchange& exchange) { return hang(*desk, exchange); });
    desk->begin();
    desk->time.run_for(desk->loop, 1s);
    CHECK_FALSE(desk->told);
    desk->asker.leave();
    desk->time.run_for(desk->loop, 1ms);
    REQUIRE(desk->told);
    CHECK(desk->told->cut);
    CHECK_FALSE(desk->told->well);
}
