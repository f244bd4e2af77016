#include "herd/health/health_view.hpp"

#include "herd/admin/views.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace herd::app::health {

namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& json)
{
    // Names come from the network; what is not UTF-8 is shown as the replacement character.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A number, a word, names or counts by name.
template <class Value>
Json value_json(const Value& value)
{
    return value;
}

Json value_json(const std::vector<Row>& rows)
{
    Json list = Json::array();
    for (const Row& row : rows) {
        Json& each = list.emplace_back(Json::object());
        for (const auto& [key, plain] : row) {
            each[key] = std::visit([](const auto& value) { return Json(value); }, plain);
        }
    }
    return list;
}

Json data_json(const Finding& finding)
{
    Json json = Json::object();
    for (const auto& [key, value] : finding.data) {
        json[key] = std::visit([](const auto& any) { return value_json(any); }, value);
    }
    if (finding.resolved) {
        json["resolved"] = true;
    }
    if (finding.activity) {
        json["activity"] = true;
    }
    return json;
}

Json finding_json(const Finding& finding)
{
    return {{"severity", to_string(finding.severity)},
            {"summary", finding.summary},
            {"advice", finding.advice},
            {"node", finding.node.empty() ? Json(nullptr) : Json(finding.node)},
            {"model", finding.model.empty() ? Json(nullptr) : Json(finding.model)},
            {"nodes", finding.nodes},
            {"first", admin::timestamp(finding.first)},
            {"last", admin::timestamp(finding.last)},
            {"resolved", finding.resolved},
            {"activity", finding.activity},
            {"data", data_json(finding)}};
}

void add_once(Json& list, const std::string& name)
{
    if (!name.empty() && std::ranges::find(list, Json(name)) == list.end()) {
        list.push_back(name);
    }
}

/// The worst finding's words, and how many more there are.
std::string summary_of(const CheckResult& check)
{
    if (check.findings.empty()) {
        return "nothing found";
    }
    const std::size_t more = check.findings.size() - 1;
    return check.findings.front().summary + (more == 0 ? "" : " (and " + std::to_string(more) + " more)");
}

Json check_json(const CheckResult& check)
{
    Json nodes = Json::array();
    Json models = Json::array();
    Json findings = Json::array();
    for (const Finding& finding : check.findings) {
        add_once(nodes, finding.node);
        for (const std::string& node : finding.nodes) {
            add_once(nodes, node);
        }
        add_once(models, finding.model);
        findings.push_back(finding_json(finding));
    }
    return {{"id", check.id},
            {"title", check.title},
            {"severity", to_string(check.severity())},
            {"summary", summary_of(check)},
            {"advice", check.findings.empty() ? std::string{} : check.findings.front().advice},
            {"nodes", std::move(nodes)},
            {"models", std::move(models)},
            {"findings", std::move(findings)}};
}

double rounded(double value) { return std::round(value * 10) / 10; }

} // namespace

std::string report_json(const Report& report)
{
    Json checks = Json::array();
    for (const CheckResult& check : report.checks) {
        checks.push_back(check_json(check));
    }
    return text({{"score", report.score}, {"at", admin::timestamp(report.at)}, {"checks", std::move(checks)}});
}

std::string event_json(const Report& report)
{
    Json checks = Json::array();
    for (const CheckResult& check : report.checks) {
        if (check.severity() != Severity::ok) {
            checks.push_back(check_json(check));
        }
    }
    return text({{"score", report.score}, {"at", admin::timestamp(report.at)}, {"checks", std::move(checks)}});
}

std::string recommendations_json(const Report& report)
{
    Json list = Json::array();
    for (const auto severity : {Severity::critical, Severity::warning, Severity::info}) {
        for (const CheckResult& check : report.checks) {
            for (const Finding& finding : check.findings) {
                if (finding.severity == severity) {
                    list.push_back({{"check_id", check.id},
                                    {"severity", to_string(severity)},
                                    {"title", check.title},
                                    {"description", finding.summary},
                                    {"fix", finding.advice},
                                    {"node_id", finding.node.empty() ? Json(nullptr) : Json(finding.node)},
                                    {"data", data_json(finding)}});
                }
            }
        }
    }
    const Vitals& v = report.vitals;
    return text({{"vitals",
                  {{"nodes_total", v.nodes_total},
                   {"nodes_online", v.nodes_online},
                   {"nodes_degraded", v.nodes_degraded},
                   {"nodes_offline", v.nodes_offline},
                   {"overall_error_rate_pct", rounded(v.error_rate_percent)},
                   {"cold_loads_24h", v.cold_loads},
                   {"avg_ttft_ms", v.ttft_known ? Json(rounded(v.ttft_ms)) : Json(nullptr)},
                   {"total_requests_24h", v.requests},
                   {"total_retries_24h", v.retries},
                   {"client_disconnects_24h", v.disconnects},
                   {"incomplete_streams_24h", v.incomplete},
                   {"image_generations_24h", v.images},
                   {"transcriptions_24h", v.transcriptions},
                   {"health_score", report.score}}},
                 {"recommendations", std::move(list)},
                 {"checked_at", std::chrono::duration<double>(report.at.time_since_epoch()).count()}});
}

} // namespace herd::app::health
