// Loop, Deadline, Timer, Event, Wake and VirtualTime.
#include "net/loop.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"
#include "net/wake.hpp"
#include "support/catch.hpp"
#include "support/run.hpp"

#include <memory>
#include <thread>
#include <vector>

using namespace herd;
using namespace herd::net;
using namespace std::chrono_literals;

namespace {

struct World {
    VirtualTime time{};
    Loop loop{};
};

} // namespace

TEST_CASE("virtual time moves only when told to, and stops where told")
{
    World w;
    const auto start = w.loop.now();
    CHECK(w.time.now() == start);
    const auto wall = w.loop.wall();
    std::vector<int> order;
    Timer a(w.loop);
    Timer b(w.loop);
    Timer c(w.loop);
    a.call_after(3s, [&] { order.push_back(3); });
    b.call_after(1s, [&] { order.push_back(1); });
    c.call_after(24h, [&] { order.push_back(24); });
    CHECK(w.time.run_for(w.loop, 10s));
    CHECK(order == std::vector{1, 3});
    CHECK(w.loop.now() - start == 10s);
    CHECK(w.loop.wall() - wall == 10s);
    CHECK_FALSE(w.time.run_for(w.loop, 24h));
    CHECK(order == std::vector{1, 3, 24});
}

TEST_CASE("what is due now runs before time moves")
{
    World w;
    int ran = 0;
    w.loop.post([&] {
        ++ran;
        w.loop.post([&] { ++ran; });
    });
    Timer timer(w.loop);
    timer.call_after(0s, [&] { ++ran; });
    (void)w.time.run_for(w.loop, 0s);
    CHECK(ran == 3);
}

TEST_CASE("a timer can be armed again, cancelled and destroyed")
{
    World w;
    int fired = 0;
    auto timer = std::make_unique<Timer>(w.loop);
    timer->call_after(1s, [&] { fired = 1; });
    timer->call_after(2s, [&] { fired = 2; });
    (void)w.time.run_for(w.loop, 1500ms);
    CHECK(fired == 0);
    (void)w.time.run_for(w.loop, 1s);
    CHECK(fired == 2);
    timer->call_after(1s, [&] { fired = 3; });
    timer->cancel();
    (void)w.time.run_for(w.loop, 2s);
    CHECK(fired == 2);
    timer->call_after(1s, [&] { fired = 4; });
    timer.reset();
    CHECK_FALSE(w.time.run_for(w.loop, 2s));
    CHECK(fired == 2);
}

TEST_CASE("a timer may destroy itself in its own callback")
{
    World w;
    auto timer = std::make_unique<Timer>(w.loop);
    bool fired = false;
    timer->call_after(1s, [&] {
        fired = true;
        timer.reset();
    });
    (void)w.time.run_for(w.loop, 2s);
    CHECK(fired);
}

namespace {

Task<void> note_wait(Timer& timer, base::Duration delay, int& outcome)
{
    outcome = co_await timer.wait_for(delay) ? 1 : 2;
}

} // namespace

TEST_CASE("a task that waits for a timer is told whether the time came")
{
    World w;
    TaskGroup tasks(w.loop, "test");
    Timer timer(w.loop);
    int outcome = 0;
    tasks.spawn("wait", note_wait(timer, 1s, outcome));
    (void)w.time.run_for(w.loop, 2s);
    CHECK(outcome == 1);
    tasks.spawn("wait", note_wait(timer, 1s, outcome));
    (void)w.time.run_for(w.loop, 100ms);
    timer.cancel();
    (void)w.time.run_for(w.loop, 0s);
    CHECK(outcome == 2);
    outcome = 0;
    tasks.spawn("wait", note_wait(timer, 1s, outcome));
    (void)w.time.run_for(w.loop, 100ms);
    timer.call_after(5s, [] {}); // armed again by somebody else
    (void)w.time.run_for(w.loop, 0s);
    CHECK(outcome == 2);
    CHECK(tasks.size() == 0);
}

