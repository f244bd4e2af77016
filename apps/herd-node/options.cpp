#include "herd-node/options.hpp"

#include "config/show.hpp"
#include "config/values.hpp"
#include "fleet/model_name.hpp"
#include "herd-node/media/command_template.hpp"
#include "herd-node/media/tools.hpp"

#include <fmt/format.h>

namespace herd::node {

namespace {

using config::Table;

constexpr std::size_t herds_max = 8; // lana.md 8

base::Result<base::HostPort> parse_peer(std::string_view text)
{
    const auto peer = base::HostPort::parse(text, 0);
    if (!peer || text.find('/') != std::string_view::npos) {
        return base::fail(base::Errc::bad_config, "expected HOST or HOST:PORT");
    }
    return *peer;
}

std::string peer_text(const base::HostPort& peer)
{
    const bool v6 = peer.host.find(':') != std::string::npos;
    const std::string host = v6 ? "[" + peer.host + "]" : peer.host;
    return peer.port == 0 ? host : fmt::format("{}:{}", host, peer.port);
}

void agent_rows(Table& t, NodeOptions& o)
{
    t.group("Ollama");
    t.parsed(
        {.key = "ollama",
         .flags = "--ollama",
         .value_name = "URL",
         .sentence = "The Ollama beside this agent. Default: $OLLAMA_HOST as Ollama itself reads it, "
                     "else http://127.0.0.1:11434.",
         .elsewhere = "--ollama-host",
         .restart = true},
        o.ollama, "a URL", [](std::string_view text) { return config::parse_backend_url(text); },
        [](const config::BackendUrl& url) { return url.text(); });
    t.number({.key = "slots",
              .flags = "--slots",
              .value_name = "N",
              .sentence = "Requests that one model runs at a time; 0: found out from Ollama.",
              .restart = true},
             o.slots, 0, 65536);
    t.group("Agent");
    config::add_listen(
        t,
        {.key = "listen",
         .flags = "--listen",
         .value_name = "HOST:PORT",
         .sentence =
             "Serve the agent and the gateway at this address; may be repeated. Port 0 takes a free one.",
         .restart = true},
        o.listen, 11436);
    t.boolean(
        {.key = "gateway",
         .flags = "--gateway",
         .value_name = "on|off",
         .sentence = "Relay requests to Ollama on the agent's port, so that Ollama can stay on 127.0.0.1.",
         .restart = true,
         .on_off = true},
        o.gateway);
    t.boolean({.key = "tls",
               .flags = "--tls",
               .value_name = "on|off",
               .sentence = "Let herds reach the gateway through TLS, with a certificate of the agent's own making (kept in "
                           "`state_dir` as `tls-cert.pem`) whose fingerprint they learn with the node's other facts.",
               .restart = true,
               .on_off = true},
              o.tls);
    config::add_name(t,
                     {.key = "name",
                      .flags = "--name",
                      .value_name = "NAME",
                      .sentence = "What people call this node; by default the name of the host.",
                      .elsewhere = "--node-id",
                      .restart = true},
                     o.name);
    config::add_labels(t,
                       {.key = "labels",
                        .flags = "--label",
                        .value_name = "LABEL",
                        .sentence = "A label that requests can ask for; may be repeated.",
                        .restart = true},
                       o.labels);
    t.text({.key = "state_dir",
            .flags = "--state-dir",
            .value_name = "DIR",
            .sentence = "Where the agent keeps its identity. Default: $STATE_DIRECTORY, else /var/lib/herd "
                        "for root, else ~/.local/state/herd.",
            .restart = true},
           o.state_dir);
}

void discovery_rows(Table& t, NodeOptions& o)
{
    auto& d = o.discovery;
    t.group("Finding herds");
    t.parsed_list({.key = "herd",
                   .flags = "--herd",
                   .value_name = "HOST[:PORT]",
                   .sentence = "Announce to this herd directly, also across subnets; may be repeated. The "
                               "port may be its HTTP or its discovery port.",
                   .elsewhere = "--router-url"},
                  o.herds, "HOST[:PORT]", parse_peer, peer_text);
    t.parsed(
        {.key = "advertise",
         .flags = "--advertise",
         .value_name = "ADDRESS[:PORT]",
         .sentence = "Tell herds to reach us at this IP address, for example behind NAT or in a container.",
         .restart = true},
        o.advertise, "ADDRESS[:PORT]",
        [](std::string_view text) -> base::Result<std::optional<base::HostPort>> {
            auto peer = parse_peer(text);
            if (!peer) {
                return std::unexpected(peer.error());
            }
            if (!base::IpAddress::parse(peer->host)) {
                return base::fail(base::Errc::bad_config,
                                  fmt::format("herds are told an address, and \"{}\" is a name: write the IP address it "
                                              "stands for", peer->host));
            }
            return std::optional{std::move(*peer)};
        },
        [](const std::optional<base::HostPort>& peer) { return peer ? peer_text(*peer) : std::string{}; });
    t.boolean({.key = "discovery.enabled",
               .flags = "--no-discovery",
               .sentence = "Broadcast nothing: announce only to herds named with --herd.",
               .restart = true,
               .negated = true},
              d.enabled);
    t.boolean({.key = "discovery.listen",
               .flags = "--no-listen",
               .sentence = "Do not listen for herds looking for nodes; announce only.",
               .restart = true,
               .negated = true},
              d.listen);
    t.number({.key = "discovery.port",
              .flags = "--discovery-port",
              .value_name = "N",
              .sentence = "UDP port of discovery.",
              .restart = true},
             d.port);
    t.list({.key = "discovery.interfaces",
            .flags = "--interface",
            .value_name = "NAME",
            .sentence = "Announce on this network interface only; may be repeated.",
            .restart = true},
           d.interfaces);
    t.list({.key = "discovery.exclude_interfaces",
            .flags = "--exclude-interface",
            .value_name = "NAME",
            .sentence = "Announce nothing on this one; may be repeated.",
            .restart = true},
           d.exclude_interfaces);
    t.text({.key = "discovery.fleet_key_file",
            .flags = "--fleet-key-file",
            .value_name = "FILE",
            .sentence = "File with the fleet key or keys, the first in use; readable by its owner alone."},
           d.fleet_key_file);
    t.text({.key = "discovery.fleet_key",
            .sentence = "The fleet key itself, in hexadecimal; a file is safer.",
            .secret = true},
           d.fleet_key);
    config::add_name(t,
                     {.key = "cluster",
                      .flags = "--cluster",
                      .value_name = "NAME",
                      .sentence = "Name of the fleet this node belongs to.",
                      .restart = true},
                     o.cluster);
}

void relay_rows(Table& t, NodeOptions& o)
{
    t.group("Relaying");
    auto& g = o.relay;
    t.bytes({.key = "relay.max_body", .sentence = "Largest request body; 0: no limit, Ollama decides."},
            g.max_body);
    t.duration({.key = "relay.client_header_timeout",
                .sentence = "Time a client has to send the head of a request.",
                .restart = true},
               g.client_header_timeout, std::chrono::seconds{1});
    t.duration({.key = "relay.client_body_timeout",
                .sentence = "Longest pause inside a request body.",
                .restart = true},
               g.client_body_timeout, std::chrono::seconds{1});
    t.duration({.key = "relay.keep_alive_timeout",
                .sentence = "How long an idle connection is kept.",
                .restart = true},
               g.keep_alive_timeout, std::chrono::seconds{1});
    t.number({.key = "relay.max_connections", .sentence = "Connections, all together.", .restart = true},
             g.max_connections, 1, 1'000'000);
    t.duration({.key = "relay.shutdown_grace",
                .flags = "--shutdown-grace",
                .value_name = "TIME",
                .sentence = "How long running answers may take to finish after SIGTERM."},
               g.shutdown_grace);
}

void add_model_name(Table& t, config::Row row, std::string& into)
{
    t.parsed(std::move(row), into, "a model's name",
             [](std::string_view text) -> base::Result<std::string> {
                 return text.empty() || fleet::ModelName::parse(text).valid ? base::Result<std::string>{std::string(text)} : base::fail(base::Errc::bad_config);
             },
             [](const std::string& name) { return name; });
}

void image_tool_rows(Table& t, ImageToolOptions& tool)
{
    add_model_name(t, {.key = "model", .sentence = "The name that requests ask for."}, tool.model);
    t.list({.key = "command",
            .sentence = "The program and its arguments, run without a shell. In them {prompt}, {negative_prompt}, {width}, {height}, {steps}, "
                        "{seed}, {guidance}, {quantize} and {output} (the PNG file to write) stand for what the request says; an argument for "
                        "what it does not say is left out, with the flag before it."},
           tool.command);
}

void media_rows(Table& t, NodeOptions& o)
{
    t.group("Tools beside this node");
    auto& m = o.media;
    t.boolean({.key = "media.images",
               .sentence = "Make images with the tools of [[media.image]] and with those of mflux and DiffusionKit that are on PATH: "
                           "docs/MEDIA.md.",
               .restart = true},
              m.images);
    t.duration({.key = "media.image_timeout", .sentence = "How long one image may take, the wait for its tool included.", .restart = true},
               m.image_timeout, std::chrono::seconds{1});
    auto& speech = m.transcription;
    add_model_name(t, {.key = "media.transcription.model", .sentence = "Write speech down under this name; empty: not at all.", .restart = true},
                   speech.model);
    t.parsed({.key = "media.transcription.url", .sentence = "The service that does it: docs/MEDIA.md.", .restart = true}, speech.url, "a URL",
             [](std::string_view text) -> base::Result<std::optional<config::BackendUrl>> {
                 auto url = config::parse_backend_url(text, 11437);
                 return url ? base::Result<std::optional<config::BackendUrl>>{std::move(*url)} : std::unexpected(url.error());
             },
             [](const std::optional<config::BackendUrl>& url) { return url ? url->text() : std::string{}; });
    t.text({.key = "media.transcription.token_file", .sentence = "File with the token that the service asks for; readable by its owner alone.",
            .restart = true},
           speech.token_file);
    t.list({.key = "media.transcription.command",
            .sentence = "Or the program that does it, and its arguments, run without a shell; {input} stands for the file, {language} for what the "
                        "request says of it. It prints the text, or a JSON object with `text`, `language` and `chunks`.",
            .restart = true},
           speech.command);
    t.duration({.key = "media.transcription_timeout", .sentence = "How long one recording may take, the wait for the tool included.", .restart = true},
               m.transcription_timeout, std::chrono::seconds{1});
    t.boolean({.key = "media.list_in_tags", .sentence = "Show the tools in herd's /api/tags and /v1/models.", .restart = true}, m.list_in_tags);
}

Table node_table(NodeOptions& options)
{
    Table table{"HERD_NODE_"};
    agent_rows(table, options);
    discovery_rows(table, options);
    relay_rows(table, options);
    media_rows(table, options);
    config::add_config_rows(table, options.config_file, options.check_config, options.dump_config_docs,
                            "herd-node.toml");
    config::add_log_rows(table, options.log);
    config::add_daemon_rows(table, options.daemon, options.pid_file);
    auto& tools = table.repeated("media.image", "A program that makes images: docs/MEDIA.md.", options.media.image, image_tool_rows);
    tools.required = {"model", "command"};
    tools.unique = {"model"};
    tools.check = [&options](const Table&) { return command_fault(options.media.image.back().command, {"prompt", "output"}); };
    return table;
}

/// A path is one from where herd-node was started, as of every file in its settings; a mere name is looked for on PATH. A tool
/// works in a directory of its own, where neither would be found.
std::string program_path(const std::string& program, const std::string& directory)
{
    return program.find('/') == program.npos ? program : config::absolute_path(program, directory);
}

/// One sentence; empty: nothing is wrong.
std::string speech_fault(const SpeechToolOptions& tool)
{
    const bool has_command = !tool.command.empty();
    if (tool.model.empty()) {
        return tool.url || has_command ? "needs a model: the name that requests ask for" : std::string{};
    }
    if (tool.url.has_value() == has_command) {
        return "needs a url or a command, one of them";
    }
    if (tool.url && tool.url->tls) {
        return "url: herd-node speaks http to it, not https";
    }
    return has_command ? command_fault(tool.command, {"input"}) : std::string{};
}

base::Result<void> finish(NodeOptions& options, const config::Environment& environment)
{
    if (options.listen.empty()) {
        return base::fail(base::Errc::bad_config, "listen: at least one address is needed");
    }
    if (options.herds.size() > herds_max) {
        return base::fail(base::Errc::bad_config,
                          fmt::format("herd: a node feeds at most {} herds", herds_max));
    }
    if (options.ollama.tls) {
        return base::fail(
            base::Errc::bad_config,
            fmt::format("ollama {}: herd-node speaks http to its Ollama, not https", options.ollama.text()));
    }
    if (!options.discovery.fleet_key_file.empty() && !options.discovery.fleet_key.empty()) {
        return base::fail(base::Errc::bad_config,
                          "discovery.fleet_key and discovery.fleet_key_file exclude each other");
    }
    if (const auto fault = speech_fault(options.media.transcription); !fault.empty()) {
        return base::fail(base::Errc::bad_config, "media.transcription " + fault);
    }
    auto& speech = options.media.transcription.command;
    for (auto& tool : options.media.image) {
        tool.command.front() = program_path(tool.command.front(), options.directory);
    }
    if (!speech.empty()) {
        speech.front() = program_path(speech.front(), options.directory);
    }
    options.media.transcription.token_file = config::absolute_path(options.media.transcription.token_file, options.directory);
    if (options.state_dir.empty()) {
        options.state_dir = config::default_state_dir(environment);
    }
    options.state_dir = config::absolute_path(options.state_dir, options.directory);
    if (options.daemon && options.pid_file.empty()) {
        options.pid_file = options.state_dir + "/herd-node.pid";
    }
    if (options.daemon && options.log.file.empty()) {
        options.log.file = options.state_dir + "/herd-node.log";
    }
    options.pid_file = config::absolute_path(options.pid_file, options.directory);
    options.log.file = config::absolute_path(options.log.file, options.directory);
    options.discovery.fleet_key_file =
        config::absolute_path(options.discovery.fleet_key_file, options.directory);
    return {};
}

} // namespace

base::Result<LoadedNodeOptions> load_node_options(const std::vector<std::string>& arguments,
                                                  const config::Environment& environment,
                                                  const std::string& directory)
{
    LoadedNodeOptions result;
    result.options.directory = directory;
    result.options.ollama = config::parse_ollama_host(config::lookup(environment, "OLLAMA_HOST"));
    Table table = node_table(result.options);
    if (!config::lookup(environment, "OLLAMA_HOST").empty()) {
        table.find("ollama")->origin = {config::From::environment, "OLLAMA_HOST"};
    }
    auto loaded = config::load(table, arguments, environment,
                               config::file_candidates("herd-node", environment), directory);
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    result.loaded = std::move(*loaded);
    if (result.loaded.help || result.loaded.version || result.options.dump_config_docs) {
        return result;
    }
    result.options.config_file = result.loaded.file;
    result.options.places = config::places_of(table);
    if (const auto fault = config::ollama_host_fault(result.options.ollama); !fault.empty()) { // a flag or file was checked when it was read
        return base::fail(base::Errc::bad_config, fmt::format("OLLAMA_HOST: {}; write HOST:PORT or a URL there, or name the Ollama with --ollama", fault));
    }
    if (auto done = finish(result.options, environment); !done) {
        return config::with_place(result.options.places, std::move(done.error()));
    }
    result.options.warnings = config::suspicious_variables(table, environment, {"HERD_NODE_URL"});
    if (!result.options.discovery.enabled && result.options.herds.empty()) {
        result.options.warnings.emplace_back(
            "--no-discovery without --herd: this node is announced to nobody, a herd must name it itself");
    }
    for (const auto& each : named_programs(result.options.media)) {
        if (!can_run(each.program, config::lookup(environment, "PATH"))) {
            result.options.warnings.push_back(fmt::format("the tool of '{}' is not offered until its program {} is there and may be run", each.model, each.program));
        }
    }
    result.effective = config::effective_toml(table);
    result.effective_json = config::effective_json(table);
    return result;
}

std::vector<std::string> restart_differences(const NodeOptions& before, const NodeOptions& after)
{
    NodeOptions a = before;
    NodeOptions b = after;
    return config::restart_differences(node_table(a), node_table(b));
}

std::string node_options_help()
{
    NodeOptions options;
    return config::help_options(node_table(options));
}

std::string node_config_reference()
{
    NodeOptions options;
    return config::reference_markdown(node_table(options));
}

} // namespace herd::node
