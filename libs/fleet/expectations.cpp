#include "fleet/expectations.hpp"

#include <algorithm>
#include <cmath>

namespace herd::fleet {
namespace {

constexpr double fade = 0.99;             ///< about a hundred answers count
constexpr double first_guess_weight = 1;  ///< of what is assumed before the first answer
constexpr double bytes_guess = 4.2;       ///< per token
constexpr double prompt_overhead = 12;    ///< tokens of the template around it
constexpr double tail_least = 8;          ///< tokens
constexpr double tag_trusted = 8;         ///< half as many examples with a tag are enough to go by them

double low_of(std::size_t step) { return std::pow(2.0, static_cast<double>(step) / 2); }
double middle_of(std::size_t step) { return std::pow(2.0, (static_cast<double>(step) + 0.5) / 2); }

const std::array<double, AnswerLengths::steps>& middles()
{
    static const auto table = [] {
        std::array<double, AnswerLengths::steps> out{};
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] = middle_of(i);
        }
        return out;
    }();
    return table;
}

std::size_t step_of(double tokens)
{
    const double step = std::floor(2 * std::log2(std::max(tokens, 1.0)));
    return static_cast<std::size_t>(std::min(step, static_cast<double>(AnswerLengths::steps - 1)));
}

} // namespace

void AnswerLengths::note(double tokens)
{
    if (tokens < 1) {
        return;
    }
    for (auto& count : counts_) {
        count *= static_cast<float>(fade);
    }
    counts_[step_of(tokens)] += 1;
    weight_ = weight_ * fade + 1;
}

double AnswerLengths::remaining(double done, double limit) const
{
    double sum = 0;
    double weight = 0;
    const auto& middle = middles();
    for (std::size_t i = 0; i < steps; ++i) {
        if (middle[i] > done && counts_[i] > 0) {
            sum += static_cast<double>(counts_[i]) * (middle[i] - done);
            weight += static_cast<double>(counts_[i]);
        }
    }
    // Few examples were ever so long: then what is left grows with what there was (as long answers do).
    constexpr double tail_weight = 0.05;
    sum += tail_weight * std::max(tail_least, done / 2);
    weight += tail_weight;
    const double left = sum / weight;
    return limit > 0 ? std::clamp(left, 1.0, std::max(1.0, limit - done)) : left;
}

double AnswerLengths::quantile(double part) const
{
    double seen = 0;
    for (std::size_t i = 0; i < steps; ++i) {
        seen += static_cast<double>(counts_[i]);
        if (seen >= part * weight_ && seen > 0) {
            return middle_of(i);
        }
    }
    return low_of(steps);
}

void AnswerLengths::blend(const AnswerLengths& other, double weight)
{
    if (other.weight_ <= 0) {
        return;
    }
    const double share = weight / other.weight_;
    for (std::size_t i = 0; i < steps; ++i) {
        counts_[i] += static_cast<float>(share * static_cast<double>(other.counts_[i]));
    }
    weight_ += weight;
}

Expectations::Expectations()
{
    for (const double tokens : {24.0, 96.0, 192.0, 384.0, 768.0}) {
        common_.note(tokens); // a chat answer is some hundred tokens
    }
}

void Expectations::note_prompt(const std::string& model, double bytes, int images, double tokens)
{
    const double of_text = tokens - prompt_overhead - image_tokens * images;
    if (bytes < 256 || of_text < 32 || images > 0 || (models_.size() >= models_max && !models_.contains(model))) {
        return; // short ones tell of the template, not of the language
    }
    auto& entry = models_[model];
    entry.bytes = entry.bytes * fade + bytes;
    entry.tokens = entry.tokens * fade + of_text;
}

void Expectations::note_answer(const std::string& model, std::string_view tag, double tokens)
{
    if (tokens < 1 || (models_.size() >= models_max && !models_.contains(model))) {
        return;
    }
    auto& entry = models_[model];
    if (entry.answers.weight() <= 0) {
        entry.answers.blend(common_, first_guess_weight);
    }
    entry.answers.note(tokens);
    common_.note(tokens);
    if (tag.empty()) {
        return;
    }
    const auto known = entry.by_tag.find(std::string(tag));
    if (known != entry.by_tag.end()) {
        known->second.note(tokens);
    } else if (entry.by_tag.size() < tags_max) {
        auto& fresh = entry.by_tag[std::string(tag)];
        fresh.blend(entry.answers, first_guess_weight);
        fresh.note(tokens);
    }
}

double Expectations::bytes_per_token(const std::string& model) const
{
    constexpr double guess_tokens = 500; // the first guess counts as much as so many tokens seen
    const auto at = models_.find(model);
    return at == models_.end() ? bytes_guess
                               : std::clamp((at->second.bytes + bytes_guess * guess_tokens)
                                                / (at->second.tokens + guess_tokens), 0.25, 32.0);
}

double Expectations::prompt_tokens(const std::string& model, double bytes, int images) const
{
    return prompt_overhead + bytes / bytes_per_token(model) + image_tokens * std::max(images, 0);
}

const AnswerLengths& Expectations::answers(const std::string& model, std::string_view tag) const
{
    const auto at = models_.find(model);
    if (at == models_.end() || at->second.answers.weight() <= 0) {
        return common_;
    }
    if (!tag.empty()) {
        const auto known = at->second.by_tag.find(std::string(tag));
        if (known != at->second.by_tag.end() && known->second.weight() >= tag_trusted / 2) {
            return known->second;
        }
    }
    return at->second.answers;
}

bool Expectations::knows(const std::string& model) const
{
    const auto at = models_.find(model);
    return at != models_.end() && at->second.answers.weight() >= 3;
}

} // namespace herd::fleet
