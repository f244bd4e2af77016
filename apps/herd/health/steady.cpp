#include "herd/health/steady.hpp"

#include <algorithm>

namespace herd::app::health {

namespace {

const Check* check_of(std::string_view id)
{
    const auto all = registry();
    const auto found = std::ranges::find(all, id, &Check::id);
    return found == all.end() ? nullptr : &*found;
}

/// What tells two findings of one check about one node and model apart.
std::string detail_of(const Finding& finding)
{
    for (const auto& [key, value] : finding.data) {
        if (key == "request" || key == "interface") {
            const auto* text = std::get_if<std::string>(&value);
            return text == nullptr ? std::string{} : *text;
        }
    }
    return {};
}

/// In the order critical, warning, info, ok; as they were within each.
template <class T, class Rank>
void worst_first(std::vector<T>& list, Rank rank)
{
    std::vector<T> sorted;
    sorted.reserve(list.size());
    for (const auto severity : {Severity::critical, Severity::warning, Severity::info, Severity::ok}) {
        for (T& each : list) {
            if (rank(each) == severity) {
                sorted.push_back(each);
            }
        }
    }
    list = std::move(sorted);
}

Severity rank_of(const Finding& finding) { return finding.severity; }
Severity rank_of_check(const CheckResult& check) { return check.severity(); }

int points(Severity severity)
{
    switch (severity) {
    case Severity::critical: return 20;
    case Severity::warning: return 10;
    case Severity::info: return 3;
    case Severity::ok: break;
    }
    return 0;
}

} // namespace

void Steady::take(const Check& check, Findings found, const Evidence& evidence, base::WallTime wall)
{
    for (Finding& finding : found) {
        if (finding.advice.empty()) {
            finding.advice = check.advice;
        }
        const Subject subject{check.id, finding.node, finding.model, detail_of(finding)};
        auto known = kept_.find(subject);
        if (known == kept_.end()) {
            if (kept_.size() >= findings_max) {
                return;
            }
            known = kept_.emplace(subject, Kept{}).first;
            known->second.begun = evidence.now;
            finding.first = wall;
        } else if (known->second.last == evidence.now) {
            continue; // twice about one subject: the first, which a check lists as the worse one
        } else {
            finding.first = known->second.finding.first;
        }
        Kept& kept = known->second;
        finding.last = wall;
        kept.last = evidence.now;
        const bool better = kept.said && finding.severity < kept.finding.severity;
        if (!better || evidence.now - kept.last_worse >= check.clear_after) {
            kept.finding = std::move(finding);
            kept.last_worse = evidence.now;
        }
        kept.said = kept.said || evidence.now - kept.begun >= check.raise_after;
    }
}

/// What is gone: at once when it was never said, else when its time is over.
void Steady::expire(base::Instant now)
{
    std::erase_if(kept_, [now](const auto& entry) {
        const Kept& kept = entry.second;
        const Check* check = check_of(std::get<0>(entry.first));
        return kept.last != now && (!kept.said || check == nullptr || now - kept.last >= check->clear_after);
    });
}

std::shared_ptr<const Report> Steady::judge(const Evidence& evidence, base::WallTime wall)
{
    auto report = std::make_shared<Report>();
    report->at = wall;
    report->vitals = vitals_of(evidence);
    for (const Check& check : registry()) {
        Findings found;
        check.look(evidence, found);
        worst_first(found, rank_of);
        take(check, std::move(found), evidence, wall);
    }
    expire(evidence.now);
    std::map<Subject, Severity> shown;
    for (const Check& check : registry()) {
        CheckResult result{.id = check.id, .title = check.title, .advice = check.advice};
        for (auto at = kept_.lower_bound(Subject{check.id, "", "", ""}); at != kept_.end() && std::get<0>(at->first) == check.id; ++at) {
            if (at->second.said) {
                result.findings.push_back(at->second.finding);
                shown.emplace(at->first, at->second.finding.severity);
            }
        }
        worst_first(result.findings, rank_of);
        report->checks.push_back(std::move(result));
    }
    worst_first(report->checks, rank_of_check);
    report->score = score_of(report->checks);
    changed_ = shown != shown_;
    shown_ = std::move(shown);
    return report;
}

int score_of(const std::vector<CheckResult>& checks)
{
    int lost = 0;
    for (const CheckResult& check : checks) {
        for (const Finding& finding : check.findings) {
            lost += finding.costs() ? points(finding.severity) : 0;
            lost = std::min(lost, 100);
        }
    }
    return 100 - lost;
}

Vitals vitals_of(const Evidence& evidence)
{
    const Counts day = evidence.history.all().day(evidence.now);
    Vitals vitals;
    vitals.requests = day.requests;
    vitals.retries = day.retries;
    vitals.cold_loads = day.cold_loads;
    vitals.disconnects = day.disconnects;
    vitals.incomplete = day.incomplete;
    vitals.images = day.images;
    vitals.transcriptions = day.transcriptions;
    vitals.error_rate_percent = day.requests == 0 ? 0 : 100.0 * static_cast<double>(day.errors) / static_cast<double>(day.requests);
    vitals.ttft_known = day.ttft_count > 0;
    vitals.ttft_ms = vitals.ttft_known ? day.ttft_ms / static_cast<double>(day.ttft_count) : 0;
    using enum fleet::NodeState;
    for (const fleet::NodeView& view : evidence.fleet.nodes) {
        ++vitals.nodes_total;
        vitals.nodes_online += view.state == online ? 1 : 0;
        vitals.nodes_degraded += view.state == suspect || view.state == draining ? 1 : 0;
        vitals.nodes_offline += view.state == offline || view.state == unreachable || view.state == unknown ? 1 : 0;
    }
    return vitals;
}

} // namespace herd::app::health
