#include "support/catch.hpp"

#include "fleet/retry_budget.hpp"
#include "fleet/selection.hpp"

#include <array>

using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

Candidate candidate(bool loaded, bool same_class, int free, herd::base::Bytes memory)
{
    return {nullptr, nullptr, Exclusion::none, loaded, same_class, free, memory};
}

std::optional<std::size_t> pick(std::vector<Candidate> list)
{
    herd::base::Rng rng{1};
    return choose(list, rng);
}

} // namespace

TEST_CASE("a node that has the model loaded comes before one with more free slots")
{
    CHECK(pick({candidate(false, false, 8, 100), candidate(true, false, 2, 1)}) == 1U);
}

TEST_CASE("among loaded nodes the wanted options class comes first")
{
    CHECK(pick({candidate(true, false, 8, 100), candidate(true, true, 2, 1)}) == 1U);
}

TEST_CASE("then most free slots, then most free memory")
{
    CHECK(pick({candidate(true, true, 2, 100), candidate(true, true, 4, 1)}) == 1U);
    CHECK(pick({candidate(true, true, 4, 100), candidate(true, true, 4, 200)}) == 1U);
}

TEST_CASE("excluded candidates are never chosen")
{
    auto tried = candidate(true, true, 8, 100);
    tried.exclusion = Exclusion::tried;
    CHECK(pick({tried, candidate(false, false, 2, 1)}) == 1U);
    CHECK_FALSE(pick({tried}));
    CHECK_FALSE(pick({}));
}

TEST_CASE("equals share the load")
{
    herd::base::Rng rng{5};
    const std::vector<Candidate> equals(4, candidate(true, true, 2, 1));
    std::array<int, 4> counts{};
    for (int i = 0; i < 4000; ++i) {
        ++counts[*choose(equals, rng)];
    }
    for (const int count : counts) {
        CHECK(count > 850);
        CHECK(count < 1150);
    }
}

TEST_CASE("a node reached by TCP only counts half")
{
    NodeRecord node;
    node.state = NodeState::online;
    ModelOnNode model;
    model.listed = true;
    model.slots = 4;
    CHECK(consider(node, &model, {}).free_half_slots == 8);
    node.verify = Verify::tcp_only;
    CHECK(consider(node, &model, {}).free_half_slots == 4);
}

TEST_CASE("a model loaded by others counts as our class when its context is the one asked for")
{
    NodeRecord node;
    ModelOnNode model;
    model.listed = model.loaded = true;
    model.context_length = 8192;
    Profile profile;
    CHECK(consider(node, &model, profile).same_class);
    profile.num_ctx = 8192;
    profile.options_class = 77;
    CHECK(consider(node, &model, profile).same_class);
    profile.num_ctx = 4096;
    CHECK_FALSE(consider(node, &model, profile).same_class);
    model.options_class = 77;
    CHECK(consider(node, &model, profile).same_class);
}

TEST_CASE("free memory is VRAM where there is any, else RAM")
{
    NodeRecord node;
    node.host = HostLoad{};
    node.host->memory_available = 10;
    CHECK(node.free_memory() == 10);
    node.gpus = {Gpu{"x", "nvidia", 100, 40, {}, {}, {}}, Gpu{"y", "nvidia", 100, 30, {}, {}, {}}};
    CHECK(node.free_memory() == 70);
}

TEST_CASE("a fifth of recent requests may be retried, and always three")
{
    RetryBudget budget;
    const herd::base::Instant t{1000s};
    budget.note_request(t);
    CHECK(budget.spend(t, 0.2, 3));
    CHECK(budget.spend(t, 0.2, 3));
    CHECK(budget.spend(t, 0.2, 3));
    CHECK_FALSE(budget.spend(t, 0.2, 3));
    for (int i = 0; i < 100; ++i) {
        budget.note_request(t + 1s);
    }
    int allowed = 0;
    while (budget.spend(t + 2s, 0.2, 3)) {
        ++allowed;
    }
    CHECK(allowed == 18); // 20.2 of 101, three of them spent
    CHECK(budget.spend(t + 120s, 0.2, 3)); // all that is past
}

TEST_CASE("an attempt is worth another node unless its end is the client's business")
{
    CHECK(worth_another_node(Result::refused, 0));
    CHECK(worth_another_node(Result::failed, 503));
    CHECK(worth_another_node(Result::model_missing, 404));
    CHECK_FALSE(worth_another_node(Result::served, 400));
    CHECK_FALSE(worth_another_node(Result::cancelled, 499));
    CHECK_FALSE(worth_another_node(Result::failed, 413));
    CHECK_FALSE(worth_another_node(Result::failed, 501));
}

TEST_CASE("a label matches whole and in any case")
{
    NodeRecord node;
    node.labels = normalized_labels({"EU", " neutral "}, {"eu"});
    CHECK(node.labels.size() == 2);
    CHECK(node.carries({"eu"}));
    CHECK(node.carries({"eu", "neutral"}));
    CHECK_FALSE(node.carries({"neutr"}));
    NodeRecord other;
    other.labels = normalized_labels({"neutral"}, {});
    CHECK_FALSE(other.carries({"eu"}));
}
