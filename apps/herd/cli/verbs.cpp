#include "herd/cli/verbs.hpp"

#include "cli/client.hpp"
#include "cli/input.hpp"
#include "cli/process_end.hpp"
#include "herd/cli/answer_json.hpp"
#include "herd/cli/explain.hpp"
#include "herd/cli/fleet_key.hpp"
#include "herd/cli/follow.hpp"
#include "herd/cli/import_verb.hpp"
#include "herd/cli/device_verbs.hpp"
#include "herd/cli/key_verbs.hpp"
#include "herd/cli/model_verbs.hpp"
#include "herd/cli/print.hpp"
#include "herd/cli/print_decision.hpp"
#include "herd/cli/print_health.hpp"
#include "herd/cli/print_requests.hpp"
#include "herd/cli/screen.hpp"
#include "herd/cli/top.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <iostream>
#include <optional>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace herd::app {

namespace {

using base::Result;

constexpr std::chrono::minutes stop_patience{10};

/// How one request becomes output.
struct Work {
    std::string method{"GET"};
    std::string path{};
    std::string body{};
    std::function<Result<void>(std::string_view body)> print{};
    std::function<void(std::string_view body)> seen{}; ///< called on success, before anything is printed
};

struct Context {
    const Verb& verb;
    const cli::Terminal& terminal;
    const base::Clock& clock;

