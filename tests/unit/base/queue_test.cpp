#include "base/bounded_queue.hpp"
#include "base/seldom.hpp"

#include "support/catch.hpp"

using namespace herd::base;

TEST_CASE("a rejecting queue keeps what it has and counts what it refused")
{
    BoundedQueue<int> queue(2, WhenFull::reject);
    CHECK(queue.push(1));
    CHECK(queue.push(2));
    CHECK_FALSE(queue.push(3));
    CHECK(queue.dropped() == 1);
    CHECK(queue.pop() == 1);
    CHECK(queue.pop() == 2);
    CHECK_FALSE(queue.pop().has_value());
}

TEST_CASE("a dropping queue loses the oldest")
{
    BoundedQueue<int> queue(2, WhenFull::drop_oldest);
    CHECK(queue.push(1));
    CHECK(queue.push(2));
    CHECK(queue.push(3));
    CHECK(queue.dropped() == 1);
    CHECK(queue.pop() == 2);
    CHECK(queue.pop() == 3);
}

TEST_CASE("what is said seldom is said at once, and then not before its time")
{
    using namespace std::chrono_literals;
    Seldom hourly(1h);
    const Instant start{};
    CHECK(hourly.due(start));
    CHECK_FALSE(hourly.due(start));
    CHECK_FALSE(hourly.due(start + 59min));
    CHECK(hourly.due(start + 60min));
    CHECK_FALSE(hourly.due(start + 119min));
}
