// What is learned from answers: speeds, lengths, caches, failures.
#include "support/catch.hpp"

#include "fleet/belief.hpp"
#include "fleet/expectations.hpp"
#include "fleet/hardware.hpp"
#include "fleet/learning.hpp"
#include "fleet/profile.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;

namespace {

PromptChain chain_of(std::initializer_list<std::uint64_t> blocks, std::uint32_t bytes = 4000)
{
    std::vector<PromptBlock> out;
    for (const auto block : blocks) {
        out.push_back({block, bytes});
    }
    return std::make_shared<const std::vector<PromptBlock>>(std::move(out));
}

bool near(double a, double b, double share) { return std::abs(a - b) <= share * std::abs(b); }

const base::Instant start{1000s};

} // namespace

TEST_CASE("rates: the first answers outweigh a wrong guess, and the slope over the context is found")
{
    Rates rates;
    const Speed guess{0.1, 0, 1, 0.15};
    for (int i = 0; i < 40; ++i) {
        const double tokens = 1000 + 500 * (i % 20);
        rates.note_prefill(0, tokens, tokens * (0.001 + 1e-7 * tokens / 2));
        rates.note_decode(200, 200 * 0.02, 0);
    }
    const auto speed = rates.speed(guess);
    CHECK(near(speed.prefill(0, 4000), 4000 * (0.001 + 1e-7 * 2000), 0.1));
    CHECK(near(speed.decode(0), 0.02, 0.05));
}

TEST_CASE("rates: a node that becomes ten times slower is known as such within a few dozen answers")
{
    Rates rates;
    for (int i = 0; i < 100; ++i) {
        rates.note_decode(200, 2, 0);
    }
    for (int i = 0; i < 60; ++i) {
        rates.note_decode(200, 20, 0);
    }
    CHECK(rates.speed({}).decode(0) > 0.08);
}

TEST_CASE("rates: what runs beside slows decoding as far as it was seen to")
{
    Rates rates;
    for (int i = 0; i < 60; ++i) {
        const double others = i % 4;
        rates.note_decode(200, 200 * (0.02 + 0.01 * others), others);
    }
    CHECK(near(rates.speed({}).decode(0), 0.02, 0.25));
    CHECK(near(rates.speed({}).decode(3), 0.05, 0.2));
}

TEST_CASE("a card in the table is faster than host memory, and less of the model on it is slower")
{
    NodeFacts fast;
    fast.gpus = {Gpu{"NVIDIA GeForce RTX 4090", "nvidia", 24 * base::gib, {}, {}, {}, {}}};
    NodeFacts slow;
    slow.host.cores = 8;
    const auto size = 5 * base::gib;
    CHECK(guess_speed(hardware_of(fast), size, 1).decode_s * 5 < guess_speed(hardware_of(slow), size, 1).decode_s);
    CHECK(guess_speed(hardware_of(fast), size, 0.5).decode_s > guess_speed(hardware_of(fast), size, 1).decode_s);
    CHECK(hardware_of(fast).kind != hardware_of(slow).kind);
}

TEST_CASE("what a driver tells of its card's memory counts more than the table, and helps where the table has no such card")
{
    Gpu card{.name = "Moore Threads MTT S80", .vram_total = 16 * base::gib};
    CHECK_FALSE(memory_bandwidth(card));
    card.memory_gb_per_s = 448;
    CHECK(memory_bandwidth(card) == 448e9);
    NodeFacts facts;
    facts.gpus = {card};
    CHECK(hardware_of(facts).bandwidth == 448e9);
    card.name = "NVIDIA GeForce RTX 4090";
    CHECK(memory_bandwidth(card) == 448e9);
    card.memory_gb_per_s.reset();
    CHECK(memory_bandwidth(card) == 1008e9);
}

TEST_CASE("answers are expected as long as they were, and what is left of a long one grows")
{
    AnswerLengths lengths;
    for (int i = 0; i < 200; ++i) {
        lengths.note(i % 10 == 0 ? 4000 : 100);
    }
    CHECK(near(lengths.mean(0), 490, 0.3));
    CHECK(lengths.mean(50) <= 50);
    CHECK(lengths.remaining(500, 0) > 2000);
    CHECK(lengths.quantile(0.5) < 200);
}

TEST_CASE("lengths are learned per model and tag, bytes per token per model")
{
    Expectations expect;
    for (int i = 0; i < 50; ++i) {
        expect.note_answer("m", "code", 20);
        expect.note_answer("m", "chat", 800);
        expect.note_prompt("m", 8000, 0, 4012);
    }
    CHECK(expect.answers("m", "code").mean(0) < 100);
    CHECK(expect.answers("m", "chat").mean(0) > 500);
    CHECK(near(expect.bytes_per_token("m"), 2, 0.1));
    CHECK(expect.bytes_per_token("other") > 4);
    CHECK(expect.knows("m"));
    CHECK_FALSE(expect.knows("other"));
}

