#include "herd/cli/model_verbs.hpp"

#include "herd/cli/answer_json.hpp"
#include "herd/cli/explain.hpp"
#include "herd/cli/pull_progress.hpp"

#include <expected>
#include <ostream>
#include <vector>

#include <fmt/format.h>

namespace herd::app {

namespace {

using base::Result;

std::string body_of(const Verb& verb)
{
    auto body = answer::Json{{"model", verb.words.front()}};
    if (verb.force) {
        body["force"] = true;
    }
    return body.dump(-1, ' ', false, answer::Json::error_handler_t::replace);
}

int fail(const cli::Terminal& terminal, std::string_view sentence)
{
    terminal.err << "herd: " << sentence << '\n';
    return 1;
}

/// Why it failed; empty when it did not.
std::string pull_on(const Verb& verb, const std::string& node, PullProgress& progress)
{
    const auto take = [&](std::string_view bytes) { return progress.feed(bytes); };
    const auto answer = cli::ask_streamed({verb.url, verb.key}, "POST", "/api/pull", body_of(verb), node, take);
    progress.finish();
    if (!answer) {
        return answer.error().code == base::Errc::closed ? progress.failure() : explain(answer.error(), verb);
    }
    return answer->status >= 200 && answer->status < 300 ? progress.failure() : explain_status(*answer, verb);
}

struct Place {
    std::string id{};
    std::string name{};
};

/// Every node that takes requests, or the sentence why they are not known.
std::expected<std::vector<Place>, std::string> places(const Verb& verb)
{
    const auto answer = cli::ask({verb.url, verb.key}, "GET", "/herd/v1/nodes");
    if (!answer) {
        return std::unexpected(explain(answer.error(), verb));
    }
    if (answer->status != 200) {
        return std::unexpected(explain_status(*answer, verb));
    }
    const auto json = answer::parse(answer->body);
    if (!json) {
        return std::unexpected(json.error().context);
    }
    std::vector<Place> found;
    for (const auto& node : answer::list(*json, "nodes")) {
        const std::string state = answer::text(node, "state");
        if (const std::string id = answer::text(node, "id"); !id.empty() && state == "online") {
            found.push_back({id, answer::text(node, "name")});
        }
    }
    return found;
}

int pull_everywhere(const Verb& verb, const cli::Terminal& terminal)
{
    const auto nodes = places(verb);
    if (!nodes) {
        return fail(terminal, nodes.error());
    }
    if (nodes->empty()) {
        return fail(terminal, "no node takes requests now");
    }
    bool failed = false;
    for (const Place& place : *nodes) {
        PullProgress progress(terminal, PullProgress::Show::nothing);
        const std::string why = pull_on(verb, place.id, progress);
        failed = failed || !why.empty();
        if (verb.json) {
            answer::Json line{{"node", place.name}, {"ok", why.empty()}};
            if (!why.empty()) {
                line["error"] = why;
            }
            terminal.out << line.dump() << std::endl;
        } else {
            terminal.out << place.name << ": " << (why.empty() ? "pulled" : "failed: " + why) << std::endl;
        }
    }
    return failed ? 1 : 0;
}

} // namespace

int pull_model(const Verb& verb, const cli::Terminal& terminal, bool live)
{
    if (verb.all) {
        return pull_everywhere(verb, terminal);
    }
    using Show = PullProgress::Show;
    PullProgress progress(terminal, verb.json ? Show::raw : live ? Show::live : Show::lines);
    const std::string why = pull_on(verb, verb.node, progress);
    return why.empty() ? 0 : fail(terminal, why);
}

int remove_model(const Verb& verb, const cli::Terminal& terminal)
{
    const auto ignore = [](std::string_view) { return true; };
    const auto answer = cli::ask_streamed({verb.url, verb.key}, "DELETE", "/api/delete", body_of(verb), verb.node, ignore);
    if (!answer) {
        return fail(terminal, explain(answer.error(), verb));
    }
    if (answer->status < 200 || answer->status >= 300) {
        if (verb.json) {
            terminal.out << answer->body << '\n';
            return 1;
        }
        return fail(terminal, explain_status(*answer, verb) + (answer->status == 409 && !verb.force ? " (herd rm --force)" : ""));
    }
    const std::string where = verb.node.empty() ? "every node that had it" : verb.node;
    if (verb.json) {
        terminal.out << "{}\n"; // Ollama's own answer is empty
    } else {
        terminal.out << fmt::format("deleted {} from {}\n", cli::clean(verb.words.front(), 200), cli::clean(where));
    }
    return 0;
}

} // namespace herd::app
