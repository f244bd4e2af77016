#include "herd/cli/key_verbs.hpp"

#include "base/text.hpp"
#include "cli/client.hpp"
#include "config/show.hpp"
#include "herd/cli/answer_json.hpp"
#include "herd/cli/explain.hpp"

#include <algorithm>
#include <ostream>
#include <vector>

#include <fmt/format.h>

namespace herd::app {

namespace {

using answer::Json;
using cli::Colour;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

int fail(const cli::Terminal& terminal, std::string_view sentence)
{
    terminal.err << "herd: " << sentence << '\n';
    return 1;
}

/// "a,b" and "--models a --models b" alike.
Json names_of(const std::vector<std::string>& given)
{
    Json list = Json::array();
    for (const std::string& each : given) {
        for (const auto name : base::split_list(each)) {
            list.push_back(std::string{name});
        }
    }
    return list;
}

std::string names_text(const Json& key, const char* member)
{
    std::string text;
    for (const Json& each : answer::list(key, member)) {
        if (each.is_string()) {
            text += (text.empty() ? "" : ", ") + each.get<std::string>();
        }
    }
    return cli::clean(text, 40);
}

std::string limit_text(const Json& key, const char* member)
{
    const auto value = answer::number(key, member);
    return value ? fmt::format("{:.0f}", *value) : std::string{};
}

std::string day_text(const Json& key, const char* member) { return answer::text(key, member).substr(0, 10); }

/// The secret on `out`, the rest beside it: `KEY=$(herd key add alice)` works.
int print_made(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = answer::parse(body);
    const std::string secret = json ? answer::text(*json, "secret") : std::string{};
    if (secret.empty()) {
        return fail(terminal, "the answer has no key; is that a herd?");
    }
    terminal.err << "This is the key of " << answer::text(*json, "name") << ". It is shown this once; herd keeps only its hash.\n";
    terminal.out << secret << '\n';
    return 0;
}

} // namespace

std::string new_key_json(const Verb& verb)
{
    const KeyWords& given = verb.key_words;
    Json json{{"name", verb.words.at(1)}};
    if (given.admin) {
        json["scope"] = "admin";
    }
    if (!given.models.empty()) {
        json["models"] = names_of(given.models);
    }
    if (!given.frontends.empty()) {
        json["frontends"] = names_of(given.frontends);
    }
    using Limit = std::pair<const char*, std::uint64_t>;
    for (const auto& [member, value] : {Limit{"rpm", given.rpm}, Limit{"tokens_per_day", given.tokens_per_day}, Limit{"max_parallel", given.max_parallel}}) {
        if (value != 0) {
            json[member] = value;
        }
    }
    for (const auto& [member, text] : {std::pair{"priority", &given.priority}, std::pair{"expires", &given.expires}}) {
        if (!text->empty()) {
            json[member] = *text;
        }
    }
    return dump(json);
}

base::Result<void> print_keys(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = answer::parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    cli::TextTable table({"NAME", "KEY", "SCOPE", "STATE", "MODELS", "FRONTENDS", "A MINUTE", "TOKENS A DAY", "TODAY", "AT ONCE", "PRIORITY", "EXPIRES", "LAST USED", "ID"});
    for (const Json& key : answer::list(*json, "keys")) {
        const std::string state = answer::text(key, "state");
        const std::uint64_t today = answer::count(key, "tokens_today");
        table.row({{answer::text(key, "name"), Colour::bold},
                   {answer::text(key, "key")},
                   {answer::text(key, "scope")},
                   {state, state == "active" ? Colour::green : Colour::dim},
                   {names_text(key, "models")},
                   {names_text(key, "frontends")},
                   {limit_text(key, "rpm")},
                   {limit_text(key, "tokens_per_day")},
                   {today != 0 ? fmt::format("{}", today) : std::string{}},
                   {limit_text(key, "max_parallel")},
                   {answer::text(key, "priority")},
                   {day_text(key, "expires")},
                   {day_text(key, "last_used")},
                   {answer::text(key, "id")}});
    }
    if (table.empty()) {
        terminal.out << "no keys; `herd key add NAME` makes one\n";
    } else {
        table.print(terminal);
    }
    return {};
}

std::string check_key_words(const Verb& verb)
{
    const std::vector<std::string> actions{"add", "list", "revoke"};
    const std::string action = verb.words.empty() ? "" : verb.words[0];
    if (std::ranges::find(actions, action) == actions.end()) {
        return action.empty() ? "key needs add, list or revoke" : fmt::format("key does not know \"{}\"{}", action, config::suggestion(action, actions));
    }
    if (action != "list" && verb.words.size() < 2) {
        return fmt::format("key {} needs a name{}", action, action == "revoke" ? " or id" : "");
    }
    if (action == "list" && verb.words.size() > 1) {
        return fmt::format("unexpected argument \"{}\"", verb.words[1]);
    }
    for (const auto& [flag, given] : {std::pair{"--models", &verb.key_words.models}, std::pair{"--frontends", &verb.key_words.frontends}}) {
        // An empty shell variable is no wish for a key without that limit.
        if (std::ranges::any_of(*given, [](const std::string& each) { return base::split_list(each).empty(); })) {
            return fmt::format("{} needs a name: without one the key would not be limited", flag);
        }
    }
    return action == "add" || verb.key_words == KeyWords{} ? "" : "limits belong to `key add`";
}

int key_verb(const Verb& verb, const cli::Terminal& terminal)
{
    const std::string& action = verb.words[0];
    const cli::Server server{verb.url, verb.key};
    const std::string list = "/herd/v1/keys";
    const auto answer = action == "add" ? cli::ask(server, "POST", list, new_key_json(verb))
        : action == "revoke"            ? cli::ask(server, "DELETE", list + "/" + cli::path_segment(verb.words[1]))
                                        : cli::ask(server, "GET", list);
    if (!answer) {
        return fail(terminal, explain(answer.error(), verb));
    }
    const bool good = answer->status >= 200 && answer->status < 300;
    if (verb.json) {
        terminal.out << answer->body << '\n';
        return good ? 0 : 1;
    }
    if (!good) {
        return fail(terminal, explain_status(*answer, verb));
    }
    if (action == "add") {
        return print_made(answer->body, terminal);
    }
    if (action == "revoke") {
        terminal.out << verb.words[1] << " is revoked: it is refused from now on\n";
        return 0;
    }
    const auto printed = print_keys(answer->body, terminal);
    return printed ? 0 : fail(terminal, printed.error().context);
}

} // namespace herd::app
