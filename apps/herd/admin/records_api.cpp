#include "herd/admin/records_api.hpp"

#include "base/text.hpp"
#include "herd/admin/views.hpp"
#include "herd/on_loop.hpp"

#include <algorithm>
#include <array>

namespace herd::app::admin {

namespace {

constexpr std::string_view list_path = "/herd/v1/requests";
constexpr std::string_view one_path = "/herd/v1/requests/";
constexpr std::string_view usage_path = "/herd/v1/usage";
constexpr std::string_view events_path = "/herd/v1/events";
constexpr std::string_view metrics_path = "/metrics";
constexpr std::int64_t usage_buckets_max = 5000;

net::Task<void> respond(http::ServerExchange& exchange, LedgerAnswer answer)
{
    http::ResponseHead head;
    head.status = answer.status;
    head.fields.add("Content-Type", "application/json; charset=utf-8");
    head.fields.add("Cache-Control", "no-store");
    if (answer.status == 405) {
        head.fields.add("Allow", "GET, HEAD");
    }
    if (answer.status == 503) {
        head.fields.add("Retry-After", "2");
    }
    (void)co_await exchange.respond(std::move(head), answer.body); // a client that left needs no answer
}

/// Takes a viewer out of the hub, however its stream ended.
class Seat {
public:
    Seat(EventHub& hub, net::Loop& hub_loop, std::shared_ptr<EventViewer> viewer)
        : hub_(hub), hub_loop_(hub_loop), viewer_(std::move(viewer))
    {
    }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    ~Seat()
    {
        hub_loop_.post([&hub = hub_, viewer = std::move(viewer_)] { hub.leave(viewer.get()); });
    }

private:
    EventHub& hub_;
    net::Loop& hub_loop_;
    std::shared_ptr<EventViewer> viewer_;
};

} // namespace

bool RecordsApi::owns(std::string_view path)
{
    if (!path.starts_with("/herd/") && path != metrics_path) {
        return false; // nearly all requests: asked of each
    }
    return path == list_path || path.starts_with(one_path) || path == usage_path || path == events_path
        || path == metrics_path;
}

net::Task<void> RecordsApi::handle(http::ServerExchange& exchange, std::function<bool()> still_allowed)
{
    if (exchange.head().path() == events_path && exchange.head().method == "GET") {
        co_return co_await events(exchange, std::move(still_allowed));
    }
    if (exchange.head().path() == metrics_path && (exchange.head().method == "GET" || exchange.head().method == "HEAD")) {
        co_return co_await metrics(exchange);
    }
    auto reply = co_await answer(exchange);
    co_await respond(exchange, std::move(reply));
}

net::Task<LedgerAnswer> RecordsApi::answer(http::ServerExchange& exchange)
{
    const http::RequestHead& head = exchange.head();
    if (head.method != "GET" && head.method != "HEAD") {
        co_return LedgerAnswer{405, error("use GET")};
    }
    const std::string_view path = head.path();
    if (path == list_path) {
        co_return co_await list(exchange);
    }
    if (path == usage_path) {
        co_return co_await usage(exchange);
    }
    if (path == events_path) {
        co_return LedgerAnswer{200, ""}; // HEAD
    }
    auto id = base::percent_decoded(path.substr(one_path.size()), false);
    if (!id || id->empty() || id->size() > 256) {
        co_return LedgerAnswer{400, error("bad request id in the path")};
    }
    auto found = co_await ledger_.find(exchange.loop(), *id);
    if (found.status == 404) { // it may be on its way
        const auto all = co_await in_flight_(exchange.loop());
        for (const proxy::InFlight& one : all) {
            if (one.record.id == *id) {
                co_return LedgerAnswer{200, in_flight_json(one)};
            }
        }
    }
    co_return found;
}

store::TraceFilter filter_of(Query& query, base::WallTime now, bool& in_flight)
{
    store::TraceFilter filter;
    filter.model = query.text("model");
    filter.node = query.text("node");
    filter.tag = query.text("tag");
    filter.key = query.text("key");
    filter.client = query.text("client");
    filter.limit = query.number("limit", 100, 1, 1000);
    filter.since = query.time("since", now);
    const std::string status = query.text("status");
    in_flight = status == "in_flight";
    if (!status.empty() && !in_flight) {
        const auto parsed = store::StatusFilter::parse(status);
        if (!parsed) {
            query.fail("status is a code (200), a class (5xx), ok, failed or in_flight");
        }
        filter.status = parsed.value_or(store::StatusFilter{});
    }
    if (query.has("before")) {
        filter.before = store::Cursor::parse(query.text("before"));
        if (!filter.before) {
            query.fail("before is the `next` of an earlier answer");
        }
    }
    return filter;
}

net::Task<LedgerAnswer> RecordsApi::list(http::ServerExchange& exchange)
{
    Query query(exchange.head().query(), {"limit", "model", "node", "status", "tag", "key", "client", "since", "before"});
    bool in_flight = false;
    auto filter = filter_of(query, exchange.loop().wall(), in_flight);
    if (!query.fault().empty()) {
        co_return LedgerAnswer{400, error(query.fault())};
    }
    if (in_flight) {
        co_return co_await list_in_flight(exchange.loop(), std::move(filter));
    }
    co_return co_await ledger_.list(exchange.loop(), std::move(filter));
}

net::Task<LedgerAnswer> RecordsApi::list_in_flight(net::Loop& loop, store::TraceFilter filter)
{
    auto all = co_await in_flight_(loop);
    std::erase_if(all, [&](const proxy::InFlight& one) {
        proxy::ExchangeRecord copy = one.record;
        return !matches(filter, stored_form(std::move(copy)));
    });
    std::ranges::sort(all, [](const auto& a, const auto& b) { return a.record.at > b.record.at; });
    if (all.size() > filter.limit) {
        all.resize(filter.limit);
    }
    std::string body = R"({"requests":[)";
    for (const proxy::InFlight& one : all) {
        body.append(&one == &all.front() ? "" : ",").append(in_flight_json(one));
    }
    co_return LedgerAnswer{200, body + "]}"};
}

store::UsageQuery usage_query_of(Query& query, base::WallTime now)
{
    store::UsageQuery usage;
    const std::string by = query.has("by") ? query.text("by") : "model";
    const auto parsed = store::parse_usage_by(by);
    if (!parsed) {
        query.fail("by is one of model, node, tag, key, client");
    }
    usage.by = parsed.value_or(store::UsageBy::model);
    usage.bucket = std::chrono::duration_cast<std::chrono::seconds>(query.duration("bucket", std::chrono::hours{1}));
    usage.until = query.time("until", now).value_or(now);
    usage.since = query.time("since", now).value_or(usage.until - std::chrono::hours{24});
    if (usage.bucket < std::chrono::seconds{1}) {
        query.fail("bucket is at least 1s; 1m, 1h and 1d are usual");
    } else if ((usage.until - usage.since) / usage.bucket > usage_buckets_max) {
        query.fail("that are too many buckets: ask for longer ones, or for less time");
    }
    if (usage.since >= usage.until) {
        query.fail("since is not before until");
    }
    return usage;
}

net::Task<LedgerAnswer> RecordsApi::usage(http::ServerExchange& exchange)
{
    Query query(exchange.head().query(), {"by", "bucket", "since", "until"});
    const auto usage = usage_query_of(query, exchange.loop().wall());
    if (!query.fault().empty()) {
        co_return LedgerAnswer{400, error(query.fault())};
    }
    co_return co_await ledger_.usage(exchange.loop(), usage);
}

net::Task<void> RecordsApi::metrics(http::ServerExchange& exchange)
{
    auto scene = co_await scene_(exchange.loop());
    const std::string text = co_await ledger_.metrics(exchange.loop(), std::move(scene));
    http::ResponseHead head;
    head.fields.add("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    head.fields.add("Cache-Control", "no-store");
    (void)co_await exchange.respond(std::move(head), text);
}

/// A stream until the client leaves, lets too much pile up or may no longer see it, or herd stops.
net::Task<void> RecordsApi::events(http::ServerExchange& exchange, std::function<bool()> still_allowed)
{
    net::Loop& loop = exchange.loop();
    const EventLimits& limits = ledger_.event_limits();
    const auto viewer = std::make_shared<EventViewer>(loop, limits.viewer_chunks, limits.viewer_bytes);
    const std::string last_id{exchange.head().fields.find("Last-Event-ID").value_or("")};
    auto ask = [&hub = ledger_.hub(), viewer, last_id] { return hub.join(viewer, last_id); };
    auto first = co_await on_loop(loop, ledger_.loop(), std::move(ask));
    if (!first) {
        co_return co_await respond(exchange, {503, error("too many viewers of the event stream")});
    }
    const Seat seat(ledger_.hub(), ledger_.loop(), viewer);
    http::ResponseHead head;
    head.framing = http::Framing::chunked;
    head.fields.add("Content-Type", "text/event-stream; charset=utf-8");
    head.fields.add("Cache-Control", "no-store");
    head.fields.add("X-Accel-Buffering", "no"); // nginx before us must not collect
    exchange.on_client_gone([viewer] { viewer->abandon(); });
    exchange.begin(std::move(head));
    for (Chunk chunk = std::move(*first); chunk && still_allowed(); chunk = co_await viewer->next()) {
        const std::array<std::string_view, 1> pieces{*chunk};
        if (const auto written = co_await exchange.write(pieces); !written) {
            co_return;
        }
    }
    if (viewer->too_slow()) {
        exchange.abort();
        co_return;
    }
    if (!exchange.client_gone()) {
        (void)co_await exchange.end();
    }
}

} // namespace herd::app::admin