TEST_CASE("a deadline fires once per set, within a sweep, and moves for free")
{
    World w;
    int fired = 0;
    Deadline deadline(w.loop, [&] { ++fired; });
    deadline.set_after(1s);
    for (int i = 0; i < 20; ++i) {
        (void)w.time.run_for(w.loop, 500ms);
        deadline.set_after(1s);
    }
    CHECK(fired == 0);
    CHECK_FALSE(deadline.expired());
    (void)w.time.run_for(w.loop, 1100ms);
    CHECK(fired == 1);
    CHECK(deadline.expired());
    (void)w.time.run_for(w.loop, 10s);
    CHECK(fired == 1);
    deadline.set_after(1s);
    CHECK_FALSE(deadline.expired());
    deadline.clear();
    (void)w.time.run_for(w.loop, 10s);
    CHECK(fired == 1);
}

TEST_CASE("deadlines may destroy each other while they are swept")
{
    for (int victim = 0; victim < 3; ++victim) {
        World w;
        std::vector<std::unique_ptr<Deadline>> all(3);
        int fired = 0;
        for (auto& deadline : all) {
            deadline = std::make_unique<Deadline>(w.loop, [&] {
                ++fired;
                all[static_cast<std::size_t>(victim)].reset();
            });
            deadline->set_after(1s);
        }
        (void)w.time.run_for(w.loop, 2s);
        CHECK(fired >= 2);
        CHECK(fired <= 3);
    }
    World w;
    auto alone = std::make_unique<Deadline>(w.loop, [] {});
    alone.reset();
    std::unique_ptr<Deadline> first;
    first = std::make_unique<Deadline>(w.loop, [&] {
        for (int i = 0; i < 3; ++i) { // may also make new ones
            Deadline another(w.loop, [] {});
            another.set_after(1s);
        }
        first.reset();
    });
    first->set_after(1s);
    (void)w.time.run_for(w.loop, 2s);
    CHECK(first == nullptr);
}

TEST_CASE("an idle sweep does not run, so that virtual time can jump")
{
    World w;
    int fired = 0;
    Deadline deadline(w.loop, [&] { ++fired; });
    (void)w.time.run_for(w.loop, 1s);
    deadline.set_after(300h);
    const auto began = std::chrono::steady_clock::now();
    (void)w.time.run_for(w.loop, 301h);
    CHECK(fired == 1);
    CHECK(std::chrono::steady_clock::now() - began < 60s);
}

namespace {

Task<void> count_events(Event& event, int& count)
{
    for (int i = 0; i < 3; ++i) {
        co_await event.wait();
        ++count;
    }
}

Task<void> note_wake(Wake<int>& wake, std::vector<int>& seen)
{
    for (;;) {
        seen.push_back(co_await wake.wait());
        if (seen.back() == 0) {
            co_return;
        }
    }
}

} // namespace

TEST_CASE("an event wakes one task and remembers one notification")
{
    World w;
    TaskGroup tasks(w.loop, "test");
    Event event(w.loop);
    int count = 0;
    event.notify();
    event.notify();
    tasks.spawn("events", count_events(event, count));
    (void)w.time.run_for(w.loop, 0s);
    CHECK(count == 1);
    event.notify();
    CHECK(count == 1); // not within notify()
    (void)w.time.run_for(w.loop, 0s);
    CHECK(count == 2);
    event.notify();
    (void)w.time.run_for(w.loop, 0s);
    CHECK(count == 3);
    CHECK(tasks.size() == 0);
}

TEST_CASE("a wake runs its task at once, or later, or cancelled")
{
    World w;
    TaskGroup tasks(w.loop, "test");
    Wake<int> wake(w.loop);
    std::vector<int> seen;
    wake.wake(9); // nobody waits, nothing is remembered
    tasks.spawn("wake", note_wake(wake, seen));
    (void)w.time.run_for(w.loop, 0s);
    CHECK(wake.waiting());
    wake.wake(1);
    CHECK(seen == std::vector{1});
    wake.wake_later(2);
    CHECK_FALSE(wake.waiting());
    CHECK(seen == std::vector{1});
    (void)w.time.run_for(w.loop, 0s);
    CHECK(seen == std::vector{1, 2});
    tasks.cancel();
    tasks.cancel();
    (void)w.time.run_for(w.loop, 0s);
    CHECK(seen == std::vector{1, 2, 0});
    CHECK(tasks.size() == 0);
}