    [[nodiscard]] cli::Server server() const { return {verb.url, verb.key}; }
    int fail(std::string_view sentence) const
    {
        terminal.err << "herd: " << sentence << '\n';
        return 1;
    }
    int say(const std::string& sentence) const
    {
        if (!verb.json) {
            terminal.out << sentence << '\n';
        }
        return 0;
    }
};

/// Asks, checks, prints. The exit code.
int run(const Context& context, const Work& work)
{
    const auto answer = cli::ask(context.server(), work.method, work.path, work.body);
    if (!answer) {
        return context.fail(explain(answer.error(), context.verb));
    }
    const bool good = answer->status >= 200 && answer->status < 300;
    if (good && work.seen) {
        work.seen(answer->body);
    }
    if (context.verb.json) {
        context.terminal.out << answer->body << (answer->body.ends_with('\n') ? "" : "\n");
        return good ? 0 : 1;
    }
    if (!good) {
        return context.fail(explain_status(*answer, context.verb));
    }
    if (const auto printed = work.print(answer->body); !printed) {
        return context.fail(fmt::format("{} ({})", printed.error().context, context.verb.url.text()));
    }
    return 0;
}

std::function<Result<void>(std::string_view)> saying(const Context& context, std::string sentence)
{
    return [&context, sentence = std::move(sentence)](std::string_view) -> Result<void> {
        context.terminal.out << sentence << '\n';
        return {};
    };
}

int status(const Context& c)
{
    return run(c, {.path = "/herd/v1/status", .print = [&](std::string_view body) {
                       return print_status(body, c.verb.url.text(), c.terminal);
                   }});
}

int nodes(const Context& c)
{
    const auto& words = c.verb.words;
    if (words.empty()) {
        return run(c, {.path = "/herd/v1/nodes", .print = [&](std::string_view body) {
                           return print_nodes(body, c.terminal);
                       }});
    }
    const std::string& what = words[1];
    const std::string path = "/herd/v1/nodes/" + cli::path_segment(what);
    if (words[0] == "approve") {
        return run(c, {"POST", path + "/approve", {}, saying(c, fmt::format("{} is let in", what))});
    }
    if (words[0] == "add") {
        return run(c,
                   {"POST", "/herd/v1/nodes", node_json(what, c.verb.node_name, c.verb.labels),
                    [&](std::string_view body) { return print_added(body, what, c.terminal); }});
    }
    return run(c, {"DELETE", path, {}, saying(c, fmt::format("removed {}", what))});
}

int models(const Context& c)
{
    return run(c, {.path = "/herd/v1/models", .print = [&](std::string_view body) {
                       return print_models(body, c.terminal);
                   }});
}

int loaded(const Context& c)
{
    return run(c, {.path = "/api/ps", .print = [&](std::string_view body) {
                       return print_loaded(body, c.clock.wall(), c.terminal);
                   }});
}

int requests(const Context& c)
{
    if (c.verb.follow) {
        const auto followed = follow_requests(c.verb, c.server(), c.terminal);
        return followed ? 0 : c.fail(explain(followed.error(), c.verb));
    }
    return run(c, {.path = requests_path(c.verb), .print = [&](std::string_view body) {
                       return print_requests(body, c.terminal, output_columns());
                   }});
}

int drain_or_resume(const Context& c)
{
    const std::string& node = c.verb.words.front();
    const std::string done = c.verb.name == "drain"
        ? fmt::format("{} finishes what it runs and gets no new requests; `herd resume {}` undoes it", node,
                      node)
        : fmt::format("{} takes requests again", node);
    return run(c,
               {"POST",
                fmt::format("/herd/v1/nodes/{}/{}", cli::path_segment(node), c.verb.name),
                {},
                saying(c, done)});
}

int route(const Context& c)
{
    auto text = c.verb.body_file.empty() ? Result<std::string>{std::string{}} : cli::read_input(c.verb.body_file);
    if (!text) {
        return c.fail(text.error().context);
    }
    const auto question = question_json(*text, c.verb.words.front(), c.verb.path);
    if (!question) {
        return c.fail(fmt::format("{}: {}", c.verb.body_file, question.error().context));
    }
    return run(c, {"POST", "/herd/v1/route", *question,
                   [&](std::string_view body) { return print_decision(body, c.terminal); }});
}

int why(const Context& c)
{
    return run(c, {.path = "/herd/v1/requests/" + cli::path_segment(c.verb.words.front()),
                   .print = [&](std::string_view body) { return print_record(body, c.terminal); }});
}

/// Every health check that found something; 1 when any is critical.
int doctor(const Context& c)
{
    bool critical = false;
    const int code = run(c, {.path = "/herd/v1/health",
                             .print = [&](std::string_view body) { return print_health(body, c.terminal); },
                             .seen = [&](std::string_view body) { critical = any_critical(body); }});
    return code != 0 ? code : critical ? 1 : 0;
}

int top(const Context& c) { return run_top(c.server(), c.terminal, c.clock, c.verb.json); }

int pull(const Context& c)
{
    return pull_model(c.verb, c.terminal, &c.terminal.out == &std::cout && ::isatty(STDOUT_FILENO) == 1);
}

int rm(const Context& c) { return remove_model(c.verb, c.terminal); }

int key(const Context& c) { return key_verb(c.verb, c.terminal); }

int device(const Context& c) { return device_verb(c.verb, c.terminal); }

int fleet_key(const Context& c) { return change_fleet_keys(c.verb, c.terminal); }

int import_files(const Context& c) { return import_settings(c.verb, c.terminal, c.clock); }

int use(const Context& c)
{
    const std::string& node = c.verb.words.front();
    auto body = answer::Json{{"node", node}};
    if (!c.verb.frontend.empty()) {
        body["frontend"] = c.verb.frontend;
    }
    return run(c, {"POST", "/herd/v1/use", body.dump(-1, ' ', false, answer::Json::error_handler_t::replace),
                   [&](std::string_view text) { return print_use(text, c.terminal); }});
}

/// What it answers names the settings that wait for a restart.
int reload(const Context& c)
{
    return run(c, {"POST", "/herd/v1/reload", {}, [&](std::string_view body) -> Result<void> {
                       const auto json = answer::parse(body);
                       const std::string said = json ? answer::text(*json, "status") : std::string{};
                       c.terminal.out << (said.empty() ? "reloaded" : said) << '\n';
                       return {};
                   }});
}

/// Calls `done` until it says so, for at most `stop_patience`; tells once that it may take a while.
bool wait_until(const Context& c, const std::function<bool()>& done)
{
    const auto begun = c.clock.now();
    bool told = false;
    while (!done()) {
        const auto waited = c.clock.now() - begun;
        if (waited > stop_patience) {
            return false;
        }
        if (!told && !c.verb.json && waited > std::chrono::seconds{1}) {
            told = true;
            c.terminal.err << "herd finishes the answers that are running…\n";
        }
    }
    return true;
}

/// Returns when nobody listens on the port any more and, if herd told its pid, the process is gone: then the
/// pid file is free, and `herd stop && herd -d` works.
int stop(const Context& c)
{
    std::optional<cli::ProcessEnd> process;
    const auto watch = [&](std::string_view body) { process.emplace(number_of(body, "pid")); };
    const Work work{"POST", "/herd/v1/stop", {}, [](std::string_view) { return Result<void>{}; }, watch};
    if (const int code = run(c, work); code != 0) {
        return code;
    }
    const auto closed = [&] { return !cli::is_listening(c.server()) || (::poll(nullptr, 0, 50), false); };
    const auto ended = [&] { return !process || process->wait(std::chrono::milliseconds{100}); };
    if (!wait_until(c, closed) || !wait_until(c, ended)) {
        return c.fail(fmt::format("herd at {} has not ended yet", c.verb.url.text()));
    }
    return c.say("stopped");
}

struct Entry {
    VerbInfo info;
    int (*work)(const Context&);
    std::size_t words_min{0};
    std::size_t words_max{0};
};

const std::array<Entry, 20>& entries()
{
    static const std::array<Entry, 20> all{
        {{{"status", "status", "How the herd is: nodes, models, requests.", ""}, status},
         {{"nodes", "nodes [add URL | remove NODE | approve NODE]",
           "Every node with its state and load; or add, remove or let in one.",
           "  nodes                                     list them\n"
           "  nodes add URL [--name NAME] [--label L]   a plain Ollama, until it is removed\n"
           "  nodes remove NODE                         forget one that was added or is offline, or take an approval back\n"
           "  nodes approve NODE                        let in one that waits ([discovery] join = \"approve\")"},
          nodes,
          0,
          2},
         {{"models", "models", "Every model, which nodes have it and which hold it in memory.", ""}, models},
         {{"ps", "ps", "The models in memory, as `ollama ps` shows them, with their node.", ""}, loaded},
         {{"route", "route MODEL [--body FILE] [--path PATH]",
           "Where a request would go now, and why: every node with its cost in seconds.",
           "  --body FILE takes an inference body as a client would send it (\"-\": standard input), so that the\n"
           "  length of its prompt, its options and what is cached of it count. Nothing is sent to a node.\n"
           "  --path PATH asks about a request there; else /api/chat or /api/generate, as the body is, or\n"
           "  /v1/chat/completions when all that have the model offer OpenAI's paths only."},
          route,
          1,
          1},
         {{"why", "why REQUEST_ID",
           "What became of a request, and why it ran where it ran.",
           "  REQUEST_ID is the X-Herd-Request-Id of its answer."},
          why,
          1,
          1},
         {{"top", "top", "The fleet live in this terminal; once, as text, when the output is no terminal.",
           "  q ends it, p pauses it, arrows and Page Up and Down scroll the nodes.\n"
           "  --json prints once what herd answered: {\"status\", \"nodes\", \"in_flight\", \"requests\"}."},
          top},
         {{"doctor", "doctor", "What is wrong with the fleet and what to do about it; exit code 1 if anything is critical.", ""}, doctor},
         {{"requests", "requests [--follow]", "The latest requests: what ran where, how long it took, how it ended.",
           "  --follow prints each request as it ends, until interrupted. `herd why ID` tells more of one."},
          requests},
         {{"drain", "drain NODE", "Give a node no new requests; what runs there finishes.", ""},
          drain_or_resume,
          1,
          1},
         {{"resume", "resume NODE", "Undo a drain.", ""}, drain_or_resume, 1, 1},
         {{"pull", "pull MODEL [--node NODE | --all]", "Pull a model: where herd chooses, on one node, or on every node.",
           "  --all pulls on every node that takes requests, one after the other; exit code 1 if any of them failed."},
          pull,
          1,
          1},
         {{"rm", "rm MODEL [--node NODE | --all] [--force]", "Delete a model from one node, or from every node that has it.",
           "  Without --node it is deleted from every node that has it; --all says the same aloud."},
          rm,
          1,
          1},
         {{"key", "key add NAME | list | revoke NAME", "API keys of clients: make one, list them, take one back at once.",
           "  key add NAME      makes a key and prints its secret, this once; --models, --rpm and the others limit it,\n"
           "                    --admin gives it what people who run herd may do\n"
           "  key list          all keys, without their secrets\n"
           "  key revoke NAME   by name or id; refused from that moment on"},
          key,
          0,
          2},
         {{"device", "device show | list | allow ID | disable ID", "Devices of the program Ollana that may use this herd.",
           "  device show         herd's own id, which Ollana wants to be told: `ollana device allow ID` there\n"
           "  device list         those that are allowed, and those that knocked\n"
           "  device allow ID     let it in from now on; the first 8 digits of one that knocked will do\n"
           "  device disable ID   refused from that moment on"},
          device,
          0,
          2},
         {{"fleet-key", "fleet-key new | add [FILE] | rotate [ID] | remove ID",
           "The key that nodes must have to join; on the machine herd runs on.",
           "  fleet-key new           make the fleet's key and ask every node for it from now on\n"
           "  fleet-key add [FILE]    accept one more, fresh or out of FILE (\"-\": standard input)\n"
           "  fleet-key rotate [ID]   use the newest of those that are accepted, or ID\n"
           "  fleet-key remove ID     accept it no more\n"
           "  add, rotate, remove, each followed by the nodes, change a key without losing one of them."},
          fleet_key,
          1,
          2},
         {{"use", "use NODE|auto [--frontend F]", "Send everything to one node from the next request on; auto: to the best one again.",
           "  Answers that are running finish where they run. Lists of models show that node's only.\n"
           "  --frontend F: of that frontend; needed when there are several."},
          use,
          1,
          1},
         {{"import", "import ollamaflow | ollama-herd [--history]", "Print the settings of another program as a herd.toml, or take its history over.",
           "  herd import ollamaflow --db ollamaflow.db --settings ollamaflow.json >herd.toml\n"
           "  herd import ollama-herd >herd.toml\n"
           "  herd import ollama-herd --history   what it remembers of requests, into herd's own records; on the machine\n"
           "                                      herd runs on, while it runs or not, again whenever there is more\n"
           "  Nothing of that program is changed. What herd has nothing for is told in remarks. Secrets of OllamaFlow's\n"
           "  backends stand in what is printed: `umask 077` first."},
          import_files,
          1,
          1},
         {{"reload", "reload", "Read the configuration file again, as SIGHUP does.", ""}, reload},
         {{"stop", "stop", "Finish running answers and end; returns when the port is closed.", ""}, stop}}};
    return all;
}

} // namespace

