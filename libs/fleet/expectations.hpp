#pragma once
// What a request will be like before it runs: how many tokens its bytes are, and how long its answer gets.
// Per model, and answers per model and tag, since a chat and a code completion differ in kind.
// Source: scheduling.md 1 ("decode", "prefill").
#include "base/time.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace herd::fleet {

/// What an image is reckoned with, on average.
inline constexpr double image_tokens = 700;

/// The lengths of recent answers as a fading histogram; each step is a factor of the square root of two.
class AnswerLengths {
public:
    static constexpr std::size_t steps = 36; ///< up to about 260 000 tokens

    void note(double tokens);
    [[nodiscard]] double weight() const { return weight_; }
    /// Mean of what is still to come of an answer that has `done` tokens already and may have `limit` (0: any).
    /// Never below a few tokens: an answer that outlived all examples may go on.
    [[nodiscard]] double remaining(double done, double limit) const;
    [[nodiscard]] double mean(double limit) const { return remaining(0, limit); }
    /// The length that a share of `part` (0…1) of the answers stay below.
    [[nodiscard]] double quantile(double part) const;
    /// As many examples as `weight`, spread like these.
    void blend(const AnswerLengths& other, double weight);

private:
    std::array<float, steps> counts_{};
    double weight_{0};
};

/// Thread: the owner's. Bounded: at most `models_max` models and pairs are remembered.
class Expectations {
public:
    static constexpr std::size_t models_max = 4096;

    Expectations();
    void note_prompt(const std::string& model, double bytes, int images, double tokens);
    void note_answer(const std::string& model, std::string_view tag, double tokens);

    [[nodiscard]] double prompt_tokens(const std::string& model, double bytes, int images) const;
    [[nodiscard]] double bytes_per_token(const std::string& model) const;
    /// The lengths to count with; lives until the next note_answer().
    [[nodiscard]] const AnswerLengths& answers(const std::string& model, std::string_view tag) const;
    /// Something was learned about this model's answers.
    [[nodiscard]] bool knows(const std::string& model) const;

private:
    struct Model {
        double bytes{0};  ///< of text, fading sums
        double tokens{0};
        AnswerLengths answers{};
        std::unordered_map<std::string, AnswerLengths> by_tag{};
    };
    static constexpr std::size_t tags_max = 64;

    AnswerLengths common_{}; ///< of no model in particular: the start of each
    std::unordered_map<std::string, Model> models_{};
};

} // namespace herd::fleet
