#include "base/units.hpp"

#include "base/text.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace herd::base {

namespace {

/// Splits "1.5h" into 1.5 and "h"; nothing when the number is missing, negative or not finite.
std::optional<std::pair<double, std::string_view>> split_number(std::string_view text)
{
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || !std::isfinite(value) || value < 0 || text.front() == '-') {
        return std::nullopt;
    }
    return std::pair{value, trim(text.substr(static_cast<std::size_t>(end - text.data())))};
}

} // namespace

std::optional<Duration> parse_duration(std::string_view text)
{
    constexpr std::array<std::pair<std::string_view, double>, 7> units{{{"ns", 1},
                                                                        {"us", 1e3},
                                                                        {"ms", 1e6},
                                                                        {"s", 1e9},
                                                                        {"m", 60e9},
                                                                        {"h", 3600e9},
                                                                        {"d", 86400e9}}};
    text = trim(text);
    if (text == "0") {
        return Duration{0};
    }
    if (text.empty()) {
        return std::nullopt;
    }
    double total = 0;
    while (!text.empty()) { // "1m30s" is a sum
        const auto digits = text.find_first_not_of("0123456789.");
        if (digits == std::string_view::npos || digits == 0) {
            return std::nullopt;
        }
        const auto unit_end = std::min(text.find_first_of("0123456789.", digits), text.size());
        const auto number = split_number(text.substr(0, digits));
        const auto unit = text.substr(digits, unit_end - digits);
        bool known = false;
        for (const auto& [name, scale] : units) {
            if (number && number->second.empty() && name == unit) {
                total += number->first * scale;
                known = true;
            }
        }
        if (!known || total > 9e18) {
            return std::nullopt;
        }
        text.remove_prefix(unit_end);
    }
    return Duration{static_cast<std::int64_t>(std::llround(total))};
}

std::optional<Bytes> parse_bytes(std::string_view text)
{
    const auto parts = split_number(trim(text));
    if (!parts) {
        return std::nullopt;
    }
    constexpr std::array<std::pair<std::string_view, double>, 10> units{{{"", 1},
                                                                         {"b", 1},
                                                                         {"kb", 1e3},
                                                                         {"mb", 1e6},
                                                                         {"gb", 1e9},
                                                                         {"tb", 1e12},
                                                                         {"kib", 0x1p10},
                                                                         {"mib", 0x1p20},
                                                                         {"gib", 0x1p30},
                                                                         {"tib", 0x1p40}}};
    for (const auto& [name, scale] : units) {
        if (iequals(name, parts->second) && parts->first * scale < 0x1p63) {
            return static_cast<Bytes>(std::llround(parts->first * scale));
        }
    }
    return std::nullopt;
}

std::string format_duration(Duration value)
{
    const auto ns = value.count();
    if (ns % 1'000'000 != 0) {
        return fmt::format("{}{}", ns % 1000 == 0 ? ns / 1000 : ns, ns % 1000 == 0 ? "us" : "ns");
    }
    const auto ms = ns / 1'000'000;
    if (ms % 1000 != 0) {
        return fmt::format("{}ms", ms);
    }
    const auto s = ms / 1000;
    if (s < 60 || s % 60 != 0) {
        return s < 120 ? fmt::format("{}s", s) : fmt::format("{}m{}s", s / 60, s % 60);
    }
    return s % 3600 == 0 ? fmt::format("{}h", s / 3600) : fmt::format("{}m", s / 60);
}

std::string format_bytes(Bytes value)
{
    constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
    auto number = static_cast<double>(value);
    std::size_t unit = 0;
    while (number >= 1024 && unit + 1 < units.size()) {
        number /= 1024;
        ++unit;
    }
    return number == std::floor(number) ? fmt::format("{:.0f} {}", number, units[unit])
                                        : fmt::format("{:.1f} {}", number, units[unit]);
}

} // namespace herd::base
