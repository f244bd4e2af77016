#include "herd/cli/print_signals.hpp"

#include "herd/cli/answer_json.hpp"

#include <algorithm>
#include <array>

namespace herd::app {

namespace {

using namespace answer;
using cli::TextTable;

constexpr std::size_t nodes_most = 6; ///< more are in --json
constexpr std::size_t columns_most = 80;
constexpr std::size_t name_columns = 18; ///< of the longest signal's name
constexpr std::size_t cell_columns = 24;

struct Signal {
    std::string_view key;
    std::string_view name;
};
constexpr std::array<Signal, 7> all{{{"thermal", "thermal state"},
                                     {"memory_fit", "memory fit"},
                                     {"queue_depth", "queue depth"},
                                     {"wait_time", "latency history"},
                                     {"role_affinity", "role affinity"},
                                     {"availability_trend", "availability trend"},
                                     {"context_fit", "context fit"}}};

struct Column {
    std::string node{};
    std::array<std::string, all.size()> words{};
    std::size_t width{0};
};

/// What a signal says, without what the row's name says already.
std::string brief(std::string words)
{
    constexpr std::string_view loaded = "loaded with ";
    if (words.starts_with(loaded)) {
        words.erase(0, loaded.size());
    }
    if (const auto at = words.find("tokens/s"); at != std::string::npos) {
        words.replace(at, 8, "tok/s");
    }
    return cli::clean(words, cell_columns);
}

std::size_t columns_of(std::string_view text)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

Column column_of(const Json& candidate)
{
    Column column{cli::clean(text(candidate, "node"), cell_columns), {}, 0};
    column.width = columns_of(column.node);
    for (std::size_t i = 0; i < all.size(); ++i) {
        column.words[i] = brief(text(at(at(candidate, "signals"), all[i].key), "says"));
        column.width = std::max(column.width, columns_of(column.words[i]));
    }
    return column;
}

void print_block(const std::vector<Column>& block, const cli::Terminal& terminal)
{
    std::vector<std::string> heads{"SIGNAL"};
    for (const Column& column : block) {
        heads.push_back(column.node);
    }
    TextTable table(std::move(heads));
    for (std::size_t i = 0; i < all.size(); ++i) {
        std::vector<TextTable::Cell> row{{std::string(all[i].name)}};
        for (const Column& column : block) {
            row.push_back({column.words[i]});
        }
        table.row(std::move(row));
    }
    terminal.out << '\n';
    table.print(terminal);
}

} // namespace

void print_signals(const Json& candidates, const cli::Terminal& terminal)
{
    std::vector<Column> block;
    std::size_t width = name_columns;
    std::size_t nodes = 0;
    for (const Json& candidate : candidates) {
        if (nodes == nodes_most || !is_true(candidate, "eligible") || !at(candidate, "signals").is_object()) {
            continue;
        }
        auto column = column_of(candidate);
        if (!block.empty() && width + 2 + column.width > columns_most) {
            print_block(block, terminal);
            block.clear();
            width = name_columns;
        }
        width += 2 + column.width;
        ++nodes;
        block.push_back(std::move(column));
    }
    if (!block.empty()) {
        print_block(block, terminal);
    }
}

} // namespace herd::app
