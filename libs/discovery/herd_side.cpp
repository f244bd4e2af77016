#include "discovery/herd_side.hpp"

#include "base/assert.hpp"
#include "base/log.hpp"

#include <algorithm>
#include <array>

namespace herd::discovery {

using namespace std::chrono_literals;
using base::Duration;
using base::Instant;

namespace {

constexpr std::array<Duration, 4> burst_offsets{0ms, 100ms, 300ms, 700ms};
constexpr Duration burst_spacing = 250ms;
constexpr Duration beacon_interval = 5s;
constexpr Duration deaf_interval = 2s; ///< between solicits when port 11436 is not ours
constexpr Duration stranger_spacing = 1s;
constexpr Duration probe_life = 5s;
constexpr std::size_t probes_limit = 1024;
constexpr Duration node_memory = 60s;
constexpr std::size_t strangers_limit = 1024;
constexpr std::uint32_t ack_every = 5;

ListenerOptions listener_options(const HerdSideOptions& options)
{
    ListenerOptions result;
    result.role = Role::herd;
    result.own_id = options.id;
    result.cluster = options.cluster;
    result.authenticator = options.authenticator;
    result.allow_nat = options.allow_nat;
    result.private_sources_only = options.private_sources_only;
    result.senders_limit = options.nodes_limit;
    return result;
}

} // namespace

HerdSide::HerdSide(HerdSideOptions options, base::Rng rng)
    : options_(std::move(options)), rng_(rng), listener_(listener_options(options_))
{
    HERD_ASSERT(options_.boot_id != 0);
}

std::uint16_t HerdSide::answer_window_ms() const
{
    return static_cast<std::uint16_t>(std::clamp<std::uint32_t>(options_.pool_size / 5, 20, 500));
}

std::uint16_t HerdSide::wanted_interval_ms() const { return options_.pool_size > 2000 ? 2000 : 1000; }

// ---------------------------------------------------------------------------------------------- sending

Send HerdSide::make_send(Type type, std::uint16_t flags, const Body& body)
{
    Header header;
    header.flags = static_cast<std::uint16_t>(flags | flag::herd);
    header.interval_ms = static_cast<std::uint16_t>(base::milliseconds(beacon_interval));
    header.state = static_cast<std::uint8_t>(type == Type::leave ? State::draining : State::ready);
    header.sender_id = options_.id;
    header.boot_id = options_.boot_id;
    header.seq = ++seq_;
    header.api_port = options_.api_port;
    header.udp_port = options_.udp_port;
    header.cluster = options_.cluster;
    if (options_.clock != nullptr) {
        const auto wall = options_.clock->wall().time_since_epoch();
        header.time_ms = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(wall).count());
    }
    listener_.counters().sent(type);
    Send send;
    send.type = type;
    send.bytes = std::make_shared<const Octets>(listener_.authenticator().sealed(header, body));
    return send;
}

Send HerdSide::beacon(Instant now, bool solicit_flag, std::optional<base::Endpoint> to)
{
    Beacon body;
    body.pool_size = options_.pool_size;
    body.answer_window_ms = answer_window_ms();
    body.wanted_interval_ms = wanted_interval_ms();
    if (solicit_flag) {
        body.nonce = rng_.next();
        probes_.push_back({*body.nonce, to.has_value(), now});
        if (probes_.size() > probes_limit) {
            probes_.pop_front();
        }
    }
    Send send = make_send(Type::beacon, solicit_flag ? flag::solicit : std::uint16_t{0}, body);
    if (to) {
        send.to.push_back(*to);
    } else {
        send.everywhere = true;
        send.to = configured_;
    }
    return send;
}

void HerdSide::burst(Instant now)
{
    if (!bursts_.empty() && burst_at_ && *burst_at_ > now) {
        return; // one is about to begin
    }
    burst_at_ = burst_at_ ? std::max(now, *burst_at_ + burst_spacing) : now;
    bursts_.clear();
    for (const Duration offset : burst_offsets) {
        bursts_.push_back(*burst_at_ + offset);
    }
}

std::vector<Send> HerdSide::start(Instant now)
{
    beacon_at_ = now + (options_.listens ? beacon_interval : deaf_interval);
    burst(now);
    return on_timer(now);
}

std::vector<Send> HerdSide::on_timer(Instant now)
{
    std::vector<Send> out;
    if (stopped_ || !beacon_at_) {
        return out;
    }
    const auto due = std::ranges::upper_bound(bursts_, now);
    const bool bursting = due != bursts_.begin();
    bursts_.erase(bursts_.begin(), due); // several at once count as one
    if (bursting || *beacon_at_ <= now) {
        out.push_back(beacon(now, bursting || !options_.listens, std::nullopt));
        const Duration step = options_.listens ? beacon_interval : deaf_interval;
        const auto jitter_us = static_cast<std::uint64_t>(step / 1us / 10);
        beacon_at_ = now + step - std::chrono::microseconds{rng_.between(0, jitter_us)};
    }
    return out;
}

