#pragma once
// The whole coordinator, put together: the one place where wires cross. main() binds what must be bound
// before a daemon forks, then builds one of these; tests build it in memory with ports 0.
#include "base/ids.hpp"
#include "discovery/beacon.hpp"
#include "herd/bench/runner.hpp"
#include "herd/command_line.hpp"
#include "herd/devices/device_keeper.hpp"
#include "herd/health/keeper.hpp"
#include "herd/keys/key_keeper.hpp"
#include "herd/options.hpp"
#include "herd/pins/keeper.hpp"
#include "herd/policy/policy_keeper.hpp"
#include "herd/pool_keeper.hpp"
#include "herd/rates_keeper.hpp"
#include "herd/records/ledger.hpp"
#include "herd/relay_unit.hpp"
#include "herd/scout.hpp"
#include "herd/sync/keeper.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace herd::app {

/// Bound before daemonizing.
struct HerdSockets {
    /// [i]: the sockets of relay loop i, one per listen address.
    std::vector<std::vector<net::BoundSocket>> listen{};
    std::optional<discovery::DiscoverySockets> discovery{};
    std::vector<base::Endpoint> local{}; ///< what was really bound, per listen address
};

/// Errors: in_use, bad_config, io: one sentence.
[[nodiscard]] base::Result<HerdSockets> bind_herd(const HerdOptions& options, std::size_t loops);
[[nodiscard]] std::size_t relay_loops(const HerdOptions& options);

/// Who this installation is.
struct Installation {
    base::Uuid id{};
    std::uint64_t boot_id{0};
};

/// Reads the configuration again: options and how they are shown. `running`: those in force. Called on the main loop.
using Reload = std::function<base::Result<ServeOptions>(const HerdOptions& running)>;

/// Thread: construct, run() and everything else on the main thread; request_stop() and request_reload()
/// on the main loop.
class HerdApp {
public:
    HerdApp(ServeOptions serve, HerdSockets sockets, discovery::Authenticator authenticator, Installation installation,
            Reload reload, std::shared_ptr<const net::TlsContext> tls = {});
    HerdApp(const HerdApp&) = delete;
    HerdApp& operator=(const HerdApp&) = delete;
    ~HerdApp();

    /// Reads the API keys, then serves. Errors: they cannot be read; a listener that cannot be used.
    [[nodiscard]] base::Result<void> start();
    /// Until stopped. Returns when every stream has ended or `shutdown_grace` is over.
    void run();
    /// Drain: no new connections, LEAVE, streams finish. Called twice: now.
    void request_stop();
    /// Ends without waiting for streams: their clients are told, if they listen, and their records are kept. Called again:
    /// without even that.
    void stop_now();
    /// Streams were cut off by stop_now(): tasks are still in the middle of something.
    [[nodiscard]] bool stopped_now() const { return stopped_now_; }
    /// SIGHUP.
    void request_reload();

    [[nodiscard]] net::Loop& main_loop() { return *loops_.front(); }

private:
    void build_relays(HerdSockets& sockets);
    void build_discovery(HerdSockets& sockets, const discovery::Authenticator& authenticator);
    void carry_out(const fleet::Effect& effect);
    void heard(const discovery::Sighting& sighting);
    void watch_lateness();
    net::Task<void> shut_down();
    void leave();
    void save_last();
    base::Result<void> reload();
    base::Result<void> apply_options(ServeOptions fresh);
    net::Task<std::string> config_from(net::Loop& asker);
    net::Task<base::Result<StaticNode>> make_node_from(net::Loop& asker, ConfiguredNode settings);
    net::Task<base::Result<void>> add_node_from(net::Loop& asker, StaticNode node);
    net::Task<PolicyAnswer> remove_node_from(net::Loop& asker, fleet::NodeId id, std::string if_match);
    [[nodiscard]] PolicyAnswer may_remove(const fleet::NodeId& id, const std::string& if_match);
    net::Task<std::optional<admin::NamedNode>> named_node_from(net::Loop& asker, std::string id_or_name);
    void apply_join_rules(const HerdOptions& fresh, discovery::Authenticator keys);
    void tell_openness() const;
    base::Result<admin::TwinAnswer> take_announcement(const admin::Twin& twin);
    net::Task<base::Result<std::vector<std::string>>> reload_from(net::Loop& asker);
    net::Task<base::Result<admin::TwinAnswer>> announce_from(net::Loop& asker, admin::Twin twin);
    void build_policy(Managed managed);
    void publish_proxy(const std::shared_ptr<const proxy::ProxyOptions>& options, std::function<void()> done);
    net::Task<PolicyAnswer> change_policy_from(net::Loop& asker, PolicyChange change);
    net::Task<PolicyAnswer> policy_from(net::Loop& asker, admin::PolicyQuestion question);
    void build_ledger();
    void build_health();
    void build_keys();
    void apply_ollana(const HerdOptions& fresh);
    void use_ollana_servers();
    net::Task<void> publish_access(net::Loop& asker, keys::Published published);
    health::Glance glance();
    net::Task<admin::FleetLimits> fleet_limits_from(net::Loop& asker);
    net::Task<std::vector<health::Past>> past_from(net::Loop& asker);
    net::Task<bool> cancel_from(net::Loop& asker, std::string id);
    void build_bench();
    net::Task<bench::Answer> benchmarks_from(net::Loop& asker, bench::Inquiry inquiry);
    net::Task<std::string> sync_from(net::Loop& asker, admin::SyncRetry retry);
    net::Task<pins::Standing> pins_from(net::Loop& asker);
    pins::Standing pins_now();
    void want_pins();
    void preload_popular();
    void record(proxy::ExchangeRecord&& record);
    net::Task<std::vector<proxy::InFlight>> in_flight_from(net::Loop& asker);
    net::Task<std::vector<health::Stuck>> stuck_from(net::Loop& asker);
    template <class Look>
    net::Task<std::invoke_result_t<Look, RelayUnit&>> from_relays(net::Loop& asker, Look look);
    net::Task<MetricsScene> scene_from(net::Loop& asker);

