#include "herd/options.hpp"

#include "base/text.hpp"
#include "config/show.hpp"
#include "config/values.hpp"
#include "fleet/model_name.hpp"
#include "herd/node_rows.hpp"
#include "herd/static_nodes.hpp"
#include "proxy/proxy.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include <fmt/format.h>
#include <sys/stat.h>

namespace herd::app {

namespace {

using config::Table;

/// An address, or a name by which a node that announces itself is known.
std::string node_fault(const Table& rows)
{
    std::map<std::string, std::string> texts;
    for (const config::Option& option : rows.options()) {
        texts[option.row.key] = option.is_list ? std::string{} : option.show().front();
    }
    if (!texts["url"].empty()) {
        return texts["id"].empty() ? "" : "has a url: its id follows from that";
    }
    if (texts["name"].empty() && texts["id"].empty()) {
        return "needs a url, or the name or id of a node that announces itself";
    }
    if (!texts["bearer"].empty() || texts["slots"] != "0") {
        return "has no url: bearer and slots are for nodes with one";
    }
    return {};
}

base::Result<std::string> parse_model_name(std::string_view text)
{
    return fleet::ModelName::parse(text).valid ? base::Result<std::string>{std::string{text}} : base::fail(base::Errc::bad_config);
}

void required_rows(Table& table, RequiredModel& required)
{
    table.parsed({.key = "model", .sentence = "Its name, as `ollama pull` takes it. Required."}, required.model, "the name of a model",
                 parse_model_name, [](const std::string& name) { return name; });
    table.number({.key = "replicas", .sentence = "On so many nodes; 0: on all."}, required.replicas, 0, 4096);
    table.list({.key = "nodes", .sentence = "Names or ids of the nodes it may be on; none: any."}, required.nodes);
    config::add_labels(table, {.key = "labels", .sentence = "Labels that those nodes must carry, all of them."}, required.labels);
}

void serving_rows(Table& t, HerdOptions& o)
{
    t.group("Serving");
    config::add_listen(t,
                       {.key = "listen",
                        .flags = "--listen",
                        .value_name = "HOST:PORT",
                        .sentence = "Serve HTTP at this address; may be repeated. Port 0 takes a free one.",
                        .restart = true},
                       o.listen, 11435);
    t.number({.key = "threads",
              .flags = "--threads",
              .value_name = "N",
              .sentence = "Relay threads; 0 means one per core.",
              .restart = true},
             o.threads, 0, 1024);
    t.text({.key = "state_dir",
            .flags = "--state-dir",
            .value_name = "DIR",
            .sentence = "Where herd keeps what must survive a restart. Default: $STATE_DIRECTORY, else "
                        "/var/lib/herd for root, else ~/.local/state/herd.",
            .restart = true},
           o.state_dir);
    t.group("Nodes and discovery");
    t.parsed_list(
        {.key = "node",
         .flags = "--node",
         .value_name = "URL",
         .sentence = "A plain Ollama without an agent, besides those of the file; may be repeated.",
         .in_file = false},
        o.nodes, "a URL",
        [](std::string_view text) -> base::Result<ConfiguredNode> {
            auto url = parse_node_url(text);
            if (!url) {
                return std::unexpected(url.error());
            }
            return ConfiguredNode{.url = std::move(*url)};
        },
        [](const ConfiguredNode& node) { return node.url; });
    config::add_name(
        t,
        {.key = "cluster",
         .flags = "--cluster",
         .value_name = "NAME",
         .sentence = "Name of the fleet: several fleets can share a network without seeing each other.",
         .restart = true},
        o.cluster);
    auto& d = o.discovery;
    t.boolean({.key = "discovery.enabled",
               .flags = "--no-discovery",
               .sentence = "Listen to no announcements: only nodes that were named.",
               .restart = true,
               .negated = true},
              d.enabled);
    t.number({.key = "discovery.port",
              .flags = "--discovery-port",
              .value_name = "N",
              .sentence = "UDP port of discovery.",
              .restart = true},
             d.port);
    t.list({.key = "discovery.interfaces",
            .flags = "--interface",
            .value_name = "NAME",
            .sentence = "Send announcements on this network interface only; may be repeated.",
            .restart = true},
           d.interfaces);
    t.list({.key = "discovery.exclude_interfaces",
            .flags = "--exclude-interface",
            .value_name = "NAME",
            .sentence = "Send none on this one; may be repeated.",
            .restart = true},
           d.exclude_interfaces);
    t.choice({.key = "discovery.join",
              .flags = "--join",
              .value_name = "MODE",
              .sentence = "Who may join: open (anyone on this LAN), approve (whom `herd nodes approve` lets in), key "
                          "(who has the fleet key). Default: key where there is one in the state directory, else open."},
             d.join,
             std::vector<std::pair<std::string, JoinMode>>{
                 {"open", JoinMode::open}, {"approve", JoinMode::approve}, {"key", JoinMode::key}});
    t.text({.key = "discovery.fleet_key_file",
            .flags = "--fleet-key-file",
            .value_name = "FILE",
            .sentence = "File with the fleet key or keys, the first in use; readable by its owner alone. Default: "
                        "`fleet.key` in the state directory, where `herd fleet-key new` puts it, if it is there."},
           d.fleet_key_file);
    t.text({.key = "discovery.fleet_key",
            .sentence = "The fleet key itself, in hexadecimal; a file is safer.",
            .secret = true},
           d.fleet_key);
    t.boolean({.key = "discovery.allow_nat",
               .sentence = "Accept keyed nodes whose announcements come from an address they do not list."},
              d.allow_nat);
}

base::Result<double> parse_share(std::string_view text)
{
    if (!text.ends_with('%')) {
        return base::fail(base::Errc::bad_config);
    }
    const auto percent = base::parse_unsigned(text.substr(0, text.size() - 1));
    if (!percent || *percent > 100) {
        return base::fail(base::Errc::bad_config);
    }
    return static_cast<double>(*percent) / 100;
}

/// A part of something, written "20%".
void share(Table& t, config::Row row, double& into)
{
    t.parsed(std::move(row), into, "a share from 0% to 100%", parse_share,
             [](double value) { return fmt::format("{:.0f}%", value * 100); });
}

base::Result<int> parse_context(std::string_view text)
{
    const auto tokens = base::parse_unsigned(text);
    if (!tokens || *tokens < 4 || *tokens > 16'777'216) {
        return base::fail(base::Errc::bad_config, "expected numbers of tokens from 4 to 16777216");
    }
    return static_cast<int>(*tokens);
}

void scheduler_rows(Table& t, HerdOptions& o)
{
    t.group("Scheduling");
    auto& s = o.scheduler;
    t.number({.key = "scheduler.queue_per_model",
              .sentence = "Requests that may wait for one model; more are answered 429."},
             s.queue_per_model, 1, 1'000'000);
    t.duration(
        {.key = "scheduler.queue_timeout", .sentence = "How long a request may wait for a slot before 504."},
        s.queue_timeout, std::chrono::seconds{1});
    t.duration(
        {.key = "scheduler.hold_timeout",
         .sentence =
             "How long a request for a known model is held while no reachable node has it, before 503."},
        s.hold_timeout);
    t.duration({.key = "scheduler.settle_time",
                .sentence = "After a start, how long a request for an unknown model is held, since a node that has "
                            "it may yet be heard of, before 404. Less, if there is a saved pool and all of it answered."},
               s.settle_time);
    t.duration({.key = "scheduler.patience",
                .sentence = "A request that has waited for this long goes before those of all priorities."},
               s.patience, std::chrono::seconds{1});
    t.number({.key = "scheduler.retries",
              .sentence = "Further nodes that a request may try before its first byte of answer."},
             s.retries, 0, 16);
    share(t, {.key = "scheduler.retry_budget",
              .sentence = "Second attempts may be this part of the requests of the last minute, so that retries "
                          "do not become a storm of their own."},
          s.retry_budget);
    t.number({.key = "scheduler.retry_budget_min", .sentence = "Second attempts in a minute that are always allowed."},
             s.retry_budget_min, 0, 10'000);
    share(t, {.key = "scheduler.wait_margin",
              .sentence = "A request waits for a better node when it is predicted to end sooner there by this part "
                          "of the time that it would take on a free one."},
          s.wait_margin);
    share(t, {.key = "scheduler.load_margin",
              .sentence = "A model is loaded on one more node when that is predicted to be better by this part."},
          s.load_margin);
    t.parsed_list(
         {.key = "scheduler.num_ctx_buckets",
          .sentence = "A `num_ctx` that a request asks for is rounded up to one of these, so that clients which send "
                      "a new value each time do not make a node load its model again each time. This one number is "
                      "then changed in the request. Empty: never."},
         s.num_ctx_buckets, "numbers of tokens", parse_context,
         [](int tokens) { return std::to_string(tokens); })
        .kind = config::Kind::number;
}

/// Its value is recorded with each request.
base::Result<std::string> parse_session_header(std::string_view text)
{
    constexpr std::array<std::string_view, 7> secrets{"authorization", "proxy-authorization", "cookie",         "x-api-key",
                                                      "x-auth-token",  "herd-mac",            "x-herd-proof"};
    const bool token = !text.empty() && text.size() <= 64
        && std::ranges::all_of(text, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_'; });
    if (!token || std::ranges::any_of(secrets, [text](std::string_view one) { return base::iequals(one, text); })) {
        return base::fail(base::Errc::bad_config);
    }
    return std::string{text};
}

void proxy_rows(Table& t, HerdOptions& o)
{
    t.group("Relaying");
    auto& p = o.proxy;
    t.bytes({.key = "proxy.max_body",
             .sentence = "Largest request body; larger ones are answered 413. Model blobs have no limit."},
            p.max_body, base::kib);
    t.bytes({.key = "proxy.replay_body",
             .sentence = "Bodies up to this size are kept, so that another node can be tried; larger ones "
                         "are sent once."},
            p.replay_body);
    t.bytes({.key = "proxy.replay_total", .sentence = "Memory for all kept bodies together."},
            p.replay_total);
    t.duration({.key = "proxy.connect_timeout", .sentence = "Patience when connecting to a node; a configured one, which may be far away, has 2 s at least.",
                .restart = true},
               p.connect_timeout, std::chrono::milliseconds{1});
    t.duration({.key = "proxy.first_byte_timeout",
                .sentence = "Patience for a node's first byte. A node may load a model for minutes before "
                            "it: never shorter than the slowest load and prefill. 0: no limit."},
               p.first_byte_timeout);
    t.duration({.key = "proxy.idle_timeout", .sentence = "Patience between bytes of an answer. 0: no limit."},
               p.idle_timeout);
    t.duration({.key = "proxy.total_timeout",
                .sentence = "From the request to the end of its answer, waiting included. 0: no limit."},
               p.total_timeout);
    t.duration({.key = "proxy.early_head",
                .sentence = "Server-sent events only: when no node has answered for this long, the head of the answer "
                            "and then a comment every 10 s tell the client that it waits, and for what. 0: never."},
               p.early_head);
    t.duration({.key = "proxy.client_header_timeout",
                .sentence = "Time a client has to send the head of a request.", .restart = true},
               p.client_header_timeout, std::chrono::seconds{1});
    t.duration({.key = "proxy.client_body_timeout", .sentence = "Longest pause inside a request body.", .restart = true},
               p.client_body_timeout, std::chrono::seconds{1});
    t.duration({.key = "proxy.client_write_timeout",
                .sentence = "How long a client may take no byte of its answer before it is cut off.", .restart = true},
               p.client_write_timeout, std::chrono::seconds{1});
    t.duration({.key = "proxy.keep_alive_timeout", .sentence = "How long an idle client connection is kept.", .restart = true},
               p.keep_alive_timeout, std::chrono::seconds{1});
    t.number(
        {.key = "proxy.max_connections", .sentence = "Client connections, all together.", .restart = true},
        p.max_connections, 1, 1'000'000);
    t.number({.key = "proxy.max_in_flight", .sentence = "Requests being served or waiting, all together."},
             p.max_in_flight, 1, 1'000'000);
    t.duration({.key = "proxy.shutdown_grace",
                .flags = "--shutdown-grace",
                .value_name = "TIME",
                .sentence = "How long running answers may take to finish after SIGTERM."},
               p.shutdown_grace);
    t.list(
        {.key = "cors.origins",
         .sentence = "Web origins allowed besides Ollama's own defaults, in the syntax of OLLAMA_ORIGINS."},
        o.cors_origins);
    t.list(
        {.key = "cors.hosts",
         .sentence = "Host names accepted when herd listens on loopback only, besides this machine's own; `*` for all."},
        o.cors_hosts);
    t.parsed_list({.key = "affinity.headers",
                   .sentence = "Request fields that hold the key of a conversation, the first one present counts; `X-Herd-Session` "
                               "always does and goes first."},
                  o.session_headers, "names of request fields that hold no secret", parse_session_header,
                  [](const std::string& name) { return name; });
    t.choice({.key = "compat.fleet_headers",
              .sentence = "Answers carry Ollama Herd's fields (`X-Fleet-Node` and so on) as that version wrote them."},
             o.compat.fleet,
             std::vector<std::pair<std::string, proxy::FleetHeaders>>{
                 {"off", proxy::FleetHeaders::off}, {"0.6", proxy::FleetHeaders::v06}, {"0.8", proxy::FleetHeaders::v08}});
    t.boolean({.key = "compat.ollamaflow_headers",
               .sentence = "Answers carry OllamaFlow's fields: `X-OllamaFlow-Request`, `-Backend`, `-Sticky`."},
              o.compat.ollamaflow);
    t.boolean({.key = "compat.ollamaflow_admin",
               .sentence = "OllamaFlow's admin API is answered: `/v1.0/frontends` and `/v1.0/backends`."},
              o.ollamaflow_admin);
    t.group("Limits");
    t.number({.key = "limits.nodes", .sentence = "Nodes that herd will know at a time.", .restart = true},
             o.limits.nodes, 1, 65536);
    t.bytes({.key = "limits.request_head",
             .sentence = "Largest request head (line and headers).",
             .restart = true},
            o.limits.request_head, base::kib, base::mib);
    t.number({.key = "limits.idle_connections_per_node",
              .sentence = "Idle connections kept to one node, per thread.",
              .restart = true},
             o.limits.idle_connections_per_node, 0, 65536);
    t.number({.key = "limits.client_in_flight",
              .sentence = "Requests that one client (a key, else an address) may have running or waiting at once; more are answered 429. 0: no limit."},
             o.limits.client_in_flight, 0, 65534);
    t.number(
        {.key = "limits.event_viewers", .sentence = "Viewers of the live event stream.", .restart = true},
        o.limits.event_viewers, 1, 65536);
}

base::Result<proxy::Alias> parse_alias(std::string_view text)
{
    const auto equals = text.find('=');
    proxy::Alias alias{std::string{base::trim(text.substr(0, equals))},
                       equals == text.npos ? std::string{} : std::string{base::trim(text.substr(equals + 1))}};
    if (auto fault = proxy::alias_fault({alias}); !fault.empty()) {
        return base::fail(base::Errc::bad_config, std::move(fault));
    }
    return alias;
}

void alias_rows(Table& t, HerdOptions& o)
{
    t.group("Aliases");
    config::Option& list = t.parsed_list(
        {.key = "aliases",
         .sentence = "A table: `\"claude-sonnet-4-5\" = \"qwen3-coder:30b\"`. Who asks for the first name gets the second, on every "
                     "path; `\"gpt-*\"` is every such name without a tag. docs/ALIASES_AND_PINS.md.",
         .pairs = true},
        o.aliases.list, "name=model", parse_alias, [](const proxy::Alias& alias) { return alias.name + "=" + alias.model; });
    list.assign = [each = std::move(list.assign), &o](std::span<const std::string> texts) -> base::Result<void> {
        if (auto done = each(texts); !done) {
            return done;
        }
        auto fault = proxy::alias_fault(o.aliases.list); // what only all of them together can tell
        return fault.empty() ? base::Result<void>{} : base::fail(base::Errc::bad_config, std::move(fault));
    };
    t.boolean({.key = "aliases.claude_auto",
               .sentence = "A `claude-…` name on Anthropic's paths that is neither an alias nor a model of the fleet is the best "
                           "model there is that can use tools: one in memory before one on disk, then the largest."},
              o.aliases.claude_auto);
}

void access_rows(Table& t, HerdOptions& o)
{
    t.group("Access");
    t.boolean({.key = "access.require_key",
               .flags = "--require-key",
               .sentence = "Answer only clients that show an API key (`herd key add NAME` makes one). Without it a key that is shown "
                           "still counts: its limits, its name in the records."},
              o.access.require_key);
    t.choice({.key = "access.admin_from",
              .sentence = "While no keys are on: from where herd may be changed, loopback or anywhere. Keys are on when they are "
                          "required or when there is one with admin scope; then that key is needed, wherever from."},
             o.access.admin_from,
             std::vector<std::pair<std::string, AdminFrom>>{{"loopback", AdminFrom::loopback}, {"anywhere", AdminFrom::anywhere}});
}

void tls_rows(Table& t, HerdOptions& o)
{
    t.group("TLS");
    t.text({.key = "tls.cert",
            .flags = "--tls-cert",
            .value_name = "FILE",
            .sentence = "Serve HTTPS too, on the same ports, with the certificate (and its chain) in this PEM file."},
           o.tls.cert);
    t.text({.key = "tls.key", .flags = "--tls-key", .value_name = "FILE", .sentence = "The key of that certificate, PEM."},
           o.tls.key);
    t.boolean({.key = "tls.self_signed",
               .flags = "--tls-self-signed",
               .sentence = "Serve HTTPS with a certificate of herd's own making, kept in `state_dir` as `tls-cert.pem`."},
              o.tls.self_signed);
    t.text({.key = "tls.client_ca",
            .sentence = "PEM file; when given, clients of HTTPS must show a certificate signed by one of these."},
           o.tls.client_ca);
    t.boolean({.key = "tls.only", .sentence = "Refuse plain HTTP; else one port serves both."}, o.tls.only);
}

void ollana_rows(Table& t, HerdOptions& o)
{
    t.group("Ollana");
    t.boolean({.key = "ollana.clients",
               .flags = "--ollana-clients",
               .sentence = "Let clients of Ollana find and use this herd: their queries are answered, and `herd device allow ID` lets one in. "
                           "Needs TLS on port 11435."},
              o.ollana.clients);
    t.boolean({.key = "ollana.servers",
               .flags = "--ollana-servers",
               .sentence = "Use servers of Ollana on this LAN as nodes, once both sides allowed each other: `herd device list` says what to run."},
              o.ollana.servers);
    t.number({.key = "ollana.server_slots", .sentence = "Requests that such a server gets at a time."}, o.ollana.server_slots, 1, 65536);
}

void store_rows(Table& t, HerdOptions& o)
{
    t.group("Request records");
    t.boolean({.key = "store.enabled",
               .sentence = "Keep a record of every request (never prompts or answers); else only the latest are known, in memory.",
               .restart = true},
              o.store.enabled);
    t.text({.key = "store.path",
            .sentence = "SQLite database of request records, relative to `state_dir`.",
            .restart = true},
           o.store.path);
    t.duration({.key = "store.retention", .sentence = "How long records are kept."}, o.store.retention, std::chrono::hours{1});
    t.bytes({.key = "store.max_size",
             .sentence = "Most data in the database; beyond it the oldest records go. 0: no limit."},
            o.store.max_size);
}

std::string pin_fault(const Table& rows)
{
    std::map<std::string, std::string> texts;
    for (const config::Option& option : rows.options()) {
        texts[option.row.key] = option.show().front();
    }
    return model_pin_fault({texts["model"], texts["node"], static_cast<std::uint32_t>(base::parse_unsigned(texts["replicas"]).value_or(1))});
}

/// Rows in the order of the help. `file_nodes` takes the [[node]] tables, which --node adds to.
/// What make_static_node() says of it, told with the line where it stands. Variables and the keyring are asked later.
std::string meaning_fault(ConfiguredNode node, const std::string& directory)
{
    if (node.url.empty()) {
        return {}; // settings of one that announces itself
    }
    node.bearer_file = config::absolute_path(node.bearer_file, directory);
    node.tls_ca_file.clear(); // read when somebody is about to serve
    const auto made = make_static_node(std::move(node), {});
    return made ? std::string{} : made.error().context;
}

Table herd_table(HerdOptions& options, std::vector<ConfiguredNode>& file_nodes)
{
    Table table{"HERD_"};
    serving_rows(table, options);
    scheduler_rows(table, options);
    proxy_rows(table, options);
    alias_rows(table, options);
    access_rows(table, options);
    tls_rows(table, options);
    ollana_rows(table, options);
    store_rows(table, options);
    config::add_config_rows(table, options.config_file, options.check_config, options.dump_config_docs,
                            "herd.toml");
    table.boolean({.key = "dump_routes",
                   .flags = "--dump-routes",
                   .sentence = "Print every route with the key it needs, for tests.",
                   .hidden = true,
                   .in_file = false,
                   .in_environment = false},
                  options.dump_routes);
    config::add_log_rows(table, options.log);
    config::add_daemon_rows(table, options.daemon, options.pid_file);
    auto& nodes = table.repeated("node", "A plain Ollama without an agent; or, without `url`, settings for a node that announces itself.",
                                 file_nodes, node_rows);
    nodes.check = [&options, &file_nodes](const Table& rows) {
        auto fault = node_fault(rows);
        options.places[file_nodes.back().url + " tls.ca_file"] = config::places_of(rows)["tls.ca_file"];
        return fault.empty() ? meaning_fault(file_nodes.back(), options.directory) : fault;
    };
    nodes.unique = {"name", "id", "url"};
    auto& frontends = table.repeated("frontend", "A virtual endpoint: docs/FRONTENDS.md.", options.frontends, frontend_rows);
    frontends.check = frontend_fault;
    frontends.unique = {"name", "id", "hostnames"};
    table
        .repeated("required", "A model that nodes are to have: herd has them pull it. `GET /herd/v1/sync` tells how that goes.",
                  options.required, required_rows)
        .required = {"model"};
    auto& pins = table.repeated("pins", "A model that stays in memory: docs/ALIASES_AND_PINS.md.", options.pins, model_pin_rows);
    pins.required = {"model"};
    pins.check = pin_fault;
    return table;
}

base::Result<void> join_nodes(HerdOptions& options, const std::vector<ConfiguredNode>& file_nodes)
{
    for (ConfiguredFrontend& frontend : options.frontends) {
        complete(frontend);
    }
    const std::vector<ConfiguredNode> flag_nodes = std::exchange(options.nodes, file_nodes);
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
        const std::string own = default_fleet_key_file(options);
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

} // namespace

base::Result<LoadedHerdOptions> load_herd_options(const std::vector<std::string>& arguments,
                                                  const config::Environment& environment,
                                                  const std::string& directory, KeyNeeded key)
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
    if (auto done = finish(result.options, environment, {join_said, key}); !done) {
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

std::vector<std::string> restart_differences(const HerdOptions& before, const HerdOptions& after)
{
    HerdOptions a = before;
    HerdOptions b = after;
    std::vector<ConfiguredNode> unused;
    return config::restart_differences(herd_table(a, unused), herd_table(b, unused));
}

std::string default_fleet_key_file(const HerdOptions& options) { return options.state_dir + "/fleet.key"; }

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
