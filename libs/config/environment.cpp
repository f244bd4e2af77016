#include "config/sources.hpp"

#include "base/text.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::config {

Environment system_environment()
{
    Environment environment;
    for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        if (const auto equals = text.find('='); equals != std::string_view::npos) {
            environment.emplace(text.substr(0, equals), text.substr(equals + 1));
        }
    }
    return environment;
}

std::string lookup(const Environment& environment, std::string_view name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string{} : found->second;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates)
{
    const std::string best = base::nearest(word, candidates);
    return best.empty() ? std::string{} : fmt::format(" (did you mean \"{}\"?)", best);
}

Result<void> read_environment(Table& table, const Environment& environment)
{
    for (Option& option : table.options()) {
        const std::string value =
            option.environment.empty() ? std::string{} : lookup(environment, option.environment);
        if (value.empty()) {
            continue;
        }
        std::vector<std::string> texts{value};
        if (option.is_list) {
            const auto pieces = base::split_list(value);
            texts.assign(pieces.begin(), pieces.end());
        }
        if (auto done = assign(option, texts, {From::environment, option.environment}); !done) {
            return done;
        }
    }
    return {};
}

std::vector<std::string> suspicious_variables(const Table& table, const Environment& environment,
                                              const std::vector<std::string>& known)
{
    std::vector<std::string> names = known;
    for (const Option& option : table.options()) {
        if (!option.environment.empty()) {
            names.push_back(option.environment);
        }
    }
    std::vector<std::string> sentences;
    for (auto entry = environment.lower_bound(table.environment_prefix());
         entry != environment.end() && entry->first.starts_with(table.environment_prefix()); ++entry) {
        if (std::ranges::find(names, entry->first) != names.end()) {
            continue;
        }
        std::string best = base::nearest(entry->first, names);
        const std::string guess = '_' + entry->first.substr(table.environment_prefix().size());
        if (const auto whole = std::ranges::find_if(names, [&guess](const std::string& name) { return name.ends_with(guess); }); whole != names.end()) {
            best = *whole; // made from the flag: it lacks the section
        }
        if (!best.empty()) {
            sentences.push_back(fmt::format("{} is not a setting (did you mean {}?)", entry->first, best));
        }
    }
    return sentences;
}

} // namespace herd::config
