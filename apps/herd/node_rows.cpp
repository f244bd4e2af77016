#include "herd/node_rows.hpp"

#include "config/backend_url.hpp"
#include "config/values.hpp"

#include <charconv>

#include <fmt/format.h>

namespace herd::app {

namespace {

using config::Table;

base::Result<double> parse_weight(std::string_view text)
{
    double weight = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
    if (error != std::errc{} || end != text.data() + text.size() || !(weight >= 0.01 && weight <= 100)) {
        return base::fail(base::Errc::bad_config);
    }
    return weight;
}

base::Result<std::string> parse_node_id(std::string_view text)
{
    const auto id = base::NodeId::parse(text);
    return id ? base::Result<std::string>{id->text()} : base::fail(base::Errc::bad_config);
}

} // namespace

base::Result<std::string> parse_node_url(std::string_view text)
{
    const auto url = config::parse_backend_url(text);
    if (!url) {
        return std::unexpected(url.error());
    }
    return url->text();
}

void node_rows(Table& table, ConfiguredNode& node)
{
    table.parsed({.key = "url",
                  .sentence = "Its address, for example `http://192.168.1.20:11434`. Without a scheme the "
                              "port is 11434 unless written. Without any this says something of a node that announces "
                              "itself under `name` or `id`."},
                 node.url, "a URL", parse_node_url, [](const std::string& url) { return url; });
    config::add_name(table, {.key = "name", .sentence = "What people call it; by default its host and port."},
                     node.name);
    table.parsed({.key = "id", .sentence = "Id of a node that announces itself, instead of its name."}, node.id,
                 "a node's id", parse_node_id, [](const std::string& id) { return id; });
    config::add_labels(table,
                       {.key = "labels", .sentence = "Labels that requests can ask for with `X-Herd-Label`."},
                       node.labels);
    table.number(
        {.key = "slots", .sentence = "Requests that one model runs at a time there; 0: herd finds out."},
        node.slots, 0, 65536);
    table.choice({.key = "kind",
                  .sentence = "`cloud` is Ollama Cloud, at `https://ollama.com` or `https://api.ollama.com` and nowhere else. It is "
                              "used only by requests that a frontend or `X-Herd-Allow-Cloud: true` allows to leave the LAN."},
                 node.kind,
                 std::vector<std::pair<std::string, NodeKind>>{{"static", NodeKind::plain}, {"cloud", NodeKind::cloud}});
    table.choice({.key = "api",
                  .sentence = "`openai` for servers with the `/v1` paths alone, such as llama.cpp's, vLLM and LM Studio: "
                              "models are read from `/v1/models`."},
                 node.api,
                 std::vector<std::pair<std::string, NodeDialect>>{{"ollama", NodeDialect::ollama}, {"openai", NodeDialect::openai}});
    table
        .parsed({.key = "weight", .sentence = "A node of weight 2 looks twice as good as it is predicted to be."},
                node.weight, "a number from 0.01 to 100", parse_weight,
                [](double weight) { return fmt::format("{}", weight); })
        .kind = config::Kind::number;
    table.text({.key = "bearer",
                .sentence = "Sent as `Authorization: Bearer …` to that node, and to no other place.",
                .secret = true},
               node.bearer);
    table.text({.key = "bearer_env", .sentence = "Name of the environment variable that holds it. For `kind = \"cloud\"`: `OLLAMA_API_KEY`."},
               node.bearer_env);
    table.text({.key = "bearer_file", .sentence = "File that holds it, readable by its owner alone."}, node.bearer_file);
    table.list({.key = "headers",
                .sentence = "Further fields of each request there, as a table or as `\"name=value\"`.",
                .secret = true,
                .pairs = true},
               node.headers);
    table.list({.key = "query",
                .sentence = "Further parameters of each request there, as a table or as `\"name=value\"`.",
                .secret = true,
                .pairs = true},
               node.query);
    table.text({.key = "health_path",
                .sentence = "Asked each second to see that it is there; by default `/api/version`, with `api = \"openai\"` `/v1/models`."},
               node.health_path);
    table.choice({.key = "health_method", .sentence = "How it is asked; with `HEAD` its version is not read."}, node.health_head,
                 std::vector<std::pair<std::string, bool>>{{"GET", false}, {"HEAD", true}});
    table.number({.key = "down_after", .sentence = "So many failures in a row and it is offline; from the first on others go before it."}, node.down_after, 1, 100);
    table.number({.key = "up_after", .sentence = "So many answers in a row and it is back, once it was away."}, node.up_after, 1, 100);
    table.text({.key = "proxy",
                .sentence = "Through whom it is reached: `http://HOST:PORT` (its CONNECT) or `socks5://HOST:PORT`, with `USER:PASSWORD@` "
                            "before the host where it asks for that. The proxy looks the node's name up.",
                .secret = true},
               node.proxy);
    table.boolean({.key = "tls.verify", .sentence = "With https: `false` accepts any certificate."}, node.tls_verify);
    table.text({.key = "tls.ca_file",
                .sentence = "With https: PEM file of those who may have signed its certificate, or that certificate itself. By "
                            "default whom this system trusts."},
               node.tls_ca_file);
    table.text({.key = "tls.pin", .sentence = "With https: SHA-256 of its certificate; then nothing else counts."},
               node.tls_pin);
    settings_rows(table, node.settings, false);
}

} // namespace herd::app
