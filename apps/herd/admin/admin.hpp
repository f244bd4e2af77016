#pragma once
// herd's own HTTP surface: /herd/v1/*, /healthz, /readyz. Who may use what was decided before: gate.hpp.
#include "herd/admin/fleet_queue.hpp"
#include "herd/admin/ollamaflow.hpp"
#include "herd/admin/views.hpp"
#include "herd/bench/runner.hpp"
#include "herd/health/finding.hpp"
#include "herd/pins/view.hpp"
#include "herd/policy/policy_change.hpp"
#include "herd/records/ledger.hpp"
#include "herd/static_nodes.hpp"
#include "http/server.hpp"
#include "proxy/access.hpp"
#include "proxy/proxy.hpp"
#include "proxy/scheduler.hpp"

#include <expected>
#include <functional>
#include <memory>
#include <optional>

namespace herd::app::admin {

/// Longest body of a change.
constexpr std::size_t change_bytes_max = 1024 * 1024;

/// POST /herd/v1/announce as it arrived.
struct Twin {
    std::string body{};
    base::Endpoint peer{};
    std::string nonce{}; ///< Herd-Nonce
    std::string mac{};   ///< Herd-MAC over nonce and body
};

/// POST /herd/v1/sync/retry: which of the failed pulls; empty: any.
struct SyncRetry {
    bool wanted{false};
    std::string model{};
    std::string node{};
};

/// What herd says to it.
struct TwinAnswer {
    std::string body{};
    std::string mac{}; ///< Herd-MAC over the request's nonce and this body; empty without a key
};

/// What is in force now.
struct PolicyQuestion {
    enum class What : std::uint8_t { frontends, frontend, node };
    What what{What::frontends};
    std::string target{}; ///< id or name
};

/// A node that a person named.
struct NamedNode {
    fleet::NodeId id{};
    ConfiguredNode settings{};
    bool configured{false};    ///< by file or flag: else through the admin API
    std::uint64_t revision{0}; ///< another one after each change
    base::MaybeDates dates{};
};

/// What the rest of the program does for the admin API. All of them may be called on any relay loop.
struct Controls {
    std::string version{};
    base::Instant started_at{};
    std::function<Counts()> counts{};
    std::function<void()> stop{};
    /// Applies the configuration anew, or says why not. Returns the keys that only a restart applies.
    std::function<net::Task<base::Result<std::vector<std::string>>>(net::Loop& asker)> reload{};
    /// Effective settings as JSON, secrets masked.
    std::function<net::Task<std::string>(net::Loop& asker)> config{};
    /// What is wrong, and what to do about it.
    std::function<net::Task<std::shared_ptr<const health::Report>>(net::Loop& asker)> health{};
    /// What became of requests by node and model, and what the configuration allows: for /fleet/*.
    std::function<net::Task<QueueCountsOf>(net::Loop& asker)> queue_counts{};
    std::function<net::Task<FleetLimits>(net::Loop& asker)> fleet_limits{};
    /// Asks the records of past requests.
    std::function<net::Task<LedgerAnswer>(net::Loop& asker, Ledger::Question question)> ask_records{};
    /// How the required models stand, after the retry that was asked for, if one was.
    std::function<net::Task<std::string>(net::Loop& asker, SyncRetry retry)> sync{};
    /// How the models that are to stay loaded stand.
    std::function<net::Task<pins::Standing>(net::Loop& asker)> pins{};
    /// Starts, ends and tells of benchmarks.
    std::function<net::Task<bench::Answer>(net::Loop& asker, bench::Inquiry inquiry)> benchmarks{};
    /// Ends the exchange of that id, if it is in flight.
    std::function<net::Task<bool>(net::Loop& asker, std::string id)> cancel{};
    std::function<net::Task<PolicyAnswer>(net::Loop& asker, PolicyQuestion question)> policy{};
    /// Returns when the change is written and in force, or refused.
    std::function<net::Task<PolicyAnswer>(net::Loop& asker, PolicyChange change)> change_policy{};
    /// Checks what was posted, without adding it. Errors: bad_config.
    std::function<net::Task<base::Result<StaticNode>>(net::Loop& asker, ConfiguredNode settings)> make_node{};
    /// Nothing: no node is called so, or it announces itself.
    std::function<net::Task<std::optional<NamedNode>>(net::Loop& asker, std::string id_or_name)> named_node{};
    /// Whether the cloud at that node takes its key, by asking it: Scout::check_key.
    std::function<net::Task<std::string>(net::Loop& asker, fleet::NodeId id)> check_key{};
    /// Both return when it is in force and written down, or why not. A node that is there is changed.
    std::function<net::Task<base::Result<void>>(net::Loop& asker, StaticNode node)> add_node{};
    std::function<net::Task<PolicyAnswer>(net::Loop& asker, fleet::NodeId id, std::string if_match)> remove_node{};
    /// The JSON twin of an announcement; the answer, or why it is not taken.
    std::function<net::Task<base::Result<TwinAnswer>>(net::Loop& asker, Twin twin)> announce{};
};

/// Errors: malformed, one sentence.
[[nodiscard]] base::Result<SyncRetry> parse_sync_retry(std::string_view body);

/// Thread: its relay loop.
class Admin {
public:
    /// `options`: those that the proxy of this loop has at the moment.
    Admin(proxy::Scheduler& scheduler, std::function<std::shared_ptr<const proxy::ProxyOptions>()> options,
          std::shared_ptr<const Controls> controls);

