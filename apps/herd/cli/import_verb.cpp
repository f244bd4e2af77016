#include "herd/cli/import_verb.hpp"

#include "cli/input.hpp"
#include "herd/cli/import_history.hpp"
#include "herd/import/ollama_herd_files.hpp"
#include "herd/import/ollamaflow_files.hpp"
#include "store/foreign_table.hpp"

#include <cstdlib>
#include <ostream>

#include <fmt/format.h>
#include <poll.h>

namespace herd::app {

namespace {

/// Empty when it is not there.
base::Result<std::string> read_text(const std::string& path)
{
    auto text = cli::read_input(path);
    return !text && text.error().code == base::Errc::not_found ? base::Result<std::string>{std::string{}} : text;
}

base::Result<std::string> from_ollamaflow(const std::string& settings_file, const std::string& database)
{
    const auto settings = read_text(settings_file);
    if (!settings) {
        return std::unexpected(settings.error());
    }
    const auto frontends = store::read_foreign_table(database, "frontends");
    const auto backends = frontends ? store::read_foreign_table(database, "backends") : frontends;
    if (!backends) {
        return base::fail(base::Errc::io, fmt::format("cannot read {}: {} (--db says where OllamaFlow's database is)", database,
                                                      backends.error().context.empty() ? "it is not there" : backends.error().context));
    }
    return import::toml_of_ollamaflow(*settings, *frontends, *backends);
}

base::Result<std::string> from_ollama_herd(const std::string& folder)
{
    const auto env = read_text(folder + "/env");
    const auto pins = env ? read_text(folder + "/pinned_models.json") : env;
    if (!pins) {
        return std::unexpected(pins.error());
    }
    if (env->empty() && pins->empty()) {
        return base::fail(base::Errc::not_found, fmt::format("neither env nor pinned_models.json is in {} (--from says where Ollama Herd keeps them)", folder));
    }
    return import::toml_of_ollama_herd(*env, *pins);
}

int import_history(const std::string& folder, const Verb& verb, const cli::Terminal& terminal, const base::Clock& clock)
{
    const HistoryJob job{.database = folder + "/latency.db", .store = verb.store, .state_dir = verb.state_dir, .pause = [](base::Duration time) {
                             ::poll(nullptr, 0, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(time).count()));
                         }};
    HistoryTally tally;
    const auto done = take_history(job, clock, tally);
    if (!done) {
        const bool there = done.error().code != base::Errc::not_found;
        terminal.err << "herd: " << done.error().context << (there ? "" : " (--from says where Ollama Herd keeps its files)")
                     << (tally.taken == 0 ? std::string{} : fmt::format("; {} requests were taken before, and again takes the rest", tally.taken)) << '\n';
        return 1;
    }
    terminal.out << history_sentence(tally, verb.store) << '\n';
    return 0;
}

std::string or_else(const std::string& said, std::string otherwise) { return said.empty() ? std::move(otherwise) : said; }

} // namespace

std::string check_import_words(const Verb& verb)
{
    if (verb.words.size() != 1 || (verb.words[0] != "ollamaflow" && verb.words[0] != "ollama-herd")) {
        return "import needs the program whose settings are meant: ollamaflow or ollama-herd";
    }
    const bool flow = verb.words[0] == "ollamaflow";
    const auto said = [&verb](const char* flag) { return verb.places.contains(flag) && !verb.places.at(flag).empty(); };
    if (flow ? said("--from") : said("--db") || said("--settings")) {
        return flow ? "--from is for ollama-herd" : "--db and --settings are for ollamaflow";
    }
    if (flow && verb.history) {
        return "--history is for ollama-herd: OllamaFlow keeps none";
    }
    return !verb.history && (said("--state-dir") || said("--config")) ? "--state-dir and --config are for --history" : "";
}

int import_settings(const Verb& verb, const cli::Terminal& terminal, const base::Clock& clock)
{
    const char* const home = std::getenv("HOME");
    const auto place = [&verb](const char* flag) { return verb.places.contains(flag) ? verb.places.at(flag) : std::string{}; };
    const std::string folder = or_else(place("--from"), std::string{home == nullptr ? "" : home} + "/.fleet-manager");
    if (verb.history) {
        return import_history(folder, verb, terminal, clock);
    }
    const auto text = verb.words[0] == "ollamaflow"
        ? from_ollamaflow(or_else(place("--settings"), "ollamaflow.json"), or_else(place("--db"), "ollamaflow.db"))
        : from_ollama_herd(folder);
    if (!text) {
        terminal.err << "herd: " << text.error().context << '\n';
        return 1;
    }
    terminal.out << *text;
    return 0;
}

} // namespace herd::app
