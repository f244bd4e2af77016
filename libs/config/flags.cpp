#include "config/sources.hpp"

#include "base/text.hpp"

#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace herd::config {

namespace {

std::vector<std::string> known_flags(const Table& table)
{
    std::vector<std::string> names{"--help", "--version"};
    for (const Option& option : table.options()) {
        if (!option.row.hidden) {
            for (const auto flag : base::split_list(option.row.flags)) {
                names.emplace_back(flag);
            }
        }
    }
    return names;
}

/// CLI11 words its errors differently from version to version; ours come from the table.
std::string missing_value(const Table& table, const std::string& what)
{
    for (const Option& option : table.options()) {
        for (const auto flag : base::split_list(option.row.flags)) {
            if (what.starts_with(std::string{flag} + ":") || what.starts_with(std::string{flag} + " ")) {
                return fmt::format("{} needs a value: {}", flag,
                                   option.row.value_name.empty() ? option.expects : option.row.value_name);
            }
        }
    }
    return what;
}

/// What somebody who comes from another program should write; empty: no other has such a flag.
std::string ours_for(const Table& table, std::string_view flag)
{
    for (const Option& option : table.options()) {
        const auto theirs = base::split_list(option.row.elsewhere);
        if (std::ranges::find(theirs, flag) != theirs.end()) {
            return fmt::format(": here it is {} {}", option.long_flag(), option.row.value_name);
        }
    }
    return {};
}

Result<std::vector<std::string>> words_of(const Table& table, const std::vector<std::string>& remaining)
{
    for (const std::string& word : remaining) {
        if (word.size() > 1 && word.front() == '-' && word != "--") {
            const std::string flag = word.substr(0, word.find('='));
            std::string hint = ours_for(table, flag);
            if (hint.empty() && flag.starts_with("--")) {
                hint = suggestion(flag, known_flags(table));
            }
            return base::fail(base::Errc::bad_config, fmt::format("unknown option {}{}", flag, hint));
        }
    }
    return remaining;
}

} // namespace

Result<Arguments> parse_arguments(const Table& table, const std::vector<std::string>& arguments)
{
    CLI::App app;
    app.set_help_flag("");
    app.allow_extras();
    Arguments result;
    result.values.resize(table.options().size());
    std::vector<CLI::Option*> options(table.options().size(), nullptr);
    try {
        app.add_flag("-h,--help", result.help);
        app.add_flag("-V,--version", result.version);
        for (std::size_t i = 0; i < options.size(); ++i) {
            const Option& option = table.options()[i];
            if (option.row.flags.empty()) {
                continue;
            }
            if (option.takes_value()) {
                options[i] = app.add_option(option.row.flags, result.values[i]);
                options[i]->expected(1)->allow_extra_args(false)->multi_option_policy(
                    CLI::MultiOptionPolicy::TakeAll);
            } else {
                options[i] = app.add_flag(option.row.flags);
            }
        }
        std::vector<std::string> reversed(arguments.rbegin(), arguments.rend()); // CLI11 eats from the back
        app.parse(std::move(reversed));
    } catch (const CLI::ParseError& error) {
        return base::fail(base::Errc::bad_config, missing_value(table, error.what()));
    }
    for (std::size_t i = 0; i < options.size(); ++i) {
        const Option& option = table.options()[i];
        if (options[i] != nullptr && !option.takes_value() && options[i]->count() > 0) {
            result.values[i] = {option.row.negated ? "false" : "true"};
        }
    }
    auto words = words_of(table, app.remaining());
    if (!words) {
        return std::unexpected(words.error());
    }
    result.words = std::move(*words);
    return result;
}

Result<void> apply_arguments(Table& table, const Arguments& arguments)
{
    for (std::size_t i = 0; i < arguments.values.size(); ++i) {
        Option& option = table.options()[i];
        if (!arguments.values[i].empty()) {
            if (auto done = assign(option, arguments.values[i], {From::flag, option.long_flag()}); !done) {
                return done;
            }
        }
    }
    return {};
}

} // namespace herd::config
