#pragma once
// A world of boxes that answer as fast as they are told: for tests of choices.
#include "sim/fleet/world.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace herd::test {

using namespace std::chrono_literals;
using namespace herd::fleet;

inline constexpr auto prefill_rate = 1000.0;

/// A world of boxes that answer as fast as they are told.
struct Scene {
    explicit Scene(std::uint64_t seed, FleetOptions options = {}) : world(seed, options) {}

    Box& box(const std::string& name, std::vector<std::string> models, int slots = 1, bool loaded = true)
    {
        auto& out = world.add_box(name, models, slots);
        if (loaded) {
            out.loaded = std::move(models);
        }
        world.start(out);
        return out;
    }
    void settle() { world.run_for(2s); }
    /// Ends a lease after it ran for as long as such a node takes.
    void serve(const Lease& lease, double decode_rate, int output = 100, int prompt = 100)
    {
        Outcome outcome;
        outcome.status = 200;
        outcome.timings.prompt_tokens = prompt;
        outcome.timings.prompt_eval = 1ms * static_cast<std::int64_t>(prompt / prefill_rate * 1000);
        outcome.timings.output_tokens = output;
        outcome.timings.eval = 1ms * static_cast<std::int64_t>(output / decode_rate * 1000);
        outcome.timings.total = outcome.timings.eval + outcome.timings.prompt_eval;
        outcome.took = outcome.timings.total;
        world.run_for(outcome.timings.total);
        world.feed(LeaseFinished{lease.id, outcome});
    }
    /// Lets the fleet learn how fast the named box is.
    void teach(const std::string& name, double decode_rate, int times = 12)
    {
        for (int i = 0; i < times; ++i) {
            auto profile = World::profile_of("m");
            profile.node = name;
            serve(world.lease(world.ask(profile)), decode_rate);
        }
    }
    /// What the box announces of its requests now, herd's own ones among them.
    void tell(Box& box, int in_flight, std::vector<std::pair<std::uint64_t, int>> busy = {})
    {
        NodeSeen seen;
        seen.id = box.id;
        seen.source = {box.agent.address, 40'000};
        seen.boot_id = box.boot_id;
        seen.seq = box.seq += 1;
        seen.state_rev = box.state_rev;
        seen.announced = AnnouncedState::ready;
        seen.interval = box.interval;
        seen.api_port = box.api().port;
        seen.agent_port = box.agent.port;
        seen.name = box.name;
        seen.in_flight = in_flight;
        seen.busy = std::move(busy);
        world.feed(seen);
    }
    World world;
};

inline PromptChain chain_of(std::uint64_t first, std::size_t count)
{
    std::vector<PromptBlock> out;
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back({first + i, 4000});
    }
    return std::make_shared<const std::vector<PromptBlock>>(std::move(out));
}

} // namespace herd::test
