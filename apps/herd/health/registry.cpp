#include "herd/health/registry.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace herd::app::health {

std::string counted(std::uint64_t number, std::string_view noun)
{
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

std::string_view to_string(Severity severity)
{
    constexpr std::array<std::string_view, 4> names{"ok", "info", "warning", "critical"};
    return names[static_cast<std::size_t>(severity)];
}

Severity CheckResult::severity() const
{
    return findings.empty() ? Severity::ok : findings.front().severity;
}

std::span<const Check> registry()
{
    static const std::vector<Check> all = [] {
        std::vector<Check> list;
        for (const auto part : {node_checks(), host_checks(), model_checks(), request_checks(), own_checks()}) {
            list.insert(list.end(), part.begin(), part.end());
        }
        return list;
    }();
    return all;
}

namespace {

struct Part {
    std::string_view title;
    std::span<const Check> checks;
};

std::string seconds_of(base::Duration duration) { return fmt::format("{:.0f} s", base::seconds(duration)); }

} // namespace

std::string reference()
{
    std::string out =
        "# Health checks\n\n"
        "<!-- Generated from apps/herd/health/checks_*.cpp by the test \"docs/HEALTH.md\". After a change:\n"
        "     HERD_UPDATE_GOLDEN=1 build/dev/bin/herd_health_test \"docs/HEALTH.md*\" -->\n\n"
        "`herd doctor` prints every check that found something (exit code 1 if any is critical; `--json` for all of it), the dashboard\n"
        "shows them, and `GET /herd/v1/health` answers\n\n"
        "```json\n"
        "{\"score\": 87, \"at\": \"…\", \"checks\": [{\"id\": \"node_offline\", \"title\": \"Node offline\", \"severity\": \"critical\", \"summary\": \"…\",\n"
        "  \"advice\": \"…\", \"nodes\": [\"studio\"], \"models\": [], \"findings\": [{\"severity\", \"summary\", \"advice\", \"node\", \"model\", \"nodes\",\n"
        "  \"first\", \"last\", \"resolved\", \"activity\", \"data\"}]}]}\n"
        "```\n\n"
        "with every check, also those that are `ok`, worst first. `severity`, `summary` and `advice` of a check are those of its worst\n"
        "finding. `score` = 100 − 20 per critical finding − 10 per warning − 3 per info, at least 0; findings that are over (`resolved`)\n"
        "or only worth knowing (`activity`) cost nothing. `GET /dashboard/api/health` answers in the shape of Ollama Herd.\n\n"
        "Findings do not flap: one is said when it has held for the time under *after*, and withdrawn when it has been gone for the time\n"
        "under *gone for*. A change of the set of findings is a `health` event on `/herd/v1/events`; `herd_health_score` is in `/metrics`.\n"
        "Requests are those that want a model (docs/RECORDS.md): who polls lists and versions hides no error.\n"
        "What was counted (errors, loads, speeds) lives in memory; after a restart it is made anew from the records of the last week, of\n"
        "the newest 50 000 at most. Falls of nodes and late moments of herd itself are counted since the start. `herd-node doctor` checks\n"
        "one machine from the inside: Ollama, ports, interfaces, keys.\n";
    const Part parts[] = {{"Nodes", node_checks()},
                          {"Machines", host_checks()},
                          {"Models", model_checks()},
                          {"Requests", request_checks()},
                          {"herd itself", own_checks()}};
    for (const Part& part : parts) {
        out += fmt::format("\n## {}\n\n| id | what it means | severity | what to do | after | gone for |\n|---|---|---|---|---|---|\n", part.title);
        for (const Check& check : part.checks) {
            out += fmt::format("| `{}` | **{}.** {} | {} | {} | {} | {} |\n", check.id, check.title, check.meaning, check.severity, check.advice,
                               seconds_of(check.raise_after), seconds_of(check.clear_after));
        }
    }
    return out;
}

} // namespace herd::app::health
