// Programs that run for a request: what they say, how they end, and that nothing of ours reaches them.
#include "support/catch.hpp"

#include "net/child.hpp"
#include "net/task_group.hpp"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>

#include <fcntl.h>
#include <unistd.h>

using namespace herd;
using namespace herd::net;
using namespace std::chrono_literals;

namespace {

/// Runs a script of the shell to its end; `when_started` may kill it.
ChildEnd run(const std::string& script, std::size_t output_max = 1U << 20U, const std::function<void(Child&)>& when_started = {})
{
    Loop loop;
    TaskGroup tasks(loop, "test");
    std::optional<ChildEnd> end;
    auto child = Child::start(loop, {.command = {"sh", "-c", script}, .output_max = output_max});
    REQUIRE(child);
    tasks.spawn("child", [](Loop& on, Child& one, std::optional<ChildEnd>& into) -> Task<void> {
        into = co_await one.ended();
        on.stop();
    }(loop, **child, end));
    if (when_started) {
        when_started(**child);
    }
    loop.run();
    REQUIRE(end);
    return *end;
}

} // namespace

TEST_CASE("a child's words and its end are told")
{
    const auto good = run("echo out; echo err >&2");
    CHECK(good.well);
    CHECK(good.output == "out\n");
    CHECK(good.errors == "err\n");
    const auto bad = run("echo why >&2; exit 3");
    CHECK_FALSE(bad.well);
    CHECK(bad.how == "ended with status 3");
    CHECK(run("kill -9 $$").how == "was killed by signal 9");
}

TEST_CASE("too much output kills it, of its errors the last are kept")
{
    const auto loud = run("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", 10'000);
    CHECK(loud.too_large);
    CHECK_FALSE(loud.well);
    CHECK(loud.output.size() <= 10'000);
    const auto errors = run("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done").errors;
    CHECK(errors.size() <= 4096);
    CHECK(errors.ends_with("line 1999\n"));
}

TEST_CASE("what a program wrote in its last moment is there, whole and in order")
{
    const std::string path = "/tmp/herd-child-" + std::to_string(::getpid());
    std::string text;
    for (int i = 0; text.size() < 60'000; ++i) {
        text += "line " + std::to_string(i) + "\n";
    }
    std::ofstream(path) << text;
    for (int i = 0; i < 60; ++i) {
        const auto end = run("exec cat " + path);
        CHECK(end.well);
        REQUIRE(end.output == text);
        REQUIRE(run("exec echo x").output == "x\n");
    }
    ::unlink(path.c_str());
    const auto loud = run("exec head -c 5000 /dev/zero", 4000);
    CHECK(loud.too_large);
    CHECK_FALSE(loud.well);
}

TEST_CASE("the whole group is killed, and who left a pipe open holds nobody up")
{
    const auto killed = run("sleep 1000 & sleep 1000", 1000, [](Child& child) { child.kill(); });
    CHECK(killed.how == "was killed by signal 9");
    CHECK(run("setsid sleep 3 & echo left").output == "left\n");
}

TEST_CASE("nothing of ours reaches a child")
{
    const int open = ::open("/dev/null", O_RDONLY); // without O_CLOEXEC, on purpose
    REQUIRE(open > 2);
    ::setenv("HERD_NODE_DISCOVERY_FLEET_KEY", "secret", 1);
    ::setenv("NOT_OURS", "kept", 1);
    const auto said = run("ls /proc/self/fd | wc -l; env; cat");
    CHECK(said.well); // its standard input is empty
    CHECK(said.output.starts_with("4\n")); // three, and the directory that ls reads
    CHECK(said.output.find("HERD_") == std::string::npos);
    CHECK(said.output.find("NOT_OURS=kept") != std::string::npos);
    ::close(open);
    Loop loop;
    const auto none = Child::start(loop, {.command = {"/nonexistent/tool"}});
    REQUIRE_FALSE(none);
    CHECK(none.error().context.find("/nonexistent/tool") != std::string::npos);
}