TEST_CASE("belief: the longest known beginning counts, and nothing of another conversation")
{
    Belief belief;
    belief.learn(chain_of({1, 2, 3}), 0, 3000, 0.25);
    CHECK(belief.match(chain_of({1, 2, 9, 10}), 0, 4000, 0.25).tokens == 2000);
    CHECK(belief.match(chain_of({1, 2, 3, 4}), 0, 4000, 0.25).tokens == 3000);
    CHECK(belief.match(chain_of({7, 8}), 0, 2000, 0.25).tokens == 0);
    belief.clear();
    CHECK(belief.match(chain_of({1, 2, 3}), 0, 3000, 0.25).tokens == 0);
}

TEST_CASE("belief: what is older than the cache is doubted; a measured miss makes the cache smaller")
{
    Belief belief;
    belief.set_capacity(10'000);
    belief.learn(chain_of({1}), 0, 1000, 0.25);
    for (std::uint64_t i = 100; i < 108; ++i) {
        belief.learn(chain_of({i}), 0, 1000, 0.25);
    }
    const auto young = belief.match(chain_of({1}), 0, 1000, 0.25);
    CHECK(young.tokens == 1000);
    belief.correct(young, 0, 1000);
    CHECK(belief.capacity() < 10'000);
    CHECK(belief.match(chain_of({107}), 0, 1000, 0.25).tokens == 1000);
}

TEST_CASE("belief: a measured hit on something older than the cache makes it larger")
{
    Belief belief;
    belief.set_capacity(4000);
    belief.learn(chain_of({1}), 0, 1000, 0.25);
    for (std::uint64_t i = 100; i < 110; ++i) {
        belief.learn(chain_of({i}), 0, 1000, 0.25);
    }
    const auto old = belief.match(chain_of({1}), 0, 1000, 0.25);
    CHECK(old.tokens < old.known);
    belief.correct(old, 950, 1000);
    CHECK(belief.capacity() >= 10'000);
    CHECK(belief.match(chain_of({1}), 0, 1000, 0.25).tokens == 1000);
}

TEST_CASE("belief: a session is a hint where the prompt tells nothing")
{
    Belief belief;
    belief.learn(nullptr, 77, 5000, 0.25);
    const auto guess = belief.match(nullptr, 77, 6000, 0.25);
    CHECK(guess.by_session);
    CHECK(guess.tokens > 3000);
    CHECK(guess.tokens < 5000);
    CHECK(belief.match(nullptr, 78, 6000, 0.25).tokens == 0);
}

TEST_CASE("belief: its size is bounded whatever comes")
{
    Belief belief;
    std::uint64_t next = 1;
    for (int i = 0; i < 3000; ++i) {
        belief.learn(chain_of({next, next + 1, next + 2, next + 3}), next, 1000, 0.25);
        next += 4;
    }
    CHECK(belief.match(chain_of({next - 4}), 0, 1000, 0.25).tokens > 0);
    CHECK(belief.match(chain_of({1}), 0, 1000, 0.25).tokens == 0);
}

TEST_CASE("risk: failures in a row hold back, longer each time, and one success forgives")
{
    Risk risk;
    risk.failed(start, false);
    risk.failed(start, false);
    CHECK_FALSE(risk.held_back(start));
    risk.failed(start, false);
    CHECK(risk.held_back(start));
    CHECK(risk.chance(start) > 0.5);
    const auto again = start + Risk::hold_first;
    CHECK_FALSE(risk.held_back(again));
    risk.trying();
    CHECK(risk.held_back(again)); // half open: one at a time
    risk.failed(again, false);
    CHECK(risk.held_back(again + Risk::hold_first));
    risk.succeeded(again + 20s);
    CHECK_FALSE(risk.held_back(again + 20s));
    CHECK(risk.chance(again + 3600s) < 0.05);
}

TEST_CASE("risk: one failed load is enough")
{
    Risk risk;
    risk.failed(start, true);
    CHECK(risk.held_back(start + 29s));
    CHECK_FALSE(risk.held_back(start + 31s));
}

TEST_CASE("cached tokens are what the time of the prompt leaves over")
{
    Timings timings;
    timings.prompt_tokens = 10'000;
    timings.prompt_eval = 1s;
    CHECK(estimate_cached_tokens(timings, 2000) == 8000);
    CHECK(estimate_cached_tokens(timings, 9500) == 0); // within what such a prediction is worth
    CHECK(estimate_cached_tokens(timings, 0) == 0);
    CHECK(estimate_cached_tokens({}, 2000) == 0);
}

TEST_CASE("the rate of loads follows the last few")
{
    LoadRate rate;
    CHECK(rate.bytes_per_second() == 0);
    rate.note(1e9, 0.1); // a resident model
    CHECK(rate.bytes_per_second() == 0);
    for (int i = 0; i < 10; ++i) {
        rate.note(4e9, 2);
    }
    CHECK(near(rate.bytes_per_second(), 2e9, 0.01));
}
