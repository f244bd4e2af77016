#include "discovery/listener.hpp"

#include "base/assert.hpp"
#include "base/log.hpp"

#include <algorithm>

namespace herd::discovery {

namespace {

constexpr std::uint32_t seq_jump_max = 1000;
constexpr base::Duration reorder_silence = std::chrono::seconds{1};
/// A sighting with the same doubts is passed on at most this often per sender and address.
constexpr base::Duration doubt_spacing = std::chrono::milliseconds{50};
constexpr base::Duration stale_spacing = std::chrono::seconds{1};
constexpr std::size_t sources_limit = 8192;
constexpr base::Duration sender_silence = std::chrono::seconds{60};
constexpr base::Duration source_idle = std::chrono::seconds{10};

/// Sequence numbers wrap: positive when `a` is newer than `b`.
std::int32_t newer_by(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b); }

} // namespace

base::Endpoint Sighting::agent() const
{
    const Announce* said = announce();
    return {arrival.from.address, said != nullptr ? said->agent.port : default_discovery_port};
}

std::uint64_t Counters::of(Drop drop) const
{
    std::uint64_t sum = 0;
    for (const auto& row : dropped_) {
        sum += row[static_cast<std::size_t>(drop)];
    }
    return sum;
}

void Counters::each(
    const std::function<void(std::string_view type, std::string_view result, std::uint64_t)>& visit) const
{
    const auto report = [&](std::string_view type, std::string_view result, std::uint64_t value) {
        if (value != 0) {
            visit(type, result, value);
        }
    };
    for (std::size_t t = 0; t < dropped_.size(); ++t) {
        const std::string_view type = t == 0 ? "any" : to_string(static_cast<Type>(t));
        report(type, "accepted", accepted_[t]);
        report(type, "sent", sent_[t]);
        for (std::size_t d = 0; d < drop_count; ++d) {
            report(type, to_string(static_cast<Drop>(d)), dropped_[t][d]);
        }
    }
    report("any", "clamped", clamped_);
}

bool Listener::Window::is_old(std::uint32_t seq) const
{
    const std::int32_t ahead = newer_by(seq, highest);
    if (ahead > 0) {
        return false;
    }
    const auto behind = static_cast<std::uint32_t>(-static_cast<std::int64_t>(ahead));
    return behind >= 64 || ((seen >> behind) & 1) != 0;
}

void Listener::Window::take(std::uint32_t seq)
{
    const std::int32_t ahead = newer_by(seq, highest);
    if (ahead > 0) {
        seen = ahead >= 64 ? 0 : seen << ahead;
        seen |= 1;
        highest = seq;
    } else if (ahead > -64) {
        seen |= std::uint64_t{1} << -ahead;
    }
}

void Listener::Window::restart(std::uint32_t seq)
{
    highest = seq;
    seen = ~std::uint64_t{0}; // whatever was before counts as seen
}

bool Listener::Bucket::take(base::Instant now, double rate, double burst)
{
    tokens = filled_at == base::Instant{} ? burst
                                          : std::min(burst, tokens + rate * base::seconds(now - filled_at));
    filled_at = now;
    if (tokens < 1) {
        return false;
    }
    tokens -= 1;
    return true;
}

Listener::Listener(ListenerOptions options) : options_(std::move(options))
{
    HERD_ASSERT(!options_.own_id.is_nil());
}

std::unexpected<Drop> Listener::count(std::optional<Type> type, Drop drop)
{
    counters_.dropped(type, drop);
    return std::unexpected(drop);
}

std::expected<Sighting, Drop> Listener::receive(base::Instant now, const Arrival& arrival, ByteView bytes)
{
    const auto parsed = parse_header(bytes);
    if (!parsed) {
        return count(std::nullopt, parsed.error());
    }
    const Header& header = parsed->header;
    if (const auto identity = check_identity(header); !identity) {
        return count(header.type, identity.error());
    }
    if (const auto source = check_source(now, arrival, header); !source) {
        return count(header.type, source.error());
    }
    const auto authenticated = check_trust(arrival, *parsed, bytes);
    if (!authenticated) {
        return count(header.type, authenticated.error());
    }
    if (is_downgrade(header, *authenticated)) {
        return count(header.type, Drop::downgrade);
    }
    // The TLVs are parsed before the order is judged, so that a malformed datagram leaves no trace in the
    // window; what is judged needs nothing of them but ADDR.
    auto body = parse_body(*parsed, bytes);
    if (!body) {
        return count(header.type, body.error());
    }
    if (const auto* announce = std::get_if<Announce>(&*body); announce != nullptr) {
        if (const auto own = check_address(arrival, *announce, *authenticated); !own) {
            return count(header.type, own.error());
        }
    }
    const auto doubts = judge(now, arrival, header, *authenticated);
    if (!doubts) {
        return count(header.type, doubts.error());
    }
    if (parsed->clamped) {
        counters_.clamped();
    }
    return commit(now, arrival, header, std::move(*body), *authenticated, *doubts);
}

