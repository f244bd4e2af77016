#pragma once
// The node's side of LANA, without I/O: time, facts and datagrams in; actions out (lana.md 1.3, 6, 8).
// It bursts at start, beats once a second to every herd it knows, broadcasts only to meet, tells a state
// change at once, answers solicits, and asks for the HTTP fallback where datagrams get no answer.
//
//   actions = announcer.start(now)           then, for ever:
//   actions = announcer.on_timer(now)        at next_deadline()
//   actions = announcer.on_datagram(…)       when one arrives
//   actions = announcer.set_facts(now, …)    when something is known anew
#include "base/random.hpp"
#include "base/time.hpp"
#include "discovery/listener.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace herd::discovery {

/// What a node tells about itself. `announce.herds` and `announce.echo` are filled in by the announcer.
/// facts_of(NodeDocument) makes one.
struct Facts {
    State state{State::init};
    std::uint32_t state_rev{1}; ///< +1 whenever the stable part of /herd/v1/node changed
    std::uint16_t api_port{0};
    Announce announce{};
};

/// One datagram and everywhere it goes: the same bytes to all of them.
struct Send {
    std::shared_ptr<const Octets> bytes{};
    Type type{Type::announce};
    /// To the broadcast address and the IPv6 group of every interface, and to this host itself.
    bool everywhere{false};
    std::vector<base::Endpoint> to{};
    base::IpAddress from{};  ///< which of our addresses `to` shall see; unspecified: the routing table decides
    unsigned interface{0};   ///< with `from`: where it leaves
};

/// Datagrams to this herd get no answer: POST the node document to its /herd/v1/announce, and report the
/// outcome with http_announced().
struct HttpAnnounce {
    std::string herd{};                     ///< key for http_announced()
    std::vector<base::Endpoint> candidates{}; ///< try in this order
};

/// Something a human may want to read, or the app must act on.
struct Notice {
    enum class Kind : std::uint8_t {
        herd_found,      ///< a herd acknowledged us for the first time (or again, after a loss)
        herd_lost,       ///< nothing heard from it for 15 s, or it left
        not_approved,    ///< it hears us, but a human must approve this node there
        approved,        ///< a human did
        api_unreachable, ///< it hears us, but cannot connect to our API: firewall, NAT, address?
        duplicate_id,    ///< another live node has our id: make a new one if it was generated
    };
    Kind kind{Kind::herd_found};
    base::Uuid herd{};
    base::Endpoint at{};
};
[[nodiscard]] std::string_view to_string(Notice::Kind kind);

using NodeAction = std::variant<Send, HttpAnnounce, Notice>;
using NodeActions = std::vector<NodeAction>;

/// A herd that a human named with --herd, as far as DNS knows it.
struct ConfiguredHerd {
    std::string name{}; ///< as written; the key
    std::vector<base::Endpoint> udp{};
    std::vector<base::Endpoint> http{};
    bool operator==(const ConfiguredHerd&) const = default;
};

struct AnnouncerOptions {
    base::Uuid id{};
    bool ephemeral_id{false};
    std::uint64_t boot_id{0};
    std::uint32_t cluster{0};
    Authenticator authenticator{};
    std::uint16_t interval_ms{1000}; ///< our own wish; a herd may ask for a longer one
    std::uint8_t detect_mult{3};
    std::size_t herds_limit{8};
    const base::Clock* clock{nullptr}; ///< for Header::time_ms alone; null: not told. Outlives the announcer
};

/// What the app may show about a herd.
struct KnownHerd {
    base::Uuid id{};
    base::Endpoint at{};   ///< where heartbeats go
    base::Endpoint http{}; ///< its API
    bool acknowledged{false};
    bool over_http{false}; ///< reached by the HTTP fallback only
    std::uint16_t flags{0}; ///< ack_flag: why it sends us no work
    base::Instant heard_at{};
};

/// Thread: one owner.
class Announcer {
public:
    Announcer(AnnouncerOptions options, Facts facts, base::Rng rng);

    [[nodiscard]] NodeActions start(base::Instant now);
    [[nodiscard]] NodeActions on_timer(base::Instant now);
    [[nodiscard]] NodeActions on_datagram(base::Instant now, const Arrival& arrival, ByteView bytes);
    /// When on_timer wants to be called next; calling early or late is harmless.
    [[nodiscard]] std::optional<base::Instant> next_deadline() const;

    /// Tells what is new. A change of state, state_rev, ports or the set of loaded models is announced at
    /// once (twice, never closer than 50 ms); load numbers go with the next heartbeat.
    [[nodiscard]] NodeActions set_facts(base::Instant now, Facts facts);
    [[nodiscard]] const Facts& facts() const { return facts_; }

    /// Replaces the herds named by a human (after each DNS look-up).
    [[nodiscard]] NodeActions set_configured_herds(base::Instant now, std::vector<ConfiguredHerd> herds);
    /// A herd fetched our document over TCP and named itself (headers Herd-Id and Herd-Udp): from behind a
    /// firewall that drops our inbound UDP this is how we learn of it. `udp` unspecified or port only: its
    /// address is `peer`; any other address than the peer's is ignored.
    [[nodiscard]] NodeActions herd_asked(base::Instant now, const base::Uuid& id, const base::IpAddress& peer,
                                         const base::Endpoint& udp);
    /// Outcome of an HttpAnnounce: who answered there (nil: nobody), and its ack_flags.
    [[nodiscard]] NodeActions http_announced(base::Instant now, const std::string& herd, const base::Uuid& id,
                                             std::uint16_t flags);
    /// The ICMP answer to a datagram of ours: nobody listens there.
    [[nodiscard]] NodeActions unreachable(base::Instant now, const base::Endpoint& at);

