// Whether a model fits, who would have to go, and what that costs.
#include "support/catch.hpp"

#include "fleet/memory_fit.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

const base::Instant now{10'000s};

struct Node {
    explicit Node(Bytes vram, Bytes free)
    {
        auto facts = std::make_shared<NodeFacts>();
        facts->gpus = {Gpu{"NVIDIA GeForce RTX 4090", "nvidia", vram, free, {}, {}, {}}};
        facts->host.memory_total = 64 * base::gib;
        record.facts = facts;
        record.hardware = hardware_of(*facts);
    }
    ModelOnNode& add(const std::string& key, Bytes size, bool loaded)
    {
        auto& model = record.models[key];
        model.listed = true;
        model.size = size;
        model.loaded = loaded;
        if (loaded) {
            model.memory = size;
        }
        return model;
    }
    NodeRecord record{};
};

} // namespace

TEST_CASE("with memory to spare nobody is evicted")
{
    Node node{24 * base::gib, 20 * base::gib};
    auto& model = node.add("a", 5 * base::gib, false);
    node.add("b", 3 * base::gib, true);
    const auto fit = fit_of(node.record, model, 4096, now);
    CHECK(fit.fits);
    CHECK(fit.victims == 0);
    CHECK(fit.others_s == 0);
    CHECK(fit.in_vram == 1);
}

TEST_CASE("an eviction costs what its victim is likely to be wanted for")
{
    Node node{24 * base::gib, 2 * base::gib};
    auto& model = node.add("a", 10 * base::gib, false);
    auto& victim = node.add("b", 18 * base::gib, true);
    const auto idle = fit_of(node.record, model, 4096, now);
    CHECK(idle.victims == 1);
    for (int i = 0; i < 20; ++i) {
        victim.used(now - 1s);
    }
    const auto wanted = fit_of(node.record, model, 4096, now);
    CHECK(wanted.others_s > 5 * idle.others_s);
    std::vector<ModelOnNode*> evicted;
    (void)fit_of(node.record, model, 4096, now, &evicted);
    CHECK(evicted == std::vector<ModelOnNode*>{&victim});
}

TEST_CASE("a busy model is evicted last, and waited for")
{
    Node node{24 * base::gib, 2 * base::gib};
    auto& model = node.add("z", 8 * base::gib, false);
    auto& busy = node.add("a", 9 * base::gib, true);
    auto& idle = node.add("b", 9 * base::gib, true);
    busy.in_flight = 1;
    std::vector<ModelOnNode*> evicted;
    const auto fit = fit_of(node.record, model, 4096, now, &evicted);
    CHECK(evicted.front() == &idle);
    CHECK((fit.blocked_s > 0) == (evicted.size() > 1));
}

TEST_CASE("what is larger than the GPU spills, what is larger than everything does not fit")
{
    Node node{24 * base::gib, 24 * base::gib};
    const auto spills = fit_of(node.record, node.add("a", 40 * base::gib, false), 4096, now);
    CHECK(spills.fits);
    CHECK(spills.in_vram < 0.7);
    CHECK_FALSE(fit_of(node.record, node.add("b", 100 * base::gib, false), 4096, now).fits);
}

TEST_CASE("a node that tells nothing of its memory is believed to fit")
{
    NodeRecord record;
    record.models["a"].size = 100 * base::gib;
    CHECK(fit_of(record, record.models["a"], 4096, now).fits);
}

TEST_CASE("the cache grows with the context and the slots, and what was seen loaded is taken at its word")
{
    ModelOnNode model;
    model.size = 5 * base::gib;
    CHECK(memory_needed(model, 32'768, 1) > memory_needed(model, 4096, 1) + 2 * base::gib);
    CHECK(memory_needed(model, 4096, 4) > memory_needed(model, 4096, 1));
    const auto guessed = memory_needed(model, 32'768, 1);
    model.cache_per_token = 16 * base::kib; // its metadata say so
    CHECK(guessed - memory_needed(model, 32'768, 1) > 2 * base::gib);
    CHECK(memory_needed(model, 32'768, 1) - memory_needed(model, 4096, 1) == 28'672 * 16 * base::kib);
    model.cache_per_token = 0;
    model.memory = 7 * base::gib;
    model.memory_context = 4096;
    CHECK(memory_needed(model, 4096, 1) == 7 * base::gib);
}
