// The rules of lana.md 6 in virtual time, against the figures of its appendix B. HERD_SEED=N replays a run.
#include "support/catch.hpp"
#include "world.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

using namespace herd;
using namespace herd::sim;
using namespace herd::discovery;
using namespace std::chrono_literals;

namespace {

std::uint64_t seed()
{
    const char* wanted = std::getenv("HERD_SEED"); // NOLINT(concurrency-mt-unsafe): one thread
    return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 20261120;
}

double ms(base::Duration d) { return base::seconds(d) * 1000; }

base::Duration percentile(std::vector<base::Duration>& sorted, double p)
{
    std::ranges::sort(sorted);
    return sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(p * static_cast<double>(sorted.size())))];
}

/// How long `runs` nodes take, each on its own, from their start until the herd has confirmed them.
std::vector<base::Duration> join_times(double loss, int runs)
{
    std::vector<base::Duration> times;
    World world(seed() + static_cast<std::uint64_t>(loss * 1000), {.loss = loss});
    world.start_herd();
    world.run_for(2s);
    for (int i = 0; i < runs; ++i) {
        world.add_node(world.now() + std::chrono::milliseconds{i * 3});
    }
    world.run_for(std::chrono::milliseconds{runs * 3} + 10s);
    for (const SimNode& node : world.nodes()) {
        REQUIRE(node.confirmed_at);
        times.push_back(*node.confirmed_at - node.started_at);
    }
    return times;
}

FleetKey key(std::uint8_t id) { return {id, Octets(32, static_cast<std::uint8_t>(0x10 + id))}; }

Authenticator ring(AuthMode mode, const std::vector<std::uint8_t>& ids)
{
    std::vector<FleetKey> keys;
    for (const std::uint8_t id : ids) {
        keys.push_back(key(id));
    }
    return *Authenticator::make(mode, keys);
}

void give_all(World& world, const std::vector<std::uint8_t>& ids)
{
    for (SimNode& node : world.nodes()) {
        node.core->set_authenticator(ring(AuthMode::require, ids));
    }
}

} // namespace

TEST_CASE("a starting node joins in milliseconds, and within a second at 10 % loss")
{
    CAPTURE(seed());
    for (const double loss : {0.0, 0.05, 0.10, 0.30}) {
        auto times = join_times(loss, 1000);
        const auto within = std::ranges::count_if(times, [](base::Duration d) { return d <= 1s; });
        std::printf("join, loss %2.0f %%: p50 %.0f ms, p99 %.0f ms, p99.9 %.0f ms, max %.0f ms, within 1 s %.1f %%\n", loss * 100,
                    ms(percentile(times, 0.5)), ms(percentile(times, 0.99)), ms(percentile(times, 0.999)), ms(times.back()),
                    static_cast<double>(within) / static_cast<double>(times.size()) * 100);
        if (loss == 0.0) {
            CHECK(times.back() <= 50ms);
        } else if (loss <= 0.10) {
            CHECK(percentile(times, 0.99) <= 400ms);
            CHECK(within >= 999);
        } else {
            CHECK(percentile(times, 0.99) <= 2s);
        }
    }
}

TEST_CASE("a restarted herd has a thousand nodes back in a second")
{
    CAPTURE(seed());
    for (const double loss : {0.0, 0.05, 0.10}) {
        std::vector<base::Duration> most;
        std::vector<base::Duration> all;
        for (std::uint64_t run = 0; run < 3; ++run) {
            World world(seed() + run, {.loss = loss});
            for (int i = 0; i < 1000; ++i) {
                world.add_node(world.now() + std::chrono::milliseconds{i});
            }
            world.start_herd();
            world.run_for(10s);
            REQUIRE(world.known() == 1000);
            world.kill_herd();
            world.run_for(1500ms);
            const auto begin = world.now();
            world.start_herd();
            world.run_for(12s);
            std::vector<base::Duration> times;
            for (const SimNode& node : world.nodes()) {
                REQUIRE(node.confirmed_at);
                times.push_back(*node.confirmed_at - begin);
            }
            most.push_back(percentile(times, 0.99));
            all.push_back(times.back());
        }
        std::printf("herd restart, N = 1000, loss %2.0f %%: 99 %% after %.0f ms, all after %.0f ms (medians)\n", loss * 100,
                    ms(percentile(most, 0.5)), ms(percentile(all, 0.5)));
        CHECK(percentile(most, 0.5) <= (loss == 0.0 ? 300ms : 700ms));
        CHECK(percentile(all, 0.5) <= (loss == 0.0 ? 300ms : 1500ms));
    }
}