    /// Whether a path is herd's own.
    [[nodiscard]] static bool owns(std::string_view path);
    /// `key`: whose; null where nobody had to be asked.
    [[nodiscard]] net::Task<void> handle(http::ServerExchange& exchange, proxy::KeyPtr key);

private:
    struct Reply {
        int status{200};
        std::string body{};
        std::string allow{};
        std::string mac{}; ///< Herd-MAC
        std::string etag{};
        std::string warning{}; ///< Warning
        bool linked{false};    ///< a 409 because others name it
    };
    [[nodiscard]] static Reply unread_reply(const base::Error& why, std::size_t limit)
    {
        Unread told = unread(why, limit);
        return {told.status, std::move(told.body)};
    }
    net::Task<Reply> answer(http::ServerExchange& exchange, proxy::KeyPtr key);
    net::Task<Reply> read(http::ServerExchange& exchange, std::string_view path, proxy::KeyPtr key);
    net::Task<Reply> write(http::ServerExchange& exchange, std::string_view path);
    net::Task<Reply> read_policy(http::ServerExchange& exchange, PolicyQuestion question); // admin_policy.cpp
    net::Task<Reply> change_policy(http::ServerExchange& exchange, PolicyChange change);
    net::Task<Reply> apply_change(net::Loop& loop, PolicyChange change);
    net::Task<Reply> read_node_settings(net::Loop& loop, std::string target); // admin_origin.cpp
    net::Task<Reply> change_node_settings(net::Loop& loop, PolicyChange change);
    net::Task<std::optional<Reply>> other_tag(net::Loop& loop, std::string target, std::string& if_match);
    net::Task<std::expected<StaticNode, Reply>> other_origin(net::Loop& loop, NamedNode named, std::string origin, bool replace);
    net::Task<Reply> read_pins(http::ServerExchange& exchange, std::string_view path); // admin_pins.cpp
    net::Task<Reply> change_pins(http::ServerExchange& exchange, std::string_view path);
    net::Task<std::string> id_of_distinct(std::string name);
    net::Task<Reply> pin_as_asked(http::ServerExchange& exchange, std::string body);
    net::Task<Reply> read_benchmarks(http::ServerExchange& exchange, std::string_view path); // admin_bench.cpp
    net::Task<Reply> change_benchmarks(http::ServerExchange& exchange, std::string_view path);
    net::Task<Reply> announce(http::ServerExchange& exchange);
    net::Task<Reply> route(http::ServerExchange& exchange, proxy::KeyPtr key);
    net::Task<Reply> add_node(net::Loop& loop, std::string body); // admin_nodes.cpp
    net::Task<Reply> settings_of_new(net::Loop& loop, fleet::NodeId id, std::string settings);
    net::Task<Reply> first_state(net::Loop& loop, fleet::NodeId id, bool is_probed);
    net::Task<nlohmann::ordered_json> ollamaflow_objects(net::Loop& loop, ollamaflow::Kind kind, std::string id); // admin_ollamaflow.cpp
    net::Task<Reply> change_ollamaflow(http::ServerExchange& exchange, ollamaflow::Kind kind, std::string id);
    net::Task<Reply> answer_ollamaflow(http::ServerExchange& exchange);
    net::Task<Reply> retry_sync(http::ServerExchange& exchange);
    net::Task<Reply> probe_node(net::Loop& loop, std::string name);
    net::Task<Reply> change_node(std::string name, std::string_view action, base::Instant now);
    net::Task<Reply> remove_node(http::ServerExchange& exchange, std::string name);

    proxy::Scheduler& scheduler_;
    std::function<std::shared_ptr<const proxy::ProxyOptions>()> options_;
    std::shared_ptr<const Controls> controls_;
};

} // namespace herd::app::admin
