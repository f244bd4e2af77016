#pragma once
// Who asks, and what they may. One immutable Access holds the rules and all keys of a moment; a new one replaces it
// when either changes. Every relay loop has its own pointer to it, so that looking up a key locks nothing; what is
// counted (requests of a minute, tokens of a day, exchanges in flight) lives in atomics that all loops and all
// generations share. While there are neither keys nor limits the pointer is null, and asking costs that one test.
// The order of an exchange: route → access → frontend → understand. Why keys are as they are: docs/adr/0011-keys.md.
#include "base/error.hpp"
#include "base/ip.hpp"
#include "base/time.hpp"
#include "fleet/profile.hpp"
#include "http/message.hpp"
#include "net/crypto.hpp"
#include "proxy/problem.hpp"
#include "proxy/rate_limit.hpp"
#include "proxy/record.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace herd::proxy {

/// What is counted of a key. Shared by all Access generations that have the key. Thread: any.
struct KeyUse {
    std::atomic<std::uint32_t> in_flight{0};
    RateBucket rate{};
    DayCount tokens{};
    std::atomic<std::int64_t> last_used{0}; ///< microseconds of the epoch; 0: never
};

/// An API key as the gate needs it; its secret is known to nobody but its owner.
struct Key {
    std::string id{};
    std::string name{};
    net::Digest hash{};                   ///< SHA-256 of the secret
    bool admin{false};
    std::vector<std::string> models{};    ///< fleet::ModelName::key; empty: all
    std::vector<std::string> frontends{}; ///< names; empty: all
    std::uint32_t rpm{0};                 ///< requests a minute; 0: no limit, like the next two
    std::uint64_t tokens_per_day{0};
    std::uint32_t max_parallel{0};
    std::optional<fleet::Priority> priority{}; ///< requests are never more urgent than this; the default of those that say none
    std::optional<base::WallTime> expires{};
    bool revoked{false};
    std::string fair{};                   ///< its name among the clients that share nodes fairly: "key NAME"
    std::shared_ptr<KeyUse> use{};        ///< never null

    [[nodiscard]] bool may_use_model(std::string_view model_key) const;
    [[nodiscard]] bool may_use_frontend(std::string_view frontend) const;
    [[nodiscard]] bool lives(base::WallTime now) const { return !revoked && (!expires || now < *expires); }
};
using KeyPtr = std::shared_ptr<const Key>;

/// Somebody who logged in to the dashboard with a key: a cookie stands for it.
struct Session {
    net::Digest hash{}; ///< of the cookie's value
    std::string key_id{};
    base::WallTime expires{};
};

/// Wrong keys and failed logins by address: so many at once, so many a minute, then 429. Bounded: what
/// happened more than a minute ago is forgotten. Thread: any (a failure is rare; the lock is held for a look into a map).
class FailureCounts {
public:
    static constexpr std::size_t addresses_max = 4096;
    static constexpr std::uint32_t at_once = 10;
    static constexpr base::Duration each = std::chrono::seconds{6};
    /// One more failure. How long until that address may fail again; 0: it may now.
    base::Duration failed(const base::IpAddress& address, base::Instant now);
    [[nodiscard]] base::Duration wait(const base::IpAddress& address, base::Instant now);
    [[nodiscard]] std::size_t addresses() const;

private:
    struct Entry {
        RateBucket bucket{};
        base::Instant last{};
    };
    mutable std::mutex mutex_; // tidy: allow(banned-call) all loops, only when somebody failed
    std::unordered_map<base::IpAddress, std::unique_ptr<Entry>> entries_;
};

/// What outlives a generation of rules.
struct AccessMemory {
    FailureCounts failures{};
    std::shared_ptr<AddressCounts> addresses{}; ///< null while nothing is counted by address
};

/// A device that may use this herd through Ollana's client, which can show nothing but its id.
struct Device {
    std::string id{};
    std::string key_id{}; ///< the API key that it acts as; empty: none
};
struct DeviceRules {
    std::string own_id{}; ///< ours, told to those that are allowed
    std::vector<Device> allowed{};
};

struct AccessRules {
    bool require_key{false};
    std::uint32_t client_in_flight{0}; ///< per key, else per address; 0: no limit
    std::vector<KeyPtr> keys{};        ///< revoked and expired ones too: their owners are told so
    std::vector<Session> sessions{};
    std::optional<DeviceRules> devices{}; ///< nothing: Ollana's clients are not served
};

/// What a request shows of itself.
struct Shown {
    enum class What : std::uint8_t { nothing, good, unknown, revoked, expired, ambiguous };
    What what{What::nothing};
    KeyPtr key{};          ///< with `good`
    bool by_cookie{false}; ///< a browser sent it, perhaps on behalf of another page
};

/// What the id of a device is worth.
enum class DeviceSaid : std::uint8_t { nothing, allowed, refused };
inline constexpr std::string_view device_field = "X-Ollana-Device-Id";

class Caller;
struct Admission {
    KeyPtr key{};                      ///< who asks, also when it is refused; null: nobody in particular
    std::unique_ptr<Caller> caller{};  ///< null: nothing to count, nothing that is not allowed
    std::optional<Problem> problem{};  ///< refused
};

/// Immutable but for what is counted. Thread: any.
class Access {
public:
    Access(AccessRules rules, std::shared_ptr<AccessMemory> memory);

