#pragma once
// Owner of the API keys: what is on disk, what was counted, who is logged in to the dashboard; and maker of the
// proxy::Access that every relay loop looks at. A change is answered when all loops have it, so what is revoked is
// refused from then on.
#include "herd/keys/new_key.hpp"
#include "net/blocking.hpp"
#include "net/timer.hpp"
#include "proxy/access.hpp"
#include "store/key_store.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace herd::app::keys {

struct KeyRules {
    bool require_key{false};
    std::uint32_t client_in_flight{0};
    std::uint32_t exchanges_max{65536};
};

/// A generation of Access; a later one is never replaced by an earlier.
struct Published {
    std::uint64_t generation{0};
    std::shared_ptr<const proxy::Access> access{}; ///< null: no keys, no limits
};
/// Gives it to all relay loops, and returns when they have it. Awaits on `asker`.
using Publish = std::function<net::Task<void>(net::Loop& asker, Published published)>;

struct KeyAnswer {
    int status{200};
    std::string body{}; ///< JSON
};

/// What became of a login.
struct Login {
    int status{401};
    std::string said{};   ///< to the person, where it failed
    std::string cookie{}; ///< value of the session cookie
    base::Duration retry_after{};
};

inline constexpr base::Duration session_life = std::chrono::hours{12};
inline constexpr std::size_t sessions_max = 256; ///< the oldest ends

/// Thread: its loop, but for the tasks, which may be awaited on any loop.
class KeyKeeper {
public:
    /// `loop` outlives the keeper, and runs whenever a task is awaited.
    KeyKeeper(net::Loop& loop, std::string path, KeyRules rules, Publish publish);

    /// At start, before anything is served; blocks. Errors: the keys cannot be read; herd must not serve then.
    [[nodiscard]] base::Result<void> load();
    /// What to start with.
    [[nodiscard]] Published current();
    /// Rules of a reload; `give` gets the new generation at once.
    void set_rules(const KeyRules& rules, const std::function<void(const Published&)>& give);
    [[nodiscard]] const KeyRules& rules() const { return rules_; }
    /// Which devices may use Ollana's client with this herd; nothing: none is served. To be given to the loops.
    [[nodiscard]] Published set_devices(std::optional<proxy::DeviceRules> devices);
    /// Gives a generation to all relay loops; returns when they have it. Thread: any.
    [[nodiscard]] net::Task<void> give(net::Loop& asker, Published published) { return publish_(asker, std::move(published)); }
    /// By id; else by name, where one that is not revoked goes first. Null: none is called like that. Thread: its loop's.
    [[nodiscard]] const store::KeyRecord* find(std::string_view which) const;

    [[nodiscard]] net::Task<KeyAnswer> list(net::Loop& asker);
    /// One, by id, else by name.
    [[nodiscard]] net::Task<KeyAnswer> show(net::Loop& asker, std::string which);
    [[nodiscard]] net::Task<KeyAnswer> add(net::Loop& asker, std::string body);
    /// By id, else by name.
    [[nodiscard]] net::Task<KeyAnswer> revoke(net::Loop& asker, std::string which);
    [[nodiscard]] net::Task<Login> log_in(net::Loop& asker, std::string secret, base::IpAddress peer);
    [[nodiscard]] net::Task<void> log_out(net::Loop& asker, std::string cookie);

    /// Begins to write down now and then what was counted.
    void watch_use();
    /// At the end: written before the destructor returns.
    void save_last();

private:
    [[nodiscard]] Published rebuild();
    [[nodiscard]] proxy::KeyUse& use_of(const std::string& id);
    [[nodiscard]] std::string list_json();
    [[nodiscard]] Login open_session(const std::string& secret, const base::IpAddress& peer);
    [[nodiscard]] std::optional<Published> end_session(const std::string& cookie);
    void forget_revoked();
    void save_use();
    void warn_of_expiry();

    net::Loop& loop_;
    KeyRules rules_;
    Publish publish_;
    std::shared_ptr<proxy::AccessMemory> memory_ = std::make_shared<proxy::AccessMemory>();
    std::vector<store::KeyRecord> records_;
    std::map<std::string, std::shared_ptr<proxy::KeyUse>> uses_; // by id
    std::map<std::string, store::KeyUseRecord> saved_;           // by id: what is on disk
    std::vector<proxy::Session> sessions_;
    std::optional<proxy::DeviceRules> devices_;
    Published published_;
    net::Timer timer_;
    bool save_failed_{false};
    bool told_of_expiry_{false};
    std::shared_ptr<store::KeyStore> store_; // touched by jobs of disk_ alone, once load() is over
    net::Blocking disk_{"herd-keys", 64};    // last: ends first
};

} // namespace herd::app::keys
