#include "support/catch.hpp"

#include "fleet/waiting_line.hpp"

#include <memory>

using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

struct Line {
    WaitingLine line{};
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
        line.add(*waiter);
        waiters.push_back(std::move(waiter));
        return *waiters.back();
    }
    std::vector<Ticket> order()
    {
        std::vector<Ticket> out;
        while (auto* waiter = line.first(now, [](const Waiter&) { return true; })) {
            out.push_back(waiter->ticket);
            line.remove(*waiter);
        }
        return out;
    }
};

} // namespace

TEST_CASE("clients of one band take turns, and each is served in its own order")
{
    Line line;
    line.add(1, "greedy");
    line.add(2, "greedy");
    line.add(3, "greedy");
    line.add(4, "modest");
    CHECK(line.order() == std::vector<Ticket>{1, 4, 2, 3});
}

TEST_CASE("interactive goes before normal, normal before batch")
{
    Line line;
    line.add(1, "a", Priority::batch);
    line.add(2, "a", Priority::normal);
    line.add(3, "a", Priority::interactive);
    CHECK(line.order() == std::vector<Ticket>{3, 2, 1});
}

TEST_CASE("whoever waited a minute goes before all bands")
{
    Line line;
    line.add(1, "a", Priority::batch);
    line.now += 61s;
    line.add(2, "b", Priority::interactive);
    CHECK(line.order() == std::vector<Ticket>{1, 2});
}

TEST_CASE("a second attempt goes before its client's other requests")
{
    Line line;
    line.add(1, "a");
    line.add(2, "a", Priority::normal, 1);
    CHECK(line.order() == std::vector<Ticket>{2, 1});
}

TEST_CASE("one who cannot be served does not block those behind")
{
    Line line;
    line.add(1, "a");
    line.add(2, "a");
    auto* served = line.line.first(line.now, [](const Waiter& w) { return w.ticket != 1; });
    REQUIRE(served != nullptr);
    CHECK(served->ticket == 2);
    CHECK(line.line.size() == 2);
}
