#include "herd-node/command_line.hpp"

#include "config/show.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::node {

namespace {

constexpr std::uint16_t agent_port = 11436;

const std::vector<std::string>& command_names()
{
    static const std::vector<std::string> names{"serve", "status", "doctor", "help"};
    return names;
}

ExitNow usage_error(const std::string& sentence) { return {2, "herd-node: " + sentence + "\n"}; }
ExitNow version_text() { return {0, fmt::format("herd-node {}\n", version())}; }

config::Table status_table(Verb& verb)
{
    config::Table table{"HERD_NODE_"};
    table.group("Options");
    table.parsed(
        {.key = "url",
         .flags = "--url",
         .value_name = "URL",
         .sentence = "The agent to ask; also $HERD_NODE_URL."},
        verb.url, "a URL", [](std::string_view text) { return config::parse_backend_url(text, agent_port); },
        [](const config::BackendUrl& url) { return url.text(); });
    table.boolean(
        {.key = "json", .flags = "--json", .sentence = "Print the raw JSON answer.", .in_environment = false},
        verb.json);
    return table;
}

std::string serve_help()
{
    std::string text = fmt::format(
        "herd-node {}: lets a herd use the Ollama on this machine\n\n"
        "Usage:\n"
        "  herd-node [serve] [options]   announce this machine's Ollama and relay requests to it\n"
        "  herd-node COMMAND [options]\n\n"
        "Commands:\n",
        version());
    text += config::help_line("status [--json]", "What the agent running here tells its herds.");
    text += config::help_line("doctor [--json]",
                              "Check Ollama, ports, network, keys and state, with advice; takes the options "
                              "below. Exits 1 if something is broken.");
    text += config::help_line("help", "This text.");
    text += node_options_help();
    text += "\nEvery option and key has an environment twin: --discovery-port is HERD_NODE_DISCOVERY_PORT. A "
            "flag beats the\n"
            "environment, the environment beats the file.\n"
            "Signals: SIGTERM finishes running answers, says goodbye to the herds and ends; a second one "
            "ends now;\n"
            "SIGHUP reads the file again: herds, fleet key and log apply at once.\n";
    return text;
}

CommandLine parse_status(const std::vector<std::string>& arguments, const config::Environment& environment)
{
    Verb verb{.name = "status", .url = {.port = agent_port}};
    config::Table table = status_table(verb);
    const auto loaded = config::load(table, arguments, environment, {}, {});
    if (!loaded) {
        return usage_error(loaded.error().context);
    }
    if (loaded->help) {
        return ExitNow{0,
                       "Usage: herd-node status [options]\n\nWhat the agent running here tells its herds.\n"
                           + config::help_options(table)};
    }
    if (loaded->version) {
        return version_text();
    }
    if (!loaded->words.empty()) {
        return usage_error(fmt::format("unexpected argument \"{}\"", loaded->words.front()));
    }
    return verb;
}

/// What --help, --version and the like answer; nothing when the options are to be used.
std::optional<ExitNow> settled(const LoadedNodeOptions& loaded)
{
    if (loaded.loaded.help) {
        return ExitNow{0, serve_help()};
    }
    if (loaded.loaded.version) {
        return version_text();
    }
    if (loaded.options.dump_config_docs) {
        return ExitNow{0, node_config_reference()};
    }
    if (!loaded.loaded.words.empty()) {
        const std::string& word = loaded.loaded.words.front();
        return usage_error(
            fmt::format("unexpected argument \"{}\"{}", word, config::suggestion(word, command_names())));
    }
    if (loaded.options.check_config) {
        const std::string file = loaded.loaded.file.empty() ? "no configuration file" : loaded.loaded.file;
        std::string text =
            fmt::format("# The settings in force ({}). They are valid.\n{}", file, loaded.effective);
        for (const std::string& warning : loaded.options.warnings) {
            text += "# warning: " + warning + "\n";
        }
        return ExitNow{0, std::move(text), std::make_shared<const NodeOptions>(loaded.options)};
    }
    return std::nullopt;
}

CommandLine parse_serve(const std::vector<std::string>& arguments, const config::Environment& environment,
                        const std::string& directory, bool doctor, bool json)
{
    auto result = load_node_options(arguments, environment, directory);
    if (!result) {
        return usage_error(result.error().context);
    }
    if (auto answer = settled(*result)) {
        return std::move(*answer);
    }
    if (doctor) {
        return Verb{.name = "doctor",
                    .json = json,
                    .url = {.port = agent_port},
                    .options = std::move(result->options)};
    }
    return ServeOptions{std::move(result->options), std::move(result->effective), arguments};
}

} // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments,
                               const config::Environment& environment, const std::string& directory)
{
    if (arguments.empty() || arguments.front().starts_with('-')) {
        return parse_serve(arguments, environment, directory, false, false);
    }
    const std::string& name = arguments.front();
    std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (name == "serve") {
        return parse_serve(rest, environment, directory, false, false);
    }
    if (name == "status") {
        return parse_status(rest, environment);
    }
    if (name == "doctor") {
        const bool json = std::erase(rest, "--json") > 0;
        return parse_serve(rest, environment, directory, true, json);
    }
    if (name == "help") {
        return ExitNow{0, serve_help()};
    }
    return usage_error(fmt::format("unknown command \"{}\"{}; herd-node --help lists them", name,
                                   config::suggestion(name, command_names())));
}

std::string version() { return HERD_VERSION; }

} // namespace herd::node
