// Real forks: each case runs a small starter as a child of the test, which becomes a real daemon.
#include "net/process.hpp"

#include "support/catch.hpp"

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace herd;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct Scratch {
    Scratch()
    {
        std::string pattern = (fs::temp_directory_path() / "herd-process-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { fs::remove_all(path); }
    [[nodiscard]] std::string file(const char* name) const { return (path / name).string(); }
    fs::path path;
};

struct Pipe {
    Pipe()
    {
        std::array<int, 2> ends{};
        REQUIRE(::pipe(ends.data()) == 0);
        reads = net::Fd(ends[0]);
        writes = net::Fd(ends[1]);
    }
    net::Fd reads;
    net::Fd writes;
};

/// Everything until the last writer closed; fails the test after 20 s.
std::string read_to_end(int fd)
{
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
        ::pollfd entry{fd, POLLIN, 0};
        REQUIRE(::poll(&entry, 1, 20'000) == 1);
        const ssize_t length = ::read(fd, buffer.data(), buffer.size());
        if (length <= 0) {
            return text;
        }
        text.append(buffer.data(), static_cast<std::size_t>(length));
    }
}

struct Started {
    ::pid_t starter{0};
    Pipe output{}; ///< the starter's stdout and stderr
};

/// Forks; the child is the starter: it runs `body`, which is expected to daemonize.
Started start(const std::function<void()>& body)
{
    Started started;
    std::cout.flush(); // Catch2 v3 has its banner there: the child's copy must not come out of our pipe
    (void)std::fflush(stdout);
    started.starter = ::fork();
    REQUIRE(started.starter >= 0);
    if (started.starter == 0) {
        ::dup2(started.output.writes.get(), STDOUT_FILENO);
        ::dup2(started.output.writes.get(), STDERR_FILENO);
        started.output.reads.reset();
        started.output.writes.reset();
        body();
        ::_exit(0);
    }
    started.output.writes.reset();
    return started;
}

int exit_code_of(::pid_t pid)
{
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string content_of(const std::string& path)
{
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// Blocks until the test closes its end.
void wait_for_end(net::Fd& reads)
{
    char byte = 0;
    while (::read(reads.get(), &byte, 1) > 0) {
    }
}

} // namespace

TEST_CASE("the starter exits 0 only when the daemon is ready, and lets go of the terminal")
{
    const Scratch scratch;
    const std::string pid_path = scratch.file("x.pid");
    Pipe go;   // closing it makes the daemon ready
    Pipe stop; // closing it ends the daemon
    Pipe up;   // the daemon says a byte when it runs
    auto started = start([&] {
        go.writes.reset();
        stop.writes.reset();
        auto lock = net::PidFile::take(pid_path);
        auto startup =
            net::daemonize({.program = "test", .stderr_file = scratch.file("log")}, lock ? &*lock : nullptr);
        CHECK(::write(up.writes.get(), "u", 1) == 1);
        wait_for_end(go.reads);
        startup->ready();
        ::dprintf(STDERR_FILENO, "stray\n");
        wait_for_end(stop.reads);
        lock = base::fail(base::Errc::internal); // removes the file
    });
    go.reads.reset();
    stop.reads.reset();
    char byte = 0;
    CHECK(::read(up.reads.get(), &byte, 1) == 1);
    int status = 0;
    CHECK(::waitpid(started.starter, &status, WNOHANG) == 0);
    go.writes.reset();
    CHECK(exit_code_of(started.starter) == 0);
    CHECK(read_to_end(started.output.reads.get()).empty()); // the daemon runs and holds no end of our pipe

    const auto daemon = static_cast<::pid_t>(std::stoi(content_of(pid_path)));
    CHECK(daemon != started.starter);
    CHECK(::getsid(daemon) != ::getsid(0));
    CHECK(::getsid(daemon) != daemon); // not a session leader: it can never get a terminal
    CHECK(fs::read_symlink("/proc/" + std::to_string(daemon) + "/cwd") == "/");

    const auto second = net::PidFile::take(pid_path);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == base::Errc::conflict);
    CHECK(second.error().context.find("held by process " + std::to_string(daemon)) != std::string::npos);

    stop.writes.reset();
    for (int i = 0; i < 2000 && fs::exists(pid_path); ++i) {
        ::usleep(10'000); // a condition with a deadline
    }
    CHECK_FALSE(fs::exists(pid_path));
    CHECK(content_of(scratch.file("log")) == "stray\n");
    CHECK(net::PidFile::take(pid_path).has_value());
}

TEST_CASE("a daemon that fails gives its words to the starter, which exits 1")
{
    auto started = start([] {
        auto startup = net::daemonize({.program = "test"}, nullptr);
        startup->failed("port 11435 is taken");
    });
    CHECK(exit_code_of(started.starter) == 1);
    CHECK(read_to_end(started.output.reads.get()) == "test: port 11435 is taken\n");
}

TEST_CASE("a daemon that dies without a word is noticed")
{
    auto started = start([] {
        auto startup = net::daemonize({.program = "test", .stderr_file = "/tmp/x.log"}, nullptr);
        ::kill(::getpid(), SIGKILL);
    });
    CHECK(exit_code_of(started.starter) == 1);
    CHECK(read_to_end(started.output.reads.get())
          == "test: the daemon ended before it was ready; its log is /tmp/x.log\n");
}

TEST_CASE("a daemon that is never ready is ended, and the starter exits 1")
{
    Pipe never;
    auto started = start([&] {
        never.writes.reset();
        auto startup = net::daemonize({.program = "test", .ready_within = 200ms}, nullptr);
        wait_for_end(never.reads);
    });
    never.reads.reset();
    CHECK(exit_code_of(started.starter) == 1);
    CHECK(read_to_end(started.output.reads.get())
          == "test: the daemon was not ready in time and was ended\n");
}

TEST_CASE("a pid file is refused while held, whatever it says, and taken over after a crash")
{
    const Scratch scratch;
    const std::string path = scratch.file("x.pid");
    std::ofstream(path) << "999999\n"; // a stale file without a lock
    {
        const auto lock = net::PidFile::take(path);
        REQUIRE(lock.has_value());
        CHECK(content_of(path) == std::to_string(::getpid()) + "\n");
        const auto second = net::PidFile::take(path);
        REQUIRE_FALSE(second.has_value());
        CHECK(second.error().context
              == path + " is held by process " + std::to_string(::getpid()) + ", which runs already");
    }
    CHECK_FALSE(fs::exists(path));
    CHECK(net::PidFile::take(scratch.file("no/x.pid")).error().code == base::Errc::io);
}

TEST_CASE("in the foreground the startup line says nothing")
{
    net::Startup startup;
    startup.ready();
    startup.failed("nobody hears it");
}