std::expected<Sighting, Drop> Listener::receive_http(base::Instant now, const Arrival& arrival, const Header& header,
                                                     Announce body, bool authenticated)
{
    if (const auto identity = check_identity(header); !identity) {
        return count(header.type, identity.error());
    }
    if (const auto source = check_source(now, arrival, header); !source) {
        return count(header.type, source.error());
    }
    if (!authenticated && options_.authenticator.mode() == AuthMode::require) {
        return count(header.type, Drop::unauthenticated);
    }
    if (is_downgrade(header, authenticated)) {
        return count(header.type, Drop::downgrade);
    }
    if (const auto own = check_address(arrival, body, authenticated); !own) {
        return count(header.type, own.error());
    }
    // TCP shows no TTL, but its handshake proves the source address: a connected subnet is what is left.
    const bool near = arrival.connected && (!options_.private_sources_only || arrival.from.address.is_private());
    if (!authenticated && !arrival.configured_peer && !near) {
        return count(header.type, Drop::off_link);
    }
    const auto doubts = judge(now, arrival, header, authenticated);
    if (!doubts) {
        return count(header.type, doubts.error());
    }
    Sighting sighting = commit(now, arrival, header, std::move(body), authenticated, *doubts);
    sighting.over_http = true;
    return sighting;
}

void Listener::set_authenticator(Authenticator authenticator)
{
    options_.authenticator = std::move(authenticator);
    if (options_.authenticator.mode() == AuthMode::off) {
        for (auto& [id, sender] : senders_) {
            sender.keyed = false;
        }
    }
}

/// A MAC does not cover where a datagram comes from: who copies one and sends it again from elsewhere must not become
/// its sender (lana.md 5).
std::expected<void, Drop> Listener::check_address(const Arrival& arrival, const Announce& announce, bool authenticated) const
{
    const bool listed = std::ranges::any_of(announce.addresses, [&](const Subnet& own) {
        return own.address == arrival.from.address.without_scope();
    });
    if (authenticated && !listed && !options_.allow_nat && !arrival.on_loopback && !arrival.configured_peer) {
        return std::unexpected(Drop::addr_mismatch);
    }
    return {};
}

bool Listener::is_downgrade(const Header& header, bool authenticated) const
{
    const auto known = authenticated ? senders_.end() : senders_.find(header.sender_id);
    return known != senders_.end() && known->second.keyed;
}

/// Rule 5, and who is spoken to.
std::expected<void, Drop> Listener::check_identity(const Header& header) const
{
    if (header.sender_id.is_nil()) {
        return std::unexpected(Drop::bad_id);
    }
    if (header.sender_id == options_.own_id) {
        return std::unexpected(Drop::self);
    }
    if (header.cluster != options_.cluster) {
        return std::unexpected(Drop::other_fleet);
    }
    const bool from_herd = header.has(flag::herd);
    if (from_herd == (options_.role == Role::herd)) {
        return std::unexpected(Drop::not_for_us); // herds speak to nodes, and nodes to herds
    }
    return {};
}

/// Rule 6. A sender that is verified at this very address does not draw on the strangers' budget, so that a
/// flood of forged ids cannot silence the nodes we have.
std::expected<void, Drop> Listener::check_source(base::Instant now, const Arrival& arrival, const Header& header)
{
    const base::IpAddress& address = arrival.from.address;
    if (arrival.from.port == 0 || address.is_unspecified() || address.is_multicast() || address.is_limited_broadcast()
        || (address.is_loopback() && !arrival.on_loopback)) {
        return std::unexpected(Drop::bad_source);
    }
    const auto known = senders_.find(header.sender_id);
    const bool familiar = known != senders_.end() && known->second.verified && known->second.address == address;
    if (!arrival.on_loopback) {
        Source* source = source_of(now, address);
        if (source == nullptr || !source->bucket.take(now, options_.source_rate_per_s, options_.source_burst)) {
            return std::unexpected(Drop::rate);
        }
    }
    const double budget = options_.unauthenticated_rate_per_s;
    if (!familiar && !strangers_.take(now, budget, budget)) {
        return std::unexpected(Drop::rate);
    }
    return {};
}

/// Rule 7.
std::expected<bool, Drop> Listener::check_trust(const Arrival& arrival, const ParsedHeader& parsed,
                                                ByteView bytes) const
{
    const auto authenticated = options_.authenticator.check(parsed, bytes);
    if (!authenticated || *authenticated || arrival.configured_peer) {
        return authenticated;
    }
    if (!arrival.on_link() || (options_.private_sources_only && !arrival.from.address.is_private())) {
        return std::unexpected(Drop::off_link);
    }
    return false;
}

