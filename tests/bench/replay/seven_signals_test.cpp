// The opponent is tested too: a baseline that scores otherwise than the system it stands for proves nothing. The
// vectors are parity.md 2.7's.
#include "seven_signals.hpp"

#include "support/catch.hpp"

#include <string>

using namespace herd::replay;

namespace {

constexpr double median = 546;
const SignalFacts a{.bandwidth = 819, .median_bandwidth = median, .ram = 192, .available = 100, .size = 40, .loaded = true, .context = 32768, .tokens = 1000};
const SignalFacts b{.bandwidth = 273, .median_bandwidth = median, .ram = 48, .available = 40, .size = 40, .tokens = 1000};
const SignalFacts c{.median_bandwidth = median, .ram = 64, .available = 50, .size = 40, .unloaded_for = 600, .tokens = 1000};

void check(const SignalFacts& facts, const SevenSignals& expected, double sum)
{
    const auto got = seven_signals(facts);
    for (std::size_t i = 0; i < got.size(); ++i) {
        CAPTURE(i);
        CHECK(got[i] == Approx(expected[i]).margin(0.001));
    }
    CHECK(total(got) == Approx(sum).margin(0.001));
}

SignalFacts with(SignalFacts facts, double depth, std::optional<double> p75, double tokens = 1000)
{
    facts.depth = depth;
    facts.p75 = p75;
    facts.tokens = tokens;
    return facts;
}

/// qwen3:8b, 5 GiB, on disk.
SignalFacts small(SignalFacts facts)
{
    facts.size = 5;
    facts.loaded = false;
    facts.context = 0;
    return facts;
}

} // namespace

TEST_CASE("the seven signals of a 70b model on three nodes")
{
    check(a, {50, 20, 0, 0, 25, 0, 15}, 110);
    check(b, {10, 3, 0, 0, 11.825, 0, 0}, 24.825);
    check(c, {30, 8, 0, 0, 5, 0, 0}, 43);
    check(with(a, 4, 20), {50, 20, -16, -8, 25, 0, 15}, 86);
    check(with(a, 4, {}), {50, 20, -16, -0.163, 25, 0, 15}, 93.837);
    check(with(a, 10, 60), {50, 20, -30, -25, 25, 0, 15}, 55);
    check(with(c, 2, {}), {30, 8, -12, -8, 5, 0, 0}, 23);
    check(with(a, 0, {}, 40000), {50, 20, 0, 0, 25, 0, -15}, 80);
}

TEST_CASE("the seven signals send a small model to the small node, and leave a cold copy idle")
{
    check(small(a), {10, 20, 0, 0, 3, 0, 0}, 33);
    check(small(b), {10, 20, 0, 0, 10.905, 0, 0}, 40.905);
    const SignalFacts cold{.ram = 64, .available = 50, .size = 5, .tokens = 1000};
    auto hot = cold;
    hot.loaded = true;
    hot.context = 32768;
    check(with(hot, 20, 60), {50, 20, -30, -25, 8, 0, 15}, 38);
    check(cold, {10, 20, 0, 0, 8, 0, 0}, 38);
}

TEST_CASE("sizes are guessed from names as Ollama Herd guesses them, wrong ones included")
{
    for (const auto* name : {"gpt-oss:120b", "qwen3-coder:480b", "qwen2.5:72b", "qwen3-coder:30b", "gpt-oss:20b", "gemma3:12b", "qwen2.5:1.5b", "qwen3:0.6b"}) {
        CAPTURE(name);
        CHECK(size_by_name(name) == 10);
    }
    for (const auto* name : {"qwen3:235b-a22b", "mixtral:8x22b"}) {
        CHECK(size_by_name(name) == 14);
    }
    for (const auto* name : {"gemma3:27b", "qwen3:1.7b"}) {
        CHECK(size_by_name(name) == 5);
    }
    for (const auto* name : {"llama2:13b", "mistral-small:24b", "yi:34b", "qwen3:30b-a3b"}) {
        CAPTURE(name);
        CHECK(size_by_name(name) == 2.5);
    }
}
