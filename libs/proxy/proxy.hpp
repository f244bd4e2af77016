#pragma once
// One request's way through the house: routes → profile → acquire → attempt → commit → relay → finished.
// The phases are in exchange.cpp, in that order. One Proxy per relay loop.
#include "base/ip.hpp"
#include "base/random.hpp"
#include "base/units.hpp"
#include "fleet/rules.hpp"
#include "http/pool.hpp"
#include "http/server.hpp"
#include "proxy/auto_pull.hpp"
#include "proxy/compat_headers.hpp"
#include "proxy/memory.hpp"
#include "proxy/record.hpp"
#include "proxy/scheduler.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace herd::proxy {

class Access;
class Aliases;
class Frontends;
class ModelRules;

/// A model is to be on some of these nodes.
struct RequiredAt {
    std::string where{}; ///< that stands: "by frontend 'a'"
    fleet::Members nodes{};
};

struct ProxyOptions {
    std::string own_id{};          ///< for Via and loop detection
    base::Bytes max_body{512 * base::mib};
    base::Bytes replay_body{64 * base::mib};  ///< bodies up to this are kept for failover; longer ones are streamed
    base::Bytes replay_total{base::gib};      ///< of all kept bodies of the process
    int retries{2};                           ///< further attempts after the first
    base::Duration first_byte_timeout{};      ///< 0: as long as it takes (a load may take minutes)
    base::Duration idle_timeout{std::chrono::seconds{600}}; ///< between bytes of an answer
    base::Duration queue_timeout{std::chrono::seconds{300}};
    std::vector<int> num_ctx_buckets{}; ///< ascending; a num_ctx asked for is rounded up to one of them
    base::Duration early_head{};        ///< SSE: head and heartbeats when no answer came for this long; 0: never
    std::vector<std::string> cors_origins{};  ///< in the syntax of OLLAMA_ORIGINS, added to Ollama's defaults
    bool loopback_only{false}; ///< only this machine reaches us: foreign Host names are refused (host_policy.hpp)
    std::vector<std::string> hosts{}; ///< accepted nevertheless; "*": all
    std::size_t exchanges_max{65536};
    base::Duration connect_timeout{}; ///< 0: the pool's
    base::Duration static_connect_timeout{std::chrono::seconds{2}}; ///< the same for configured nodes
    CompatHeaders compat{};
    std::vector<base::IpNetwork> trusted_proxies{}; ///< whose X-Forwarded-For tells the client
    std::vector<std::string> session_headers{"X-OpenWebUI-Chat-Id", "x-conversation-id", "x-thread-id"}; ///< besides X-Herd-Session
    base::Duration total_timeout{};   ///< from the request's head to the end of the answer; 0: none
    std::shared_ptr<const Frontends> frontends{}; ///< null: none are configured
    std::shared_ptr<const Aliases> aliases{};     ///< null: none are configured
    std::shared_ptr<const ModelRules> models{};   ///< null: none are configured
    AutoPull auto_pull{};
    /// ModelName::keys of models that are to stay loaded, and where (empty: anywhere): not deleted there unless forced.
    /// Null: none are.
    std::shared_ptr<const std::multimap<std::string, std::string>> pinned_models{};
    /// The same of those that herd has pulled. Null: none are.
    std::shared_ptr<const std::multimap<std::string, RequiredAt>> required_models{};
};

/// Shared by the proxies of all loops.
struct ProxyShared {
    std::atomic<std::uint64_t> replay_bytes{0}; ///< kept bodies, all loops
    std::atomic<std::uint64_t> exchanges{0};    ///< in flight, all loops
    BlobMemory blobs{};
    PullMemory pulls{};
    std::function<void(const std::string& key)> unrequire{}; ///< a required model is about to be deleted on purpose; any loop
    /// Has a node pull it, one for all that want it there. Any loop. Empty: nobody does.
    std::function<void(WantedModel wanted, std::weak_ptr<PullWait> waiting)> bring{};
};

/// Thread: its relay loop.
class Proxy {
public:
    Proxy(net::Loop& loop, Scheduler& scheduler, http::Pool& pool, std::shared_ptr<const ProxyOptions> options,
          std::shared_ptr<ProxyShared> shared, base::Rng rng, RecordSink sink);
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;
    ~Proxy();

    /// Answers one request of the Ollama, OpenAI or Anthropic surface (anything that is not herd's own).
    [[nodiscard]] net::Task<void> handle(http::ServerExchange& exchange);
    /// Options of exchanges that begin from now on.
    void set_options(std::shared_ptr<const ProxyOptions> options);
    [[nodiscard]] std::shared_ptr<const ProxyOptions> options() const;
    /// Who may ask for what, from the next exchange on. Null: everybody, everything.
    void set_access(std::shared_ptr<const Access> access);
    /// The exchanges in flight on this loop, newest first, at most `max` of them.
    [[nodiscard]] std::vector<InFlight> in_flight(std::size_t max) const;
    /// Those at a node or answering whose phase has not changed and whose client got no byte for `least`, the oldest
    /// first, at most `max`. As far as calls tell, each of which looks at all: ask every few seconds.
    [[nodiscard]] std::vector<InFlight> still(base::Duration least, std::size_t max);
    /// Ends the exchange of that id as if its client had gone. False: none here has it.
    bool cancel(std::string_view id);
    /// Ends all of them, each in its dialect. `why`: lives for ever.
    void cancel_all(std::string_view why);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// The body and head of an error that the server makes by itself, in the dialect of `target`.
[[nodiscard]] http::ResponseHead error_answer(int status, std::string_view reason, std::string_view target,
                                              std::string& body);

} // namespace herd::proxy
