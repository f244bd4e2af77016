#include "herd/options.hpp"

#include "config/show.hpp"
#include "config/values.hpp"
#include "herd/option_rows.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <sys/stat.h>

namespace herd::app {

namespace {

using config::Table;

base::Result<void> join_nodes(HerdOptions& options, const std::vector<ConfiguredNode>& file_nodes)
{
    for (ConfiguredFrontend& frontend : options.frontends) {
        complete(frontend);
    }
    const std::vector<ConfiguredNode> flag_nodes = std::exchange(options.nodes, file_nodes);
    for (ConfiguredNode& node : options.nodes) {
        node.of_file = true;
    }
    for (const ConfiguredNode& node : flag_nodes) {
        for (const ConfiguredNode& other : options.nodes) {
            if (other.url == node.url) {
                return base::fail(base::Errc::bad_config,
                                  fmt::format("--node {}: that node is configured already", node.url));
            }
        }
        options.nodes.push_back(node);
    }
    return {};
}

struct KeyRules {
    bool join_said{false}; ///< `join` was set by a person
    KeyNeeded needed{KeyNeeded::yes};
};

/// A key in the state directory is the fleet's, and then it is asked for: that is how `herd fleet-key new` switches.
base::Result<void> find_fleet_key(HerdOptions& options, KeyRules rules)
{
    auto& discovery = options.discovery;
    discovery.fleet_key_file = config::absolute_path(discovery.fleet_key_file, options.directory);
    if (discovery.fleet_key_file.empty() && discovery.fleet_key.empty()) {
        const std::string own = default_fleet_key_file(options.state_dir);
        struct ::stat status{};
        if (::stat(own.c_str(), &status) == 0) {
            discovery.fleet_key_file = own;
            discovery.join = rules.join_said ? discovery.join : JoinMode::key;
        }
    }
    const bool missing = discovery.fleet_key_file.empty() && discovery.fleet_key.empty();
    if (discovery.join == JoinMode::key && missing && rules.needed == KeyNeeded::yes) {
        return base::fail(base::Errc::bad_config,
                          "discovery.join = \"key\" needs a fleet key: make one with `herd fleet-key new`, or set discovery.fleet_key_file");
    }
    return {};
}

/// Ollana's client ends itself when what it found does not speak TLS as it does: better not to be found.
base::Result<void> check_ollana(const HerdOptions& options)
{
    if (!options.ollana.clients) {
        return {};
    }
    const bool there = std::ranges::any_of(options.listen, [](const base::Endpoint& at) { return at.port == 11435 && at.address.is_v4(); });
    if (!options.tls.enabled() || !there || !options.tls.client_ca.empty()) {
        return base::fail(base::Errc::bad_config,
                          std::string{"ollana.clients needs "}
                              + (!options.tls.enabled() ? "TLS on the listener (tls.self_signed, or tls.cert and tls.key)"
                                     : !there           ? "a listener on an IPv4 address with port 11435, the only one that Ollana's client calls"
                                                        : "listeners without tls.client_ca, since Ollana's client shows no certificate"));
    }
    return {};
}

/// What only the whole can tell, and what is derived.
base::Result<void> finish(HerdOptions& options, const config::Environment& environment, KeyRules keys)
{
    if (options.listen.empty()) {
        return base::fail(base::Errc::bad_config, "listen: at least one address is needed");
    }
    if (!options.discovery.fleet_key_file.empty() && !options.discovery.fleet_key.empty()) {
        return base::fail(base::Errc::bad_config,
                          "discovery.fleet_key and discovery.fleet_key_file exclude each other");
    }
    if (options.tls.cert.empty() != options.tls.key.empty()) {
        return base::fail(base::Errc::bad_config, "tls.cert and tls.key need each other");
    }
    if (options.tls.self_signed && !options.tls.cert.empty()) {
        return base::fail(base::Errc::bad_config, "tls.self_signed and tls.cert exclude each other");
    }
    if ((options.tls.only || !options.tls.client_ca.empty()) && !options.tls.enabled()) {
        return base::fail(base::Errc::bad_config, (options.tls.only ? "tls.only" : "tls.client_ca")
                                                      + std::string{" needs tls.cert and tls.key, or tls.self_signed"});
    }
    if (auto fit = check_ollana(options); !fit) {
        return fit;
    }
    if (options.models.auto_pull && options.models.auto_pull_allow.empty()) {
        return base::fail(base::Errc::bad_config,
                          "models.auto_pull pulls nothing without models.auto_pull_allow: name the models that may be pulled, such as [\"llama3.2:3b\", \"qwen3*\"]");
    }
    if (options.proxy.replay_body > options.proxy.replay_total) {
        return base::fail(base::Errc::bad_config, "proxy.replay_body is larger than proxy.replay_total");
    }
    std::ranges::sort(options.scheduler.num_ctx_buckets);
    if (options.state_dir.empty()) {
        options.state_dir = config::default_state_dir(environment);
    }
    options.state_dir = config::absolute_path(options.state_dir, options.directory);
    if (options.daemon && options.pid_file.empty()) {
        options.pid_file = options.state_dir + "/herd.pid";
    }
    if (options.daemon && options.log.file.empty()) {
        options.log.file = options.state_dir + "/herd.log";
    }
    options.store.path = config::absolute_path(options.store.path, options.state_dir);
    for (std::string* path : {&options.tls.cert, &options.tls.key, &options.tls.client_ca}) {
        *path = config::absolute_path(*path, options.directory);
    }
    options.pid_file = config::absolute_path(options.pid_file, options.directory);
    options.log.file = config::absolute_path(options.log.file, options.directory);
    return find_fleet_key(options, keys);
}

/// What only all frontends together can tell: two that want the same.
base::Result<void> check_frontends(const HerdOptions& options)
{
    proxy::Frontends::Input input;
    for (const ConfiguredFrontend& frontend : options.frontends) {
        input.frontends.push_back(frontend.config());
    }
    const auto compiled = proxy::Frontends::compile(std::move(input), proxy::ProxyOptions{}, nullptr);
    return compiled ? base::Result<void>{} : base::fail(base::Errc::bad_config, compiled.error().context);
}

void collect_warnings(HerdOptions& options, const Table& table, const config::Environment& environment)
{
    options.warnings = config::suspicious_variables(table, environment, {"HERD_URL", "HERD_API_KEY"});
    std::erase_if(options.warnings,
                  [](const std::string& warning) { return warning.starts_with("HERD_NODE_"); });
}

/// What finish() and a running herd make of the options as they were read. `table` is bound to `result.options`.
base::Result<void> settle(LoadedHerdOptions& result, Table& table, const config::Environment& environment, KeyRules rules,
                          const HerdOptions* running)
{
    const HerdOptions read = result.options;
    if (auto done = finish(result.options, environment, rules); !done || running == nullptr) {
        return done;
    }
    HerdOptions in_force = *running;
    std::vector<ConfiguredNode> unused;
    const Table now = herd_table(in_force, unused);
    std::map<std::string, std::vector<std::string>> wanted;
    for (const std::string& key : config::restart_differences(now, table)) {
        wanted[key] = table.find(key)->show();
        result.needs_restart.push_back(key);
    }
    // Again with what runs: where the records lie follows from the state directory, for one.
    result.options = read;
    if (auto kept = config::keep_running(table, now); !kept) {
        return kept;
    }
    auto done = finish(result.options, environment, rules);
    for (auto& [key, texts] : wanted) {
        config::Option& option = *table.find(key);
        option.after_restart = std::move(texts);
        option.origin = {config::From::file, "in use until a restart"}; // where it came from says something else now
    }
    return done;
}

} // namespace

base::Result<LoadedHerdOptions> load_herd_options(const std::vector<std::string>& arguments,
                                                  const config::Environment& environment,
                                                  const std::string& directory, KeyNeeded key, const HerdOptions* running)
{
    LoadedHerdOptions result;
    result.options.directory = directory;
    std::vector<ConfiguredNode> file_nodes;
    Table table = herd_table(result.options, file_nodes);
    auto loaded =
        config::load(table, arguments, environment, config::file_candidates("herd", environment), directory);
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    result.loaded = std::move(*loaded);
    if (result.loaded.help || result.loaded.version || result.options.dump_config_docs) {
        return result;
    }
    result.options.config_file = result.loaded.file;
    if (const auto written = result.loaded.written) {
        result.options.file_dates = base::Dates{*written, *written};
    }
    if (auto joined = join_nodes(result.options, file_nodes); !joined) {
        return std::unexpected(joined.error());
    }
    for (ConfiguredNode& node : result.options.nodes) {
        node.bearer_file = config::absolute_path(node.bearer_file, directory);
        node.tls_ca_file = config::absolute_path(node.tls_ca_file, directory);
    }
    file_nodes = result.options.nodes; // so that --check-config shows them all
    const bool join_said = table.find("discovery.join")->origin.from != config::From::built_in;
    result.options.places.merge(config::places_of(table));
    if (auto done = settle(result, table, environment, {join_said, key}, running); !done) {
        return config::with_place(result.options.places, std::move(done.error()));
    }
    if (auto fit = check_frontends(result.options); !fit) {
        return std::unexpected(fit.error());
    }
    collect_warnings(result.options, table, environment);
    result.effective = config::effective_toml(table);
    result.effective_json = config::effective_json(table);
    if (!result.options.config_file.empty()) {
        const std::string path = result.options.config_file;
        result.effective_json.insert(1, fmt::format("\"config_file\":{{\"value\":{},\"from\":\"in use\"}},", config::quoted(path)));
    }
    return result;
}

std::string default_fleet_key_file(const std::string& state_dir) { return state_dir + "/fleet.key"; }

std::string herd_options_help()
{
    HerdOptions options;
    std::vector<ConfiguredNode> unused;
    return config::help_options(herd_table(options, unused));
}

std::string herd_config_reference()
{
    HerdOptions options;
    std::vector<ConfiguredNode> unused;
    return config::reference_markdown(herd_table(options, unused));
}

} // namespace herd::app
