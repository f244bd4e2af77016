// When a node speaks: burst, beats, news, leaving. What it hears is in announcer_herds.cpp.
#include "discovery/announcer.hpp"

#include "base/assert.hpp"
#include "discovery/internal/backoff.hpp"

#include <algorithm>
#include <array>

namespace herd::discovery {

using namespace std::chrono_literals;
using base::Duration;
using base::Instant;

namespace {

constexpr std::array<Duration, 4> burst_offsets{0ms, 100ms, 300ms, 700ms};
constexpr std::array<Duration, 3> leave_offsets{0ms, 50ms, 150ms};
constexpr Duration burst_spacing = 250ms; ///< an address that goes and comes back is two events at once
constexpr Duration change_spacing = 50ms;
constexpr Duration change_repeat = 100ms;
constexpr Duration herd_silence = 15s;
constexpr std::uint16_t interval_ms_min = 500;
constexpr std::uint16_t interval_ms_max = 10000;

std::vector<std::uint64_t> hashes(const std::vector<LoadedModel>& models)
{
    std::vector<std::uint64_t> result;
    for (const LoadedModel& model : models) {
        result.push_back(model.name_hash);
    }
    std::ranges::sort(result);
    return result;
}

/// What must not wait for the next heartbeat.
bool is_news(const Facts& before, const Facts& now)
{
    return before.state != now.state || before.state_rev != now.state_rev || before.api_port != now.api_port
        || before.announce.agent != now.announce.agent || hashes(before.announce.models) != hashes(now.announce.models);
}

ListenerOptions listener_options(const AnnouncerOptions& options)
{
    ListenerOptions result;
    result.role = Role::node;
    result.own_id = options.id;
    result.cluster = options.cluster;
    result.authenticator = options.authenticator;
    result.senders_limit = 64;
    result.unverified_limit = 64;
    return result;
}

} // namespace

std::string_view to_string(Notice::Kind kind)
{
    switch (kind) {
    case Notice::Kind::herd_found: return "herd_found";
    case Notice::Kind::herd_lost: return "herd_lost";
    case Notice::Kind::not_approved: return "not_approved";
    case Notice::Kind::approved: return "approved";
    case Notice::Kind::api_unreachable: return "api_unreachable";
    case Notice::Kind::duplicate_id: return "duplicate_id";
    }
    return "unknown";
}

Announcer::Announcer(AnnouncerOptions options, Facts facts, base::Rng rng)
    : options_(std::move(options)), facts_(std::move(facts)), rng_(rng), listener_(listener_options(options_))
{
    HERD_ASSERT(options_.boot_id != 0);
}

// ---------------------------------------------------------------------------------------------- sending

Header Announcer::header(std::uint16_t flags)
{
    Header header;
    header.flags = static_cast<std::uint16_t>(flags | (options_.ephemeral_id ? flag::ephemeral_id : 0));
    header.interval_ms = static_cast<std::uint16_t>(base::milliseconds(interval()));
    header.detect_mult = options_.detect_mult;
    header.state = static_cast<std::uint8_t>(facts_.state);
    header.sender_id = options_.id;
    header.boot_id = options_.boot_id;
    header.seq = ++seq_;
    header.api_port = facts_.api_port;
    header.state_rev = facts_.state_rev;
    header.cluster = options_.cluster;
    if (options_.clock != nullptr) {
        const auto wall = options_.clock->wall().time_since_epoch();
        header.time_ms = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(wall).count());
    }
    return header;
}

std::shared_ptr<const Octets> Announcer::announcement(std::uint16_t flags, std::optional<Echo> echo)
{
    Announce body = facts_.announce;
    body.herds.clear();
    for (const auto& [id, herd] : herds_) {
        if (!herd.lost) {
            body.herds.push_back(id.prefix());
        }
    }
    body.echo = echo;
    return std::make_shared<const Octets>(listener_.authenticator().sealed(header(flags), body));
}

Duration Announcer::interval() const
{
    std::optional<std::uint16_t> wanted;
    for (const auto& [id, herd] : herds_) {
        if (herd.acked() && !herd.lost && herd.wanted_interval_ms != 0) {
            wanted = std::min(wanted.value_or(herd.wanted_interval_ms), herd.wanted_interval_ms);
        }
    }
    const auto asked = std::clamp(wanted.value_or(0), interval_ms_min, interval_ms_max);
    return std::chrono::milliseconds{std::max(asked, options_.interval_ms)};
}