/// Rule 8: the doubts about an acceptable datagram. Nothing is taken over before commit().
std::expected<std::uint8_t, Drop> Listener::judge(base::Instant now, const Arrival& arrival, const Header& header,
                                                  bool authenticated)
{
    const auto found = senders_.find(header.sender_id);
    if (found != senders_.end() && found->second.verified) {
        return judge_verified(now, arrival, header, authenticated, found->second);
    }
    if (header.type == Type::leave) {
        return std::unexpected(Drop::bad_leave);
    }
    Sender* sender = found != senders_.end() ? &found->second : nullptr;
    if (sender == nullptr) {
        const auto added = add(now, arrival, header, authenticated);
        if (!added) {
            return std::unexpected(added.error());
        }
        sender = *added;
    } else {
        unverified_.splice(unverified_.end(), unverified_, sender->place);
    }
    return doubted(now, arrival, header, *sender, doubt::new_id, Drop::unconfirmed);
}

std::expected<std::uint8_t, Drop> Listener::judge_verified(base::Instant now, const Arrival& arrival,
                                                           const Header& header, bool authenticated, Sender& sender)
{
    const base::IpAddress& from = arrival.from.address;
    const bool leaves = header.type == Type::leave;
    if (header.boot_id != sender.boot_id) {
        if (leaves) {
            return std::unexpected(Drop::bad_leave);
        }
        return header.boot_id > sender.boot_id
            ? doubted(now, arrival, header, sender, doubt::new_boot, Drop::unconfirmed)
            : doubted(now, arrival, header, sender, doubt::older_boot, Drop::stale_boot);
    }
    const std::int32_t ahead = newer_by(header.seq, sender.window.highest);
    const bool stuck = !authenticated && ahead < 0 && !leaves && now - sender.accepted_at >= reorder_silence;
    if (sender.window.is_old(header.seq) && !stuck) {
        return std::unexpected(Drop::replay);
    }
    if (from != sender.address) {
        if (leaves) {
            return std::unexpected(Drop::bad_leave);
        }
        // A second address is news only when it is the only one left: two ticks heard there and not at the
        // known address. (A tick goes out on every path with the same seq; the known path resets the count.)
        if (from != sender.other_address || sender.other_ticks == 0) {
            sender.other_address = from;
            sender.other_seq = header.seq;
            sender.other_ticks = 1;
        } else if (newer_by(header.seq, sender.other_seq) > 0) {
            sender.other_seq = header.seq;
            ++sender.other_ticks;
        }
        if (sender.other_ticks < 2) {
            return std::unexpected(Drop::other_path);
        }
        return doubted(now, arrival, header, sender, doubt::address_changed, Drop::other_path);
    }
    if (!authenticated && ahead > static_cast<std::int32_t>(seq_jump_max)) {
        return doubted(now, arrival, header, sender, doubt::seq_jump, Drop::unconfirmed);
    }
    return std::uint8_t{0};
}

/// Passes a doubtful sighting on, but not in a stream: confirming costs a connection.
std::expected<std::uint8_t, Drop> Listener::doubted(base::Instant now, const Arrival& arrival, const Header& header,
                                                    Sender& sender, std::uint8_t doubts, Drop otherwise) const
{
    const auto spacing = doubts == doubt::older_boot ? stale_spacing : doubt_spacing;
    const bool same = sender.doubted_boot == header.boot_id && sender.doubted_address == arrival.from.address;
    if (same && sender.doubted_at != base::Instant{} && now - sender.doubted_at < spacing) {
        return std::unexpected(otherwise);
    }
    sender.doubted_at = now;
    sender.doubted_boot = header.boot_id;
    sender.doubted_address = arrival.from.address;
    return doubts;
}

Sighting Listener::commit(base::Instant now, const Arrival& arrival, const Header& header, Body body,
                          bool authenticated, std::uint8_t doubts)
{
    counters_.accepted(header.type);
    if (doubts == 0) {
        Sender& sender = senders_.at(header.sender_id);
        if (newer_by(header.seq, sender.window.highest) < 0 && sender.window.is_old(header.seq)) {
            sender.window.restart(header.seq); // it had been pushed ahead by a forged seq
        }
        sender.window.take(header.seq);
        sender.accepted_at = now;
        sender.other_ticks = 0;
        sender.keyed = sender.keyed || authenticated;
    }
    Sighting sighting;
    sighting.at = now;
    sighting.arrival = arrival;
    sighting.header = header;
    sighting.body = std::move(body);
    sighting.authenticated = authenticated;
    sighting.doubts = doubts;
    return sighting;
}

