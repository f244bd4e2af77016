#include "herd/cli/print_health.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using cli::clean;
using cli::Colour;
using Json = nlohmann::json;

constexpr std::size_t findings_per_check = 8;
constexpr std::size_t columns = 400; // sentences are cut only when they are no sentences any more

const Json& at(const Json& json, const char* key)
{
    static const Json nothing;
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() ? *found : nothing;
}

std::string text(const Json& json, const char* key)
{
    const Json& value = at(json, key);
    return value.is_string() ? clean(value.get_ref<const std::string&>(), columns) : std::string{};
}

const Json& list(const Json& json, const char* key)
{
    static const Json empty = Json::array();
    return at(json, key).is_array() ? at(json, key) : empty;
}

Colour colour_of(std::string_view severity)
{
    return severity == "critical" ? Colour::red
        : severity == "warning"   ? Colour::yellow
        : severity == "ok"        ? Colour::green
                                  : Colour::none;
}

void print_finding(const Json& finding, const std::string& id, const cli::Terminal& terminal)
{
    const bool over = at(finding, "resolved") == true;
    const std::string severity = text(finding, "severity");
    terminal.out << terminal.paint(colour_of(severity), fmt::format("{:<9}", over ? "over" : severity)) << ' ' << text(finding, "summary") << "  "
                 << terminal.paint(Colour::dim, "[" + id + "]") << '\n';
    if (const std::string advice = text(finding, "advice"); !advice.empty()) {
        terminal.out << "          " << advice << '\n';
    }
}

} // namespace

bool any_critical(std::string_view body)
{
    const Json json = Json::parse(body, nullptr, false);
    return std::ranges::any_of(list(json, "checks"), [](const Json& check) { return at(check, "severity") == "critical"; });
}

base::Result<void> print_health(std::string_view body, const cli::Terminal& terminal)
{
    const Json json = Json::parse(body, nullptr, false);
    if (!at(json, "checks").is_array()) {
        return base::fail(base::Errc::malformed, "the answer is no health report; is that a herd?");
    }
    std::size_t fine = 0;
    for (const Json& check : list(json, "checks")) {
        if (at(check, "severity") == "ok") {
            ++fine;
            continue;
        }
        const Json& findings = list(check, "findings");
        const std::string id = text(check, "id");
        for (std::size_t i = 0; i < std::min(findings.size(), findings_per_check); ++i) {
            print_finding(findings[i], id, terminal);
        }
        if (findings.empty()) {
            print_finding(check, id, terminal);
        } else if (findings.size() > findings_per_check) {
            terminal.out << fmt::format("          and {} more like this; --json shows all\n", findings.size() - findings_per_check);
        }
    }
    const Json& score = at(json, "score");
    const std::size_t all = list(json, "checks").size();
    terminal.out << (fine == all ? "" : "\n") << fmt::format("Health {} of 100. {} of {} checks found nothing.\n",
                                score.is_number_integer() ? std::to_string(score.get<int>()) : "?", fine, all);
    return {};
}

} // namespace herd::app