Duration Announcer::silence_limit() const { return std::max<Duration>(herd_silence, 7 * interval()); }

bool Announcer::any_acked(Instant now) const
{
    return std::ranges::any_of(herds_, [&](const auto& entry) {
        const Herd& herd = entry.second;
        return herd.acked() && !herd.lost && now - herd.acked_at < silence_limit();
    });
}

/// A herd that hears us needs few broadcasts; alone we call each second at first, then every five.
Duration Announcer::until_broadcast(Instant now)
{
    if (any_acked(now)) {
        std::uint32_t pool = 0;
        for (const auto& [id, herd] : herds_) {
            pool = std::max(pool, herd.pool_size);
        }
        const double base_s = std::max(10.0, std::min(pool, std::uint32_t{65536}) * 0.050);
        return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(base_s * (0.9 + 0.2 * rng_.unit())));
    }
    const Duration step = now - lonely_since_ < 10s ? Duration{1s} : Duration{5s};
    return step - std::chrono::milliseconds{rng_.between(0, 50)};
}

/// Unicast destinations. `unanswered` becomes true when one of them has not acknowledged us yet.
std::vector<base::Endpoint> Announcer::targets(Instant now, bool all, bool& unanswered)
{
    std::vector<base::Endpoint> to;
    for (auto& [id, herd] : herds_) {
        if (herd.at.port == 0 || herd.left) {
            continue;
        }
        to.push_back(herd.at);
        unanswered = unanswered || now - herd.heard_at > silence_limit() / 2; // ask before giving it up
        if (!herd.acked()) {
            unanswered = true;
            herd.unanswered_since = herd.unanswered_since.value_or(now);
        }
    }
    for (auto& [name, configured] : configured_) {
        if (!configured.met.is_nil() || (!all && now < configured.send_at)) {
            continue;
        }
        unanswered = true;
        configured.unanswered_since = configured.unanswered_since.value_or(now);
        configured.send_at = now + internal::backoff(configured.unanswered++ / 4);
        to.insert(to.end(), configured.herd.udp.begin(), configured.herd.udp.end());
    }
    std::ranges::sort(to);
    const auto twice = std::ranges::unique(to);
    to.erase(twice.begin(), twice.end());
    return to;
}

void Announcer::announce(Instant now, bool everywhere, bool with_ack, NodeActions& out)
{
    bool unanswered = false;
    auto to = targets(now, everywhere, unanswered);
    beat_at_ = now + interval() - std::chrono::milliseconds{rng_.between(0, static_cast<std::uint64_t>(
                                                                                base::milliseconds(interval()) / 4))};
    if (everywhere) {
        broadcast_at_ = now + until_broadcast(now);
    } else if (to.empty()) {
        return;
    }
    Send send;
    send.type = Type::announce;
    send.everywhere = everywhere;
    send.to = std::move(to);
    send.bytes = announcement(with_ack || unanswered || !any_acked(now) ? flag::want_ack : std::uint16_t{0}, {});
    sent_at_ = now;
    listener_.counters().sent(Type::announce);
    out.emplace_back(std::move(send));
}

void Announcer::burst(Instant now)
{
    // Flapping links ask again and again; that must not become a storm.
    const Instant begin = (burst_at_ ? std::max(now, *burst_at_ + burst_spacing) : now)
        + std::chrono::microseconds{rng_.between(0, 20000)};
    if (!bursts_.empty() && burst_at_ && *burst_at_ > now) {
        return; // one is about to begin
    }
    burst_at_ = begin;
    bursts_.clear();
    for (const Duration offset : burst_offsets) {
        bursts_.push_back(begin + offset);
    }
    beat_at_ = std::max(beat_at_, begin); // the burst says it all
    broadcast_at_ = std::max(broadcast_at_, begin + 1s);
}

NodeActions Announcer::start(Instant now)
{
    started_ = true;
    lonely_since_ = now;
    burst(now);
    return on_timer(now);
}

