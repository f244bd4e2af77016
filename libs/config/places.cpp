#include "config/places.hpp"

#include <cctype>

namespace herd::config {

namespace {

bool of_a_key(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.'; }

/// Where `key` stands as a word; npos: nowhere.
std::size_t find_word(std::string_view sentence, std::string_view key)
{
    for (auto at = sentence.find(key); at != std::string_view::npos; at = sentence.find(key, at + 1)) {
        const auto end = at + key.size();
        const bool ends = end == sentence.size() || !of_a_key(sentence[end]) || sentence.substr(end) == ".";
        if (ends && (at == 0 || !of_a_key(sentence[at - 1]))) {
            return at;
        }
    }
    return std::string_view::npos;
}

} // namespace

Places places_of(const Table& table)
{
    Places places;
    for (const Option& option : table.options()) {
        if (option.origin.from == From::file || option.origin.from == From::environment) {
            places[option.row.key] = option.origin.place;
        }
    }
    return places;
}

std::string with_place(const Places& places, std::string sentence)
{
    const std::string* found = nullptr;
    std::size_t first = std::string::npos;
    for (const auto& [key, place] : places) {
        if (const auto at = find_word(sentence, key); at < first) {
            first = at;
            found = &place;
        }
    }
    return found == nullptr ? sentence : *found + ": " + sentence;
}

std::unexpected<base::Error> with_place(const Places& places, base::Error error)
{
    error.context = with_place(places, std::move(error.context));
    return std::unexpected(std::move(error));
}

} // namespace herd::config
