// A decision over a large fleet may look at many nodes, but must not gather them: what it allocates depends neither
// on how many models each node has nor, beyond the candidates that the record keeps, on how many nodes there are.
// A program of its own, since it counts every allocation.
#include "support/catch.hpp"

#include "fleet/fleet.hpp"
#include "fleet/model_name.hpp"

#include <cstdlib>
#include <new>
#include <string>

namespace {

std::size_t allocated_bytes = 0;

void* counted(std::size_t size)
{
    allocated_bytes += size;
    if (void* const at = std::malloc(size > 0 ? size : 1)) {
        return at;
    }
    throw std::bad_alloc();
}

} // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* at) noexcept { std::free(at); }
void operator delete[](void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
void operator delete[](void* at, std::size_t) noexcept { std::free(at); }

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

/// Plain nodes, all online, all with the same models, the first of which is loaded.
class Nodes {
public:
    Nodes(int count, int models)
    {
        base::Rng rng{7};
        for (int i = 0; i < count; ++i) {
            const auto id = base::NodeId::random(rng);
            const base::Endpoint at{base::IpAddress::v4({10, 1, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}), 11434};
            feed(StaticAdded{id, "node-" + std::to_string(i), "http://" + at.text(), Address{.endpoint = at}, {}, 4});
            feed(StaticPolled{id, facts_of(models), Address{.endpoint = at}, 1ms, base::Errc::refused, {}});
        }
        profile_.model = "model-0:7b";
        profile_.model_key = ModelName::parse(profile_.model).key;
        profile_.client = "10.0.0.1";
        profile_.prompt_bytes = 8000;
        outcome_.status = 200;
        outcome_.timings = {1500ms, 20ms, 400ms, 1000ms, 2000, 100};
        outcome_.took = 1500ms;
    }

    /// Bytes that one request takes from its arrival to its end, on average, once all nodes have served some.
    std::size_t bytes_per_request(int warm)
    {
        for (int i = 0; i < warm; ++i) {
            serve();
        }
        constexpr std::size_t measured = 200;
        const auto before = allocated_bytes;
        for (std::size_t i = 0; i < measured; ++i) {
            serve();
        }
        return (allocated_bytes - before) / measured;
    }

private:
    static NodeFacts facts_of(int models)
    {
        NodeFacts facts;
        facts.host.cores = 8;
        facts.host.memory_total = facts.host.memory_available = 64 * base::gib;
        for (int m = 0; m < models; ++m) {
            const auto name = "model-" + std::to_string(m) + ":7b";
            facts.models.push_back({name, ModelName::parse(name).key, "digest-" + std::to_string(m), 4 * base::gib, {}, {}});
        }
        const auto& model = facts.models.front();
        facts.loaded.push_back({model.name, model.key, model.digest, model.size, model.size, 8192, {}, {}, {}});
        return facts;
    }
    void feed(const Event& event)
    {
        effects_.clear();
        fleet_.apply(event, now_, {}, effects_);
    }
    void serve()
    {
        feed(AcquireWanted{++ticket_, profile_});
        LeaseId lease = 0;
        for (const auto& effect : effects_) {
            if (const auto* granted = std::get_if<Granted>(&effect)) {
                lease = granted->lease.id;
            }
        }
        REQUIRE(lease != 0);
        feed(LeaseFinished{lease, outcome_});
    }

    Effects effects_{};
    base::Instant now_{1000s};
    Fleet fleet_{{}, base::Rng{1}, now_};
    Profile profile_{};
    Outcome outcome_{};
    Ticket ticket_{0};
};

} // namespace

TEST_CASE("what a decision allocates does not grow with the models of the nodes, nor with nodes beyond the record's")
{
    const auto usual = Nodes(100, 2).bytes_per_request(400);
    CHECK(usual > 0);
    CHECK(Nodes(100, 60).bytes_per_request(400) < usual + usual / 10);
    CHECK(Nodes(800, 2).bytes_per_request(2400) < usual + usual / 10);
}
