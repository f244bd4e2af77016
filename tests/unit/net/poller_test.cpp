// Real sockets, in a process: what the kernel tells about them is told once, and must not be lost.
#include "net/poller.hpp"
#include "net/task_group.hpp"

#include "support/catch.hpp"

#include <array>
#include <cerrno>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

using namespace herd::net;
using Side = Readiness::Side;

namespace {

struct Pair {
    explicit Pair(Loop& loop)
    {
        std::array<int, 2> ends{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
        ours.emplace(loop, Fd(ends[0]));
        theirs = Fd(ends[1]);
    }
    void say(std::string_view text) const { REQUIRE(::write(theirs.get(), text.data(), text.size()) == std::ssize(text)); }
    /// What a read of that size gives ("" would block, "end"), told to the readiness as a stream does.
    std::string read(std::size_t size)
    {
        std::string into(size, '\0');
        const auto n = ::recv(ours->fd(), into.data(), size, 0);
        if (n < static_cast<ssize_t>(size) && n != 0) {
            ours->exhausted(Side::reading);
        }
        return n == 0 ? "end" : into.substr(0, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    }
    std::optional<Readiness> ours;
    Fd theirs;
};

struct World {
    void settle()
    {
        loop.context().restart();
        while (loop.context().poll() > 0) {
        }
    }
    /// A task that waits; `told` counts how often it was told yes.
    void wait(Readiness& one, Side side, int& told)
    {
        tasks.spawn("wait", [](Readiness& on, Side at, int& count) -> Task<void> { count += co_await on.wait(at) ? 1 : 100; }(one, side, told));
        settle();
    }
    Loop loop;
    TaskGroup tasks{loop, "test"};
};

} // namespace

TEST_CASE("a socket is waited for until there is something to read, again and again")
{
    World w;
    Pair pair(w.loop);
    int told = 0;
    for (int round = 1; round <= 3; ++round) {
        w.wait(*pair.ours, Side::reading, told);
        w.settle();
        CHECK(told == round - 1);
        pair.say("abc");
        w.settle();
        CHECK(told == round);
        CHECK(pair.read(10) == "abc");
    }
}

TEST_CASE("what was told while nobody waited is not lost")
{
    World w;
    Pair pair(w.loop);
    int told = 0;
    pair.say("abcdef");
    w.settle();
    w.wait(*pair.ours, Side::reading, told);
    CHECK(told == 1);
    CHECK(pair.read(3) == "abc"); // as much as was asked for: there may be more
    w.wait(*pair.ours, Side::reading, told);
    CHECK(told == 2);
    CHECK(pair.read(4) == "def");
    w.wait(*pair.ours, Side::reading, told);
    w.settle();
    CHECK(told == 2);
    pair.ours->close();
    w.settle();
    CHECK(told == 102);
}

TEST_CASE("an end that is told with the last bytes is found behind them")
{
    World w;
    Pair pair(w.loop);
    int told = 0;
    w.wait(*pair.ours, Side::reading, told);
    pair.say("last words");
    pair.theirs.reset();
    w.settle();
    CHECK(told == 1);
    CHECK(pair.read(100) == "last words");
    w.wait(*pair.ours, Side::reading, told);
    CHECK(told == 2);
    CHECK(pair.read(100) == "end");
}

TEST_CASE("a socket that is full is waited for until there is room")
{
    World w;
    Pair pair(w.loop);
    int told = 0;
    w.settle(); // the kernel says now that there is room, before anybody asked
    w.wait(*pair.ours, Side::writing, told);
    CHECK(told == 1);
    const std::string much(100'000, 'x');
    while (::send(pair.ours->fd(), much.data(), much.size(), MSG_NOSIGNAL) > 0) {
    }
    REQUIRE(errno == EAGAIN);
    pair.ours->exhausted(Side::writing);
    w.wait(*pair.ours, Side::writing, told);
    w.settle();
    CHECK(told == 1);
    std::string into(1'000'000, '\0');
    while (::recv(pair.theirs.get(), into.data(), into.size(), 0) > 0) {
    }
    w.settle();
    CHECK(told == 2);
}

TEST_CASE("a watch runs once, and never inside the call that asks for it")
{
    World w;
    Pair pair(w.loop);
    int ran = 0;
    pair.ours->watch(Side::reading, [&] { ++ran; });
    pair.say("abc");
    w.settle();
    CHECK(ran == 1);
    pair.ours->watch(Side::reading, [&] { ++ran; }); // nothing was read: it is ready still
    CHECK(ran == 1);
    w.settle();
    CHECK(ran == 2);
    pair.ours->watch(Side::reading, [&] { ++ran; });
    pair.ours->unwatch(Side::reading);
    w.settle();
    CHECK(ran == 2);
    pair.ours->watch(Side::reading, [&] { ++ran; });
    CHECK(pair.read(10) == "abc"); // by somebody else, before it ran
    w.settle();
    CHECK(ran == 2);
    pair.say("def");
    w.settle();
    CHECK(ran == 3);
}

TEST_CASE("whoever is woken may end any other that was told of at the same time")
{
    World w;
    Pair first(w.loop);
    Pair second(w.loop);
    int ran = 0;
    const auto end_both = [&] {
        ++ran;
        first.ours.reset();
        second.ours.reset();
    };
    SECTION("told by the kernel")
    {
        first.ours->watch(Side::reading, end_both);
        second.ours->watch(Side::reading, end_both);
        first.say("a");
        second.say("b");
    }
    SECTION("told again")
    {
        first.say("a");
        second.say("b");
        w.settle();
        first.ours->watch(Side::reading, end_both);
        second.ours->watch(Side::reading, end_both);
    }
    w.settle();
    CHECK(ran == 1);
}

TEST_CASE("a loop may end while its sockets are waited for")
{
    int ran = 0;
    auto w = std::make_unique<World>();
    Pair pair(w->loop);
    pair.say("abc");
    w->settle();
    pair.ours->watch(Side::reading, [&] { ++ran; }); // is to run soon, and never will
    pair.ours.reset();
    w.reset();
    CHECK(ran == 0);
}
