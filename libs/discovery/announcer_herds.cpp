// What a node hears: the herds it meets, answers and loses, those a human named, and HTTP where UDP is silent.
#include "discovery/announcer.hpp"
#include "discovery/internal/backoff.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace herd::discovery {

using namespace std::chrono_literals;
using base::Duration;
using base::Instant;

namespace {

constexpr Duration herd_memory = 10min;
constexpr Duration address_patience = 3s; ///< a herd's address (or boot) is not replaced sooner
constexpr Duration fallback_after = 3s;
constexpr Duration fallback_timeout = 5s;
constexpr std::size_t answers_limit = 16;
constexpr std::size_t configured_limit = 64;
constexpr int leave_copies = 3;
constexpr std::uint16_t window_ms_max = 500;

bool stands_on(const std::vector<base::Endpoint>& endpoints, const base::IpAddress& address)
{
    return std::ranges::any_of(endpoints, [&](const base::Endpoint& e) { return e.address == address; });
}

/// Each flag is told when it appears, not with every ACK that repeats it.
void tell_flags(const base::Uuid& herd, const base::Endpoint& at, std::uint16_t before, std::uint16_t now, NodeActions& out)
{
    constexpr std::array<std::pair<std::uint16_t, Notice::Kind>, 3> meanings{
        {{ack_flag::duplicate_id, Notice::Kind::duplicate_id},
         {ack_flag::not_approved, Notice::Kind::not_approved},
         {ack_flag::api_unreachable, Notice::Kind::api_unreachable}}};
    for (const auto& [bit, kind] : meanings) {
        if ((now & bit) != 0 && (before & bit) == 0) {
            out.emplace_back(Notice{kind, herd, at});
        }
    }
    if ((before & ack_flag::not_approved) != 0 && (now & ack_flag::not_approved) == 0) {
        out.emplace_back(Notice{Notice::Kind::approved, herd, at});
    }
}

} // namespace

NodeActions Announcer::on_datagram(Instant now, const Arrival& arrival, ByteView bytes)
{
    NodeActions out;
    Arrival judged = arrival;
    judged.configured_peer = arrival.configured_peer || std::ranges::any_of(configured_, [&](const auto& entry) {
                                 return stands_on(entry.second.herd.udp, arrival.from.address);
                             });
    const auto sighting = listener_.receive(now, judged, bytes);
    if (!sighting || !started_ || leaving_) {
        return out;
    }
    const bool trusted = trusts(now, *sighting);
    if (trusted && sighting->doubts != 0) {
        listener_.confirmed(now, sighting->id(), sighting->header.boot_id, sighting->header.seq,
                            arrival.from.address);
    }
    switch (sighting->header.type) {
    case Type::beacon: take_beacon(now, *sighting, trusted); break;
    case Type::ack:
        if (trusted) {
            take_ack(now, *sighting, out);
        }
        break;
    case Type::leave:
        if (const auto herd = herds_.find(sighting->id()); herd != herds_.end()) {
            lose(now, sighting->id(), herd->second, true, out);
        }
        break;
    case Type::announce: break;
    }
    auto timed = on_timer(now);
    std::ranges::move(timed, std::back_inserter(out));
    return out;
}

/// A node cannot confirm a herd over HTTP as a herd does a node; it waits until the one it knows is silent.
bool Announcer::trusts(Instant now, const Sighting& sighting) const
{
    const auto known = herds_.find(sighting.id());
    const bool silent = known == herds_.end() || known->second.lost || now - known->second.heard_at > address_patience;
    const std::uint8_t risky = doubt::older_boot | doubt::address_changed;
    return (sighting.doubts & risky) == 0 || silent;
}

Announcer::Herd* Announcer::add_herd(const base::Uuid& id)
{
    if (const auto known = herds_.find(id); known != herds_.end()) {
        return &known->second;
    }
    if (herds_.size() >= options_.herds_limit) {
        const auto lost = std::ranges::find_if(herds_, [](const auto& entry) { return entry.second.lost; });
        if (lost == herds_.end()) {
            return nullptr;
        }
        fallbacks_.erase(lost->first.text());
        listener_.forget(lost->first);
        herds_.erase(lost);
    }
    return &herds_[id];
}

