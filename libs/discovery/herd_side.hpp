#pragma once
// The coordinator's side of LANA, without I/O: it beacons, acknowledges, probes on request and turns
// datagrams into Sightings. What a sighting does to a node's membership is decided in libs/fleet; what that
// decides comes back here as confirmed(), forget(), solicit(), set_ack_flag() and set_duplicate().
#include "base/random.hpp"
#include "base/time.hpp"
#include "discovery/announcer.hpp"
#include "discovery/listener.hpp"
#include "discovery/ollana.hpp"

#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

namespace herd::discovery {

struct HerdSideOptions {
    base::Uuid id{};
    std::uint64_t boot_id{0};
    std::uint32_t cluster{0};
    Authenticator authenticator{};
    std::uint16_t api_port{11435}; ///< TCP port of the herd's API
    std::uint16_t udp_port{0};     ///< own unicast port of a second herd on a host; 0: the source port
    bool allow_nat{false};
    bool private_sources_only{true};
    std::size_t nodes_limit{4096};
    std::uint32_t pool_size{0};    ///< of the saved pool: sizes the answer window
    bool listens{true};            ///< false: port 11436 is taken, so solicit every 2 s
    const base::Clock* clock{nullptr}; ///< for Header::time_ms alone; null: not told. Outlives the herd side
};

/// What one datagram led to.
struct Heard {
    std::optional<Sighting> sighting{}; ///< ANNOUNCE or LEAVE that passed every rule
    std::vector<Send> sends{};          ///< ACK, or the rate-limited BEACON, or the answer to an Ollana client
    std::optional<base::IpAddress> ollana_server{}; ///< an Ollana server says that it is there
};

/// Thread: one owner.
class HerdSide {
public:
    HerdSide(HerdSideOptions options, base::Rng rng);

    /// Arms the start burst: BEACON with SOLICIT at 0, 100, 300, 700 ms.
    [[nodiscard]] std::vector<Send> start(base::Instant now);
    [[nodiscard]] std::vector<Send> on_timer(base::Instant now);
    [[nodiscard]] std::optional<base::Instant> next_deadline() const;
    [[nodiscard]] Heard on_datagram(base::Instant now, const Arrival& arrival, ByteView bytes);
    /// The JSON twin (POST /herd/v1/announce), under the same rules. Drop::off_link and
    /// Drop::unauthenticated are a 403. `authenticated`: the request carried a right Herd-MAC.
    [[nodiscard]] std::expected<Sighting, Drop> on_http_announce(base::Instant now, const Arrival& arrival,
                                                                 const Header& header, Announce announce,
                                                                 bool authenticated);

    /// One unicast BEACON with SOLICIT and a nonce: "are you there?". The spacing of probes is the caller's.
    [[nodiscard]] std::vector<Send> solicit(base::Instant now, const base::Endpoint& node);
    /// Where a node wants unicast, from its last datagram; nothing for a node heard over HTTP only.
    [[nodiscard]] std::optional<base::Endpoint> udp_of(const base::NodeId& id) const;

    /// The node's HTTP answer settled the doubts about this boot and address.
    void confirmed(base::Instant now, const base::NodeId& id, std::uint64_t boot_id, std::uint32_t seq,
                   const base::IpAddress& address, bool authenticated = false);
    void forget(const base::NodeId& id);
    /// One ack_flag bit, told to the node with each ACK while it is set: why it does not get work.
    void set_ack_flag(const base::NodeId& id, std::uint16_t flag, bool on);
    /// Another box lives under that id: whoever announces it with `boot_id` is told so, with each ACK. 0: nobody is.
    void set_duplicate(const base::NodeId& id, std::uint64_t boot_id);
    /// What that node is told, in that life of its.
    [[nodiscard]] std::uint16_t ack_flags(const base::NodeId& id, std::uint64_t boot_id) const;
    void set_pool_size(std::uint32_t nodes) { options_.pool_size = nodes; }
    /// Agents that a human named: beaconed by unicast too, and exempt from the on-link test.
    void set_configured_agents(std::vector<base::Endpoint> agents);
    void set_authenticator(Authenticator authenticator) { listener_.set_authenticator(std::move(authenticator)); }
    [[nodiscard]] const Authenticator& authenticator() const { return listener_.authenticator(); }
    void set_allow_nat(bool allowed) { listener_.set_allow_nat(allowed); }
    /// What Ollana's clients may expect here, and whether there is a node to serve them with.
    [[nodiscard]] OllanaEar& ollana() { return ollana_; }
    [[nodiscard]] const OllanaEar& ollana() const { return ollana_; }

    [[nodiscard]] std::vector<Send> link_changed(base::Instant now);
    [[nodiscard]] std::vector<Send> resumed(base::Instant now);
    /// LEAVE broadcast. Nothing else is sent afterwards.
    [[nodiscard]] std::vector<Send> stop(base::Instant now);

    [[nodiscard]] const Counters& counters() const { return listener_.counters(); }
    [[nodiscard]] const HerdSideOptions& options() const { return options_; }
    /// clamp(0.2 ms × pool, 20, 500).
    [[nodiscard]] std::uint16_t answer_window_ms() const;
    /// What nodes are asked to beat at: 1 s, 2 s above 2000 nodes.
    [[nodiscard]] std::uint16_t wanted_interval_ms() const;

private:
    struct Node {
        base::Endpoint udp{};
        std::uint64_t acked_boot{0};
        std::uint32_t since_ack{0};
        base::Instant heard_at{};
    };
    struct Probe {
        std::uint64_t nonce{0};
        bool unicast{false};
        base::Instant at{};
    };
    [[nodiscard]] Send beacon(base::Instant now, bool solicit_flag, std::optional<base::Endpoint> to);
    void burst(base::Instant now);
    void acknowledge(const Sighting& sighting, std::vector<Send>& out);
    void call_stranger(base::Instant now, const Sighting& sighting, std::vector<Send>& out);
    void match_echo(base::Instant now, Sighting& sighting) const;
    Node* note(base::Instant now, const Sighting& sighting);
    [[nodiscard]] bool is_duplicate(const base::NodeId& id, std::uint64_t boot_id) const;
    [[nodiscard]] bool is_configured(const base::Endpoint& from) const;
    void hear_ollana(base::Instant now, const Arrival& arrival, Heard& heard);
    [[nodiscard]] Send make_send(Type type, std::uint16_t flags, const Body& body);

    HerdSideOptions options_;
    base::Rng rng_;
    Listener listener_;
    OllanaEar ollana_{};
    std::unordered_map<base::NodeId, Node> nodes_{};
    std::unordered_map<base::NodeId, std::uint16_t> ack_flags_{}; ///< none of them 0
    std::unordered_map<base::NodeId, std::uint64_t> duplicates_{}; ///< by id, the boot of the one that must go
    base::Instant swept_at_{};
    std::deque<Probe> probes_{};          ///< the last nonces, newest last
    std::vector<base::Endpoint> configured_{};
    std::vector<base::Instant> bursts_{}; ///< pending BEACON with SOLICIT, ascending
    std::optional<base::Instant> burst_at_{};
    std::optional<base::Instant> beacon_at_{};
    std::optional<base::Instant> extra_beacon_at_{}; ///< last rate-limited BEACON
    std::uint32_t seq_{0};
    bool stopped_{false};
};

} // namespace herd::discovery
