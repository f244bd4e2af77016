#include "herd/command_line.hpp"

#include "base/text.hpp"
#include "config/show.hpp"
#include "herd/cli/print.hpp"
#include "herd/cli/verbs.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::app {

namespace {

constexpr std::uint16_t herd_port = 11435;

struct PlaceFlag {
    const char* flag;
    const char* value;
    const char* sentence;
};
constexpr std::array<PlaceFlag, 5> import_flags{
    {{"--settings", "FILE", "OllamaFlow's settings; ollamaflow.json if not said."},
     {"--db", "FILE", "OllamaFlow's database; ollamaflow.db if not said."},
     {"--from", "DIR", "Ollama Herd's directory; ~/.fleet-manager if not said."},
     {"--state-dir", "DIR", "With --history, as for `herd serve`: the records are in there."},
     {"--config", "FILE", "With --history, as for `herd serve`: the settings say where the records are."}}};
constexpr std::array<PlaceFlag, 3> key_place_flags{
    {{"--fleet-key-file", "FILE", "The file, if it is not where the running herd has it."},
     {"--state-dir", "DIR", "As for `herd serve`: the file is fleet.key in there."},
     {"--config", "FILE", "As for `herd serve`: the settings name the file."}}};

std::vector<std::string> verb_names()
{
    std::vector<std::string> names{"serve", "help"};
    for (const VerbInfo& verb : verbs()) {
        names.push_back(verb.name);
    }
    return names;
}

ExitNow usage_error(const std::string& sentence) { return {2, "herd: " + sentence + "\n"}; }

/// The filters of `herd requests`, named as the API's parameters.
void add_filter_rows(config::Table& table, Verb& verb)
{
    table.boolean({.key = "follow", .flags = "--follow", .sentence = "Print each request as it ends.", .in_environment = false},
                  verb.follow);
    const auto text = [&](const char* name, const char* value, const char* sentence) {
        table.text({.key = name, .flags = std::string{"--"} + name, .value_name = value, .sentence = sentence, .in_environment = false},
                   verb.filters[name]);
    };
    text("limit", "N", "How many; 100 if not said.");
    text("model", "MODEL", "Only of this model.");
    text("node", "NODE", "Only of this node.");
    text("status", "STATUS", "Only with this status: 200, 5xx, ok, failed or in_flight.");
    text("tag", "TAG", "Only with this tag.");
    text("since", "TIME", "Only since then: 2026-05-01T12:00:00Z, or a span before now: 1h.");
}

/// As written: the herd that makes the key reads it, and by its own clock.
base::Result<std::string> future(std::string_view text)
{
    const base::WallTime now = base::SystemClock{}.wall();
    const auto at = parse_expiry(text, now);
    return at && *at > now ? base::Result<std::string>{std::string{text}} : base::fail(base::Errc::bad_config);
}

void add_key_rows(config::Table& table, KeyWords& key)
{
    table.list({.key = "models", .flags = "--models", .value_name = "MODEL,…", .sentence = "With `add`: only these models; may be repeated.", .in_environment = false}, key.models);
    table.list({.key = "frontends", .flags = "--frontends", .value_name = "NAME,…", .sentence = "With `add`: only on these frontends.", .in_environment = false}, key.frontends);
    table.number({.key = "rpm", .flags = "--rpm", .value_name = "N", .sentence = "With `add`: requests a minute.", .in_environment = false}, key.rpm, 0, 1'000'000);
    table.number({.key = "tokens_per_day", .flags = "--tokens-per-day", .value_name = "N", .sentence = "With `add`: tokens of prompts and answers a day (UTC).", .in_environment = false},
                 key.tokens_per_day, 0, 1'000'000'000'000);
    table.number({.key = "max_parallel", .flags = "--max-parallel", .value_name = "N", .sentence = "With `add`: requests at once.", .in_environment = false}, key.max_parallel, 0, 65'536);
    table.choice({.key = "priority", .flags = "--priority", .value_name = "WORD", .sentence = "With `add`: never more urgent than this: interactive, normal or batch.", .in_environment = false},
                 key.priority, std::vector<std::pair<std::string, std::string>>{{"interactive", "interactive"}, {"normal", "normal"}, {"batch", "batch"}});
    table.parsed({.key = "expires", .flags = "--expires", .value_name = "WHEN", .sentence = "With `add`: a date (2027-01-31) or a span from now (90d).", .in_environment = false},
                 key.expires, "a date (2027-01-31), a time (2027-01-31T12:00:00Z) or a span from now (90d), not in the past", future,
                 [](const std::string& when) { return when; });
    table.boolean({.key = "admin", .flags = "--admin", .sentence = "With `add`: a key that may also change herd and see its records.", .in_environment = false}, key.admin);
}

/// It becomes a header field: nothing that could end one.
base::Result<std::string> node_name(std::string_view text)
{
    const bool bad = text.empty() || std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    return bad ? base::Result<std::string>{base::fail(base::Errc::bad_config, "no name")} : std::string{text};
}

/// A key of its own: the file of a row that is called "config" would be read as the verb's settings.
config::Row place_row(const char* flag, const char* value, const char* sentence)
{
    return {.key = std::string{"place."} + (flag + 2), .flags = flag, .value_name = value, .sentence = sentence, .in_environment = false};
}

config::Table verb_table(Verb& verb)
{
    config::Table table{"HERD_"};
    table.group("Options");
    table.parsed(
        {.key = "url",
         .flags = "--url",
         .value_name = "URL",
         .sentence = "The herd to talk to; also $HERD_URL."},
        verb.url, "a URL", [](std::string_view text) { return config::parse_backend_url(text, herd_port); },
        [](const config::BackendUrl& url) { return url.text(); });
    table.text({.key = "api_key",
                .flags = "--key",
                .value_name = "KEY",
                .sentence = "API key; also $HERD_API_KEY.",
                .secret = true},
               verb.key);
    table.boolean(
        {.key = "json", .flags = "--json", .sentence = "Print the raw JSON answer.", .in_environment = false},
        verb.json);
    if (verb.name == "nodes") {
        table.text({.key = "name",
                    .flags = "--name",
                    .value_name = "NAME",
                    .sentence = "With `add`: what to call the node.",
                    .in_environment = false},
                   verb.node_name);
        table.list({.key = "label",
                    .flags = "--label",
                    .value_name = "LABEL",
                    .sentence = "With `add`: a label; may be repeated.",
                    .in_environment = false},
                   verb.labels);
    }
    if (verb.name == "requests") {
        add_filter_rows(table, verb);
    }
    if (verb.name == "key") {
        add_key_rows(table, verb.key_words);
    }
    if (verb.name == "device") {
        table.text({.key = "as", .flags = "--as", .value_name = "NAME", .sentence = "With `allow`: it acts as this API key, with its limits.", .in_environment = false}, verb.acts_as);
    }
    if (verb.name == "pull" || verb.name == "rm") {
        table.parsed({.key = "node", .flags = "--node", .value_name = "NODE", .sentence = "Only on this node: its name or id.", .in_environment = false},
                     verb.node, "a name or id", node_name, [](const std::string& name) { return name; });
        table.boolean({.key = "all", .flags = "--all", .sentence = "On every node.", .in_environment = false}, verb.all);
    }
    if (verb.name == "rm") {
        table.boolean({.key = "force", .flags = "--force", .sentence = "Also when it is pinned or required.", .in_environment = false}, verb.force);
    }
    if (verb.name == "fleet-key") {
        table.boolean({.key = "force", .flags = "--force", .sentence = "Also when that loses nodes.", .in_environment = false}, verb.force);
        // Where herd itself would look for the file; read by key_file_of().
        for (const auto& [flag, value, sentence] : key_place_flags) {
            table.text(place_row(flag, value, sentence), verb.places[flag]);
        }
    }
    if (verb.name == "import") {
        table.boolean({.key = "history", .flags = "--history", .sentence = "Take over what Ollama Herd remembers of requests.", .in_environment = false}, verb.history);
        for (const auto& [flag, value, sentence] : import_flags) {
            table.text(place_row(flag, value, sentence), verb.places[flag]);
        }
    }
    if (verb.name == "use") {
        table.text({.key = "frontend", .flags = "--frontend", .value_name = "F", .sentence = "Its id or name.", .in_environment = false},
                   verb.frontend);
    }
    if (verb.name == "route") {
        table.text({.key = "body",
                    .flags = "--body",
                    .value_name = "FILE",
                    .sentence = "An inference body whose route is wanted.",
                    .in_environment = false},
                   verb.body_file);
        table.text({.key = "path", .flags = "--path", .value_name = "PATH", .sentence = "Where the request would go, for example /v1/messages.", .in_environment = false},
                   verb.path);
    }
    return table;
}

std::string serve_help()
{
    std::string text = fmt::format(
        "herd {}: many Ollamas, one endpoint\n\n"
        "Usage:\n"
        "  herd [serve] [options]      serve: find nodes, take requests, send each to the best node\n"
        "  herd COMMAND [options]      talk to a running herd\n\n"
        "Commands (herd COMMAND --help tells more):\n",
        version());
    for (const VerbInfo& verb : verbs()) {
        text += config::help_line(verb.usage, verb.sentence);
    }
    text += config::help_line("help [COMMAND]", "This text, or a command's own.");
    text += herd_options_help();
    text += "\nEvery option and key has an environment twin: --discovery-port is HERD_DISCOVERY_PORT, "
            "[proxy] max_body is\n"
            "HERD_PROXY_MAX_BODY. A flag beats the environment, the environment beats the file.\n"
            "Signals: SIGTERM finishes running answers and ends; a second one ends now; SIGHUP reloads the "
            "file.\n";
    return text;
}

std::string verb_help(const VerbInfo& info)
{
    Verb verb{.name = info.name, .url = {.port = herd_port}};
    std::string text = fmt::format("Usage: herd {} [options]\n\n{}\n", info.usage, info.sentence);
    if (!info.details.empty()) {
        text += "\n" + info.details + "\n";
    }
    return text + config::help_options(verb_table(verb));
}

/// Those of `flags` that were said, as words for `herd serve`; they are settled then.
std::vector<std::string> serve_words(Verb& verb, std::span<const PlaceFlag> flags)
{
    std::vector<std::string> words;
    for (const auto& [flag, value, sentence] : flags) {
        if (const std::string said = std::exchange(verb.places[flag], {}); !said.empty()) {
            words.insert(words.end(), {flag, said});
        }
    }
    return words;
}

/// The records as `herd serve` would find them with the same words.
base::Result<void> find_records(Verb& verb, const config::Environment& environment, const std::string& directory)
{
    const auto loaded = load_herd_options(serve_words(verb, std::span{import_flags}.last(2)), environment, directory, KeyNeeded::no);
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    verb.state_dir = loaded->options.state_dir;
    verb.store = loaded->options.store;
    return {};
}

/// The file as `herd serve` would find it with the same words.
base::Result<void> find_key_file(Verb& verb, const config::Environment& environment, const std::string& directory)
{
    const std::vector<std::string> words = serve_words(verb, key_place_flags);
    const auto loaded = load_herd_options(words, environment, directory, KeyNeeded::no);
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    const std::string& named = loaded->options.discovery.fleet_key_file;
    verb.key_file_said = !words.empty();
    verb.state_dir = loaded->options.state_dir;
    verb.key_file = named.empty() ? default_fleet_key_file(verb.state_dir) : named;
    return {};
}

CommandLine parse_verb(const VerbInfo& info, const std::vector<std::string>& arguments,
                       const config::Environment& environment, const std::string& directory)
{
    Verb verb{.name = info.name, .url = {.port = herd_port}};
    config::Table table = verb_table(verb);
    const auto loaded = config::load(table, arguments, environment, {}, {});
    if (!loaded) {
        return usage_error(loaded.error().context);
    }
    if (loaded->help) {
        return ExitNow{0, verb_help(info)};
    }
    if (loaded->version) {
        return ExitNow{0, fmt::format("herd {}\n", version())};
    }
    verb.words = loaded->words;
    verb.key = std::string{base::trim(verb.key)}; // a file read into the variable brings its line break
    if (std::ranges::any_of(verb.key, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; })) {
        return usage_error("the API key (--key or HERD_API_KEY) has a space or a line break in it: is it one key?");
    }
    if (const std::string wrong = check_words(verb); !wrong.empty()) {
        return usage_error(fmt::format("{} (usage: herd {})", wrong, info.usage));
    }
    if (verb.name == "fleet-key") {
        if (const auto found = find_key_file(verb, environment, directory); !found) {
            return usage_error(found.error().context);
        }
    }
    if (verb.history) {
        if (const auto found = find_records(verb, environment, directory); !found) {
            return usage_error(found.error().context);
        }
    }
    return verb;
}

CommandLine parse_serve(const std::vector<std::string>& arguments, const config::Environment& environment,
                        const std::string& directory)
{
    auto result = load_herd_options(arguments, environment, directory);
    if (!result) {
        return usage_error(result.error().context);
    }
    if (result->loaded.help) {
        return ExitNow{0, serve_help()};
    }
    if (result->loaded.version) {
        return ExitNow{0, fmt::format("herd {}\n", version())};
    }
    if (result->options.dump_config_docs) {
        return ExitNow{0, herd_config_reference()};
    }
    if (!result->loaded.words.empty()) {
        const std::string& word = result->loaded.words.front();
        if (std::ranges::find(verbs(), word, &VerbInfo::name) != verbs().end()) {
            return usage_error(fmt::format("\"{}\" is a command of its own, not a word for `herd serve`: herd {} --help tells more", word, word));
        }
        return usage_error(
            fmt::format("unexpected argument \"{}\"{}", word, config::suggestion(word, verb_names())));
    }
    if (result->options.check_config) {
        const std::string file = result->loaded.file.empty() ? "no configuration file" : result->loaded.file;
        std::string text =
            fmt::format("# The settings in force ({}). They are valid.\n{}", file, result->effective);
        for (const std::string& warning : result->options.warnings) {
            text += "# warning: " + warning + "\n";
        }
        const std::string& keys = result->options.discovery.fleet_key_file;
        if (!keys.empty() && ::access(keys.c_str(), R_OK) != 0) {
            text += "# warning: " + keys + " cannot be read: herd will not start\n";
        }
        return ExitNow{0, std::move(text), std::make_shared<const HerdOptions>(std::move(result->options))};
    }
    return ServeOptions{std::move(result->options), std::move(result->effective),
                        std::move(result->effective_json), {}, {}, arguments};
}

/// Where the verb stands: `herd --json status` and `herd --url X status` work as well as the other order.
std::size_t verb_position(const std::vector<std::string>& arguments)
{
    std::size_t i = 0;
    while (i < arguments.size()) {
        const std::string& word = arguments[i];
        if (word == "--url" || word == "--key") {
            i += 2;
        } else if (word == "--json" || word.starts_with("--url=") || word.starts_with("--key=")) {
            ++i;
        } else {
            return word.starts_with('-') ? arguments.size() : i;
        }
    }
    return arguments.size();
}

} // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments,
                               const config::Environment& environment, const std::string& directory)
{
    const std::size_t at = verb_position(arguments);
    if (at == arguments.size()) {
        return parse_serve(arguments, environment, directory);
    }
    const std::string name = arguments[at];
    std::vector<std::string> rest = arguments;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at));
    if (name == "serve") {
        return parse_serve(rest, environment, directory);
    }
    const bool help = name == "help";
    if (help) { // `herd help --help` asks for nothing else than `herd help`
        std::erase_if(rest, [](const std::string& word) { return word == "--help" || word == "-h"; });
    }
    const std::string wanted = help && !rest.empty() ? rest.front() : name;
    if (help && (rest.empty() || wanted == "serve")) {
        return ExitNow{0, serve_help()};
    }
    const auto known = std::ranges::find(verbs(), wanted, &VerbInfo::name);
    if (known == verbs().end()) {
        return usage_error(fmt::format("unknown command \"{}\"{}; herd --help lists them", wanted,
                                       config::suggestion(wanted, verb_names())));
    }
    return help ? CommandLine{ExitNow{0, verb_help(*known)}} : parse_verb(*known, rest, environment, directory);
}

base::Result<ServeOptions> reload_serve_options(const std::vector<std::string>& arguments,
                                                const config::Environment& environment, const HerdOptions& running)
{
    auto result = load_herd_options(arguments, environment, running.directory, KeyNeeded::yes, &running);
    if (!result) {
        return std::unexpected(result.error());
    }
    return ServeOptions{std::move(result->options), std::move(result->effective), std::move(result->effective_json),
                        std::move(result->needs_restart), {}, arguments};
}

std::string version() { return HERD_VERSION; }

} // namespace herd::app
