#pragma once
// Text for people at a terminal: aligned tables, colours where there is a terminal, and nothing that a name
// from the network could do to it.
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace herd::cli {

enum class Colour : unsigned char { none, green, yellow, red, dim, bold };

/// Where a verb writes. Thread: one owner.
struct Terminal {
    std::ostream& out;
    std::ostream& err;
    bool colours{false};

    [[nodiscard]] std::string paint(Colour colour, std::string_view text) const;
};

/// Whether colours suit standard output: a terminal, and neither NO_COLOR nor TERM=dumb.
[[nodiscard]] bool colours_wanted(std::string_view no_color, std::string_view term);

/// `text` without control characters (escape sequences too), at most `columns_max` columns wide.
[[nodiscard]] std::string clean(std::string_view text, std::size_t columns_max = 60);

/// Columns of text, as wide as their widest cell, two spaces apart. Empty columns are left out.
class TextTable {
public:
    explicit TextTable(std::vector<std::string> heads) : heads_(std::move(heads)) {}
    struct Cell {
        std::string text{};
        Colour colour{Colour::none};
    };
    void row(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
    [[nodiscard]] bool empty() const { return rows_.empty(); }
    void print(const Terminal& terminal) const;

private:
    std::vector<std::string> heads_;
    std::vector<std::vector<Cell>> rows_;
};

[[nodiscard]] std::string plural(std::uint64_t count, std::string_view one, std::string_view many);
/// "3 d 4 h", "12 min", "45 s": two units at most.
[[nodiscard]] std::string human_span(double seconds);
/// "4.7 GiB".
[[nodiscard]] std::string human_bytes(double bytes);

} // namespace herd::cli