    /// `Authorization: Bearer`, else `x-api-key`, else the cookie of the dashboard. Two Authorization or two x-api-key
    /// fields are `ambiguous`: what one program takes for the first another takes for the last. A cookie counts only when no
    /// page asks, or one that this herd served: whatever changes something must prove that (from_own_page()).
    [[nodiscard]] Shown look(const http::RequestHead& head, base::WallTime now) const;
    /// Why what was shown is not good enough, once a key is needed: 400, 401 or, after too many of them, 429.
    [[nodiscard]] Problem refusal(const Shown& shown, const base::IpAddress& peer, base::Instant now) const;
    /// Lets an exchange in and counts it, or says why not.
    [[nodiscard]] Admission admit(const http::RequestHead& head, const base::IpAddress& peer, base::Instant now, base::WallTime wall) const;

    /// Ollana's clients are served (lana.md 12.6): their ids are looked at.
    [[nodiscard]] bool serves_devices() const { return rules_.devices.has_value(); }
    /// Requires: serves_devices(). `allowed`: exactly one id, which a human allowed; and where keys are required, or one was
    /// named for it, that key is good.
    [[nodiscard]] DeviceSaid device(const http::RequestHead& head, base::WallTime now) const;

    [[nodiscard]] bool require_key() const { return rules_.require_key; }
    /// A key with admin scope that is neither revoked nor expired.
    [[nodiscard]] bool has_admin(base::WallTime now) const;
    /// The key with that secret; null when there is none. Also finds those that are no longer good.
    [[nodiscard]] KeyPtr find(std::string_view secret) const;
    [[nodiscard]] AccessMemory& memory() const { return *memory_; }
    [[nodiscard]] const AccessRules& rules() const { return rules_; }

private:
    struct DigestHash {
        std::size_t operator()(const net::Digest& digest) const;
    };
    [[nodiscard]] Admission admit_address(const base::IpAddress& peer) const;
    [[nodiscard]] std::optional<Problem> count(const Key& key, base::Instant now, base::WallTime wall) const;
    [[nodiscard]] Shown judged(KeyPtr key, base::WallTime now) const;
    [[nodiscard]] KeyPtr key_of_device(const http::RequestHead& head) const;
    [[nodiscard]] Shown by_session(const http::RequestHead& head, std::string_view cookies, base::WallTime now) const;

    AccessRules rules_;
    std::shared_ptr<AccessMemory> memory_;
    std::vector<KeyPtr> admins_;
    std::unordered_map<net::Digest, KeyPtr, DigestHash> by_hash_;
    std::unordered_map<net::Digest, std::pair<KeyPtr, base::WallTime>, DigestHash> sessions_;
    struct KnownDevice {
        bool has_key{false}; ///< one was named for it
        KeyPtr key{};        ///< null: none, or it is no more
    };
    std::unordered_map<net::Digest, KnownDevice, DigestHash> devices_; ///< by the hash of the id, as keys are
};

/// Whether no web page asks, or one that this herd itself served. A browser sets the fields that say so; a page cannot.
[[nodiscard]] bool from_own_page(const http::RequestHead& head);

/// The value of the session cookie; empty when there is none.
[[nodiscard]] std::string_view session_cookie(std::string_view cookies);
inline constexpr std::string_view session_cookie_name = "herd_session";

/// One admitted exchange: what its client may do. Gives its places back when it is destroyed.
class Caller {
public:
    Caller(KeyPtr key, std::shared_ptr<AddressCounts> addresses, std::optional<AddressCounts::Place> place)
        : key_(std::move(key)), addresses_(std::move(addresses)), place_(place)
    {
    }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;
    ~Caller() { leave(); }
    /// Gives its places back: before the client hears the end, so that what it asks next finds them free.
    void leave();

    /// Null: no key, only counted by address.
    [[nodiscard]] const Key* key() const { return key_.get(); }
    [[nodiscard]] bool may_use_model(std::string_view model_key) const { return !key_ || key_->may_use_model(model_key); }
    [[nodiscard]] bool may_use_frontend(std::string_view frontend) const { return !key_ || key_->may_use_frontend(frontend); }
    /// Only some models are allowed: what names none that we can read, or more than one, is not let through.
    [[nodiscard]] bool limited_to_models() const { return key_ && !key_->models.empty(); }
    /// Writes into the scheduler's question who asks. `said`: the client itself said how urgent it is.
    void mark(fleet::Profile& profile, bool said) const;
    /// Counts what an exchange cost. Where an inference ended without its node's own figures (cut off, or an API that
    /// tells none) tokens are estimated from bytes, so that hanging up early is not a way around the limit.
    void spent(const ExchangeRecord& record, bool inference, base::WallTime now) const;

private:
    KeyPtr key_;
    std::shared_ptr<AddressCounts> addresses_;
    std::optional<AddressCounts::Place> place_;
    bool left_{false};
};

/// Whether a model may be seen, by its fleet::ModelName::key. Empty: all of them.
using ModelFilter = std::function<bool(std::string_view model_key)>;

[[nodiscard]] Problem forbidden_model(std::string_view model);
[[nodiscard]] Problem forbidden_frontend(std::string_view frontend);

} // namespace herd::proxy
