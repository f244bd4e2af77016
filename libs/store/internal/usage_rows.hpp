#pragma once
// What of a row counts towards usage, and sums of whole hours as bytes. Internal to the room.
#include "store/internal/sqlite.hpp"
#include "store/usage.hpp"

#include <optional>
#include <string>

namespace herd::store::internal {

/// In the order of sample_of(); what follows them is the caller's.
inline constexpr const char* sample_columns = "at, status, termination, attempt_count, prompt_tokens, cached_tokens, output_tokens, load, ttft, total, "
                                              "tokens_per_s, fallback";
inline constexpr int sample_column_count = 12;

/// Without a name; texts are borrowed from the row.
[[nodiscard]] UsageSample sample_of(const Statement& row);

/// The column, or expression, that names what is counted.
[[nodiscard]] const char* name_column(UsageBy by);

/// A sum that is kept, lengths included. What is read has to have been written by this version: a change of the form
/// is a step of the schema that forgets the sums.
[[nodiscard]] std::string pack_cell(const UsageCell& cell);
[[nodiscard]] std::optional<UsageCell> unpack_cell(std::string_view bytes);

} // namespace herd::store::internal
