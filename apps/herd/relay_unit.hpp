#pragma once
// One relay loop with everything that lives on it: network, node connections, its door to the fleet, the
// proxy, the admin surface and the server. A client connection is born and dies here.
#include "herd/admin/admin.hpp"
#include "herd/admin/records_api.hpp"
#include "herd/bench/asker.hpp"
#include "herd/devices/door.hpp"
#include "herd/health/history.hpp"
#include "herd/keys/keys_api.hpp"
#include "herd/records/own_answers.hpp"
#include "herd/scheduler_port.hpp"
#include "http/pool.hpp"
#include "http/server.hpp"
#include "net/network.hpp"
#include "proxy/host_policy.hpp"
#include "proxy/proxy.hpp"

#include <memory>
#include <vector>

namespace herd::app {

struct RelayParts {
    FleetOwner* fleet{nullptr};
    std::uint16_t index{0};
    http::ServerOptions server{};
    http::PoolOptions pool{};
    std::shared_ptr<const proxy::ProxyOptions> proxy{};
    std::shared_ptr<proxy::ProxyShared> shared{};
    std::shared_ptr<const admin::Controls> controls{};
    base::Rng rng{0};
    proxy::RecordSink sink{};
    Ledger* ledger{nullptr};
    OwnAnswers* own_answers{nullptr};
    admin::InFlightOf in_flight{};
    admin::SceneOf scene{};
    keys::KeyKeeper* keys{nullptr};
    devices::DeviceKeeper* devices{nullptr};
    std::function<void(std::string id, base::IpAddress from)> knocked{}; ///< an id of a device was refused
    std::shared_ptr<const admin::GateRules> gate{};
};

/// Thread: its loop's, once that runs.
class RelayUnit {
public:
    RelayUnit(net::Loop& loop, RelayParts parts);

    [[nodiscard]] base::Result<void> listen(net::BoundSocket socket);
    /// Stops accepting, lets exchanges finish until `deadline`, then calls `done` on this loop.
    void drain(base::Instant deadline, net::Callback done);
    /// What still runs ends now, told to its clients.
    void cut_short();
    void set_options(std::shared_ptr<const proxy::ProxyOptions> options, std::shared_ptr<const admin::GateRules> gate);
    /// From the next request on; an older generation than the one in force changes nothing.
    void set_access(keys::Published published);
    void set_tls(std::shared_ptr<const net::TlsContext> tls, bool only) { server_.set_tls(std::move(tls), only); }
    /// `host_lost`: those in use too, so that what waits there fails over or says so to its client.
    void drop_connections(base::Endpoint endpoint, bool host_lost)
    {
        host_lost ? pool_.give_up(endpoint) : pool_.drop(endpoint);
    }
    /// What runs here now, newest first, at most 1000.
    [[nodiscard]] std::vector<proxy::InFlight> in_flight() const { return proxy_.in_flight(in_flight_most); }
    /// What runs here and does not move, the oldest first.
    [[nodiscard]] std::vector<health::Stuck> stuck();
    /// Ends the exchange of that id. False: it does not run here.
    bool cancel(std::string_view id) { return proxy_.cancel(id); }
    [[nodiscard]] bench::Asker& asker() { return asker_; }
    [[nodiscard]] net::Loop& loop() { return loop_; }

private:
    static constexpr std::size_t in_flight_most = 1000;
    static constexpr std::size_t stuck_most = 64;
    static constexpr base::Duration last_words = std::chrono::seconds{1}; ///< to tell clients that their answers end

    net::Task<void> handle(http::ServerExchange& exchange);
    net::Task<void> handle_own(http::ServerExchange& exchange, admin::Verdict verdict);
    /// Who answers what leaves a record: herd's own routes, or the refusal of a Host, or the door for devices.
    enum class By : std::uint8_t { own_route, host_refusal, door };
    net::Task<void> handle_noted(http::ServerExchange& exchange, By by, devices::Door door = devices::Door::elsewhere);
    net::Task<void> handle_named(http::ServerExchange& exchange);
    [[nodiscard]] proxy::ExchangeRecord own_record(const base::Endpoint& client);
    void note(const http::OwnAnswer& answer, http::ResponseHead& head);
    [[nodiscard]] devices::Door at_the_door(http::ServerExchange& exchange) const;
    net::Task<void> answer_door(http::ServerExchange& exchange, devices::Door door);
    [[nodiscard]] admin::Verdict judge(http::ServerExchange& exchange) const;
    [[nodiscard]] bool is_own(const http::RequestHead& head) const;
    net::Task<void> refuse_host(http::ServerExchange& exchange);
    net::Task<void> answer_empty(http::ServerExchange& exchange, int status);
    net::Task<void> drain_and_tell(base::Instant deadline, net::Callback done);

    net::Loop& loop_;
    std::unique_ptr<net::Network> network_;
    http::Pool pool_;
    SchedulerPort scheduler_;
    proxy::HostPolicy hosts_;
    proxy::Proxy proxy_;
    proxy::RecordSink sink_;
    bench::Asker asker_;
    OwnAnswers& own_answers_;
    base::Rng rng_; ///< for names of what the proxy does not see
    admin::Admin admin_;
    admin::RecordsApi records_;
    keys::KeysApi keys_;
    devices::DevicesApi devices_;
    std::function<void(std::string id, base::IpAddress from)> knocked_;
    keys::Published access_{};
    std::shared_ptr<const admin::GateRules> gate_;
    http::Server server_;
    net::TaskGroup tasks_;
};

} // namespace herd::app
