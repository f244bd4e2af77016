#pragma once
// What herd tells of the requests it served: /herd/v1/requests, /requests/{id}, /usage, /events, and /metrics.
// Reading only.
#include "herd/admin/query.hpp"
#include "herd/records/ledger.hpp"
#include "http/server.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app::admin {

/// Everything in flight, all loops together.
using InFlightOf = std::function<net::Task<std::vector<proxy::InFlight>>(net::Loop& asker)>;

/// What only the program knows for /metrics.
using SceneOf = std::function<net::Task<MetricsScene>(net::Loop& asker)>;

/// Thread: its relay loop.
class RecordsApi {
public:
    /// `ledger` outlives the object.
    RecordsApi(Ledger& ledger, InFlightOf in_flight, SceneOf scene)
        : ledger_(ledger), in_flight_(std::move(in_flight)), scene_(std::move(scene))
    {
    }

    [[nodiscard]] static bool owns(std::string_view path);
    /// `still_allowed`: asked before each piece of an event stream, which may outlive the key it was begun with.
    [[nodiscard]] net::Task<void> handle(http::ServerExchange& exchange, std::function<bool()> still_allowed);

private:
    net::Task<LedgerAnswer> answer(http::ServerExchange& exchange);
    net::Task<LedgerAnswer> list(http::ServerExchange& exchange);
    net::Task<LedgerAnswer> list_in_flight(net::Loop& loop, store::TraceFilter filter);
    net::Task<LedgerAnswer> usage(http::ServerExchange& exchange);
    net::Task<void> metrics(http::ServerExchange& exchange);
    net::Task<void> events(http::ServerExchange& exchange, std::function<bool()> still_allowed);

    Ledger& ledger_;
    InFlightOf in_flight_;
    SceneOf scene_;
};

/// The question of GET /herd/v1/requests. `in_flight`: status=in_flight was asked for. Faults are the query's.
[[nodiscard]] store::TraceFilter filter_of(Query& query, base::WallTime now, bool& in_flight);
/// That of GET /herd/v1/usage.
[[nodiscard]] store::UsageQuery usage_query_of(Query& query, base::WallTime now);

} // namespace herd::app::admin