std::optional<Instant> HerdSide::next_deadline() const
{
    if (stopped_ || !beacon_at_) {
        return std::nullopt;
    }
    return bursts_.empty() ? *beacon_at_ : std::min(*beacon_at_, bursts_.front());
}

std::vector<Send> HerdSide::solicit(Instant now, const base::Endpoint& node)
{
    if (stopped_) {
        return {};
    }
    return {beacon(now, true, node)};
}

std::vector<Send> HerdSide::link_changed(Instant now)
{
    if (!beacon_at_ || stopped_) {
        return {};
    }
    burst(now);
    return on_timer(now);
}

std::vector<Send> HerdSide::resumed(Instant now) { return link_changed(now); }

std::vector<Send> HerdSide::stop(Instant)
{
    if (stopped_) {
        return {};
    }
    stopped_ = true;
    Send send = make_send(Type::leave, 0, Leave{});
    send.everywhere = true;
    send.to = configured_;
    return {send};
}

// -------------------------------------------------------------------------------------------- receiving

bool HerdSide::is_configured(const base::Endpoint& from) const
{
    return std::ranges::any_of(configured_, [&](const base::Endpoint& e) { return e.address == from.address; });
}

Heard HerdSide::on_datagram(Instant now, const Arrival& arrival, ByteView bytes)
{
    Heard heard;
    Arrival judged = arrival;
    judged.configured_peer = arrival.configured_peer || is_configured(arrival.from);
    auto sighting = listener_.receive(now, judged, bytes);
    if (!sighting && sighting.error() == Drop::legacy && !stopped_) {
        hear_ollana(now, arrival, heard);
    }
    if (!sighting || stopped_) {
        return heard;
    }
    match_echo(now, *sighting);
    if (sighting->header.type == Type::announce) {
        (void)note(now, *sighting);
        acknowledge(*sighting, heard.sends);
        call_stranger(now, *sighting, heard.sends);
    }
    heard.sighting = std::move(*sighting);
    return heard;
}

/// The same four bytes go back to where they came from, out of the address that they came to: Ollana's client connects
/// to the source of the answer.
void HerdSide::hear_ollana(Instant now, const Arrival& arrival, Heard& heard)
{
    static const auto four_bytes = std::make_shared<const Octets>(Octets{0x4C, 0x41, 0x4E, 0x41});
    const auto [verdict, tell] = ollana_.hear(now, arrival);
    if (verdict == OllanaVerdict::answer) {
        Send send{.bytes = four_bytes, .to = {arrival.from}, .from = arrival.local, .interface = arrival.interface};
        heard.sends.push_back(std::move(send));
    } else if (verdict == OllanaVerdict::server) {
        heard.ollana_server = arrival.from.address;
    }
    if (tell) {
        log::info("discovery", verdict == OllanaVerdict::server ? "ollana_server_not_used" : "ollana_client_not_answered",
                  {{"from", arrival.from.address.text()}, {"hint", ollana_hint(verdict)}, {"again", "in an hour at the earliest"}});
    }
}

std::expected<Sighting, Drop> HerdSide::on_http_announce(Instant now, const Arrival& arrival, const Header& header,
                                                         Announce announce, bool authenticated)
{
    Arrival judged = arrival;
    judged.configured_peer = arrival.configured_peer || is_configured(arrival.from);
    return listener_.receive_http(now, judged, header, std::move(announce), authenticated);
}

void HerdSide::match_echo(Instant now, Sighting& sighting) const
{
    const Announce* announce = sighting.announce();
    if (announce == nullptr || !announce->echo || announce->echo->herd != options_.id.prefix()) {
        return;
    }
    const auto probe = std::ranges::find(probes_, announce->echo->nonce, &Probe::nonce);
    if (probe == probes_.end() || now - probe->at > probe_life) {
        return;
    }
    sighting.fresh = true;
    if (probe->unicast) { // an answer to all was delayed on purpose, so its time says nothing
        sighting.rtt = now - probe->at;
    }
}

