#pragma once
// What the words after `herd` ask for: to serve, one of the verbs that talk to a running herd, or an answer
// that needs neither (help, version, a mistake).
#include "config/backend_url.hpp"
#include "config/sources.hpp"
#include "herd/options.hpp"
#include "herd/policy/managed.hpp"

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace herd::app {

struct ServeOptions {
    HerdOptions options{};
    std::string effective{};              ///< settings in force as TOML, secrets masked
    std::string effective_json{};         ///< the same for GET /herd/v1/config
    std::vector<std::string> needs_restart{}; ///< after a reload: keys whose new value waits for a restart
    Managed managed{};                    ///< changes of run time, read from the state directory
    std::vector<std::string> arguments{}; ///< for reload_serve_options()
};

/// Options of `key add`.
struct KeyWords {
    std::vector<std::string> models{};
    std::vector<std::string> frontends{};
    std::uint32_t rpm{0};
    std::uint64_t tokens_per_day{0};
    std::uint32_t max_parallel{0};
    std::string priority{};
    std::string expires{};
    bool admin{false};
    bool operator==(const KeyWords&) const = default;
};

/// A verb for a running herd; see cli/verbs.hpp.
struct Verb {
    std::string name{};               ///< "status"
    std::vector<std::string> words{}; ///< what followed it
    config::BackendUrl url{};
    std::string key{}; ///< secret
    bool json{false};
    std::string node_name{};           ///< `nodes add --name`
    std::vector<std::string> labels{}; ///< `nodes add --label`
    bool follow{false};                ///< `requests --follow`
    std::map<std::string, std::string> filters{}; ///< of `requests`: parameters of the API, empty when not given
    std::string node{};                ///< `pull`, `rm` --node: a name or id
    std::string frontend{};            ///< `use` --frontend: an id or name
    bool all{false};                   ///< `pull`, `rm` --all
    KeyWords key_words{};
    std::string acts_as{};             ///< `device allow --as`: the name of an API key
    std::string path{};                ///< `route --path`: of the request that is asked about
    std::string body_file{};           ///< `route --body`; "-": standard input
    std::map<std::string, std::string> places{}; ///< of `fleet-key` and `import`: flags that say where files are
    std::string key_file{};            ///< of `fleet-key`: absolute
    std::string state_dir{};           ///< of `fleet-key` and `import --history`: herd's
    bool history{false};               ///< `import --history`
    HerdOptions::Store store{};        ///< of `import --history`: herd's records
    bool key_file_said{false};         ///< a flag, variable or file names it, or the state directory it is in
    bool force{false};                 ///< `fleet-key`, `rm` --force
};

/// Print `text` (to standard output when `code` is 0, else to standard error) and exit.
struct ExitNow {
    int code{0};
    std::string text{};
    std::shared_ptr<const HerdOptions> checked{}; ///< --check-config: what is left to check needs the server (check_serve())
};

using CommandLine = std::variant<ServeOptions, Verb, ExitNow>;

/// `arguments` without the program's name. Settles --help, --version, --check-config and every mistake
/// (code 2, one sentence). Reads the configuration file when serving is asked for; changes nothing.
[[nodiscard]] CommandLine parse_command_line(const std::vector<std::string>& arguments,
                                             const config::Environment& environment,
                                             const std::string& directory);

/// The same again for a reload: `arguments` are those of the ServeOptions in force, `running` are its options.
/// Errors: bad_config, one sentence without the program's name.
[[nodiscard]] base::Result<ServeOptions> reload_serve_options(const std::vector<std::string>& arguments,
                                                              const config::Environment& environment,
                                                              const HerdOptions& running);

/// The version that --version prints.
[[nodiscard]] std::string version();

} // namespace herd::app