TEST_CASE("a task that takes a turn goes behind everything that is ready")
{
    World w;
    TaskGroup tasks(w.loop, "test");
    std::string order;
    const auto task = [&](char name) -> Task<void> {
        order += name;
        co_await w.loop.turn();
        order += name;
    };
    w.loop.post([&] { tasks.spawn("a", task('a')); });
    w.loop.post([&] { tasks.spawn("b", task('b')); });
    w.loop.post([&] { order += '-'; });
    (void)w.time.run_for(w.loop, 0s);
    CHECK(order == "ab-ab");
}

TEST_CASE("tasks are cancelled wherever they wait, and joined")
{
    World w;
    TaskGroup tasks(w.loop, "test");
    Event event(w.loop);
    Timer timer(w.loop);
    Wake<int> wake(w.loop);
    int outcome = 0;
    std::vector<int> seen;
    struct Waits {
        static Task<void> event(Event& e) { co_await e.wait(); }
        static Task<void> sleep(Loop& loop, bool& slept) { slept = co_await sleep_for(loop, std::chrono::hours{1}); }
        static Task<void> nested(Loop& loop, bool& slept)
        {
            co_await sleep(loop, slept);
            co_await sleep(loop, slept); // a second wait after the first was cancelled waits again
        }
    };
    bool slept = true;
    bool nested = true;
    tasks.spawn("event", Waits::event(event));
    tasks.spawn("timer", note_wait(timer, 1h, outcome));
    tasks.spawn("wake", note_wake(wake, seen));
    tasks.spawn("sleep", Waits::sleep(w.loop, slept));
    tasks.spawn("nested", Waits::nested(w.loop, nested));
    (void)w.time.run_for(w.loop, 1s);
    CHECK(tasks.size() == 5);
    tasks.cancel();
    (void)w.time.run_for(w.loop, 1s);
    CHECK(outcome == 2);
    CHECK_FALSE(slept);
    CHECK(tasks.size() == 1);
    tasks.cancel();
    herd::testing::run(w.time, w.loop, tasks.join());
    CHECK_FALSE(nested);
    CHECK(tasks.size() == 0);
    herd::testing::run(w.time, w.loop, tasks.join()); // an empty group is joined at once
}

TEST_CASE("a task that throws is logged and leaves its group")
{
    World w;
    TaskGroup tasks(w.loop, "test");
    struct Throws {
        static Task<void> go(Loop& loop)
        {
            (void)co_await sleep_for(loop, std::chrono::milliseconds{1});
            throw std::runtime_error("on purpose");
        }
    };
    tasks.spawn("throws", Throws::go(w.loop));
    herd::testing::run(w.time, w.loop, tasks.join());
    CHECK(tasks.size() == 0);
}

TEST_CASE("a loop may end with tasks, timers and deadlines still waiting")
{
    struct Holds {
        static Task<void> go(Loop& loop)
        {
            Deadline deadline(loop, [] {});
            deadline.set_after(std::chrono::hours{1});
            Timer timer(loop);
            timer.call_after(std::chrono::hours{1}, [] {});
            (void)co_await sleep_for(loop, std::chrono::hours{1});
        }
    };
    VirtualTime time;
    {
        Loop loop;
        auto tasks = std::make_unique<TaskGroup>(loop, "test");
        tasks->spawn("holds", Holds::go(loop));
        (void)time.run_for(loop, 1s);
        loop.stop();
        tasks.reset();
    }
    SUCCEED();
}

TEST_CASE("a loop runs on its own thread and takes work from others")
{
    Loop loop;
    std::thread::id ran_on{};
    std::thread thread([&] { loop.run(); });
    const auto id = thread.get_id();
    loop.post([&] {
        ran_on = std::this_thread::get_id();
        loop.stop();
    });
    thread.join();
    CHECK(ran_on == id);
}
