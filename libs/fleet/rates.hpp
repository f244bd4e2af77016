#pragma once
// How fast a node is with a model: seconds per prompt token depending on the context before it, seconds per
// output token depending on how many others run there. Learned from every answer by two decayed regressions
// that start from a guess and let go of it as evidence comes. Source: scheduling.md 1.
#include "base/time.hpp"

namespace herd::fleet {

/// y = a + b·x by weighted least squares over observations that fade, b pulled towards a guess.
class Line {
public:
    /// `fade`: what is left of the old evidence at each observation of weight 1.
    void observe(double x, double y, double weight, double fade);
    /// Forgets, and starts from this line with so much weight (evidence at x = 0 and x = x_scale).
    void start(double a, double b, double weight, double x_scale);
    struct Fit {
        double a{0};
        double b{0};
    };
    /// `b_guess` counts as much as `ridge` observations with the spread `x_scale`. b is never below 0.
    [[nodiscard]] Fit fit(double b_guess, double ridge, double x_scale) const;
    [[nodiscard]] double weight() const { return w_; }

private:
    double w_{0};
    double wx_{0};
    double wxx_{0};
    double wy_{0};
    double wxy_{0};
};

/// What is assumed of a pair of node and model. Seconds per token.
struct Speed {
    double prefill_s{0};       ///< at an empty context
    double prefill_slope_s{0}; ///< for each token of context
    double decode_s{0};        ///< alone
    double decode_slope_s{0};  ///< for each other request that runs there

    /// Of `tokens` that stand behind `cached` others.
    [[nodiscard]] double prefill(double cached, double tokens) const;
    /// Of one token with `others` running beside.
    [[nodiscard]] double decode(double others) const { return decode_s + decode_slope_s * others; }
};

/// Learned for one digest on one node; starts without any evidence.
class Rates {
public:
    /// `tokens` were evaluated behind `cached` ones in `took` seconds. Short prompts weigh little.
    void note_prefill(double cached, double tokens, double took_s, double trust = 1);
    void note_decode(double tokens, double took_s, double others, double trust = 1);
    /// From a restart: as if seen before.
    void restore(const Speed& speed, double weight);
    /// The evidence, filled up with `guess` where there is none.
    [[nodiscard]] Speed speed(const Speed& guess) const;
    [[nodiscard]] double prefill_weight() const { return prefill_.weight(); }
    [[nodiscard]] double decode_weight() const { return decode_.weight(); }

private:
    Line prefill_{};
    Line decode_{};
};

} // namespace herd::fleet
