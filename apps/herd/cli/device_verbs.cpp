#include "herd/cli/device_verbs.hpp"

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

int fail(const cli::Terminal& terminal, std::string_view sentence)
{
    terminal.err << "herd: " << sentence << '\n';
    return 1;
}

/// An id, or a sentence with one in it: not cut off like a cell of a table.
std::string whole(const Json& json, const char* member)
{
    const auto found = json.find(member);
    return found != json.end() && found->is_string() ? cli::clean(found->get<std::string>(), 400) : std::string{};
}

/// What is to be done, a line each.
void print_advice(const Json& list, const char* name, const cli::Terminal& terminal)
{
    for (const Json& each : list) {
        if (const std::string advice = each.is_object() ? whole(each, "advice") : std::string{}; !advice.empty()) {
            terminal.out << whole(each, name).substr(0, 16) << ": " << advice << '\n';
        }
    }
}

int print_own(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = answer::parse(body);
    const std::string id = json && json->is_object() ? whole(*json, "device_id") : std::string{};
    if (id.empty()) {
        return fail(terminal, "the answer has no device id; is that a herd?");
    }
    terminal.out << id << '\n';
    terminal.err << "On a machine with Ollana: ollana device allow " << id << "\nThen restart Ollana there: it reads its list at start only.\n";
    return 0;
}

} // namespace

base::Result<void> print_devices(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = answer::parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    cli::TextTable table({"DEVICE", "STATE", "KEY", "FROM", "KNOCKS", "LAST SEEN"});
    for (const Json& device : answer::list(*json, "devices")) {
        const std::string state = answer::text(device, "state");
        const std::uint64_t knocks = answer::count(device, "knocks");
        table.row({{device.is_object() ? whole(device, "id") : std::string{}, Colour::bold},
                   {state, state == "allowed" ? Colour::green : Colour::dim},
                   {answer::text(device, "key")},
                   {answer::text(device, "from")},
                   {knocks != 0 ? fmt::format("{}", knocks) : std::string{}},
                   {answer::text(device, "last_seen")}});
    }
    if (table.empty()) {
        terminal.out << "no device is allowed, and none knocked\n";
    } else {
        table.print(terminal);
        print_advice(answer::list(*json, "devices"), "id", terminal);
    }
    cli::TextTable servers({"OLLANA SERVER", "STATE", "DEVICE"});
    for (const Json& server : answer::list(*json, "ollana_servers")) {
        const std::string state = answer::text(server, "state");
        servers.row({{answer::text(server, "address"), Colour::bold},
                     {state, state == "approved" ? Colour::green : Colour::yellow},
                     {server.is_object() ? whole(server, "device") : std::string{}}});
    }
    if (!servers.empty()) {
        terminal.out << '\n';
        servers.print(terminal);
        print_advice(answer::list(*json, "ollana_servers"), "address", terminal);
    }
    if (const auto served = json->find("clients"); served != json->end() && *served == false && servers.empty()) {
        terminal.err << "Ollana's clients are not served: [ollana] clients = true, with TLS, lets them find this herd\n";
    }
    return {};
}

std::string check_device_words(const Verb& verb)
{
    const std::vector<std::string> actions{"show", "list", "allow", "disable"};
    const std::string action = verb.words.empty() ? "" : verb.words[0];
    if (std::ranges::find(actions, action) == actions.end()) {
        return action.empty() ? "device needs show, list, allow or disable"
                              : fmt::format("device does not know \"{}\"{}", action, config::suggestion(action, actions));
    }
    const bool names_one = action == "allow" || action == "disable";
    if (names_one && verb.words.size() < 2) {
        return fmt::format("device {} needs the id of a device", action);
    }
    if (!names_one && verb.words.size() > 1) {
        return fmt::format("unexpected argument \"{}\"", verb.words[1]);
    }
    return action == "allow" || verb.acts_as.empty() ? "" : "--as belongs to `device allow`";
}

int device_verb(const Verb& verb, const cli::Terminal& terminal)
{
    const std::string& action = verb.words[0];
    const bool changes = action == "allow" || action == "disable";
    const cli::Server server{verb.url, verb.key};
    const std::string path = "/herd/v1/devices";
    const std::string body = verb.acts_as.empty() ? std::string{} : Json{{"key", verb.acts_as}}.dump(-1, ' ', false, Json::error_handler_t::replace);
    const auto answer = changes ? cli::ask(server, "POST", path + "/" + cli::path_segment(verb.words[1]) + "/" + action, body) : cli::ask(server, "GET", path);
    if (!answer) {
        return fail(terminal, explain(answer.error(), verb));
    }
    const bool good = answer->status == 200;
    if (verb.json) {
        terminal.out << answer->body << '\n';
        return good ? 0 : 1;
    }
    if (!good) {
        return fail(terminal, explain_status(*answer, verb));
    }
    if (action == "show") {
        return print_own(answer->body, terminal);
    }
    if (changes) {
        terminal.out << verb.words[1] << (action == "allow" ? " is allowed from now on\n" : " is refused from now on\n");
        return 0;
    }
    const auto printed = print_devices(answer->body, terminal);
    return printed ? 0 : fail(terminal, printed.error().context);
}

} // namespace herd::app
