#include "net/blocking.hpp"
#include "net/task_group.hpp"

#include "support/catch.hpp"

#include <future>
#include <thread>

using namespace herd;

namespace {

net::Task<void> ask_for_answer(net::Blocking& worker, net::Loop& loop, std::optional<std::string>& into)
{
    into = co_await worker.ask(loop, [] { return std::string{"forty-two"}; });
    loop.stop();
}

} // namespace

TEST_CASE("blocking work runs in order on another thread and answers on the loop")
{
    net::Loop loop;
    net::Blocking worker("test");
    const auto here = std::this_thread::get_id();
    std::string order;
    for (const char name : {'a', 'b', 'c'}) {
        REQUIRE(worker.run(
            loop, [here, name] { return std::pair{name, std::this_thread::get_id() != here}; },
            [&](std::pair<char, bool> result) {
                order += result.first;
                CHECK(result.second);
                CHECK(std::this_thread::get_id() == here);
                if (result.first == 'c') {
                    loop.stop();
                }
            }));
    }
    loop.run();
    CHECK(order == "abc");
}

TEST_CASE("a task can await blocking work")
{
    net::Loop loop;
    net::Blocking worker("test");
    std::optional<std::string> answer;
    net::TaskGroup group(loop, "test");
    group.spawn("ask", ask_for_answer(worker, loop, answer));
    loop.run();
    CHECK(answer == "forty-two");
}

TEST_CASE("a full queue rejects, and the destructor finishes what was taken")
{
    std::promise<void> release;
    std::promise<void> running;
    int done = 0;
    {
        net::Blocking worker("test", 2);
        REQUIRE(worker.submit([&] {
            running.set_value();
            release.get_future().wait();
            ++done;
        }));
        running.get_future().wait();
        CHECK(worker.submit([&] { ++done; }));
        CHECK(worker.submit([&] { ++done; }));
        CHECK_FALSE(worker.submit([&] { ++done; }));
        CHECK(worker.queued() == 2);
        CHECK(worker.rejected() == 1);
        release.set_value();
    }
    CHECK(done == 3);
}
