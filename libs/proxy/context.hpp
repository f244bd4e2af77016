#pragma once
// What every exchange of one relay loop shares. Internal to the room; all of it outlives the exchanges.
#include "base/random.hpp"
#include "http/pool.hpp"
#include "net/loop.hpp"
#include "proxy/access.hpp"
#include "proxy/cors.hpp"
#include "proxy/memory.hpp"
#include "proxy/proxy.hpp"
#include "proxy/record.hpp"
#include "proxy/scheduler.hpp"

#include <memory>

namespace herd::proxy {

class Visit;

/// Thread: its relay loop.
struct Context {
    net::Loop& loop;
    Scheduler& scheduler;
    http::Pool& pool;
    std::shared_ptr<ProxyShared> shared;
    base::Rng rng;
    RecordSink sink;
    RouteMemory old_nodes{};
    std::shared_ptr<const Access> access{}; ///< null: no keys, no limits of clients
    Visit* newest{nullptr}; ///< of those in flight: a list through them, see Visit::older()
};

/// What may change while exchanges run: each keeps the one it began with.
struct Settings {
    std::shared_ptr<const ProxyOptions> options;
    CorsPolicy cors;
};

/// An answer made by ourselves.
struct LocalAnswer {
    int status{200};
    std::string_view content_type{"application/json; charset=utf-8"}; ///< empty: none
    std::string body{};
    http::Fields fields{}; ///< further ones
};

} // namespace herd::proxy
