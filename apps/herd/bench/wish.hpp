#pragma once
// What a benchmark is to measure, as somebody asked for it. Pure.
// Source: reference/parity.md 2.13; for people docs/BENCHMARKS.md.
#include "base/error.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app::bench {

/// What a model is asked for. The names are those of the API.
enum class Type : std::uint8_t { llm, vision, embed, image };
[[nodiscard]] std::string_view to_string(Type type);

enum class Mode : std::uint8_t {
    usual, ///< "default": what is in memory now; of a kind of which nothing is, one model from a disk
    smart, ///< and what else has room in memory beside it
};
[[nodiscard]] std::string_view to_string(Mode mode);

struct Wish {
    Mode mode{Mode::usual};
    std::chrono::seconds duration{300};
    std::vector<Type> types{Type::llm, Type::vision, Type::embed, Type::image};
    std::vector<std::string> models{}; ///< these and no others; none: as the mode says
    bool allow_pull{false};            ///< those of `models` that no node has are pulled first
};

/// The body of a start; nothing at all is a wish too. Errors: malformed, one sentence.
[[nodiscard]] base::Result<Wish> parse_wish(std::string_view body);

} // namespace herd::app::bench
