#pragma once
// A decision in few bytes, as the store keeps it with a record. Made for every request, read for few: so it is no
// text. Pure.
#include "fleet/decision.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace herd::app {

/// At most `candidates_max` of them, the chosen and the cheapest first.
[[nodiscard]] std::string pack_decision(const fleet::Decision& decision, std::size_t candidates_max = 64);
/// Nothing: not one of ours, or of a herd that packed otherwise. Figures that are no numbers are 0.
[[nodiscard]] std::optional<fleet::Decision> unpack_decision(std::string_view bytes);

} // namespace herd::app