TEST_CASE("a thousand nodes at one beat per second and 10 % loss: nobody is lost, hardly anybody broadcasts")
{
    CAPTURE(seed());
    World world(seed(), {.loss = 0.10});
    for (int i = 0; i < 1000; ++i) {
        world.add_node(world.now() + std::chrono::milliseconds{i});
    }
    world.start_herd();
    world.run_for(60s);
    REQUIRE(world.known() == 1000);
    const auto datagrams = world.datagrams;
    for (SimNode& node : world.nodes()) {
        node.broadcasts = 0;
        node.broadcast_times.clear();
        node.silence_max = {};
    }
    const auto began = std::chrono::steady_clock::now();
    world.run_for(60s);
    const double took = base::seconds(std::chrono::steady_clock::now() - began);
    std::uint64_t broadcasts = 0;
    base::Duration silence{};
    int losses = 0;
    int doubts = 0;
    for (const SimNode& node : world.nodes()) {
        broadcasts += node.broadcasts;
        silence = std::max(silence, node.silence_max);
        losses += node.losses;
        doubts += node.doubts;
        for (std::size_t i = 4; i < node.broadcast_times.size(); ++i) {
            CHECK(node.broadcast_times[i] - node.broadcast_times[i - 4] > 10s);
        }
    }
    const double per_s = static_cast<double>(world.datagrams - datagrams) / 60;
    std::printf("steady, N = 1000, loss 10 %%: %.0f datagrams/s to the herd, %.1f broadcasts/s, longest silence %.1f s, "
                "%.1f %% of real time\n",
                per_s, static_cast<double>(broadcasts) / 60, base::seconds(silence), took / 0.6);
    CHECK(losses == 0);
    CHECK(doubts == 0);
    CHECK(per_s < 1300);
    CHECK(static_cast<double>(broadcasts) / 60 < 25);
    CHECK(world.herd()->counters().of(discovery::Drop::rate) == 0);
}

TEST_CASE("after a partition of 30 % for 30 seconds all are heard again within two beats")
{
    CAPTURE(seed());
    World world(seed(), {.loss = 0.01});
    for (int i = 0; i < 300; ++i) {
        world.add_node(world.now() + std::chrono::milliseconds{i});
    }
    world.start_herd();
    world.run_for(20s);
    REQUIRE(world.known() == 300);
    for (std::size_t i = 0; i < 90; ++i) {
        world.nodes()[i].cut = true;
    }
    world.run_for(30s);
    const auto healed = world.now();
    for (std::size_t i = 0; i < 90; ++i) {
        world.nodes()[i].cut = false;
    }
    world.run_for(1500ms);
    int back = 0;
    for (std::size_t i = 0; i < 90; ++i) {
        back += world.nodes()[i].heard_at > healed ? 1 : 0;
    }
    std::printf("partition healed: %d of 90 heard within 1.5 s\n", back);
    CHECK(back >= 89);
    world.run_for(10s);
    for (const SimNode& node : world.nodes()) {
        CHECK(node.core->herds().size() == 1);
    }
}

TEST_CASE("doubled, delayed and reordered datagrams change nothing")
{
    CAPTURE(seed());
    World world(seed(), {.loss = 0.0, .duplicate = 0.2, .delay_min = 0ms, .delay_max = 400ms});
    for (int i = 0; i < 100; ++i) {
        world.add_node(world.now());
    }
    world.start_herd();
    world.run_for(120s);
    CHECK(world.known() == 100);
    for (const SimNode& node : world.nodes()) {
        CHECK(node.losses == 0);
        CHECK(node.backwards == 0);
        CHECK(node.doubts == 0);
        CHECK(node.silence_max < 3s);
    }
    CHECK(world.herd()->counters().of(discovery::Drop::replay) > 0);
}