    /// An interface came, went or changed its address; or the machine slept. One burst, never a backlog.
    [[nodiscard]] NodeActions link_changed(base::Instant now);
    [[nodiscard]] NodeActions resumed(base::Instant now);

    /// LEAVE three times (0, 50, 150 ms; keep calling on_timer until left()). Announce State::draining with
    /// set_facts first and leave when the streams are done.
    [[nodiscard]] NodeActions leave(base::Instant now, LeaveReason reason);
    [[nodiscard]] bool left() const { return leaving_ && leave_copies_ == 0; }

    void set_authenticator(Authenticator authenticator) { listener_.set_authenticator(std::move(authenticator)); }
    [[nodiscard]] std::vector<KnownHerd> herds() const;
    [[nodiscard]] const Counters& counters() const { return listener_.counters(); }
    /// The seq of the last announcement, for the node document.
    [[nodiscard]] std::uint32_t seq() const { return seq_; }

private:
    struct Herd {
        base::Endpoint at{};
        base::Endpoint http{};
        std::uint64_t boot_id{0};
        std::uint64_t acked_boot{0};         ///< its boot that acknowledged us; 0: none
        std::uint32_t pool_size{0};
        std::uint16_t wanted_interval_ms{0}; ///< 0: no wish
        std::uint16_t ack_flags{0};
        base::Instant heard_at{};            ///< last beacon, ack or fetch
        base::Instant acked_at{};
        std::optional<base::Instant> unanswered_since{}; ///< first WANT_ACK without an answer
        bool lost{false}; ///< silent for too long; still beaten to, so that a healed network is noticed at once
        bool on_link{false}; ///< last heard on a LAN of ours: it is found by broadcast, named or not
        bool left{false}; ///< it said so: nothing goes there until it is heard again
        [[nodiscard]] bool acked() const { return acked_boot != 0 && acked_boot == boot_id; }
    };
    struct Configured {
        ConfiguredHerd herd{};
        std::optional<base::Instant> unanswered_since{};
        base::Instant send_at{};
        int unanswered{0};
        base::Uuid met{}; ///< the herd that answered from one of its addresses
    };
    /// HTTP announcements to one herd.
    struct Fallback {
        base::Instant next_at{};
        bool waiting{false}; ///< an HttpAnnounce is out, at the latest until next_at
        bool works{false};
        int failures{0};
        std::uint16_t ack_flags{0};
    };
    struct Answer {
        base::Instant at{};
        base::Endpoint to{};
        std::optional<Echo> echo{};
    };

    [[nodiscard]] bool trusts(base::Instant now, const Sighting& sighting) const;
    void take_beacon(base::Instant now, const Sighting& sighting, bool trusted);
    void take_ack(base::Instant now, const Sighting& sighting, NodeActions& out);
    void answer(base::Instant now, const Sighting& sighting, const Beacon& beacon);
    Herd* meet(base::Instant now, const Sighting& sighting);
    Herd* add_herd(const base::Uuid& id);
    void drop_unnamed(base::Instant now, const base::Uuid& id, NodeActions& out);
    void lose(base::Instant now, const base::Uuid& id, Herd& herd, bool left, NodeActions& out);
    void burst(base::Instant now);
    void announce(base::Instant now, bool everywhere, bool with_ack, NodeActions& out);
    void announce_change(base::Instant now, NodeActions& out);
    void send_answers(base::Instant now, NodeActions& out);
    void send_leave(base::Instant now, NodeActions& out);
    void expire_herds(base::Instant now, NodeActions& out);
    void run_fallbacks(base::Instant now, NodeActions& out);
    void run_fallback(base::Instant now, const std::string& key, const std::vector<base::Endpoint>& candidates,
                      NodeActions& out);
    [[nodiscard]] bool any_acked(base::Instant now) const;
    [[nodiscard]] base::Duration silence_limit() const;
    [[nodiscard]] base::Duration interval() const;
    [[nodiscard]] base::Duration until_broadcast(base::Instant now);
    [[nodiscard]] std::vector<base::Endpoint> targets(base::Instant now, bool all, bool& unanswered);
    [[nodiscard]] std::shared_ptr<const Octets> announcement(std::uint16_t flags, std::optional<Echo> echo);
    [[nodiscard]] Header header(std::uint16_t flags);

    AnnouncerOptions options_;
    Facts facts_;
    base::Rng rng_;
    Listener listener_;
    std::map<base::Uuid, Herd> herds_{};
    std::map<std::string, Configured> configured_{};
    std::map<std::string, Fallback> fallbacks_{};
    std::vector<Answer> answers_{};       ///< bounded by answers_limit
    std::vector<base::Instant> bursts_{}; ///< pending broadcast times, ascending
    std::optional<base::Instant> burst_at_{}; ///< begin of the last burst
    std::uint32_t seq_{0};
    base::Instant beat_at_{};
    base::Instant broadcast_at_{};
    base::Instant lonely_since_{};        ///< since when no herd acknowledges us
    std::optional<base::Instant> change_at_{};
    int change_copies_{0};
    std::optional<base::Instant> sent_at_{};
    bool started_{false};
    bool leaving_{false};
    int leave_copies_{0};
    base::Instant leave_at_{};
    std::shared_ptr<const Octets> leave_bytes_{};
};

} // namespace herd::discovery
