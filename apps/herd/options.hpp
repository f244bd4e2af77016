#pragma once
// What a person can set on `herd`, as plain values. The one option table (option_rows.hpp) says how each is
// written on the command line, in the environment and in herd.toml; docs/config.md comes from it too.
#include "base/dates.hpp"
#include "base/ip.hpp"
#include "base/log.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "config/load.hpp"
#include "config/places.hpp"
#include "herd/policy/policy_rows.hpp"
#include "proxy/aliases.hpp"
#include "proxy/model_rules.hpp"
#include "proxy/proxy.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace herd::app {

/// Who may join by announcing itself (lana.md 5).
enum class JoinMode : std::uint8_t { open, approve, key };

/// From where herd may be changed without a key, while no keys are on.
enum class AdminFrom : std::uint8_t { loopback, anywhere };

/// Which family of paths a named node serves.
enum class NodeDialect : std::uint8_t { ollama, openai };
enum class NodeKind : std::uint8_t { plain, cloud };

/// A node that a person named: `--node URL`, [[node]] or POST /herd/v1/nodes; or, without `url`, what is set for a node
/// that announces itself under that name or id.
struct ConfiguredNode {
    std::string id{};   ///< of one that announces itself
    std::string name{}; ///< empty: taken from the URL
    std::string url{};  ///< may be empty; "http://host:port[/path]", the port always written
    NodeKind kind{NodeKind::plain};
    NodeDialect api{NodeDialect::ollama};
    std::vector<std::string> labels{};
    std::uint32_t slots{0}; ///< 0: not known, herd finds out
    double weight{1};
    std::string bearer{};      ///< secret; of the three at most one is set
    std::string bearer_env{};  ///< name of a variable
    std::string bearer_file{}; ///< absolute
    std::vector<std::string> headers{}; ///< "name=value", secret
    std::vector<std::string> query{};   ///< "name=value", secret
    std::string health_path{};          ///< empty: what the dialect has
    bool health_head{false};            ///< asked with HEAD
    std::uint32_t down_after{4};        ///< failures in a row; the first one already puts it behind the others
    std::uint32_t up_after{1};          ///< answers in a row, once it was away
    std::string proxy{};                ///< "http://…" or "socks5://…", a secret when it has a password; empty: straight there
    bool tls_verify{true};
    std::string tls_ca_file{}; ///< absolute
    std::string tls_pin{};     ///< 64 hexadecimal digits
    ConfiguredSettings settings{};
    bool of_file{false}; ///< it stands in herd.toml
    bool operator==(const ConfiguredNode&) const = default;
};

/// [[required]]: a model that is to be on some nodes, or on all.
struct RequiredModel {
    std::string model{};
    std::uint32_t replicas{0}; ///< 0: on all
    std::vector<std::string> nodes{};
    std::vector<std::string> labels{};
};

struct HerdOptions {
    std::vector<base::Endpoint> listen{{base::IpAddress{}, 11435}};
    std::string state_dir{};  ///< absolute; not made yet
    std::uint32_t threads{0}; ///< relay loops; 0: one per core
    std::string cluster{};    ///< fleet name; empty: the default fleet
    std::vector<ConfiguredNode> nodes{};
    std::vector<ConfiguredFrontend> frontends{};
    std::vector<RequiredModel> required{};
    std::vector<ConfiguredPin> pins{};
    proxy::AliasConfig aliases{};

    struct Discovery {
        bool enabled{true};
        std::uint16_t port{11436};
        JoinMode join{JoinMode::open};
        std::string fleet_key_file{}; ///< absolute
        std::string fleet_key{};      ///< secret: the text of such a file
        std::vector<std::string> interfaces{};
        std::vector<std::string> exclude_interfaces{};
        bool allow_nat{false};
    } discovery{};

    struct Scheduler {
        std::uint32_t queue_per_model{256};
        base::Duration queue_timeout{std::chrono::seconds{300}};
        base::Duration hold_timeout{std::chrono::seconds{30}};
        base::Duration settle_time{std::chrono::seconds{5}};
        base::Duration patience{std::chrono::seconds{60}};
        std::uint32_t retries{2};
        double retry_budget{0.2}; ///< shares are 0 to 1
        std::uint32_t retry_budget_min{3};
        double wait_margin{0.2};
        double load_margin{0.2};
        std::vector<int> num_ctx_buckets{}; ///< ascending; empty: num_ctx goes through as it is
    } scheduler{};

