// What a decision costs: a request comes and ends again, with the record's decision, learning and belief.
#include "fleet/fleet.hpp"
#include "fleet/model_name.hpp"
#include "micro.hpp"

#include <memory>
#include <string>

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

/// A fleet of plain nodes, all online, all with the model.
struct Nodes {
    explicit Nodes(int count, int slots, bool loaded)
    {
        base::Rng rng{7};
        for (int i = 0; i < count; ++i) {
            const auto id = base::NodeId::random(rng);
            const base::Endpoint at{base::IpAddress::v4({10, 1, static_cast<std::uint8_t>(i >> 8),
                                                         static_cast<std::uint8_t>(i)}), 11434};
            feed(StaticAdded{id, "node-" + std::to_string(i), "http://" + at.text(), Address{.endpoint = at}, {}, slots});
            NodeFacts facts;
            facts.host.cores = 8;
            facts.host.memory_total = facts.host.memory_available = 64 * base::gib;
            for (int m = 0; m < 20; ++m) {
                const auto name = "model-" + std::to_string(m) + ":7b";
                facts.models.push_back({name, ModelName::parse(name).key, "digest-" + std::to_string(m), 4 * base::gib, {}, {}});
            }
            if (loaded) {
                const auto& model = facts.models.front();
                facts.loaded.push_back({model.name, model.key, model.digest, model.size, model.size, 8192, {}, {}, {}});
            }
            feed(StaticPolled{id, facts, Address{.endpoint = at}, 1ms, base::Errc::refused, {}});
        }
        profile.model = "model-0:7b";
        profile.model_key = ModelName::parse(profile.model).key;
        profile.client = "10.0.0.1";
        profile.prompt_bytes = 8000;
        outcome.status = 200;
        outcome.timings = {1500ms, 20ms, 400ms, 1000ms, 2000, 100};
        outcome.took = 1500ms;
    }
    void feed(const Event& event)
    {
        effects.clear();
        fleet.apply(event, now, {}, effects);
    }
    LeaseId lease() const
    {
        for (const auto& effect : effects) {
            if (const auto* granted = std::get_if<Granted>(&effect)) {
                return granted->lease.id;
            }
        }
        return 0;
    }
    /// One request from coming to its end.
    void serve()
    {
        feed(AcquireWanted{++ticket, profile});
        feed(LeaseFinished{lease(), outcome});
    }

    Effects effects{};
    base::Instant now{1000s};
    Fleet fleet{{}, base::Rng{1}, now};
    Profile profile{};
    Outcome outcome{};
    Ticket ticket{0};
};

PromptChain chain_of(std::size_t blocks)
{
    std::vector<PromptBlock> out;
    for (std::size_t i = 0; i < blocks; ++i) {
        out.push_back({i + 1, 400});
    }
    return std::make_shared<const std::vector<PromptBlock>>(std::move(out));
}

} // namespace

int main()
{
    bench::print_header();
    for (const int count : {1, 50, 1000}) {
        const auto name = std::to_string(count) + " nodes";
        Nodes nodes{count, 4, true};
        for (int i = 0; i < 3 * count; ++i) {
            nodes.serve();
        }
        bench::measure((name + ": a request comes and ends").c_str(), [&] { nodes.serve(); });
        nodes.profile.prompt = chain_of(20);
        for (int i = 0; i < 3 * count; ++i) {
            nodes.serve();
        }
        bench::measure((name + ": with a prompt of 20 blocks").c_str(), [&] { nodes.serve(); });
        Nodes cold{count, 4, false};
        bench::measure((name + ": explained, model cold").c_str(), [&] {
            bench::keep(cold.fleet.explain(cold.profile, cold.now));
        });
    }
    Nodes busy{50, 1, true};
    std::vector<LeaseId> running;
    for (int i = 0; i < 100; ++i) {
        busy.feed(AcquireWanted{++busy.ticket, busy.profile});
        if (const auto lease = busy.lease(); lease != 0) {
            running.push_back(lease);
        }
    }
    std::size_t next = 0;
    bench::measure("50 nodes busy, 50 waiting: one ends, one comes", [&] {
        busy.feed(LeaseFinished{running[next], busy.outcome});
        if (const auto lease = busy.lease(); lease != 0) {
            running[next] = lease;
            next = (next + 1) % running.size();
        }
        busy.feed(AcquireWanted{++busy.ticket, busy.profile});
    });
    return 0;
}