/// An address that made many ids (a container started again and again) is not shut out for ever: those not heard
/// for a while no longer count.
void Listener::forget_silent(base::Instant now, Source& source)
{
    const auto ids = source.ids; // erase() takes them out of the source
    for (const base::NodeId& id : ids) {
        const auto sender = senders_.find(id);
        if (sender == senders_.end()) {
            source.ids.erase(id);
        } else if (now - std::max(sender->second.accepted_at, sender->second.doubted_at) > sender_silence) {
            erase(id);
        }
    }
}

std::expected<Listener::Sender*, Drop> Listener::add(base::Instant now, const Arrival& arrival, const Header& header,
                                                     bool authenticated)
{
    if (senders_.size() - unverified_.size() >= options_.senders_limit && now - swept_at_ >= std::chrono::seconds{1}) {
        swept_at_ = now;
        std::vector<base::NodeId> silent;
        for (const auto& [id, sender] : senders_) {
            if (now - sender.accepted_at > sender_silence) {
                silent.push_back(id);
            }
        }
        std::ranges::for_each(silent, [this](const base::NodeId& id) { erase(id); });
    }
    if (senders_.size() - unverified_.size() >= options_.senders_limit) {
        if (tell_all_full_.due(now)) {
            log::warn("discovery", "table_full",
                      {{"what", "no more senders are heard: the limit is reached"},
                       {"limit", options_.senders_limit},
                       {"from", arrival.from.text()},
                       {"again", "in an hour at the earliest"}});
        }
        return std::unexpected(Drop::table_full);
    }
    base::IpAddress counted_at;
    if (!authenticated && !arrival.on_loopback) {
        const auto source = sources_.find(arrival.from.address);
        if (source != sources_.end()) {
            if (source->second.ids.size() >= options_.ids_per_source_limit) {
                forget_silent(now, source->second);
            }
            if (source->second.ids.size() >= options_.ids_per_source_limit) {
                if (tell_source_full_.due(now)) {
                    log::warn("discovery", "table_full",
                              {{"what", "one address claims more ids than it may: NAT, cloned disks, or a forger"},
                               {"limit", options_.ids_per_source_limit},
                               {"from", arrival.from.text()},
                               {"advice", "with a fleet key there is no such limit"},
                               {"again", "in an hour at the earliest"}});
                }
                return std::unexpected(Drop::table_full);
            }
            source->second.ids.insert(header.sender_id);
            counted_at = arrival.from.address;
        }
    }
    if (unverified_.size() >= options_.unverified_limit) {
        erase(base::NodeId{unverified_.front()});
    }
    Sender& sender = senders_[header.sender_id];
    sender.counted_at = counted_at;
    sender.place = unverified_.insert(unverified_.end(), header.sender_id);
    return &sender;
}

/// Null when the table of sources is full of busy ones: then the datagram is refused.
Listener::Source* Listener::source_of(base::Instant now, const base::IpAddress& address)
{
    if (const auto found = sources_.find(address); found != sources_.end()) {
        return &found->second;
    }
    if (sources_.size() >= sources_limit) {
        if (now - swept_at_ < std::chrono::seconds{1}) {
            return nullptr;
        }
        swept_at_ = now;
        std::erase_if(sources_, [&](const auto& entry) {
            return entry.second.ids.empty() && now - entry.second.bucket.filled_at > source_idle;
        });
        if (sources_.size() >= sources_limit) {
            return nullptr;
        }
    }
    return &sources_[address];
}

void Listener::verify(Sender& sender)
{
    if (!sender.verified) {
        sender.verified = true;
        unverified_.erase(sender.place);
    }
}

void Listener::confirmed(base::Instant now, const base::NodeId& id, std::uint64_t boot_id, std::uint32_t seq,
                         const base::IpAddress& address, bool authenticated)
{
    if (id.is_nil() || id == options_.own_id) {
        return;
    }
    const auto [place, fresh] = senders_.try_emplace(id);
    Sender& sender = place->second;
    if (fresh) {
        sender.verified = true;
    } else {
        verify(sender);
    }
    const std::int32_t ahead = newer_by(seq, sender.window.highest);
    if (sender.boot_id != boot_id || ahead > static_cast<std::int32_t>(seq_jump_max) || ahead <= -64) {
        // Even backwards: a forged seq may have pushed the window ahead, and this answer is the truth.
        sender.window.restart(seq);
    }
    sender.boot_id = boot_id;
    sender.address = address;
    sender.other_ticks = 0;
    sender.accepted_at = now;
    sender.keyed = sender.keyed || authenticated;
}

void Listener::forget(const base::NodeId& id) { erase(id); }

void Listener::erase(const base::NodeId& id)
{
    const auto found = senders_.find(id);
    if (found == senders_.end()) {
        return;
    }
    if (!found->second.verified) {
        unverified_.erase(found->second.place);
    }
    if (const auto source = sources_.find(found->second.counted_at); source != sources_.end()) {
        source->second.ids.erase(id);
    }
    senders_.erase(found);
}

} // namespace herd::discovery