std::span<const VerbInfo> verbs()
{
    static const std::vector<VerbInfo> infos = [] {
        std::vector<VerbInfo> list;
        for (const Entry& entry : entries()) {
            list.push_back(entry.info);
        }
        return list;
    }();
    return infos;
}

std::string check_words(const Verb& verb)
{
    const auto entry =
        std::ranges::find_if(entries(), [&](const Entry& each) { return each.info.name == verb.name; });
    if (entry == entries().end()) {
        return "no such command";
    }
    if (verb.name == "fleet-key") {
        return check_fleet_key_words(verb.words);
    }
    if (verb.name == "import") {
        return check_import_words(verb);
    }
    if (verb.words.size() < entry->words_min) {
        return fmt::format("{} needs {}", verb.name,
                           verb.name == "use" ? "a node's name or id, or auto"
                               : verb.name == "route" || verb.name == "pull" || verb.name == "rm" ? "a model"
                               : verb.name == "why" ? "the id of a request"
                                                    : "a name or id");
    }
    if (verb.words.size() > entry->words_max) {
        return fmt::format("unexpected argument \"{}\"", verb.words[entry->words_max]);
    }
    if (verb.all && !verb.node.empty()) {
        return "--node and --all exclude each other";
    }
    if (verb.name == "nodes" && !verb.words.empty()) {
        const std::vector<std::string> actions{"add", "remove", "approve"};
        if (std::ranges::find(actions, verb.words[0]) == actions.end()) {
            return fmt::format("nodes does not know \"{}\"{}", verb.words[0],
                               config::suggestion(verb.words[0], actions));
        }
        if (verb.words.size() < 2) {
            return fmt::format("nodes {} needs {}", verb.words[0],
                               verb.words[0] == "add" ? "a URL" : "a name or id");
        }
    }
    if (verb.name == "key") {
        return check_key_words(verb);
    }
    if (verb.name == "device") {
        return check_device_words(verb);
    }
    const bool adds = verb.name == "nodes" && !verb.words.empty() && verb.words[0] == "add";
    return adds || (verb.node_name.empty() && verb.labels.empty())
        ? ""
        : "--name and --label belong to `nodes add`";
}

int run_verb(const Verb& verb, const cli::Terminal& terminal, const base::Clock& clock)
{
    const auto entry =
        std::ranges::find_if(entries(), [&](const Entry& each) { return each.info.name == verb.name; });
    return entry == entries().end() ? 2 : entry->work(Context{verb, terminal, clock});
}

} // namespace herd::app
