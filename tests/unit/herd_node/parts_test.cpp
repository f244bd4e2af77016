// The agent's small parts: slots of loaded models, addresses worth telling, GPUs sampled on a worker.
#include "support/catch.hpp"

#include "box.hpp"
#include "herd-node/addresses.hpp"
#include "herd-node/gpu_watch.hpp"
#include "herd-node/slots.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include <dlfcn.h>

using namespace herd;
using namespace herd::node;
using namespace std::chrono_literals;

namespace {

discovery::LoadedFacts model(const std::string& name, const std::string& digest)
{
    discovery::LoadedFacts facts;
    facts.name = name;
    facts.digest = digest;
    return facts;
}

Runner runner(int pid, std::optional<int> slots, const std::string& blob)
{
    Runner made;
    made.pid = pid;
    made.slots = slots;
    made.blob = blob;
    return made;
}

net::Interface interface(const std::string& name, std::initializer_list<const char*> addresses)
{
    net::Interface made;
    made.name = name;
    made.up = made.running = true;
    made.loopback = name == "lo";
    for (const char* text : addresses) {
        made.addresses.push_back({*base::IpAddress::parse(text), 24, {}});
    }
    return made;
}

std::vector<std::string> texts(const std::vector<discovery::Subnet>& subnets)
{
    std::vector<std::string> made;
    for (const auto& subnet : subnets) {
        made.push_back(subnet.address.text());
    }
    return made;
}

} // namespace

TEST_CASE("one runner and one model belong together")
{
    std::vector loaded{model("a", "d1")};
    RunnerView view;
    view.runners = {runner(10, 4, "sha256-x")};
    view.slots = {{10, {4, 3}}};
    assign_slots(loaded, view, std::nullopt);
    CHECK(loaded[0].slots == 4);
    CHECK(loaded[0].in_flight == 3);
}

TEST_CASE("runners that agree speak for every model, runners that differ must be told apart")
{
    std::vector loaded{model("a", "d1"), model("b", "d2")};
    RunnerView view;
    view.runners = {runner(10, 2, "sha256-x"), runner(11, 2, "sha256-y")};
    CHECK_FALSE(needs_blobs(view));
    assign_slots(loaded, view, std::nullopt);
    CHECK(loaded[0].slots == 2);
    CHECK(loaded[1].slots == 2);

    view.runners[1].slots = 1;
    CHECK(needs_blobs(view));
    assign_slots(loaded, view, std::nullopt);
    CHECK_FALSE(loaded[0].slots);

    view.blobs = {{"d1", "sha256-y"}, {"d2", "sha256-x"}};
    assign_slots(loaded, view, std::nullopt);
    CHECK(loaded[0].slots == 1);
    CHECK(loaded[1].slots == 2);
}

TEST_CASE("a running server's own count beats its command line, and --slots beats everything")
{
    std::vector loaded{model("a", "d1")};
    RunnerView view;
    view.settings = OllamaSettings{.num_parallel = 8};
    view.runners = {runner(10, 2, "sha256-x")};
    view.slots = {{10, {3, 0}}};
    assign_slots(loaded, view, std::nullopt);
    CHECK(loaded[0].slots == 3);
    CHECK(default_slots(view, std::nullopt) == 8);
    assign_slots(loaded, view, 5);
    CHECK(loaded[0].slots == 5);
    CHECK(default_slots(view, 5) == 5);
    CHECK_FALSE(default_slots({}, std::nullopt));
}

TEST_CASE("addresses of the LAN are told, IPv4 first; loopback and bridges of containers are not")
{
    const std::vector interfaces{interface("lo", {"127.0.0.1", "::1"}),
                                 interface("eth0", {"fe80::1", "2001:db8::7", "192.168.7.2"}),
                                 interface("docker0", {"172.17.0.1"}), interface("wlan0", {"192.168.7.9"})};
    CHECK(texts(announced_addresses(interfaces, {}))
          == std::vector<std::string>{"192.168.7.2", "192.168.7.9", "2001:db8::7", "fe80::1"});
    CHECK(texts(announced_addresses(interfaces, {.excluded = {"wlan0"}})).size() == 3);
    CHECK(texts(announced_addresses(interfaces, {.only = {"docker0"}}))
          == std::vector<std::string>{"172.17.0.1"});
    CHECK(texts(announced_addresses(interfaces, {.only = {"lo"}, .loopback_only = true}))
          == std::vector<std::string>{"127.0.0.1", "::1"});
    CHECK(is_own_address(interfaces, *base::IpAddress::parse("192.168.7.9")));
    CHECK(is_own_address(interfaces, base::IpAddress::loopback()));
    CHECK_FALSE(is_own_address(interfaces, *base::IpAddress::parse("192.168.7.10")));
}

namespace {

/// Ticks until the worker's answer is there; real time, because the worker is real.
bool ticks_until(GpuWatch& watch, base::Instant& now, const std::function<bool()>& done)
{
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < until) {
        watch.tick(now);
        if (done()) {
            return true;
        }
        now += 1s;
        std::this_thread::yield();
    }
    return false;
}

} // namespace

TEST_CASE("GPUs are sampled on a worker, cards of both makers in one row")
{
    const test::Box box;
    box.file("dev/nvidiactl", "");
    const std::string device = "sys/class/drm/card0/device/";
    box.file(device + "vendor", "0x1002\n");
    box.file(device + "mem_info_vram_total", "8589934592\n");
    GpuWatch watch({.root = box.root(), .nvml = HERD_FAKE_NVML, .stuck_after = std::chrono::hours{1000}});
    base::Instant now{1h};
    CHECK(watch.cards().empty());
    REQUIRE(ticks_until(watch, now, [&] { return !watch.cards().empty(); }));
    REQUIRE(watch.cards().size() == 4);
    CHECK(watch.cards()[0].vendor == "nvidia");
    CHECK(watch.cards()[3].vendor == "amd");
    CHECK(watch.cards()[3].index == 3);
}

TEST_CASE("without a driver no worker is started and nothing is found")
{
    const test::Box box;
    GpuWatch watch({.root = box.root(), .nvml = HERD_FAKE_NVML});
    CHECK_FALSE(watch.tick(base::Instant{1h}));
    CHECK_FALSE(watch.tick(base::Instant{2h}));
    CHECK(watch.cards().empty());
}

TEST_CASE("a driver that hangs blocks nobody and shows as failed cards")
{
    void* library = ::dlopen(HERD_FAKE_NVML, RTLD_NOW);
    REQUIRE(library != nullptr);
    auto* hangs = static_cast<std::atomic<bool>*>(::dlsym(library, "herd_fake_nvml_hangs"));
    REQUIRE(hangs != nullptr);
    const test::Box box;
    box.file("dev/nvidiactl", "");
    base::Instant now{1h};
    {
        GpuWatch watch({.root = box.root(), .nvml = HERD_FAKE_NVML, .stuck_after = std::chrono::hours{1}});
        REQUIRE(ticks_until(watch, now, [&] { return !watch.cards().empty(); }));
        *hangs = true;
        now += 1h; // this question, or the one after it, gets no answer
        watch.tick(now);
        REQUIRE(ticks_until(watch, now, [&] {
            now += 1h;
            return watch.cards()[0].failed;
        }));
        CHECK_FALSE(watch.cards()[0].busy);
    } // and the watch can be destroyed meanwhile
    *hangs = false;
}