    HerdOptions options_;
    std::string shown_; // the options as JSON, secrets masked
    Installation installation_;
    std::shared_ptr<const net::TlsContext> tls_; // of the listeners at the start; null: plain
    Reload reload_;
    base::Rng rng_;
    base::SystemClock clock_;
    std::vector<std::unique_ptr<net::Loop>> loops_;
    std::vector<std::thread> threads_; // tidy: allow(banned-call) the relay loops but the first
    std::unique_ptr<net::Network> network_; // of the main loop, for errands
    std::unique_ptr<FleetOwner> fleet_;
    std::unique_ptr<discovery::ProofBook> proofs_;
    std::unique_ptr<PolicyKeeper> policy_;
    std::unique_ptr<Scout> scout_;
    std::unique_ptr<PoolKeeper> pool_;
    std::unique_ptr<RatesKeeper> rates_;
    std::shared_ptr<proxy::ProxyShared> shared_ = std::make_shared<proxy::ProxyShared>();
    std::unique_ptr<sync::Keeper> sync_;
    std::unique_ptr<pins::Keeper> pins_;
    std::map<std::string, health::History::Popular> popular_; // as health told it last
    std::unique_ptr<discovery::HerdBeacon> beacon_;
    std::unique_ptr<Ledger> ledger_; // outlives the relays
    std::unique_ptr<health::Keeper> health_; // on the ledger's loop
    std::unique_ptr<keys::KeyKeeper> keys_;
    std::unique_ptr<devices::DeviceKeeper> devices_;
    std::vector<std::unique_ptr<RelayUnit>> relays_;
    std::unique_ptr<bench::Runner> bench_; // asks the relays
    std::shared_ptr<admin::Controls> controls_ = std::make_shared<admin::Controls>();
    std::unique_ptr<net::TaskGroup> tasks_;
    std::unique_ptr<net::Timer> lateness_timer_;
    std::atomic<std::uint64_t> requests_total_{0};
    std::atomic<std::uint64_t> requests_failed_{0};
    OwnAnswers own_answers_{};
    std::vector<std::vector<net::BoundSocket>> unserved_; // bound, not yet listening
    std::vector<std::string> needs_restart_; // keys of the last reload that only a restart applies
    std::vector<base::Endpoint> listening_; // as bound
    bool ollana_port_{false};               // our datagrams leave from UDP 11436
    bool stopping_{false};
    bool hurried_{false};
    bool stopped_now_{false};
};

/// What the options mean for each room.
[[nodiscard]] fleet::FleetOptions fleet_options(const HerdOptions& options);
[[nodiscard]] std::shared_ptr<const proxy::ProxyOptions> proxy_options(const HerdOptions& options, const base::Uuid& id);
[[nodiscard]] std::vector<sync::Requirement> requirements(const HerdOptions& options, const std::vector<ConfiguredFrontend>& frontends);
[[nodiscard]] http::ServerOptions server_options(const HerdOptions& options);
[[nodiscard]] devices::DeviceOptions device_options(const HerdOptions& options);
[[nodiscard]] keys::KeyRules key_rules(const HerdOptions& options);
[[nodiscard]] std::shared_ptr<const admin::GateRules> gate_rules(const HerdOptions& options);

} // namespace herd::app
