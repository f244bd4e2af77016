#include "herd/admin/compat_api.hpp"

#include "fleet/model_name.hpp"
#include "herd/admin/compat_views.hpp"
#include "herd/admin/fleet_queue.hpp"
#include "herd/admin/query.hpp"
#include "herd/admin/views.hpp"
#include "herd/health/health_view.hpp"
#include "herd/records/answers.hpp"

#include <algorithm>
#include <array>

namespace herd::app::admin {

namespace {

constexpr std::string_view api = "/dashboard/api/";
constexpr std::chrono::seconds hour{3600};
constexpr std::chrono::seconds day{24 * 3600};
constexpr std::chrono::seconds all_time{std::chrono::hours{24 * 365 * 100}};
constexpr base::Duration question_patience = std::chrono::seconds{300};

enum class What : std::uint8_t { trends, models, overview, usage, traces, tags, tag_days, contexts, management };
constexpr std::array<std::pair<std::string_view, What>, 11> names{{{"trends", What::trends},
                                                                   {"models", What::models},
                                                                   {"overview", What::overview},
                                                                   {"usage", What::usage},
                                                                   {"traces", What::traces},
                                                                   {"tags", What::tags},
                                                                   {"apps", What::tags},
                                                                   {"tags/daily", What::tag_days},
                                                                   {"apps/daily", What::tag_days},
                                                                   {"context-usage", What::contexts},
                                                                   {"model-management", What::management}}};

struct Question {
    What what{What::trends};
    std::uint64_t span{0};  ///< hours for trends, else days
    std::size_t limit{50};
    store::UsageQuery usage{};
    base::WallTime now{};
};

store::UsageBy by_of(What what)
{
    switch (what) {
    case What::usage:
    case What::management: return store::UsageBy::model_on_node;
    case What::tags:
    case What::tag_days: return store::UsageBy::tag;
    default: return store::UsageBy::model;
    }
}

Question question_of(What what, Query& query, base::WallTime now)
{
    Question question{.what = what, .now = now};
    const bool hours = what == What::trends;
    question.span = hours ? query.number("hours", 72, 1, 24 * 365) : query.number("days", 7, 1, 3650);
    question.limit = query.number("limit", 50, 1, 1000);
    store::UsageQuery& usage = question.usage;
    usage.by = by_of(what);
    usage.bucket = hours ? hour : what == What::contexts ? all_time : day;
    usage.lengths = what == What::contexts;
    usage.until = query.time("end_ts", now).value_or(now + std::chrono::seconds{1});
    usage.since = query.time("start_ts", now).value_or(usage.until - question.span * (hours ? hour : day));
    if (what == What::overview || what == What::management) {
        usage.bucket = all_time;
        usage.since = {};
    }
    if (usage.since >= usage.until) {
        query.fail("start_ts is not before end_ts");
    }
    return question;
}

/// Where it may block.
LedgerAnswer answer(const Question& question, const fleet::Snapshot& snapshot, const proxy::ModelRules* rules, const MaybeReader& reader,
                    const Ledger::Records& memory)
{
    std::string note; // their shapes have no place for it; a broken database shows in /dashboard/api/health
    if (question.what == What::traces) {
        store::TraceFilter filter;
        filter.limit = question.limit;
        filter.models_alone = true;
        return {200, traces_json(list_of(reader, memory, filter, note))};
    }
    const auto sum = sum_of(reader, memory, question.usage, note);
    if (!sum) {
        return sum.error();
    }
    const UsageCells& cells = sum->cells();
    switch (question.what) {
    case What::trends: return {200, trends_json(question.span, cells)};
    case What::models: return {200, model_days_json(question.span, cells, snapshot)};
    case What::overview: return {200, overview_json(cells, snapshot)};
    case What::usage: return {200, node_model_days_json(question.span, cells)};
    case What::tags: return {200, tags_json(question.span, cells)};
    case What::tag_days: return {200, tag_days_json(question.span, cells)};
    case What::management: return {200, model_management_json(cells, snapshot, question.now)};
    case What::contexts: {
        store::UsageQuery last = question.usage;
        last.since = std::max(last.since, last.until - day);
        const auto today = sum_of(reader, memory, last, note);
        return today ? LedgerAnswer{200, contexts_json(question.span, cells, today->cells(), snapshot, rules)} : today.error();
    }
    case What::traces: break;
    }
    return {404, error("no such path")};
}

net::Task<LedgerAnswer> queue(http::ServerExchange& exchange, proxy::Scheduler& scheduler, const Controls& controls)
{
    net::Loop& loop = exchange.loop();
    const Query query(exchange.head().query(), {"model"});
    if (!query.fault().empty()) {
        co_return LedgerAnswer{400, error(query.fault())};
    }
    FleetQueueInput input;
    input.counts = co_await controls.queue_counts(loop);
    input.limits = co_await controls.fleet_limits(loop);
    const auto snapshot = co_await scheduler.fresh_snapshot();
    input.wait = base::Duration{};
    input.model = query.has("model") ? query.text("model") : busiest_model(*snapshot);
    if (!input.model.empty()) {
        const auto name = fleet::ModelName::parse(input.model);
        if (!name.valid || !snapshot->models.contains(name.key)) {
            co_return LedgerAnswer{404, error("model '" + input.model + "' not found")};
        }
        fleet::Profile profile;
        profile.model_key = name.key;
        profile.model = input.model;
        if (const auto tool = snapshot->tools.find(name.key); tool != snapshot->tools.end()) {
            profile.tool = tool->second;
            profile.tools_only = true;
        }
        profile.deadline = loop.now() + question_patience;
        const auto decision = co_await scheduler.explain(std::move(profile));
        input.wait = predicted_wait(decision);
    }
    co_return LedgerAnswer{200, fleet_queue(*snapshot, input)};
}

net::Task<LedgerAnswer> limits(net::Loop& loop, proxy::Scheduler& scheduler, const Controls& controls)
{
    const auto limits = co_await controls.fleet_limits(loop);
    const auto snapshot = co_await scheduler.fresh_snapshot();
    co_return LedgerAnswer{200, fleet_limits(*snapshot, limits)};
}

net::Task<LedgerAnswer> past(http::ServerExchange& exchange, proxy::Scheduler& scheduler, const Controls& controls, std::string_view name,
                             std::shared_ptr<const proxy::ModelRules> rules)
{
    const auto* const found = std::ranges::find(names, name, &std::pair<std::string_view, What>::first);
    if (found == names.end()) {
        co_return LedgerAnswer{404, error("no such path: " + std::string{exchange.head().path()})};
    }
    Query query(exchange.head().query(), {"hours", "days", "start_ts", "end_ts", "limit"});
    const Question question = question_of(found->second, query, exchange.loop().wall());
    if (!query.fault().empty()) {
        co_return LedgerAnswer{400, error(query.fault())};
    }
    const auto snapshot = co_await scheduler.fresh_snapshot();
    Ledger::Question work = [question, snapshot, rules = std::move(rules)](const MaybeReader& reader, const Ledger::Records& memory) {
        return answer(question, *snapshot, rules.get(), reader, memory);
    };
    co_return co_await controls.ask_records(exchange.loop(), std::move(work));
}

} // namespace

net::Task<LedgerAnswer> compat_answer(http::ServerExchange& exchange, proxy::Scheduler& scheduler, const Controls& controls,
                                       std::shared_ptr<const proxy::ModelRules> rules)
{
    const std::string_view path = exchange.head().path();
    net::Loop& loop = exchange.loop();
    if (path == "/fleet/status") {
        const auto counts = co_await controls.queue_counts(loop);
        const auto snapshot = co_await scheduler.fresh_snapshot();
        co_return LedgerAnswer{200, fleet_status(*snapshot, counts, loop.now())};
    }
    if (path == "/fleet/queue") {
        co_return co_await queue(exchange, scheduler, controls);
    }
    if (path == "/fleet/limits") {
        co_return co_await limits(loop, scheduler, controls);
    }
    if (path == "/dashboard/api/health") {
        const auto report = co_await controls.health(loop);
        co_return LedgerAnswer{200, health::recommendations_json(*report)};
    }
    if (path.starts_with(api)) {
        co_return co_await past(exchange, scheduler, controls, path.substr(api.size()), std::move(rules));
    }
    co_return LedgerAnswer{404, error("no such path: " + std::string{path})};
}

} // namespace herd::app::admin
