// Whether herd itself is well: who may join, its records, its own time.
#include "herd/health/registry.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::app::health {

namespace {

using namespace std::chrono_literals;

void open_join(const Evidence& e, Findings& out)
{
    if (!e.own.discovery || !e.own.open_join) {
        return;
    }
    const auto joined = std::ranges::count_if(e.fleet.nodes, [](const fleet::NodeView& node) {
        return node.source == fleet::NodeSource::lana && node.facts != nullptr; // else it only said that it is there
    });
    if (joined > 0) {
        out.push_back({.severity = Severity::info,
                       .summary = fmt::format("{} nodes joined without a key: anyone on this LAN can join and will see prompts", joined),
                       .advice = "make a fleet key with `herd fleet-key new` and copy it to every herd-node, as that says; or let in each "
                                 "node by hand with [discovery] join = \"approve\"",
                       .data = {{"nodes", static_cast<std::int64_t>(joined)}}});
    }
}

void trace_write_failures(const Evidence& e, Findings& out)
{
    std::uint64_t lost = 0;
    for (const History::Loss& loss : e.history.losses()) {
        lost += e.now - loss.at <= 5min ? loss.count : 0;
    }
    if (lost == 0 && e.own.records_error.empty()) {
        return;
    }
    out.push_back({.severity = lost >= 50 ? Severity::critical : Severity::warning,
                   .summary = fmt::format("{} request records were lost in the last 5 minutes{}", lost,
                                          e.own.records_error.empty() ? "" : ": " + e.own.records_error),
                   .advice = fmt::format("check room and permissions of {} (`df -h`, `ls -l`); requests are served all the same",
                                         e.own.disk_path.empty() ? "herd's state directory" : e.own.disk_path),
                   .data = {{"lost_5min", static_cast<std::int64_t>(lost)}}});
}

void state_not_written(const Evidence& e, Findings& out)
{
    if (!e.own.state_error.empty()) {
        out.push_back({.severity = Severity::critical,
                       .summary = "what herd is to remember over a restart cannot be written: " + e.own.state_error,
                       .advice = fmt::format("check room and permissions of {} (`df -h`, `ls -l`); until then changes of nodes, keys and settings are "
                                             "refused, and a restart forgets what is known of the fleet",
                                             e.own.disk_path.empty() ? "herd's state directory" : e.own.disk_path)});
    }
}

void herd_overloaded(const Evidence& e, Findings& out)
{
    base::Duration worst{};
    int times = 0;
    for (const History::Lateness& late : e.history.lateness()) {
        if (e.now - late.at <= 5min) {
            ++times;
            worst = std::max(worst, late.by);
        }
    }
    if (times >= 3) {
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("herd's own loop was late {} times in 5 minutes, by up to {} ms", times, base::milliseconds(worst)),
                       .advice = "give herd more CPU (`top` shows who takes it), more threads (`threads` in herd.toml), or a machine without an Ollama on it",
                       .data = {{"late_5min", static_cast<std::int64_t>(times)}, {"worst_ms", base::milliseconds(worst)}}});
    }
}

constexpr Check checks[] = {
    {"trace_write_failures", "Records are lost", "Request records could not be written, or were dropped, within 5 minutes; critical from 50.",
     "check room and permissions of the state directory", "warning; critical from 50", trace_write_failures, 0s, 30s},
    {"state_not_written", "State cannot be written", "The nodes that herd remembers over a restart could not be written down.",
     "check room and permissions of the state directory", "critical", state_not_written, 0s, 5s},
    {"herd_overloaded", "herd is short of time", "herd's fleet loop was late by 250 ms or more, 3 times within 5 minutes.", "give herd more CPU",
     "warning", herd_overloaded, 0s, 60s},
    {"open_join", "Open fleet", "Nodes may join without a key, and some did.", "`herd fleet-key new`, or [discovery] join = \"approve\"", "info",
     open_join, 0s, 5s},
};

} // namespace

std::span<const Check> own_checks() { return checks; }

} // namespace herd::app::health
