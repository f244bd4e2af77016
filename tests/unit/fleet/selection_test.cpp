#include "support/catch.hpp"

#include "fleet/memory_fit.hpp"
#include "fleet/retry_budget.hpp"
#include "fleet/selection.hpp"

#include <array>

using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

NodeRecord& named(NodeRecord& node, int in_flight, herd::base::Bytes memory)
{
    node.in_flight = in_flight;
    node.host = HostLoad{};
    node.host->memory_available = memory;
    return node;
}

Candidate candidate(NodeRecord& node, bool loaded)
{
    Candidate out;
    out.node = &node;
    out.loaded = loaded;
    return out;
}

} // namespace

TEST_CASE("who needs no slot goes to a node that has it loaded, then to the least busy, then to most memory")
{
    herd::base::Rng rng{1};
    std::array<NodeRecord, 3> nodes;
    named(nodes[0], 0, 100);
    named(nodes[1], 3, 100);
    named(nodes[2], 0, 200);
    std::vector list{candidate(nodes[0], false), candidate(nodes[1], true), candidate(nodes[2], false)};
    CHECK(choose_any(list, rng) == 1U);
    list[1].exclusion = Exclusion::tried;
    CHECK(choose_any(list, rng) == 2U);
    nodes[2].in_flight = 1;
    CHECK(choose_any(list, rng) == 0U);
    list[0].exclusion = list[2].exclusion = Exclusion::draining;
    CHECK_FALSE(choose_any(list, rng));
    CHECK_FALSE(choose_any({}, rng));
}

TEST_CASE("equals share the load")
{
    herd::base::Rng rng{5};
    std::array<NodeRecord, 4> nodes;
    std::vector<Candidate> equals;
    for (auto& node : nodes) {
        equals.push_back(candidate(named(node, 0, 1), true));
    }
    std::array<int, 4> counts{};
    for (int i = 0; i < 4000; ++i) {
        ++counts[*choose_any(equals, rng)];
    }
    for (const int count : counts) {
        CHECK(count > 850);
        CHECK(count < 1150);
    }
}

TEST_CASE("a context size is rounded up to the next bucket, and left alone beyond all of them")
{
    const std::array buckets{4096, 16384};
    CHECK(bucket_of(1000, buckets) == 4096);
    CHECK(bucket_of(4096, buckets) == 4096);
    CHECK(bucket_of(5000, buckets) == 16384);
    CHECK(bucket_of(20000, buckets) == 20000);
    CHECK(bucket_of(0, buckets) == 0);
    CHECK(bucket_of(1000, {}) == 1000);
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

TEST_CASE("a model that is loaded again with other options costs those who use it as it is")
{
    NodeRecord node;
    ModelOnNode model;
    model.listed = true;
    model.size = 4'000'000'000;
    const herd::base::Instant now{1000s};
    CHECK(fit_of(node, model, 8192, now).others_s == 0);
    model.loaded = true;
    const auto idle = fit_of(node, model, 8192, now).others_s;
    CHECK(idle > 0);
    for (int i = 0; i < 5; ++i) {
        model.used(now);
    }
    CHECK(fit_of(node, model, 8192, now).others_s > 2 * idle);
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
    const auto spends = [&budget](herd::base::Instant now) {
        const bool allowed = budget.allows(now, 0.2, 3);
        if (allowed) {
            budget.spend(now);
        }
        return allowed;
    };
    budget.note_request(t);
    CHECK(spends(t));
    CHECK(spends(t));
    CHECK(spends(t));
    CHECK_FALSE(spends(t));
    for (int i = 0; i < 100; ++i) {
        budget.note_request(t + 1s);
    }
    int allowed = 0;
    while (spends(t + 2s)) {
        ++allowed;
    }
    CHECK(allowed == 18); // 20.2 of 101, three of them spent
    CHECK(spends(t + 120s)); // all that is past
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
