// What a runner's /slots tells beyond its command line: requests that came around our gateway.
#include "support/catch.hpp"

#include "box.hpp"
#include "fake_ollama.hpp"
#include "herd-node/runner_watch.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

#include <functional>
#include <thread>

using namespace herd;
using namespace herd::node;
using namespace std::chrono_literals;

namespace {

std::string pieces(std::initializer_list<std::string_view> words)
{
    std::string out;
    for (const auto word : words) {
        out.append(word).push_back('\0');
    }
    return out;
}

/// A box with one Ollama and one runner of it, whose port the fake answers at.
struct World {
    net::VirtualTime time{};
    net::Loop loop{};
    testing::MemoryWorld memory{loop};
    test::Box box{};
    std::unique_ptr<net::Network> network{memory.host(base::IpAddress::loopback())};
    test::FakeOllama runner{loop, *network, testing::memory_socket({base::IpAddress::loopback(), 5555})};
    http::Pool pool{loop, *network, {}};
    int own{0};
    RunnerWatch watch{loop, pool, options(), [] {}};

    World()
    {
        box.file("proc/900/cmdline", pieces({"ollama", "serve"}));
        box.file("proc/900/stat", "900 (ollama) S 1 900 900 0 -1\n");
        box.file("proc/901/cmdline", pieces({"/usr/lib/ollama/llama-server", "--model", "/m/blobs/sha256-ab",
                                             "--port", "5555", "-np", "4"}));
        box.file("proc/901/stat", "901 (llama-server) S 900 901 901 0 -1\n");
        watch.start();
        watch.loaded(base::Endpoint{base::IpAddress::loopback(), 11434}, {{.name = "tiny:latest", .digest = "d1"}});
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    ~World()
    {
        testing::run(time, loop, watch.stop());
        testing::run(time, loop, runner.stop());
    }
    RunnerWatchOptions options()
    {
        RunnerWatchOptions wanted;
        wanted.root = box.root();
        wanted.own = [this] { return own; };
        return wanted;
    }
    /// Looking through /proc happens on a thread of its own: real time passes with the virtual.
    bool until(const std::function<bool()>& holds)
    {
        const auto deadline = std::chrono::steady_clock::now() + 10s; // tidy: allow(banned-call) a worker thread is waited for
        while (!holds() && std::chrono::steady_clock::now() < deadline) { // tidy: allow(banned-call) the same
            time.run_for(loop, 100ms);
            std::this_thread::yield();
        }
        return holds();
    }
};

std::string slots(int total, int busy)
{
    std::string out = "[";
    for (int i = 0; i < total; ++i) {
        out += std::string(i > 0 ? "," : "") + R"({"id":)" + std::to_string(i) + R"(,"is_processing":)"
               + (i < busy ? "true}" : "false}");
    }
    return out + "]";
}

} // namespace

TEST_CASE("requests that reach Ollama around the gateway are seen in its runner's slots")
{
    World world;
    world.runner.slots = slots(4, 3);
    REQUIRE(world.until([&] { return !world.watch.view().slots.empty(); }));
    CHECK(world.watch.view().slots.at(901).total == 4);
    CHECK(world.watch.view().foreign == 3);
    world.own = 2; // two of them are ours
    REQUIRE(world.until([&] { return world.watch.view().foreign != 3; }));
    CHECK(world.watch.view().foreign == 1);
    world.own = 5; // on their way, not in a slot yet
    REQUIRE(world.until([&] { return world.watch.view().foreign != 1; }));
    CHECK(world.watch.view().foreign == 0);
}

TEST_CASE("a runner without /slots tells nothing of foreign requests")
{
    World world;
    REQUIRE(world.until([&] { return !world.watch.view().runners.empty() && world.runner.count("/slots") > 1; }));
    CHECK(world.watch.view().foreign == 0);
    CHECK(world.watch.view().runners.at(0).slots == 4);
}