Announcer::Herd* Announcer::meet(Instant now, const Sighting& sighting)
{
    Herd* herd = add_herd(sighting.id());
    if (herd == nullptr) {
        return nullptr;
    }
    const base::Endpoint& from = sighting.arrival.from;
    herd->at = {from.address, sighting.header.udp_port != 0 ? sighting.header.udp_port : from.port};
    herd->http = {from.address, sighting.header.api_port};
    herd->boot_id = sighting.header.boot_id;
    herd->heard_at = now;
    herd->left = false;
    herd->on_link = sighting.arrival.on_link() || sighting.arrival.on_loopback;
    if (herd->lost) {
        herd->lost = false;
        herd->acked_boot = 0; // let it say again that it hears us
    }
    for (auto& [name, configured] : configured_) {
        if (configured.met.is_nil() && stands_on(configured.herd.udp, from.address)) {
            configured.met = sighting.id();
            configured.unanswered = 0;
            configured.unanswered_since.reset();
            fallbacks_.erase(name);
        }
    }
    return herd;
}

void Announcer::take_beacon(Instant now, const Sighting& sighting, bool trusted)
{
    const auto& beacon = std::get<Beacon>(sighting.body);
    Herd* herd = trusted ? meet(now, sighting) : nullptr;
    if (herd != nullptr) {
        herd->pool_size = beacon.pool_size;
        herd->wanted_interval_ms = beacon.wanted_interval_ms;
    }
    // Known-answer suppression: who acknowledged us in this life of his needs no second answer to all.
    const bool known_answer = herd != nullptr && herd->acked() && sighting.arrival.to_group;
    if (sighting.header.has(flag::solicit) && !sighting.header.has(flag::reply) && !known_answer) {
        answer(now, sighting, beacon);
    }
}

/// Answers go to the asker, whatever we believe about its other addresses.
void Announcer::answer(Instant now, const Sighting& sighting, const Beacon& beacon)
{
    const base::Endpoint& from = sighting.arrival.from;
    Answer answer;
    answer.to = {from.address, sighting.header.udp_port != 0 ? sighting.header.udp_port : from.port};
    answer.at = now;
    if (sighting.arrival.to_group) {
        const std::uint64_t window_us = std::min(beacon.answer_window_ms, window_ms_max) * std::uint64_t{1000};
        answer.at += std::chrono::microseconds{rng_.between(0, window_us)};
    }
    if (beacon.nonce) {
        answer.echo = Echo{sighting.id().prefix(), *beacon.nonce};
    }
    const auto pending = std::ranges::find(answers_, answer.to, &Answer::to);
    if (pending != answers_.end()) {
        pending->at = std::min(pending->at, answer.at);
        pending->echo = answer.echo;
    } else if (answers_.size() < answers_limit) {
        answers_.push_back(answer);
    }
}

void Announcer::send_answers(Instant now, NodeActions& out)
{
    for (std::size_t i = 0; i < answers_.size();) {
        if (answers_[i].at > now) {
            ++i;
            continue;
        }
        const Answer answer = answers_[i];
        answers_.erase(answers_.begin() + static_cast<std::ptrdiff_t>(i));
        const auto asker = std::ranges::find_if(herds_, [&](const auto& e) { return e.second.at == answer.to; });
        const bool acked = asker != herds_.end() && asker->second.acked();
        if (asker != herds_.end() && !acked) {
            asker->second.unanswered_since = asker->second.unanswered_since.value_or(now);
        }
        Send send;
        send.type = Type::announce;
        send.to.push_back(answer.to);
        send.bytes = announcement(static_cast<std::uint16_t>(flag::reply | (acked ? 0 : flag::want_ack)), answer.echo);
        listener_.counters().sent(Type::announce);
        out.emplace_back(std::move(send));
    }
}

