#include "fleet/rates.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr double fade = 0.97;           ///< about 33 answers count
constexpr double context_scale = 8192;  ///< tokens: the spread of contexts that tells something about the slope
constexpr double others_scale = 1;
constexpr double prompt_full = 512;     ///< tokens: a prompt that is worth a whole observation
constexpr double answer_full = 32;
constexpr double fastest_s = 1e-6;      ///< a million tokens per second: nobody is faster
constexpr double slowest_s = 100;
constexpr double slope_share = 0.15;    ///< of the time of a token, for each other request: a first guess

/// A guess may be wrong by a factor of a hundred: one whole answer outweighs it, ten make it vanish.
double trust_in(const Line& line) { return line.weight() * line.weight() / (line.weight() * line.weight() + 0.1); }

} // namespace

void Line::observe(double x, double y, double weight, double fade_to)
{
    const double keep = std::pow(fade_to, weight);
    w_ = w_ * keep + weight;
    wx_ = wx_ * keep + weight * x;
    wxx_ = wxx_ * keep + weight * x * x;
    wy_ = wy_ * keep + weight * y;
    wxy_ = wxy_ * keep + weight * x * y;
}

void Line::start(double a, double b, double weight, double x_scale)
{
    *this = {};
    observe(0, a, weight / 2, 1);
    observe(x_scale, a + b * x_scale, weight / 2, 1);
}

Line::Fit Line::fit(double b_guess, double ridge, double x_scale) const
{
    if (w_ <= 0) {
        return {};
    }
    const double mean_x = wx_ / w_;
    const double mean_y = wy_ / w_;
    const double spread = std::max(0.0, wxx_ - w_ * mean_x * mean_x);
    const double both = wxy_ - w_ * mean_x * mean_y;
    const double pull = ridge * x_scale * x_scale;
    const double b = std::max(0.0, (both + b_guess * pull) / (spread + pull));
    const double a = mean_y - b * mean_x;
    if (a >= 0.05 * mean_y) {
        return {a, b};
    }
    // The line would cross zero: keep it through what was seen, with what the slope may be at most.
    return {0.05 * mean_y, mean_x > 0 ? 0.95 * mean_y / mean_x : 0.0};
}

double Speed::prefill(double cached, double tokens) const
{
    return tokens <= 0 ? 0 : tokens * (prefill_s + prefill_slope_s * (cached + tokens / 2));
}

void Rates::note_prefill(double cached, double tokens, double took_s, double trust)
{
    if (tokens < 16 || took_s <= 0) {
        return;
    }
    const double each = std::clamp(took_s / tokens, fastest_s, slowest_s);
    prefill_.observe(cached + tokens / 2, each, trust * std::min(1.0, tokens / prompt_full), fade);
}

void Rates::note_decode(double tokens, double took_s, double others, double trust)
{
    if (tokens < 2 || took_s <= 0) {
        return;
    }
    const double each = std::clamp(took_s / tokens, fastest_s, slowest_s);
    decode_.observe(others, each, trust * std::min(1.0, tokens / answer_full), fade);
}

void Rates::restore(const Speed& speed, double weight)
{
    const double w = std::clamp(weight, 0.0, 10.0); // new evidence soon counts more
    if (speed.prefill_s > 0) {
        prefill_.start(speed.prefill_s, speed.prefill_slope_s, w, context_scale);
    }
    if (speed.decode_s > 0) {
        decode_.start(speed.decode_s, speed.decode_slope_s, w, others_scale);
    }
}

Speed Rates::speed(const Speed& guess) const
{
    Speed out = guess;
    if (prefill_.weight() > 0) {
        const auto fit = prefill_.fit(0, 1, context_scale);
        const double trust = guess.prefill_s > 0 ? trust_in(prefill_) : 1;
        out.prefill_s = trust * fit.a + (1 - trust) * guess.prefill_s;
        out.prefill_slope_s = trust * fit.b + (1 - trust) * guess.prefill_slope_s;
    }
    if (decode_.weight() > 0) {
        const double slope = slope_share * (guess.decode_s > 0 ? guess.decode_s : 0);
        const auto rough = decode_.fit(slope, 2, others_scale);
        const auto fit = decode_.fit(slope_share * rough.a, 2, others_scale);
        const double trust = guess.decode_s > 0 ? trust_in(decode_) : 1;
        out.decode_s = trust * fit.a + (1 - trust) * guess.decode_s;
        out.decode_slope_s = trust * fit.b + (1 - trust) * guess.decode_slope_s;
    }
    return out;
}

} // namespace herd::fleet
