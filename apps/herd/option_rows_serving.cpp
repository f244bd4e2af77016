// Rows of where herd serves, for whom, and what it keeps.
#include "config/values.hpp"
#include "herd/node_rows.hpp"
#include "herd/option_rows.hpp"

namespace herd::app {

using config::Table;

void serving_rows(Table& t, HerdOptions& o)
{
    t.group("Serving");
    config::add_listen(t,
                       {.key = "listen",
                        .flags = "--listen",
                        .value_name = "HOST:PORT",
                        .sentence = "Serve HTTP at this address; may be repeated. Port 0 takes a free one.",
                        .elsewhere = "--host,--port", // these and those of herd-node: Ollama Herd
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
    t.parsed_list(
        {.key = "access.trusted_proxies",
         .sentence = "Reverse proxies in front of herd: what they say in X-Forwarded-For is who asked, for limits per address, sticky "
                     "conversations, turns in the queue and records. Rights that come with an address stay the connection's."},
        o.access.trusted_proxies, "addresses or networks such as 10.0.0.7 or 10.0.0.0/8",
        [](std::string_view text) -> base::Result<base::IpNetwork> {
            auto network = base::IpNetwork::parse(text);
            return network ? base::Result<base::IpNetwork>{*network} : base::fail(base::Errc::bad_config, "");
        },
        [](const base::IpNetwork& network) { return network.text(); });
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

} // namespace herd::app