    struct Proxy {
        base::Bytes max_body{512 * base::mib};
        base::Bytes replay_body{64 * base::mib};
        base::Bytes replay_total{base::gib};
        base::Duration connect_timeout{std::chrono::milliseconds{300}};
        base::Duration first_byte_timeout{std::chrono::seconds{600}}; ///< 0: none
        base::Duration idle_timeout{std::chrono::seconds{600}};       ///< 0: none
        base::Duration total_timeout{};                               ///< 0: none
        base::Duration early_head{std::chrono::seconds{10}};          ///< 0: never
        base::Duration client_header_timeout{std::chrono::seconds{10}};
        base::Duration client_body_timeout{std::chrono::seconds{60}};
        base::Duration client_write_timeout{std::chrono::seconds{60}};
        base::Duration keep_alive_timeout{std::chrono::seconds{120}};
        std::uint32_t max_connections{65536};
        std::uint32_t max_in_flight{65536};
        base::Duration shutdown_grace{std::chrono::seconds{30}};
    } proxy{};

    struct Limits {
        std::uint32_t nodes{4096};
        base::Bytes request_head{32 * base::kib};
        std::uint32_t idle_connections_per_node{64};
        std::uint32_t event_viewers{64};
        std::uint32_t client_in_flight{0}; ///< 0: no limit
    } limits{};

    /// [models]: requests for models, and models that are asked for.
    struct Models {
        proxy::ModelRulesConfig rules{};
        bool auto_pull{false};
        std::vector<fleet::ModelPattern> auto_pull_allow{};
        base::Duration auto_pull_timeout{std::chrono::seconds{300}};
        bool preload_popular{false};
    } models{};

    /// [access]: API keys; they themselves are in keys.db.
    struct Access {
        bool require_key{false};
        AdminFrom admin_from{AdminFrom::loopback};
        std::vector<base::IpNetwork> trusted_proxies{};
    } access{};

    std::vector<std::string> session_headers{proxy::ProxyOptions{}.session_headers}; ///< [affinity]
    proxy::CompatHeaders compat{};
    bool ollamaflow_admin{false};
    std::vector<std::string> cors_origins{};
    std::vector<std::string> cors_hosts{};

    /// [store]: the records of requests.
    struct Store {
        bool enabled{true};
        std::string path{"requests.db"}; ///< absolute, once loaded
        base::Duration retention{std::chrono::hours{24 * 30}};
        base::Bytes max_size{base::gib}; ///< 0: no limit
    } store{};

    /// [tls]: of the listeners. Off when there is neither a certificate nor `self_signed`.
    struct Tls {
        std::string cert{};      ///< absolute, like the other two
        std::string key{};
        std::string client_ca{};
        bool self_signed{false};
        bool only{false};
        [[nodiscard]] bool enabled() const { return self_signed || !cert.empty(); }
    } tls{};

    /// [ollana]: living with the program Ollana on one LAN.
    struct Ollana {
        bool clients{false};
        bool servers{false};
        std::uint32_t server_slots{1};
    } ollana{};

    log::Options log{};
    bool daemon{false};
    std::string pid_file{};    ///< absolute; a daemon always has one
    std::string config_file{}; ///< absolute; empty: none was read
    base::MaybeDates file_dates{}; ///< of all that stands in it: when it was last written
    std::string directory{};   ///< where the program was started: relative paths begin there, at a reload too
    bool check_config{false};
    bool dump_config_docs{false};
    bool dump_routes{false};
    config::Places places{};   ///< of settings; of a node's file: under the node's url + " tls.ca_file"
    /// One sentence each, for the log: mistyped variables, settings without effect.
    std::vector<std::string> warnings{};
};

/// Whether `join = "key"` without a key is an error; not for who is about to make one.
enum class KeyNeeded : std::uint8_t { yes, no };

struct LoadedHerdOptions {
    HerdOptions options{};
    config::Loaded loaded{};
    std::string effective{};      ///< what --check-config prints
    std::string effective_json{}; ///< the same as JSON
    std::vector<std::string> needs_restart{}; ///< keys whose new value waits for a restart
};
/// Reads file, environment and flags (without the program's name), and checks what only the whole can tell.
/// A reload calls it again with the same arguments, the first options' `directory`, and `running`: the options in force. What
/// a restart alone applies stays as it is there, and so does what follows from it; the new values must be good all the same.
/// Errors: bad_config, one sentence naming the flag, variable, or file and line.
[[nodiscard]] base::Result<LoadedHerdOptions> load_herd_options(const std::vector<std::string>& arguments,
                                                                const config::Environment& environment,
                                                                const std::string& directory,
                                                                KeyNeeded key = KeyNeeded::yes,
                                                                const HerdOptions* running = nullptr);

/// Where the fleet's key lies unless said otherwise.
[[nodiscard]] std::string default_fleet_key_file(const std::string& state_dir);

/// The options part of `herd --help`.
[[nodiscard]] std::string herd_options_help();
/// The half of docs/config.md that is about herd.
[[nodiscard]] std::string herd_config_reference();

} // namespace herd::app
