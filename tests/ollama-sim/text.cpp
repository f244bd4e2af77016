#include "text.hpp"

#include "base/random.hpp"

#include <array>
#include <cmath>
#include <cstdint>

namespace herd::sim {

namespace {

constexpr std::array<std::string_view, 64> words{
    "the",    "herd",   "moves",  "across",  "open",   "grass",  "while",  "morning", "light",  "falls",  "on",
    "water",  "and",    "stone",  "each",    "one",    "knows",  "where",  "to",      "stand",  "when",   "wind",
    "turns",  "north",  "rivers", "carry",   "cold",   "snow",   "from",   "far",     "hills",  "birds",  "call",
    "over",   "quiet",  "fields", "nothing", "hurries", "there", "is",     "time",    "for",    "every",  "step",
    "a",      "path",   "grows",  "under",   "many",   "feet",   "then",   "evening", "comes",  "with",   "blue",
    "smoke",  "near",   "old",    "trees",   "until",  "stars",  "gather", "above",   "them"};

std::uint64_t hash_of(std::string_view model, std::string_view prompt)
{
    std::uint64_t hash = 0xCBF29CE484222325ULL;
    for (const std::string_view part : {model, std::string_view{"\n"}, prompt}) {
        for (const char c : part) {
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
        }
    }
    return hash;
}

} // namespace

std::string token(std::string_view model, std::string_view prompt, std::size_t index)
{
    base::Rng rng(hash_of(model, prompt) + index);
    const std::string word{words.at(rng.next() % words.size())};
    return index == 0 ? word : ' ' + word;
}

std::size_t natural_length(std::string_view model, std::string_view prompt)
{
    return 12 + (hash_of(model, prompt) >> 32) % 48;
}

std::vector<double> embedding(std::string_view model, std::string_view text)
{
    base::Rng rng(hash_of(model, text));
    std::vector<double> values(64);
    double square = 0;
    for (double& value : values) {
        value = rng.unit() * 2 - 1;
        square += value * value;
    }
    for (double& value : values) {
        value /= std::sqrt(square);
    }
    return values;
}

} // namespace herd::sim
