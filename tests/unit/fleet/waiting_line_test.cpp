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
        line.add(*waiter, order);
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
            line.charge(waiter->profile.client, waiter->profile.priority, cost);
            line.remove(*waiter);
        }
        return out;
    }
};

} // namespace

TEST_CASE("clients of one band take turns by the service they got, and each is served in its own order")
{
    Line line;
    line.add(1, "greedy");
    line.add(2, "greedy");
    line.add(3, "greedy");
    line.add(4, "modest");
    const auto order = line.served(5);
    CHECK(std::ranges::find(order, 4U) - order.begin() <= 1);
    CHECK(std::ranges::find(order, 1U) < std::ranges::find(order, 2U));
    CHECK(std::ranges::find(order, 2U) < std::ranges::find(order, 3U));
}

TEST_CASE("clients that got about the same are in turn together")
{
    Line line;
    line.add(1, "a");
    line.add(2, "b");
    line.line.charge("a", Priority::normal, 1);
    const auto window = line.window();
    REQUIRE(window.size() == 2);
    CHECK(window[0].rank == window[1].rank);
    line.line.charge("a", Priority::normal, 5);
    CHECK(line.window()[0].waiter->ticket == 2);
    CHECK(line.window()[0].rank < line.window()[1].rank);
}

TEST_CASE("who comes back goes before those who waited all along, but only so much")
{
    Line line;
    for (Ticket i = 1; i <= 20; ++i) {
        line.add(i, "flood");
    }
    for (int i = 0; i < 100; ++i) {
        line.line.charge("flood", Priority::normal, 10);
    }
    Ticket next = 100;
    int before = 0;
    while (before < 50) {
        line.add(next++, "other");
        auto* first = line.window().front().waiter;
        if (first->profile.client == "flood") {
            break;
        }
        ++before;
        line.line.charge("other", Priority::normal, 2);
        line.line.remove(*first);
    }
    CHECK(before >= 4);
    CHECK(before <= 12);
}

TEST_CASE("interactive goes before normal, normal before batch")
{
    Line line;
    line.add(1, "a", Priority::batch);
    line.add(2, "a", Priority::normal);
    line.add(3, "a", Priority::interactive);
    CHECK(line.served(1) == std::vector<Ticket>{3, 2, 1});
}

TEST_CASE("whoever waited a minute goes before all bands")
{
    Line line;
    line.add(1, "a", Priority::batch);
    line.now += 61s;
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
