#pragma once
// The receiving side of either role, without I/O: time, where it came from and bytes in; a Sighting or a
// counted reason out (rules 5 to 10 of lana.md 3). What a sighting is worth (new id, other boot, other
// address, a jump in seq) is told as `doubts`; the membership state machine confirms those over HTTP and
// says so with confirmed().
#include "base/ids.hpp"
#include "base/ip.hpp"
#include "base/seldom.hpp"
#include "base/time.hpp"
#include "discovery/authenticator.hpp"
#include "discovery/datagram.hpp"

#include <array>
#include <expected>
#include <functional>
#include <list>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace herd::discovery {

/// What the socket knows about a datagram.
struct Arrival {
    base::Endpoint from{};
    base::IpAddress to{};       ///< destination address of the datagram
    base::IpAddress local{};    ///< our own address that an answer should come from; unspecified: not known
    unsigned interface{0};      ///< index of the interface it came in on
    int ttl{-1};                ///< received TTL or hop limit; -1 unknown
    bool connected{false};      ///< the source lies in a subnet of that interface (or it came over loopback)
    bool on_loopback{false};    ///< came in on the loopback interface
    bool to_group{false};       ///< destination was a broadcast or multicast address
    bool configured_peer{false}; ///< a human named this address: no on-link test

    /// RFC 5082: a routed datagram cannot arrive with TTL 255.
    [[nodiscard]] bool on_link() const { return ttl == 255 && connected; }
};

/// Reasons to confirm before believing.
namespace doubt {
inline constexpr std::uint8_t new_id = 1;          ///< nobody confirmed this id yet
inline constexpr std::uint8_t new_boot = 2;        ///< larger boot_id than the confirmed one
inline constexpr std::uint8_t older_boot = 4;      ///< smaller boot_id (state lost, clock set back, or a replay)
inline constexpr std::uint8_t address_changed = 8; ///< comes from another address, and only from there
inline constexpr std::uint8_t seq_jump = 16;       ///< unkeyed and seq more than 1000 ahead
} // namespace doubt

/// A datagram that passed all rules, with its source.
struct Sighting {
    base::Instant at{};
    Arrival arrival{};
    Header header{};
    Body body{};
    bool authenticated{false};
    bool over_http{false};    ///< came as the JSON twin
    std::uint8_t doubts{0};
    /// Echoes a nonce that we sent a moment ago: no replay, whatever the clocks say.
    bool fresh{false};
    /// Round trip of the unicast probe that this answers.
    std::optional<base::Duration> rtt{};

    [[nodiscard]] const base::NodeId& id() const { return header.sender_id; }
    [[nodiscard]] bool is_leave() const { return header.type == Type::leave; }
    /// Null for a leave.
    [[nodiscard]] const Announce* announce() const { return std::get_if<Announce>(&body); }
    /// Where to confirm: the *source* address, the agent's port.
    [[nodiscard]] base::Endpoint agent() const;
};

/// Counts by {type, result} for herd_discovery_datagrams_total.  Thread: its owner's.
class Counters {
public:
    void accepted(Type type) { ++accepted_[index(type)]; }
    /// `type` is empty when the datagram did not get far enough to have one.
    void dropped(std::optional<Type> type, Drop drop)
    {
        ++dropped_[type ? index(*type) : 0][static_cast<std::size_t>(drop)];
    }
    void clamped() { ++clamped_; }
    void sent(Type type) { ++sent_[index(type)]; }
    [[nodiscard]] std::uint64_t of(Drop drop) const;
    [[nodiscard]] std::uint64_t accepted_of(Type type) const { return accepted_[index(type)]; }
    [[nodiscard]] std::uint64_t sent_of(Type type) const { return sent_[index(type)]; }
    /// Every non-zero counter: type ("announce"… or "any"), result ("accepted", "sent", "clamped", or a Drop).
    void each(const std::function<void(std::string_view type, std::string_view result, std::uint64_t)>& visit) const;

private:
    static std::size_t index(Type type) { return static_cast<std::size_t>(type); }
    std::array<std::uint64_t, 5> accepted_{};
    std::array<std::uint64_t, 5> sent_{};
    std::array<std::array<std::uint64_t, drop_count>, 5> dropped_{};
    std::uint64_t clamped_{0};
};

enum class Role : std::uint8_t { herd, node };

struct ListenerOptions {
    Role role{Role::herd};
    base::Uuid own_id{};
    std::uint32_t cluster{0};
    Authenticator authenticator{};
    bool allow_nat{false};               ///< keyed: the source need not be listed in ADDR
    bool private_sources_only{true};     ///< unkeyed: RFC 1918, link-local and the like
    std::size_t senders_limit{4096};
    std::size_t unverified_limit{1024};
    std::size_t ids_per_source_limit{8}; ///< unkeyed; loopback is exempt (this machine runs what it likes)
    double source_rate_per_s{50};        ///< loopback is exempt here too
    double source_burst{100};
    double unauthenticated_rate_per_s{5000};
};

