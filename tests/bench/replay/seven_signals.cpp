#include "seven_signals.hpp"

#include <algorithm>
#include <cmath>

namespace herd::replay {
namespace {

double hotness(const SignalFacts& f) { return f.loaded ? 50 : f.unloaded_for < 1800 ? 30 : 10; }

double memory_fit(const SignalFacts& f)
{
    const double room = f.available / f.size;
    return f.loaded || room > 2 ? 20 : room > 1.5 ? 15 : room > 1.2 ? 8 : room >= 1 ? 3 : 0;
}

double queue_depth(const SignalFacts& f)
{
    const bool known = f.bandwidth > 0 && f.median_bandwidth > 0;
    return -std::min(30.0, 6 * (known ? f.depth / std::clamp(f.bandwidth / f.median_bandwidth, 0.25, 4.0) : f.depth));
}

double wait_time(const SignalFacts& f)
{
    const double rate = f.bandwidth > 0 ? std::max(10.0, 1.2 * f.bandwidth / std::max(1.0, f.size / 10))
                                        : std::max(1.0, 100 / std::max(1.0, f.size));
    return f.depth > 0 ? -std::min(25.0, f.depth * f.p75.value_or(100 / rate) / 10) : 0;
}

double role_affinity(const SignalFacts& f)
{
    if (f.bandwidth > 0) {
        const double b = std::min(25.0, 5 + f.bandwidth / 40);
        return f.size > 20 ? b : f.size < 8 ? std::max(3.0, 18 - 0.6 * b) : 0.6 * b;
    }
    if (f.size > 20) {
        return f.ram >= 128 ? 15 : f.ram >= 32 ? 5 : 0;
    }
    return f.size < 8 ? (f.ram <= 32 ? 15 : f.ram <= 128 ? 8 : 3) : 5;
}

double context_fit(const SignalFacts& f)
{
    if (!f.loaded || f.context <= 0 || f.tokens <= 0) {
        return 0;
    }
    const double r = f.context / f.tokens;
    return r < 1 ? -15 : r < 1.5 ? 3 : r < 3 ? 7.5 : r < 8 ? 12 : 15;
}

} // namespace

SevenSignals seven_signals(const SignalFacts& facts)
{
    return {hotness(facts), memory_fit(facts), queue_depth(facts), wait_time(facts), role_affinity(facts), 0, context_fit(facts)};
}

double size_by_name(std::string_view name)
{
    struct Part {
        std::string_view text;
        double gib;
    };
    constexpr std::array parts{Part{"671b", 370}, Part{"405b", 230}, Part{"70b", 40},  Part{"32b", 20}, Part{"8x7b", 20},
                               Part{"22b", 14},   Part{"14b", 9},    Part{"7b", 5},    Part{"8b", 5},   Part{"3b", 2.5},
                               Part{"4b", 2.5},   Part{"1b", 1},     Part{"0.5b", 1},  Part{"embed", 0.3}};
    const auto at = std::ranges::find_if(parts, [name](const Part& part) { return name.find(part.text) != name.npos; });
    return at == parts.end() ? 10 : at->gib;
}

} // namespace herd::replay