void Announcer::take_ack(Instant now, const Sighting& sighting, NodeActions& out)
{
    const auto& ack = std::get<Ack>(sighting.body);
    const auto age = static_cast<std::int32_t>(seq_ - ack.seq);
    if (ack.boot_id != options_.boot_id || age < 0) {
        return; // for another life of ours, or for something we never said
    }
    Herd* herd = meet(now, sighting);
    if (herd == nullptr) {
        return;
    }
    const bool first = !herd->acked();
    if (first && !any_acked(now)) {
        broadcast_at_ = now + 10s; // we are heard: no need to call on
    }
    herd->acked_boot = sighting.header.boot_id;
    herd->acked_at = now;
    herd->unanswered_since.reset();
    herd->wanted_interval_ms = ack.wanted_interval_ms;
    fallbacks_.erase(sighting.id().text());
    if (first) {
        out.emplace_back(Notice{Notice::Kind::herd_found, sighting.id(), herd->at});
    }
    tell_flags(sighting.id(), herd->at, herd->ack_flags, ack.flags, out);
    herd->ack_flags = ack.flags;
}

void Announcer::lose(Instant now, const base::Uuid& id, Herd& herd, bool left, NodeActions& out)
{
    herd.left = herd.left || left;
    if (herd.lost) {
        return;
    }
    const bool was_acked = herd.acked();
    herd.lost = true;
    herd.acked_boot = 0;
    herd.unanswered_since.reset();
    for (auto& [name, configured] : configured_) {
        if (configured.met == id) {
            configured.met = {};
            configured.send_at = now;
        }
    }
    if (was_acked) {
        out.emplace_back(Notice{Notice::Kind::herd_lost, id, herd.at});
    }
    if (!any_acked(now)) {
        lonely_since_ = now;
        broadcast_at_ = std::min(broadcast_at_, now + until_broadcast(now));
    }
}

void Announcer::expire_herds(Instant now, NodeActions& out)
{
    for (auto entry = herds_.begin(); entry != herds_.end();) {
        const auto current = entry++;
        Herd& herd = current->second;
        if (!herd.lost && now - herd.heard_at >= silence_limit()) {
            lose(now, current->first, herd, false, out);
            burst(now);
        }
        if (herd.lost && now - herd.heard_at >= herd_memory) {
            fallbacks_.erase(current->first.text());
            listener_.forget(current->first);
            herds_.erase(current);
        }
    }
}

NodeActions Announcer::unreachable(Instant now, const base::Endpoint& at)
{
    NodeActions out;
    for (auto& [id, herd] : herds_) {
        if (herd.at == at && !herd.lost && started_ && !leaving_) {
            lose(now, id, herd, false, out);
            burst(now);
        }
    }
    return out;
}

// ----------------------------------------------------------------------------- configured herds and HTTP

/// A herd whose name was taken off the list: one that only the name led to is told goodbye.
void Announcer::drop_unnamed(Instant now, const base::Uuid& id, NodeActions& out)
{
    const bool still = std::ranges::any_of(configured_, [&](const auto& entry) { return entry.second.met == id; });
    const auto herd = herds_.find(id);
    if (still || herd == herds_.end() || herd->second.on_link || !started_ || leaving_) {
        return;
    }
    Send send;
    send.type = Type::leave;
    send.to.push_back(herd->second.at);
    send.bytes = std::make_shared<const Octets>(listener_.authenticator().sealed(
        header(0), Leave{static_cast<std::uint8_t>(LeaveReason::shutdown), unknown<std::uint16_t>}));
    for (int copy = 0; copy < leave_copies; ++copy) {
        listener_.counters().sent(Type::leave);
        out.emplace_back(send);
    }
    out.emplace_back(Notice{Notice::Kind::herd_lost, id, herd->second.at});
    fallbacks_.erase(id.text());
    listener_.forget(id);
    herds_.erase(herd);
    if (!any_acked(now)) {
        lonely_since_ = now;
        broadcast_at_ = std::min(broadcast_at_, now + until_broadcast(now));
    }
}