/// Thread: one owner.
class Listener {
public:
    explicit Listener(ListenerOptions options);

    /// Applies rules 1 to 10. Shape: O(log senders), no unbounded growth whatever arrives.
    [[nodiscard]] std::expected<Sighting, Drop> receive(base::Instant now, const Arrival& arrival, ByteView bytes);
    /// The same order rule, join rules and caps for the JSON twin. `authenticated`: its Herd-MAC was right.
    [[nodiscard]] std::expected<Sighting, Drop> receive_http(base::Instant now, const Arrival& arrival,
                                                             const Header& header, Announce body,
                                                             bool authenticated);

    /// The sender's own HTTP answer settled the doubts: from now on this boot, seq and source are the truth.
    /// `authenticated`: under a right MAC.
    void confirmed(base::Instant now, const base::NodeId& id, std::uint64_t boot_id, std::uint32_t seq,
                   const base::IpAddress& address, bool authenticated = false);
    /// The sender is gone for good.
    void forget(const base::NodeId& id);
    /// New keys (SIGHUP). Without any, nobody is known to have one.
    void set_authenticator(Authenticator authenticator);
    void set_allow_nat(bool allowed) { options_.allow_nat = allowed; }
    [[nodiscard]] const Authenticator& authenticator() const { return options_.authenticator; }

    [[nodiscard]] Counters& counters() { return counters_; }
    [[nodiscard]] const Counters& counters() const { return counters_; }
    [[nodiscard]] std::size_t senders() const { return senders_.size(); }
    [[nodiscard]] std::size_t unverified() const { return unverified_.size(); }

private:
    /// RFC 6479 style: highest seq and the 64 before it.
    struct Window {
        std::uint32_t highest{0};
        std::uint64_t seen{0};
        [[nodiscard]] bool is_old(std::uint32_t seq) const;
        void take(std::uint32_t seq);
        void restart(std::uint32_t seq);
    };
    struct Sender {
        std::uint64_t boot_id{0};
        Window window{};
        base::IpAddress address{};
        base::IpAddress other_address{};
        std::uint32_t other_seq{0};
        int other_ticks{0};           ///< consecutive ticks heard at other_address only
        base::Instant accepted_at{};  ///< last accepted datagram
        base::Instant doubted_at{};   ///< last sighting with doubts that was passed on
        std::uint64_t doubted_boot{0};
        base::IpAddress doubted_address{};
        base::IpAddress counted_at{}; ///< whose Source::ids it stands in
        bool verified{false};
        bool keyed{false}; ///< once heard or confirmed under a MAC: never again without one
        std::list<base::NodeId>::iterator place{}; ///< in unverified_, unless verified
    };
    struct Bucket {
        double tokens{0};
        base::Instant filled_at{};
        bool take(base::Instant now, double rate, double burst);
    };
    struct Source {
        Bucket bucket{};
        std::set<base::NodeId> ids{};
    };

    std::expected<void, Drop> check_identity(const Header& header) const;
    std::expected<void, Drop> check_address(const Arrival& arrival, const Announce& announce, bool authenticated) const;
    [[nodiscard]] bool is_downgrade(const Header& header, bool authenticated) const;
    std::expected<void, Drop> check_source(base::Instant now, const Arrival& arrival, const Header& header);
    std::expected<bool, Drop> check_trust(const Arrival& arrival, const ParsedHeader& parsed, ByteView bytes) const;
    std::expected<std::uint8_t, Drop> judge(base::Instant now, const Arrival& arrival, const Header& header,
                                            bool authenticated);
    std::expected<std::uint8_t, Drop> judge_verified(base::Instant now, const Arrival& arrival, const Header& header,
                                                     bool authenticated, Sender& sender);
    std::expected<std::uint8_t, Drop> doubted(base::Instant now, const Arrival& arrival, const Header& header,
                                              Sender& sender, std::uint8_t doubts, Drop otherwise) const;
    Sighting commit(base::Instant now, const Arrival& arrival, const Header& header, Body body, bool authenticated,
                    std::uint8_t doubts);
    std::expected<Sender*, Drop> add(base::Instant now, const Arrival& arrival, const Header& header, bool authenticated);
    void forget_silent(base::Instant now, Source& source);
    Source* source_of(base::Instant now, const base::IpAddress& address);
    void verify(Sender& sender);
    void erase(const base::NodeId& id);
    std::unexpected<Drop> count(std::optional<Type> type, Drop drop);

    ListenerOptions options_;
    Counters counters_{};
    std::unordered_map<base::NodeId, Sender> senders_{};
    std::list<base::NodeId> unverified_{}; ///< least recently heard first
    std::unordered_map<base::IpAddress, Source> sources_{};
    base::Instant swept_at_{};
    base::Seldom tell_all_full_{std::chrono::hours{1}};
    base::Seldom tell_source_full_{std::chrono::hours{1}};
    Bucket strangers_{}; ///< the budget of all that is not authenticated
};

} // namespace herd::discovery