TEST_CASE("in a keyed fleet of three hundred nothing that a stranger sends is believed")
{
    CAPTURE(seed());
    for (const AuthMode mode : {AuthMode::require, AuthMode::permissive}) {
        World world(seed(), {.loss = 0.0}); // so that a silence would be the forger's work
        world.set_keys(ring(mode, {1}));
        world.overheard_max = 64;
        for (int i = 0; i < 300; ++i) {
            world.add_node(world.now() + std::chrono::milliseconds{i});
        }
        world.start_herd();
        world.run_for(10s);
        REQUIRE(world.known() == 300);
        base::Rng rng(seed());
        const base::Endpoint stranger{base::IpAddress::v4({10, 2, 0, 1}), 5000};
        for (int round = 0; round < 200; ++round) {
            world.run_for(100ms);
            const auto& [index, bytes] = world.overheard[rng.between(0, world.overheard.size() - 1)];
            const base::Endpoint node_at = world.nodes()[index].at;
            Octets forged = *bytes;
            forged[rng.between(0, forged.size() - 1)] ^= static_cast<std::uint8_t>(rng.between(1, 255));
            Octets bare(bytes->begin(), bytes->end() - mac_bytes);
            bare[8] = static_cast<std::uint8_t>(bare.size() >> 8);
            bare[9] = static_cast<std::uint8_t>(bare.size());
            bare[11] = 0;
            for (const base::Endpoint& from : {stranger, node_at}) {
                world.inject(*bytes, from); // a copy
                world.inject(forged, from);
                world.inject(bare, from);   // a downgrade
            }
        }
        world.run_for(5s);
        const auto& counters = world.herd()->counters();
        std::printf("keyed (%s), N = 300: 1200 forgeries; replay %llu, bad_mac %llu, addr_mismatch %llu, downgrade %llu, unauthenticated %llu; believed %llu\n",
                    std::string{to_string(mode)}.c_str(), static_cast<unsigned long long>(counters.of(Drop::replay)),
                    static_cast<unsigned long long>(counters.of(Drop::bad_mac)), static_cast<unsigned long long>(counters.of(Drop::addr_mismatch)),
                    static_cast<unsigned long long>(counters.of(Drop::downgrade)), static_cast<unsigned long long>(counters.of(Drop::unauthenticated)),
                    static_cast<unsigned long long>(world.accepted_forgeries));
        CHECK(world.accepted_forgeries == 0);
        CHECK(counters.of(Drop::addr_mismatch) > 0);
        CHECK(counters.of(mode == AuthMode::require ? Drop::unauthenticated : Drop::downgrade) > 0);
        for (const SimNode& node : world.nodes()) {
            CHECK(node.losses == 0);
            CHECK(node.doubts == 0);
            CHECK(node.silence_max < 3s);
        }
    }
}

TEST_CASE("a key is changed in a fleet of three hundred and nobody misses a beat")
{
    CAPTURE(seed());
    World world(seed(), {.loss = 0.0});
    world.set_keys(ring(AuthMode::require, {1}));
    for (int i = 0; i < 300; ++i) {
        world.add_node(world.now() + std::chrono::milliseconds{i});
    }
    world.start_herd();
    world.run_for(10s);
    REQUIRE(world.known() == 300);
    const auto herd = [&](const std::vector<std::uint8_t>& ids) { world.herd()->set_authenticator(ring(AuthMode::require, ids)); };
    herd({1, 2}); // added everywhere, node by node
    for (SimNode& node : world.nodes()) {
        node.core->set_authenticator(ring(AuthMode::require, {1, 2}));
        world.run_for(20ms);
    }
    herd({2, 1}); // in use
    world.run_for(5s);
    for (SimNode& node : world.nodes()) {
        node.core->set_authenticator(ring(AuthMode::require, {2, 1}));
        world.run_for(20ms);
    }
    herd({2}); // the old one goes
    give_all(world, {2});
    world.run_for(10s);
    for (const SimNode& node : world.nodes()) {
        CHECK(node.losses == 0);
        CHECK(node.silence_max < 2s);
        CHECK(node.core->herds().size() == 1);
    }
    CHECK(world.herd()->counters().of(Drop::bad_key) == 0);
    CHECK(world.herd()->counters().of(Drop::bad_mac) == 0);
    give_all(world, {1}); // whoever missed the change is heard no more
    world.run_for(5s);
    CHECK(world.herd()->counters().of(Drop::bad_key) > 300);
}