NodeActions Announcer::set_configured_herds(Instant now, std::vector<ConfiguredHerd> herds)
{
    std::map<std::string, Configured> fresh;
    for (ConfiguredHerd& herd : herds) {
        if (fresh.size() >= configured_limit) {
            break;
        }
        const std::string name = herd.name;
        Configured& entry = fresh[name];
        if (const auto before = configured_.find(name); before != configured_.end()) {
            entry = before->second;
            if (entry.herd.udp != herd.udp) {
                entry.met = {};
                entry.send_at = now;
            }
        } else {
            entry.send_at = now;
        }
        entry.herd = std::move(herd);
    }
    NodeActions out;
    const auto before = std::exchange(configured_, std::move(fresh));
    for (const auto& [name, entry] : before) {
        if (!entry.met.is_nil() && !configured_.contains(name)) {
            drop_unnamed(now, entry.met, out);
        }
    }
    std::erase_if(fallbacks_, [&](const auto& entry) {
        return !configured_.contains(entry.first) && !base::Uuid::parse(entry.first);
    });
    const bool unmet = std::ranges::any_of(configured_, [&](const auto& entry) {
        return entry.second.met.is_nil() && entry.second.send_at <= now && !entry.second.herd.udp.empty();
    });
    if (started_ && !leaving_ && unmet) {
        announce(now, false, true, out);
    }
    return out;
}

NodeActions Announcer::herd_asked(Instant now, const base::Uuid& id, const base::IpAddress& peer,
                                  const base::Endpoint& udp)
{
    NodeActions out;
    const bool own_address = udp.address.is_unspecified() || udp.address == peer;
    if (id.is_nil() || id == options_.id || udp.port == 0 || !own_address || !started_ || leaving_) {
        return out;
    }
    const bool known = herds_.contains(id) && !herds_.at(id).lost;
    if (known) {
        herds_.at(id).heard_at = now;
        return out;
    }
    Herd* herd = add_herd(id);
    if (herd == nullptr) {
        return out;
    }
    herd->at = {peer, udp.port};
    herd->heard_at = now;
    herd->lost = herd->left = false;
    announce(now, false, true, out);
    return out;
}

/// Where WANT_ACK got no answer for 3 s, the same facts go by HTTP: once per interval while that works,
/// else with growing pauses.
void Announcer::run_fallbacks(Instant now, NodeActions& out)
{
    const auto overdue = [&](const std::optional<Instant>& since) { return since && now - *since >= fallback_after; };
    std::map<std::string, std::vector<base::Endpoint>> needed;
    for (const auto& [name, configured] : configured_) {
        if (configured.met.is_nil() && overdue(configured.unanswered_since) && !configured.herd.http.empty()) {
            needed[name] = configured.herd.http;
        }
    }
    for (const auto& [id, herd] : herds_) {
        const bool named = std::ranges::any_of(configured_, [&](const auto& entry) {
            return stands_on(entry.second.herd.http, herd.at.address) && entry.second.met.is_nil();
        });
        if (!herd.lost && !herd.acked() && overdue(herd.unanswered_since) && herd.http.port != 0 && !named) {
            needed[id.text()] = {herd.http};
        }
    }
    std::erase_if(fallbacks_, [&](const auto& entry) { return !needed.contains(entry.first); });
    for (const auto& [key, candidates] : needed) {
        run_fallback(now, key, candidates, out);
    }
}

void Announcer::run_fallback(Instant now, const std::string& key, const std::vector<base::Endpoint>& candidates,
                             NodeActions& out)
{
    Fallback& fallback = fallbacks_[key];
    if (now < fallback.next_at) {
        return;
    }
    if (fallback.waiting) { // it never came back
        ++fallback.failures;
    }
    fallback.waiting = true;
    fallback.next_at = now + fallback_timeout;
    ++seq_; // the document is a tick of its own: repeating one that went by datagram would look like a replay
    out.emplace_back(HttpAnnounce{key, candidates});
}

NodeActions Announcer::http_announced(Instant now, const std::string& herd, const base::Uuid& id, std::uint16_t flags)
{
    NodeActions out;
    const bool ok = !id.is_nil();
    const auto found = fallbacks_.find(herd);
    if (found != fallbacks_.end()) {
        Fallback& fallback = found->second;
        fallback.waiting = false;
        fallback.works = ok;
        fallback.failures = ok ? 0 : fallback.failures + 1;
        fallback.next_at = now + (ok ? interval() * 7 / 8 : internal::backoff(fallback.failures));
        if (ok) {
            for (auto& [known_id, known] : herds_) {
                if (known_id.text() == herd) {
                    known.heard_at = now;
                }
            }
            tell_flags(id, {}, fallback.ack_flags, flags, out);
            fallback.ack_flags = flags;
        }
    }
    return out;
}

} // namespace herd::discovery
