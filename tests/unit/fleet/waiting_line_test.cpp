// Who may be next: bands, clients in turn by the service they got, and nobody starves.
#include "support/catch.hpp"

#include "fleet/waiting_line.hpp"

#include <algorithm>
#include <memory>

using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

struct Line {
    WaitingLine line{};
    WaitingLine::Order order{};
    std::vector<std::unique_ptr<Waiter>> waiters{};
    herd::base::Instant now{1000s};

    Waiter& add(Ticket ticket, const std::string& client, Priority priority = Priority::normal, int attempt = 0)
    {
        auto waiter = std::make_unique<Waiter>();
        waiter->ticket = ticket;
        waiter->profile.client = client;
        waiter->profile.priority = priority;
        waiter->profile.attempt = attempt;
        waiter->queued_at = now;
        line.add(*waiter, now);
        waiters.push_back(std::move(waiter));
        return *waiters.back();
    }
    std::vector<WaitingLine::Ranked> window()
    {
        std::vector<WaitingLine::Ranked> out;
        line.window(now, 64, order, out);
        return out;
    }
    /// Serves all, each taking `cost` seconds; the first of the lowest rank each time.
    std::vector<Ticket> served(double cost)
    {
        std::vector<Ticket> out;
        while (!line.empty()) {
            auto* waiter = window().front().waiter;
            out.push_back(waiter->ticket);
            line.charge(waiter->profile.client, waiter->profile.priority, cost, now);
            line.remove(*waiter);
        }
        return out;
    }
};

} // namespace

TEST_CASE("a client that used far more than its share goes behind the others, and each is served in its own order")
{
    Line line;
    line.line.charge("greedy", Priority::normal, 400, line.now);
    line.add(1, "greedy");
    line.add(2, "greedy");
    line.add(3, "greedy");
    line.add(4, "modest");
    line.add(5, "third");
    line.add(6, "fourth");
    const auto order = line.served(1);
    CHECK(std::ranges::find(order, 1U) - order.begin() == 3);
    CHECK(std::ranges::find(order, 1U) < std::ranges::find(order, 2U));
    CHECK(std::ranges::find(order, 2U) < std::ranges::find(order, 3U));
}

TEST_CASE("one long answer does not cost a client its turn")
{
    Line line;
    line.add(1, "a");
    line.add(2, "b");
    line.line.charge("a", Priority::normal, 25, line.now);
    const auto window = line.window();
    REQUIRE(window.size() == 2);
    CHECK(window[0].rank == window[1].rank);
}

TEST_CASE("what was used is forgotten by half each minute")
{
    Line line;
    line.add(1, "a");
    line.add(2, "b");
    line.add(3, "c");
    line.line.charge("a", Priority::normal, 120, line.now);
    CHECK_FALSE(line.line.share_of("a", Priority::normal, line.order, line.now).in_turn);
    CHECK(line.line.share_of("a", Priority::normal, line.order, line.now + 200s).in_turn);
}

TEST_CASE("a client out of turn leaves a reserve for what the others used lately, and none when they used nothing")
{
    Line line;
    line.add(1, "flood");
    line.line.charge("flood", Priority::normal, 600, line.now);
    line.add(2, "modest");
    line.add(3, "third");
    const auto reserve = [&](herd::base::Duration later) {
        return line.line.share_of("flood", Priority::normal, line.order, line.now + later).reserve;
    };
    CHECK(reserve(0s) == 0);
    line.line.charge("modest", Priority::normal, 40, line.now); // about half a slot
    CHECK(reserve(0s) == 3); // by Poisson, more are wanted less than once in two hundred times
    CHECK(line.line.share_of("modest", Priority::normal, line.order, line.now).reserve == 0);
    line.line.charge("flood", Priority::normal, 6000, line.now + 400s);
    CHECK(reserve(400s) == 0);
}

TEST_CASE("batch leaves a reserve for the bands above it, which leave none for batch")
{
    Line line;
    line.add(1, "nightly", Priority::batch);
    line.add(2, "person");
    CHECK(line.line.share_of("nightly", Priority::batch, line.order, line.now).reserve == 0);
    line.line.charge("nightly", Priority::batch, 20, line.now);
    CHECK(line.line.share_of("person", Priority::normal, line.order, line.now).reserve == 0);
    line.line.charge("person", Priority::normal, 20, line.now);
    const auto share = line.line.share_of("nightly", Priority::batch, line.order, line.now);
    CHECK(share.in_turn);
    CHECK(share.reserve > 0);
    CHECK(line.line.share_of("nightly", Priority::batch, line.order, line.now + 900s).reserve == 0);
    CHECK(line.line.share_of("person", Priority::normal, line.order, line.now).reserve == 0);
}

TEST_CASE("a client out of turn that waited long goes before its like, not before those in turn")
{
    Line line;
    for (Ticket i = 1; i <= 4; ++i) {
        line.add(i, "flood");
    }
    line.now += 400s;
    line.line.charge("flood", Priority::normal, 900, line.now);
    line.add(5, "flood");
    line.add(6, "modest");
    line.add(7, "third");
    auto window = line.window();
    std::ranges::stable_sort(window, {}, &WaitingLine::Ranked::rank);
    REQUIRE(window.size() == 7);
    CHECK(window[0].waiter->profile.client == "modest");
    CHECK(window[1].waiter->profile.client == "third");
    CHECK(window.back().waiter->ticket == 5);
}

TEST_CASE("interactive goes before normal, normal before batch")
{
    Line line;
    line.add(1, "a", Priority::batch);
    line.add(2, "a", Priority::normal);
    line.add(3, "a", Priority::interactive);
    CHECK(line.served(1) == std::vector<Ticket>{3, 2, 1});
}

TEST_CASE("whoever waited past patience goes before all bands")
{
    Line line;
    line.add(1, "a", Priority::batch);
    line.now += line.order.patience + 1s;
    line.add(2, "b", Priority::interactive);
    CHECK(line.window().front().rank == 0);
    CHECK(line.served(1) == std::vector<Ticket>{1, 2});
}

TEST_CASE("a second attempt goes before its client's other requests")
{
    Line line;
    line.add(1, "a");
    line.add(2, "a", Priority::normal, 1);
    CHECK(line.served(1) == std::vector<Ticket>{2, 1});
}

TEST_CASE("the window is bounded, and every client has a place in it")
{
    Line line;
    for (Ticket i = 1; i <= 200; ++i) {
        line.add(i, "c" + std::to_string(i % 10));
    }
    std::vector<WaitingLine::Ranked> window;
    line.line.window(line.now, 30, line.order, window);
    CHECK(window.size() == 30);
    std::set<std::string> clients;
    for (const auto& ranked : window) {
        clients.insert(ranked.waiter->profile.client);
    }
    CHECK(clients.size() == 10);
}
