#pragma once
// The three places where settings come from besides the defaults: a TOML file, the environment and the
// command line. Each reads strictly and fails with one sentence that names its place: the file and line, the
// variable, or the flag, and the nearest known name.
#include "config/table.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::config {

using Environment = std::map<std::string, std::string, std::less<>>;

/// The variables of this process.
[[nodiscard]] Environment system_environment();
/// The value, or empty when it is not set.
[[nodiscard]] std::string lookup(const Environment& environment, std::string_view name);

/// Applies a TOML document. `name` is how errors call it. Nothing is applied half: on an error the table's
/// struct is unspecified and must be thrown away.
/// Errors: bad_config: "herd.toml line 3: unknown key \"discovery.prot\" (did you mean \"discovery.port\"?)".
[[nodiscard]] Result<void> read_toml(Table& table, std::string_view document, const std::string& name);
/// As read_toml, from a file of at most 1 MiB that errors call `name`.
[[nodiscard]] Result<void> read_file(Table& table, const std::string& path, const std::string& name);

/// Applies the environment twins. Lists are comma separated. An empty variable counts as not set.
[[nodiscard]] Result<void> read_environment(Table& table, const Environment& environment);
/// Variables that begin with the prefix and look like a mistyped twin: one sentence each, to be logged.
/// `known`: further names that are fine.
[[nodiscard]] std::vector<std::string> suspicious_variables(const Table& table,
                                                            const Environment& environment,
                                                            const std::vector<std::string>& known);

/// What stood on the command line. Values are in the order of Table::options().
struct Arguments {
    std::vector<std::vector<std::string>> values{}; ///< per option; empty: not given
    std::vector<std::string> words{};               ///< what is not a flag
    bool help{false};
    bool version{false};
};

/// Splits the arguments (without the program's name). Flags may be repeated: lists collect, for others the
/// last one counts. Errors: bad_config ("unknown option --discvery-port (did you mean --discovery-port?)").
[[nodiscard]] Result<Arguments> parse_arguments(const Table& table,
                                                const std::vector<std::string>& arguments);
[[nodiscard]] Result<void> apply_arguments(Table& table, const Arguments& arguments);

/// " (did you mean \"x\"?)", or nothing when no candidate is near.
[[nodiscard]] std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

} // namespace herd::config
