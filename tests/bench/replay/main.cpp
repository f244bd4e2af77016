// replay: the same requests before each policy, in virtual time. README.md tells what is modelled and how to run it.
#include "base/text.hpp"
#include "base/time.hpp"
#include "baselines.hpp"
#include "herd_policy.hpp"
#include "report.hpp"
#include "workloads.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace herd::replay {

const std::vector<PolicyKind>& policies()
{
    static const std::vector<PolicyKind> all{
        {"herd", herd_fleet, true, false},
        {"round-robin", round_robin, false, false},
        {"least-in-flight", least_in_flight, false, false},
        {"power-of-two", power_of_two, false, false},
        {"ollama-herd", herd_score, false, false},
        {"sticky-512", sticky, false, false},
        {"lmetric", lmetric, false, false},
        {"earliest-finish", earliest_finish, false, false},
        {"oracle", oracle, false, true},
    };
    return all;
}

namespace {

struct Options {
    std::vector<std::string> rows{};
    std::vector<std::string> policies{};
    std::uint64_t seeds{5};
    std::uint64_t first_seed{1};
    RowOptions row{.traces = "../shared/traces"};
    std::optional<std::string> trace{};
    double load{0.85};
    std::uint64_t slots{1};
    std::optional<std::string> update{};
    bool as_json{false};
    bool quick{false};
    bool check{false};
    bool smoke{false};
    bool expect{false};
};

constexpr std::string_view usage =
    "replay [--row NAME]… [--policy NAME]… [--seeds N] [--first-seed N] [--requests N] [--quick] [--traces DIR]\n"
    "       [--trace FILE [--load SHARE] [--slots N]] [--json] [--update FILE] [--check] [--expect] [--smoke] [--list]\n";

/// Nothing: the usage was printed.
std::optional<Options> parse(const std::vector<std::string>& args)
{
    Options options;
    for (std::size_t i = 0; i < args.size(); ++i) {
        const auto& arg = args[i];
        const auto value = [&]() -> std::string { return i + 1 < args.size() ? args[++i] : std::string{}; };
        const auto number = [&] { return base::parse_unsigned(value()).value_or(0); };
        if (arg == "--row") {
            options.rows.push_back(value());
        } else if (arg == "--policy") {
            options.policies.push_back(value());
        } else if (arg == "--seeds") {
            options.seeds = std::max<std::uint64_t>(1, number());
        } else if (arg == "--first-seed") {
            options.first_seed = number();
        } else if (arg == "--requests") {
            options.row.requests_max = number();
        } else if (arg == "--traces") {
            options.row.traces = value();
        } else if (arg == "--trace") {
            options.trace = value();
        } else if (arg == "--load") {
            options.load = std::strtod(value().c_str(), nullptr);
        } else if (arg == "--slots") {
            options.slots = std::max<std::uint64_t>(1, number());
        } else if (arg == "--update") {
            options.update = value();
        } else if (arg == "--json") {
            options.as_json = true;
        } else if (arg == "--quick") {
            options.quick = true;
        } else if (arg == "--check") {
            options.check = true;
        } else if (arg == "--smoke") {
            options.smoke = true;
        } else if (arg == "--expect") {
            options.expect = true;
        } else {
            fmt::print(stderr, "{}", usage);
            if (arg == "--list" || arg == "--help") {
                for (const auto& row : rows()) {
                    fmt::print("row {}: {}\n", row.name, row.title);
                }
                for (const auto& policy : policies()) {
                    fmt::print("policy {}\n", policy.name);
                }
            }
            return std::nullopt;
        }
    }
    if (options.quick) {
        options.seeds = 1;
        options.row.requests_max = options.row.requests_max > 0 ? options.row.requests_max : 1500;
    }
    return options;
}

bool wanted(const std::vector<std::string>& names, const std::string& name)
{
    return names.empty() || std::ranges::find(names, name) != names.end();
}

/// Nothing when the row's trace is not there; a broken promise ends the program.
std::optional<RowReport> run_row(const Row& row, const Options& options)
{
    RowReport report{row.name, row.title, row.alone, static_cast<int>(options.seeds), {}};
    for (const auto& policy : policies()) {
        if (!wanted(options.policies, policy.name)) {
            continue;
        }
        std::vector<Figures> all;
        for (std::uint64_t s = 0; s < options.seeds; ++s) {
            const auto seed = options.first_seed + s;
            const auto workload = row.make(seed, options.row);
            if (!workload) {
                fmt::print(stderr, "{}: {}\n", row.name, workload.error().message());
                return std::nullopt;
            }
            const auto begun = std::chrono::steady_clock::now();
            const auto run = replay(*workload, policy.make, seed, options.check);
            const auto took = base::seconds(std::chrono::steady_clock::now() - begun);
            if (!run.wrong.empty()) {
                fmt::print(stderr, "{}, {}, seed {}: {}\n", row.name, policy.name, seed, run.wrong);
                std::exit(1);
            }
            all.push_back(figures_of(*workload, run));
            all.back().micros = took * 1e6 / std::max(1.0, all.back().requests);
            fmt::print(stderr, "{} {} seed {}: TTFT {:.2f} / {:.2f}, {:.2f} s\n", row.name, policy.name, seed, all.back().ttft.mean,
                       all.back().ttft.p99, took);
        }
        report.lines.push_back({policy.name, policy.is_ours, policy.is_oracle, mean_of(all)});
    }
    return report;
}

/// A few hundred requests of each made-up row with every promise checked, and ours against round robin.
int smoke()
{
    Options options;
    options.seeds = 1;
    options.row.requests_max = 300;
    options.check = true;
    options.policies = {"herd", "round-robin"};
    int failures = 0;
    for (const auto& row : rows()) {
        if (row.name.starts_with("mooncake") || row.name.starts_with("azure")) {
            continue; // the traces are not part of the tree
        }
        const auto report = run_row(row, options);
        if (!report) {
            return 1;
        }
        const auto& ours = report->lines[0].figures;
        const auto& theirs = report->lines[1].figures;
        const bool as_good = ours.ttft.mean <= 1.05 * theirs.ttft.mean && ours.failed - ours.cut <= theirs.failed - theirs.cut;
        fmt::print("{}: TTFT {:.2f} s, round robin {:.2f} s, failed {} and {}{}\n", row.name, ours.ttft.mean, theirs.ttft.mean, ours.failed,
                   theirs.failed, as_good ? "" : "  <-- worse");
        failures += as_good ? 0 : 1;
    }
    return failures == 0 ? 0 : 1;
}

int run(const std::vector<std::string>& args)
{
    const auto options = parse(args);
    if (!options) {
        return 2;
    }
    if (options->smoke) {
        return smoke();
    }
    std::vector<Row> all = rows();
    if (options->trace) {
        all = {trace_row(*options->trace, options->load, static_cast<int>(options->slots))};
    }
    std::vector<RowReport> reports;
    for (const auto& row : all) {
        if (!options->trace && !wanted(options->rows, row.name)) {
            continue;
        }
        if (auto report = run_row(row, *options)) {
            reports.push_back(std::move(*report));
        }
    }
    if (reports.empty()) {
        fmt::print(stderr, "nothing was replayed; see --list\n");
        return 1;
    }
    const auto text = markdown(reports);
    fmt::print("{}", options->as_json ? json(reports) : text);
    if (options->update && !update_file(*options->update, text)) {
        fmt::print(stderr, "{} has no replay marks, or cannot be written\n", *options->update);
        return 1;
    }
    if (options->expect) {
        const auto missed = disappointments(reports);
        for (const auto& one : missed) {
            fmt::print(stderr, "{}\n", one);
        }
        return missed.empty() ? 0 : 1;
    }
    return 0;
}

} // namespace
} // namespace herd::replay

int main(int argc, char** argv) { return herd::replay::run(std::vector<std::string>(argv + 1, argv + argc)); }
