#include "fleet/hardware.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace herd::fleet {
namespace {

struct Card {
    std::string_view name; ///< as it occurs in the driver's name, lower case; longer names first
    double bandwidth;      ///< GB/s
    double arithmetic;     ///< TFLOPS, 16 bit, dense, as inference engines reach them at best
    bool unified;
};

// From the makers' data sheets; rounded, since only their order of size matters before the first answer.
constexpr auto cards = std::to_array<Card>({
    {"h200", 4800, 800, false},       {"h100 nvl", 3900, 700, false},  {"h100", 3350, 700, false},
    {"b200", 8000, 1800, false},      {"gh200", 4000, 800, false},     {"gb10", 273, 120, true},
    {"a100", 1935, 312, false},       {"a40", 696, 150, false},        {"a30", 933, 165, false},
    {"a10", 600, 125, false},         {"l40", 864, 181, false},        {"l4", 300, 121, false},
    {"v100", 900, 112, false},        {"p40", 346, 12, false},         {"t4", 320, 65, false},
    {"rtx pro 6000", 1792, 400, false}, {"rtx 6000 ada", 960, 182, false}, {"rtx a6000", 768, 155, false},
    {"rtx a5000", 768, 111, false},   {"rtx a4000", 448, 77, false},   {"5090", 1792, 210, false},
    {"5080", 960, 112, false},        {"5070 ti", 896, 88, false},     {"5070", 672, 62, false},
    {"5060 ti", 448, 48, false},      {"5060", 448, 38, false},        {"4090", 1008, 165, false},
    {"4080", 717, 98, false},         {"4070 ti super", 672, 88, false}, {"4070 ti", 504, 80, false},
    {"4070", 504, 58, false},         {"4060 ti", 288, 44, false},     {"4060", 272, 30, false},
    {"3090", 936, 71, false},         {"3080", 760, 60, false},        {"3070", 448, 41, false},
    {"3060", 360, 25, false},         {"2080", 448, 40, false},        {"2070", 448, 30, false},
    {"2060", 336, 26, false},         {"1080", 320, 9, false},         {"1070", 256, 6.5, false},
    {"1060", 192, 4.4, false},        {"1660", 336, 10, false},        {"mi300", 5300, 1000, false},
    {"mi250", 3200, 360, false},      {"mi210", 1600, 181, false},     {"mi100", 1200, 184, false},
    {"mi50", 1024, 26, false},        {"7900 xtx", 960, 90, false},    {"7900 xt", 800, 75, false},
    {"7900", 576, 60, false},         {"7800", 624, 55, false},        {"7700", 432, 50, false},
    {"7600", 288, 33, false},         {"6900", 512, 40, false},        {"6800", 512, 32, false},
    {"6700", 384, 22, false},         {"9070", 640, 95, false},        {"strix halo", 256, 50, true},
    {"8060s", 256, 50, true},         {"m1 ultra", 800, 21, true},     {"m1 max", 400, 10.5, true},
    {"m1 pro", 200, 5.3, true},       {"m1", 68, 2.6, true},           {"m2 ultra", 800, 27, true},
    {"m2 max", 400, 13.5, true},      {"m2 pro", 200, 6.8, true},      {"m2", 100, 3.6, true},
    {"m3 ultra", 819, 28, true},      {"m3 max", 400, 14, true},       {"m3 pro", 150, 7.4, true},
    {"m3", 100, 4.1, true},           {"m4 max", 546, 18, true},       {"m4 pro", 273, 9.2, true},
    {"m4", 120, 4.6, true},           {"orin", 205, 20, true},
});

constexpr double bandwidth_reached = 0.6;
constexpr double arithmetic_reached = 0.35;
constexpr double bytes_per_weight = 0.6; ///< the usual four-bit files
constexpr double decode_rate_max = 400;  ///< tokens per second: below this the rest of the work is not seen
constexpr double prefill_rate_max = 20'000;
constexpr Bytes size_unknown = 4 * base::gib;

std::uint64_t mix(std::uint64_t hash, std::string_view text)
{
    for (const char c : text) {
        hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
    }
    return hash;
}

const Card* find_card(const std::string& name)
{
    const auto at = std::ranges::find_if(cards, [&name](const Card& card) {
        return name.find(card.name) != std::string::npos;
    });
    return at == cards.end() ? nullptr : &*at;
}

} // namespace

std::optional<double> memory_bandwidth(const Gpu& gpu)
{
    if (gpu.memory_gb_per_s && *gpu.memory_gb_per_s > 0) {
        return *gpu.memory_gb_per_s * 1e9;
    }
    const auto* card = find_card(base::lower(gpu.name));
    return card != nullptr ? std::optional(card->bandwidth * 1e9) : std::nullopt;
}

Hardware hardware_of(const NodeFacts& facts)
{
    Hardware out;
    out.kind = 0xcbf29ce484222325ULL;
    out.ram_total = facts.host.memory_total;
    const int cores = facts.host.cores;
    out.ram_bandwidth = cores >= 32 ? 150e9 : 50e9;
    out.ram_arithmetic = 0.04e12 * std::max(cores, 4) / arithmetic_reached;
    out.bandwidth = out.ram_bandwidth;
    out.arithmetic = out.ram_arithmetic;
    out.known = cores > 0 || !facts.gpus.empty();
    double bandwidth = 0;
    double arithmetic = 0;
    int count = 0;
    for (const auto& gpu : facts.gpus) {
        if (gpu.vram_total == 0) {
            continue;
        }
        const auto name = base::lower(gpu.name);
        out.kind = mix(out.kind, name);
        out.vram_total += gpu.vram_total;
        const auto* card = find_card(name);
        bandwidth += memory_bandwidth(gpu).value_or(300e9);
        arithmetic += card != nullptr ? card->arithmetic * 1e12 : 20e12;
        out.unified = out.unified || (card != nullptr && card->unified);
        ++count;
    }
    if (count > 0) {
        out.bandwidth = bandwidth / count; // layers stand on one card after the other
        out.arithmetic = arithmetic / count;
    } else {
        out.kind = mix(out.kind, "cores " + std::to_string(cores));
    }
    return out;
}

Speed guess_speed(const Hardware& hardware, Bytes size, double in_vram)
{
    const auto bytes = static_cast<double>(std::max<Bytes>(size == 0 ? size_unknown : size, base::mib));
    const double share = std::clamp(in_vram, 0.0, 1.0);
    const double operations = 2 * bytes / bytes_per_weight; // per token: multiply and add for each weight
    const auto both = [share](double fast, double slow) { return share * fast + (1 - share) * slow; };
    Speed out;
    out.decode_s = both(bytes / (hardware.bandwidth * bandwidth_reached),
                        bytes / (hardware.ram_bandwidth * bandwidth_reached));
    out.prefill_s = both(operations / (hardware.arithmetic * arithmetic_reached),
                         operations / (hardware.ram_arithmetic * arithmetic_reached));
    out.decode_s = std::max(out.decode_s, 1 / decode_rate_max);
    out.prefill_s = std::max(out.prefill_s, 1 / prefill_rate_max);
    out.decode_slope_s = 0.15 * out.decode_s;
    return out;
}

} // namespace herd::fleet
