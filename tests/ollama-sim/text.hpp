#pragma once
// What a simulated model says: the same words for the same model and prompt, every time.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace herd::sim {

/// About four characters a token, as English has.
[[nodiscard]] inline std::size_t tokens_of(std::size_t chars) { return (chars + 3) / 4; }

/// Token `index` of the answer to `prompt` by `model`: a word with its leading space (none for the first).
[[nodiscard]] std::string token(std::string_view model, std::string_view prompt, std::size_t index);
/// How long the answer would be if nothing limited it: 12 to 59 tokens.
[[nodiscard]] std::size_t natural_length(std::string_view model, std::string_view prompt);
/// 64 numbers of length 1.
[[nodiscard]] std::vector<double> embedding(std::string_view model, std::string_view text);

} // namespace herd::sim