/// Remembers where the node wants unicast. Null when there is no room for one more.
HerdSide::Node* HerdSide::note(Instant now, const Sighting& sighting)
{
    const auto known = nodes_.find(sighting.id());
    if (known == nodes_.end() && nodes_.size() >= options_.nodes_limit + strangers_limit) {
        if (now - swept_at_ < 1s) {
            return nullptr;
        }
        swept_at_ = now;
        std::erase_if(nodes_, [&](const auto& entry) { return now - entry.second.heard_at > node_memory; });
        if (nodes_.size() >= options_.nodes_limit + strangers_limit) {
            return nullptr;
        }
    }
    Node& node = nodes_[sighting.id()];
    const base::Endpoint& from = sighting.arrival.from;
    node.udp = {from.address, sighting.header.udp_port != 0 ? sighting.header.udp_port : from.port};
    node.heard_at = now;
    return &node;
}

/// ANNOUNCE → ACK only if it asks for one, on first contact, and for every fifth.
void HerdSide::acknowledge(const Sighting& sighting, std::vector<Send>& out)
{
    if ((sighting.doubts & doubt::older_boot) != 0 && !is_duplicate(sighting.id(), sighting.header.boot_id)) {
        return; // perhaps a replay; a duplicate has answered for itself
    }
    const auto known = nodes_.find(sighting.id());
    Node stranger;
    Node& node = known != nodes_.end() ? known->second : stranger;
    const bool first = node.acked_boot != sighting.header.boot_id;
    if (!sighting.header.has(flag::want_ack) && !first && ++node.since_ack < ack_every) {
        return;
    }
    node.acked_boot = sighting.header.boot_id;
    node.since_ack = 0;
    const base::Endpoint& from = sighting.arrival.from;
    Send send = make_send(Type::ack, flag::reply,
                          Ack{sighting.header.boot_id, sighting.header.seq, wanted_interval_ms(),
                              ack_flags(sighting.id(), sighting.header.boot_id)});
    send.to.push_back({from.address, sighting.header.udp_port != 0 ? sighting.header.udp_port : from.port});
    out.push_back(std::move(send));
}

/// A node that does not feed us may not hear our unicast: one BEACON to all, at most each second.
void HerdSide::call_stranger(Instant now, const Sighting& sighting, std::vector<Send>& out)
{
    const Announce* announce = sighting.announce();
    if (announce == nullptr || sighting.header.has(flag::reply) || !bursts_.empty()
        || std::ranges::find(announce->herds, options_.id.prefix()) != announce->herds.end()
        || (extra_beacon_at_ && now - *extra_beacon_at_ < stranger_spacing)) {
        return;
    }
    extra_beacon_at_ = now;
    out.push_back(beacon(now, false, std::nullopt));
}

std::optional<base::Endpoint> HerdSide::udp_of(const base::NodeId& id) const
{
    const auto known = nodes_.find(id);
    return known == nodes_.end() || known->second.udp.port == 0 ? std::nullopt : std::optional{known->second.udp};
}

// ------------------------------------------------------------------------------- what the fleet decided

void HerdSide::confirmed(Instant now, const base::NodeId& id, std::uint64_t boot_id, std::uint32_t seq,
                         const base::IpAddress& address, bool authenticated)
{
    listener_.confirmed(now, id, boot_id, seq, address, authenticated);
}

void HerdSide::forget(const base::NodeId& id)
{
    listener_.forget(id);
    nodes_.erase(id);
    ack_flags_.erase(id);
    duplicates_.erase(id);
}

void HerdSide::set_ack_flag(const base::NodeId& id, std::uint16_t flag, bool on)
{
    const auto known = ack_flags_.find(id);
    const std::uint16_t before = known == ack_flags_.end() ? std::uint16_t{0} : known->second;
    const auto after = static_cast<std::uint16_t>(on ? before | flag : before & ~flag);
    if (after == 0) {
        ack_flags_.erase(id);
    } else if (before != 0 || ack_flags_.size() < options_.nodes_limit + strangers_limit) {
        ack_flags_[id] = after;
    }
}

void HerdSide::set_duplicate(const base::NodeId& id, std::uint64_t boot_id)
{
    if (boot_id == 0) {
        duplicates_.erase(id);
    } else if (duplicates_.contains(id) || duplicates_.size() < options_.nodes_limit) {
        duplicates_[id] = boot_id;
    }
}

bool HerdSide::is_duplicate(const base::NodeId& id, std::uint64_t boot_id) const
{
    const auto found = duplicates_.find(id);
    return found != duplicates_.end() && found->second == boot_id;
}

std::uint16_t HerdSide::ack_flags(const base::NodeId& id, std::uint64_t boot_id) const
{
    const auto found = ack_flags_.find(id);
    const std::uint16_t flags = found == ack_flags_.end() ? std::uint16_t{0} : found->second;
    return static_cast<std::uint16_t>(is_duplicate(id, boot_id) ? flags | ack_flag::duplicate_id : flags);
}

void HerdSide::set_configured_agents(std::vector<base::Endpoint> agents) { configured_ = std::move(agents); }

} // namespace herd::discovery
