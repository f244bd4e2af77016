#include "herd/option_rows.hpp"

#include "base/text.hpp"
#include "config/show.hpp"
#include "config/values.hpp"
#include "fleet/model_name.hpp"
#include "herd/node_rows.hpp"
#include "herd/static_nodes.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace herd::app {

using config::Table;

namespace {

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
    static constexpr std::array<std::string_view, 14> how_reached{"slots", "kind", "api", "bearer", "bearer_env", "bearer_file", "headers",
                                                                  "query", "health_path", "health_method", "down_after", "up_after", "proxy", "tls"};
    for (const config::Option& option : rows.options()) {
        const std::string_view first = std::string_view(option.row.key).substr(0, option.row.key.find('.'));
        if (option.show() != option.built_in && std::ranges::find(how_reached, first) != how_reached.end()) {
            return "has no url: " + option.row.key + " is for nodes with one";
        }
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

std::string pin_fault(const Table& rows)
{
    std::map<std::string, std::string> texts;
    for (const config::Option& option : rows.options()) {
        texts[option.row.key] = option.show().front();
    }
    return model_pin_fault({texts["model"], texts["node"], static_cast<std::uint32_t>(base::parse_unsigned(texts["replicas"]).value_or(1))});
}

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

} // namespace

Table herd_table(HerdOptions& options, std::vector<ConfiguredNode>& file_nodes)
{
    Table table{"HERD_"};
    serving_rows(table, options);
    scheduler_rows(table, options);
    proxy_rows(table, options);
    alias_rows(table, options);
    models_rows(table, options);
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

} // namespace herd::app