NodeActions Announcer::on_timer(Instant now)
{
    NodeActions out;
    if (!started_) {
        return out;
    }
    if (leaving_) {
        send_leave(now, out);
        return out;
    }
    expire_herds(now, out);
    // What was missed while we were held up is one announcement, not a backlog.
    const auto due = std::ranges::upper_bound(bursts_, now);
    const bool bursting = due != bursts_.begin();
    bursts_.erase(bursts_.begin(), due);
    send_answers(now, out);
    if (bursting || broadcast_at_ <= now) {
        announce(now, true, bursting, out);
    } else if (beat_at_ <= now) {
        announce(now, false, false, out);
    }
    if (change_at_ && *change_at_ <= now) {
        announce_change(now, out);
    }
    run_fallbacks(now, out);
    return out;
}

std::optional<Instant> Announcer::next_deadline() const
{
    if (!started_ || left()) {
        return std::nullopt;
    }
    if (leaving_) {
        return leave_at_;
    }
    Instant next = std::min(beat_at_, broadcast_at_);
    if (!bursts_.empty()) {
        next = std::min(next, bursts_.front());
    }
    if (change_at_) {
        next = std::min(next, *change_at_);
    }
    for (const Answer& answer : answers_) {
        next = std::min(next, answer.at);
    }
    for (const auto& [key, fallback] : fallbacks_) {
        next = std::min(next, fallback.next_at);
    }
    return next;
}

void Announcer::announce_change(Instant now, NodeActions& out)
{
    change_at_ = --change_copies_ > 0 ? std::optional{now + change_repeat} : std::nullopt;
    announce(now, !any_acked(now), false, out);
}

NodeActions Announcer::set_facts(Instant now, Facts facts)
{
    const bool news = is_news(facts_, facts);
    facts_ = std::move(facts);
    NodeActions out;
    if (!news || !started_ || leaving_) {
        return out;
    }
    change_copies_ = 2;
    if (sent_at_ && now - *sent_at_ < change_spacing) {
        change_at_ = *sent_at_ + change_spacing;
    } else {
        announce_change(now, out);
    }
    return out;
}

NodeActions Announcer::link_changed(Instant now)
{
    if (!started_ || leaving_) {
        return {};
    }
    burst(now);
    return on_timer(now);
}

NodeActions Announcer::resumed(Instant now)
{
    if (!started_ || leaving_) {
        return {};
    }
    for (auto& [id, herd] : herds_) {
        herd.heard_at = now; // the silence was ours
        herd.acked_at = now;
    }
    answers_.clear();
    burst(now);
    return on_timer(now);
}

// ----------------------------------------------------------------------------------------------- leaving

NodeActions Announcer::leave(Instant now, LeaveReason reason)
{
    NodeActions out;
    if (!started_ || leaving_) {
        return out;
    }
    leaving_ = true;
    leave_copies_ = static_cast<int>(leave_offsets.size());
    leave_at_ = now;
    facts_.state = State::draining;
    leave_bytes_ = std::make_shared<const Octets>(
        listener_.authenticator().sealed(header(0), Leave{static_cast<std::uint8_t>(reason), unknown<std::uint16_t>}));
    send_leave(now, out);
    return out;
}

void Announcer::send_leave(Instant now, NodeActions& out)
{
    if (leave_copies_ == 0 || now < leave_at_) {
        return;
    }
    const auto copy = leave_offsets.size() - static_cast<std::size_t>(leave_copies_);
    bool ignored = false;
    Send send;
    send.type = Type::leave;
    send.bytes = leave_bytes_;
    send.everywhere = copy == 0;
    send.to = targets(now, true, ignored);
    listener_.counters().sent(Type::leave);
    out.emplace_back(std::move(send));
    if (--leave_copies_ > 0) {
        leave_at_ = now + leave_offsets[copy + 1] - leave_offsets[copy];
    }
}

std::vector<KnownHerd> Announcer::herds() const
{
    std::vector<KnownHerd> result;
    for (const auto& [id, herd] : herds_) {
        if (!herd.lost) {
            const auto fallback = fallbacks_.find(id.text());
            const bool by_http = fallback != fallbacks_.end() && fallback->second.works;
            result.push_back({id, herd.at, herd.http, herd.acked(), by_http, by_http ? fallback->second.ack_flags : herd.ack_flags,
                              herd.heard_at});
        }
    }
    return result;
}

} // namespace herd::discovery
