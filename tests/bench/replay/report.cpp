#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>

namespace herd::replay {
namespace {

constexpr std::string_view begin_mark = "<!-- replay:begin -->";
constexpr std::string_view end_mark = "<!-- replay:end -->";

double at_share(const std::vector<double>& sorted, double share)
{
    if (sorted.empty()) {
        return 0;
    }
    const auto at = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
    return sorted[std::min(sorted.size() - 1, at == 0 ? 0 : at - 1)];
}

double mean(const std::vector<double>& values)
{
    double sum = 0;
    for (const double v : values) {
        sum += v;
    }
    return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

Spread spread(std::vector<double> values)
{
    std::ranges::sort(values);
    return {mean(values), at_share(values, 0.5), at_share(values, 0.95), at_share(values, 0.99)};
}

double jain(const std::map<std::string, std::vector<double>>& by_client)
{
    double sum = 0;
    double squares = 0;
    for (const auto& [client, values] : by_client) {
        const double m = mean(values);
        sum += m;
        squares += m * m;
    }
    return squares > 0 ? sum * sum / (static_cast<double>(by_client.size()) * squares) : 1;
}

std::string seconds(double s) { return s < 9.995 ? fmt::format("{:.2f}", s) : s < 99.95 ? fmt::format("{:.1f}", s) : fmt::format("{:.0f}", s); }
std::string spread_cells(const Spread& s)
{
    return seconds(s.mean) + " | " + seconds(s.p50) + " | " + seconds(s.p95) + " | " + seconds(s.p99);
}

const Line* ours_of(const RowReport& report)
{
    const auto at = std::ranges::find_if(report.lines, &Line::is_ours);
    return at == report.lines.end() ? nullptr : &*at;
}

template <class F>
const Line* best_baseline(const RowReport& report, F value)
{
    const Line* best = nullptr;
    for (const auto& line : report.lines) {
        // Failing fast is no way to be quick.
        const bool counts = !line.is_ours && !line.is_oracle && line.figures.failed <= 0.01 * line.figures.requests;
        if (counts && (best == nullptr || value(line.figures) < value(best->figures))) {
            best = &line;
        }
    }
    return best;
}

std::string summary(const std::vector<RowReport>& reports)
{
    std::string out = "| row | ours: TTFT mean / p99 | whole mean | best baseline: TTFT mean | p99 | whole mean | oracle: TTFT mean "
                      "| ours ÷ best (mean, p99, whole) | ours ÷ oracle |\n|---|---|---|---|---|---|---|---|---|\n";
    for (const auto& report : reports) {
        const auto* ours = ours_of(report);
        const auto* by_mean = best_baseline(report, [](const Figures& f) { return f.ttft.mean; });
        const auto* by_p99 = best_baseline(report, [](const Figures& f) { return f.ttft.p99; });
        const auto* by_whole = best_baseline(report, [](const Figures& f) { return f.whole.mean; });
        if (ours == nullptr || by_mean == nullptr) {
            continue;
        }
        const auto& f = ours->figures;
        const auto oracle = std::ranges::find_if(report.lines, &Line::is_oracle);
        const bool finite = oracle != report.lines.end() && oracle->figures.growth < 4;
        out += fmt::format("| {} | {} / {} | {} | {} ({}) | {} ({}) | {} ({}) | {} | {:.2f}, {:.2f}, {:.2f} | {} |\n", report.title,
                           seconds(f.ttft.mean), seconds(f.ttft.p99), seconds(f.whole.mean),
                           seconds(by_mean->figures.ttft.mean), by_mean->policy, seconds(by_p99->figures.ttft.p99),
                           by_p99->policy, seconds(by_whole->figures.whole.mean), by_whole->policy,
                           oracle == report.lines.end() ? "–" : seconds(oracle->figures.ttft.mean),
                           f.ttft.mean / by_mean->figures.ttft.mean, f.ttft.p99 / by_p99->figures.ttft.p99,
                           f.whole.mean / by_whole->figures.whole.mean,
                           finite ? fmt::format("{:.2f}", f.ttft.mean / oracle->figures.ttft.mean) : std::string("–"));
    }
    return out;
}

} // namespace

Figures figures_of(const Workload& workload, const Run& run)
{
    Figures out;
    std::vector<double> first;
    std::vector<double> whole;
    std::map<std::string, std::vector<double>> by_client;
    std::vector<std::pair<double, double>> in_order;
    for (std::size_t i = 0; i < run.fates.size(); ++i) {
        const auto& fate = run.fates[i];
        const auto& request = workload.requests[i];
        if (fate.arrived < 0 || !request.measured) {
            continue;
        }
        ++out.requests;
        if (!fate.served) {
            ++out.failed;
            out.cut += fate.first_token >= 0 ? 1 : 0;
            continue;
        }
        first.push_back(fate.first_token - fate.arrived);
        whole.push_back(fate.ended - fate.arrived);
        by_client[request.client].push_back(first.back());
        in_order.emplace_back(fate.arrived, first.back());
    }
    std::ranges::sort(in_order);
    const auto quarter = in_order.size() / 4;
    const auto part = [&](std::size_t from) {
        double sum = 0;
        for (std::size_t i = from; i < from + quarter; ++i) {
            sum += in_order[i].second;
        }
        return sum;
    };
    out.growth = quarter > 0 && part(quarter) > 0 ? part(in_order.size() - quarter) / part(quarter) : 1;
    out.ttft = spread(first);
    out.whole = spread(whole);
    out.jain = jain(by_client);
    out.minutes = run.ended_at / 60;
    std::int64_t input = 0;
    std::int64_t cached = 0;
    for (const auto& node : run.nodes) {
        out.loads += node.loads;
        out.reloads += node.reloads;
        input += node.input;
        cached += node.cached;
    }
    out.hit = input > 0 ? static_cast<double>(cached) / static_cast<double>(input) : 0;
    out.ttft_means = {out.ttft.mean};
    return out;
}

Figures mean_of(const std::vector<Figures>& all)
{
    Figures out;
    const auto n = static_cast<double>(all.size());
    const auto add = [n](Spread& to, const Spread& s) {
        to.mean += s.mean / n;
        to.p50 += s.p50 / n;
        to.p95 += s.p95 / n;
        to.p99 += s.p99 / n;
    };
    for (const auto& f : all) {
        add(out.ttft, f.ttft);
        add(out.whole, f.whole);
        out.hit += f.hit / n;
        out.loads += f.loads / n;
        out.reloads += f.reloads / n;
        out.jain += f.jain / n;
        out.failed += f.failed / n;
        out.cut += f.cut / n;
        out.requests += f.requests / n;
        out.minutes += f.minutes / n;
        out.growth += f.growth / n;
        out.micros += f.micros / n;
        out.ttft_means.push_back(f.ttft.mean);
    }
    return out;
}

std::vector<std::string> disappointments(const std::vector<RowReport>& reports)
{
    std::vector<std::string> out;
    const auto want = [&out](const RowReport& report, std::string_view what, double ours, double most) {
        if (!(ours <= most)) {
            out.push_back(fmt::format("{}: {} is {:.3f}, expected at most {:.3f}", report.row, what, ours, most));
        }
    };
    for (const auto& report : reports) {
        const auto* ours = ours_of(report);
        const auto* by_mean = best_baseline(report, [](const Figures& f) { return f.ttft.mean; });
        if (ours == nullptr || by_mean == nullptr) {
            continue;
        }
        const auto& f = ours->figures;
        const auto* by_p99 = best_baseline(report, [](const Figures& g) { return g.ttft.p99; });
        const auto* by_whole = best_baseline(report, [](const Figures& g) { return g.whole.mean; });
        want(report, "TTFT mean", f.ttft.mean, 1.05 * by_mean->figures.ttft.mean);
        want(report, "TTFT p99", f.ttft.p99, 1.05 * by_p99->figures.ttft.p99);
        want(report, "whole mean", f.whole.mean, 1.05 * by_whole->figures.whole.mean);
        if (const auto oracle = std::ranges::find_if(report.lines, &Line::is_oracle); oracle != report.lines.end() && oracle->figures.growth < 4) {
            want(report, "TTFT mean (oracle)", f.ttft.mean, 1.15 * oracle->figures.ttft.mean);
        }
        if (const auto least = std::ranges::find(report.lines, "least-in-flight", &Line::policy); least != report.lines.end()) {
            if (report.row == "mooncake-85") {
                want(report, "TTFT mean (a third of least in flight)", f.ttft.mean, least->figures.ttft.mean / 3);
                want(report, "TTFT p99 (a seventh of least in flight)", f.ttft.p99, least->figures.ttft.p99 / 7);
            }
            if (report.row == "contexts") {
                want(report, "reloads (a fifth of least in flight)", f.reloads, least->figures.reloads / 5);
            }
        }
        if (const auto alone = std::ranges::find(reports, report.alone, &RowReport::row); !report.alone.empty() && alone != reports.end()) {
            want(report, "TTFT mean (beside nobody)", f.ttft.mean, 1.10 * ours_of(*alone)->figures.ttft.mean);
        }
    }
    return out;
}

std::string markdown(const std::vector<RowReport>& reports)
{
    std::string out = summary(reports);
    for (const auto& report : reports) {
        out += fmt::format("\n**{}** (`{}`; {} seeds)\n\n", report.title, report.row, report.seeds);
        const auto alone = std::ranges::find(reports, report.alone, &RowReport::row);
        const bool compares = !report.alone.empty() && alone != reports.end();
        out += std::string("| policy | TTFT mean | p50 | p95 | p99 | whole mean | p50 | p95 | p99 | hits | loads (reloads) | Jain | failed "
                           "| minutes |") + (compares ? " TTFT ÷ alone |" : "") + "\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
            + (compares ? "---|" : "") + "\n";
        for (const auto& line : report.lines) {
            const auto& f = line.figures;
            out += fmt::format("| {}{} | {} | {} | {:.0f} % | {:.0f} ({:.0f}) | {:.2f} | {:.1f} | {:.1f} |",
                               line.is_ours ? "**" + line.policy + "**" : line.policy, f.growth >= 4 ? " †" : "", spread_cells(f.ttft),
                               spread_cells(f.whole), 100 * f.hit, f.loads, f.reloads, f.jain, f.failed, f.minutes);
            if (compares) {
                const auto same = std::ranges::find(alone->lines, line.policy, &Line::policy);
                out += same == alone->lines.end() ? " – |" : fmt::format(" {:.2f} |", f.ttft.mean / same->figures.ttft.mean);
            }
            out += "\n";
        }
    }
    return out;
}

std::string json(const std::vector<RowReport>& reports)
{
    const auto spread_json = [](const Spread& s) {
        return fmt::format(R"({{"mean":{:.4f},"p50":{:.4f},"p95":{:.4f},"p99":{:.4f}}})", s.mean, s.p50, s.p95, s.p99);
    };
    std::string out = "[";
    for (const auto& report : reports) {
        for (const auto& line : report.lines) {
            const auto& f = line.figures;
            out += fmt::format(
                R"({}{{"row":"{}","policy":"{}","seeds":{},"ttft_s":{},"whole_s":{},"hit":{:.4f},"loads":{:.1f},"reloads":{:.1f},)"
                R"("jain":{:.4f},"failed":{:.1f},"requests":{:.1f},"minutes":{:.2f},"growth":{:.2f},"replay_us_per_request":{:.1f},"ttft_means_s":[)",
                out.size() > 1 ? ",\n " : "", report.row, line.policy, report.seeds, spread_json(f.ttft), spread_json(f.whole), f.hit,
                f.loads, f.reloads, f.jain, f.failed, f.requests, f.minutes, f.growth, f.micros);
            for (std::size_t i = 0; i < f.ttft_means.size(); ++i) {
                out += fmt::format("{}{:.4f}", i > 0 ? "," : "", f.ttft_means[i]);
            }
            out += "]}";
        }
    }
    return out + "]\n";
}

bool update_file(const std::string& path, const std::string& text)
{
    std::ifstream in(path);
    std::string whole{std::istreambuf_iterator<char>(in), {}};
    const auto begin = whole.find(begin_mark);
    const auto end = whole.find(end_mark);
    if (begin == whole.npos || end == whole.npos || end < begin) {
        return false;
    }
    whole.replace(begin + begin_mark.size(), end - begin - begin_mark.size(), "\n" + text);
    std::ofstream out(path);
    out << whole;
    return out.good();
}

} // namespace herd::replay
