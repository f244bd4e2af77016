#pragma once
// What a benchmark asks: ten sentences of our own, in the words of the path that the model is asked by. Pure.
#include "herd/bench/plan.hpp"

#include <string>

namespace herd::app::bench {

struct Question {
    std::string path{};
    std::string body{};
};

/// Answers of models that write are at most this long, so that a request takes seconds.
inline constexpr int answer_tokens_max = 128;

/// The `number`th question to that model; they repeat.
[[nodiscard]] Question question_for(const Target& target, std::size_t number);

} // namespace herd::app::bench
