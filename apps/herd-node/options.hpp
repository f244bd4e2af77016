#pragma once
// What a person can set on `herd-node`, as plain values. The one option table in options.cpp says how each is
// written on the command line, in the environment and in herd-node.toml; docs/config.md comes from it too.
#include "base/ip.hpp"
#include "base/log.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "config/backend_url.hpp"
#include "config/load.hpp"
#include "config/places.hpp"
#include "herd-node/media/media_options.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace herd::node {

struct NodeOptions {
    config::BackendUrl ollama{};
    std::vector<base::Endpoint> listen{{base::IpAddress{}, 11436}}; ///< agent and gateway
    std::string name{};                                             ///< empty: the host's name
    std::vector<std::string> labels{};
    bool gateway{true};
    bool tls{false}; ///< of the gateway, beside plain HTTP
    std::uint32_t slots{0};                    ///< 0: found out from Ollama
    std::optional<base::HostPort> advertise{}; ///< port 0: the agent's own
    std::vector<base::HostPort> herds{};       ///< port 0: none was written
    std::string cluster{};                     ///< fleet name; empty: the default fleet
    std::string state_dir{};                   ///< absolute; not made yet

    struct Discovery {
        bool enabled{true}; ///< false: announce to `herds` only
        bool listen{true};  ///< false: --no-listen, hear no beacons
        std::uint16_t port{11436};
        std::vector<std::string> interfaces{};
        std::vector<std::string> exclude_interfaces{};
        std::string fleet_key_file{}; ///< absolute
        std::string fleet_key{};      ///< secret: the text of such a file
    } discovery{};

    struct Gateway {
        base::Bytes max_body{0}; ///< 0: no limit, Ollama decides
        base::Duration client_header_timeout{std::chrono::seconds{10}};
        base::Duration client_body_timeout{std::chrono::seconds{60}};
        base::Duration keep_alive_timeout{std::chrono::seconds{120}};
        std::uint32_t max_connections{4096};
        base::Duration shutdown_grace{std::chrono::seconds{30}};
    } relay{};

    MediaOptions media{};
    log::Options log{};
    bool daemon{false};
    std::string pid_file{};    ///< absolute; a daemon always has one
    std::string config_file{}; ///< absolute; empty: none was read
    std::string directory{};   ///< where the program was started: relative paths begin there, at a reload too
    bool check_config{false};
    bool dump_config_docs{false};
    config::Places places{};
    std::vector<std::string> warnings{}; ///< one sentence each, for the log
};

struct LoadedNodeOptions {
    NodeOptions options{};
    config::Loaded loaded{};
    std::string effective{};      ///< what --check-config prints
    std::string effective_json{}; ///< the same as JSON
};
/// Reads file, environment ($OLLAMA_HOST too) and flags (without the program's name), and checks the whole.
/// A reload calls it again with the same arguments and the first options' `directory`.
/// Errors: bad_config, one sentence naming the flag, variable, or file and line.
[[nodiscard]] base::Result<LoadedNodeOptions> load_node_options(const std::vector<std::string>& arguments,
                                                                const config::Environment& environment,
                                                                const std::string& directory);

/// Keys that differ and need a restart.
[[nodiscard]] std::vector<std::string> restart_differences(const NodeOptions& before,
                                                           const NodeOptions& after);

/// The options part of `herd-node --help`.
[[nodiscard]] std::string node_options_help();
/// The half of docs/config.md that is about herd-node.
[[nodiscard]] std::string node_config_reference();

} // namespace herd::node
