#pragma once
// What the words after `herd-node` ask for: to serve, a verb, or an answer that needs neither (help, version,
// a mistake).
#include "herd-node/options.hpp"

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace herd::node {

struct ServeOptions {
    NodeOptions options{};
    std::string effective{}; ///< settings in force as TOML, secrets masked
    std::vector<std::string>
        arguments{}; ///< for a reload: load_node_options(arguments, environment, directory)
};

/// `status` asks the agent at `url`; `doctor` checks what `options` would run with.
struct Verb {
    std::string name{};
    bool json{false};
    config::BackendUrl url{};
    NodeOptions options{};
};

/// Print `text` (to standard output when `code` is 0, else to standard error) and exit.
struct ExitNow {
    int code{0};
    std::string text{};
    std::shared_ptr<const NodeOptions> checked{}; ///< --check-config: the files they name are read by check_serve()
};

using CommandLine = std::variant<ServeOptions, Verb, ExitNow>;

/// `arguments` without the program's name. Settles --help, --version, --check-config and every mistake
/// (code 2, one sentence). Reads the configuration file when serving is asked for; changes nothing.
[[nodiscard]] CommandLine parse_command_line(const std::vector<std::string>& arguments,
                                             const config::Environment& environment,
                                             const std::string& directory);

/// The version that --version prints.
[[nodiscard]] std::string version();

} // namespace herd::node
