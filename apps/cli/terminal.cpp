#include "cli/terminal.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::cli {

namespace {

/// Columns of UTF-8 text, counting one for each code point.
std::size_t columns(std::string_view text)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string_view code(Colour colour)
{
    switch (colour) {
    case Colour::green: return "32";
    case Colour::yellow: return "33";
    case Colour::red: return "31";
    case Colour::dim: return "2";
    case Colour::bold: return "1";
    case Colour::none: break;
    }
    return "";
}

} // namespace

std::string Terminal::paint(Colour colour, std::string_view text) const
{
    return !colours || colour == Colour::none ? std::string{text}
                                              : fmt::format("\x1b[{}m{}\x1b[0m", code(colour), text);
}

bool colours_wanted(std::string_view no_color, std::string_view term)
{
    return no_color.empty() && term != "dumb" && ::isatty(STDOUT_FILENO) == 1;
}

std::string clean(std::string_view text, std::size_t columns_max)
{
    std::string out;
    std::size_t width = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
        if (c1) { // U+0080..U+009F: some terminals obey them
            ++i;
        }
        const bool begins = (byte & 0xC0) != 0x80;
        if (begins && ++width > columns_max) {
            return out + "…";
        }
        out += byte < 0x20 || byte == 0x7F || c1 ? '?' : text[i];
    }
    return out;
}

void TextTable::print(const Terminal& terminal) const
{
    std::vector<std::size_t> widths(heads_.size(), 0);
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < widths.size() && i < row.size(); ++i) {
            widths[i] = std::max(widths[i], columns(row[i].text));
        }
    }
    const auto line = [&](auto&& cell_of, bool head) {
        std::string out;
        std::size_t pending = 0; // spaces owed before the next text, so that lines do not end in blanks
        for (std::size_t i = 0; i < widths.size(); ++i) {
            if (widths[i] == 0) {
                continue;
            }
            const Cell cell = cell_of(i);
            const std::size_t width = std::max(widths[i], columns(heads_[i]));
            if (!cell.text.empty()) {
                out +=
                    std::string(pending, ' ') + terminal.paint(head ? Colour::bold : cell.colour, cell.text);
                pending = 0;
            }
            pending += width - columns(cell.text) + 2;
        }
        terminal.out << out << '\n';
    };
    line([&](std::size_t i) { return Cell{heads_[i]}; }, true);
    for (const auto& row : rows_) {
        line([&](std::size_t i) { return i < row.size() ? row[i] : Cell{}; }, false);
    }
}

std::string plural(std::uint64_t count, std::string_view one, std::string_view many)
{
    return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string human_span(double seconds)
{
    const auto total = static_cast<std::uint64_t>(std::max(0.0, seconds));
    if (total < 60) {
        return seconds < 10 && std::floor(seconds) != seconds
            ? fmt::format("{:.1f} s", std::max(0.0, seconds))
            : fmt::format("{} s", total);
    }
    constexpr std::array<std::pair<std::uint64_t, std::string_view>, 3> units{
        {{86400, "d"}, {3600, "h"}, {60, "min"}}};
    for (std::size_t i = 0; i < units.size(); ++i) {
        const auto [size, name] = units[i];
        if (total < size) {
            continue;
        }
        const std::uint64_t rest = i + 1 < units.size() ? total % size / units[i + 1].first : 0;
        return rest == 0 ? fmt::format("{} {}", total / size, name)
                         : fmt::format("{} {} {} {}", total / size, name, rest, units[i + 1].second);
    }
    return {};
}

std::string human_bytes(double bytes)
{
    constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < units.size()) {
        bytes /= 1024;
        ++unit;
    }
    return unit < 2 || bytes >= 100 ? fmt::format("{:.0f} {}", bytes, units[unit])
                                    : fmt::format("{:.1f} {}", bytes, units[unit]);
}

} // namespace herd::cli
