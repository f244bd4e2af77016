#include "discovery/proof.hpp"

#include "base/text.hpp"
#include "net/crypto.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace herd::discovery {

namespace {

constexpr std::size_t text_bytes_max = 160;
constexpr std::size_t challenge_bytes_max = 1024;
constexpr std::size_t shown_limit = 64;
constexpr std::size_t agents_limit = 8192;
constexpr base::Duration agent_memory = std::chrono::minutes{10};

/// What the MAC is over: agent 16, herd 16, boot 8, seq 4, big endian.
std::array<std::uint8_t, 44> subject(const base::Uuid& herd, const base::NodeId& agent, const Tick& tick)
{
    std::array<std::uint8_t, 44> bytes{};
    auto out = std::ranges::copy(agent.bytes, bytes.begin()).out;
    out = std::ranges::copy(herd.bytes, out).out;
    for (int shift = 56; shift >= 0; shift -= 8) {
        *out++ = static_cast<std::uint8_t>(tick.boot_id >> shift);
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        *out++ = static_cast<std::uint8_t>(tick.seq >> shift);
    }
    return bytes;
}

/// "BOOT-SEQ", without leading zeros: one form of each.
std::optional<Tick> parse_tick(std::string_view text)
{
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto boot = base::parse_unsigned(text.substr(0, dash));
    const auto seq = base::parse_unsigned(text.substr(dash + 1));
    if (!boot || !seq || *seq > 0xFFFFFFFFU) {
        return std::nullopt;
    }
    const Tick tick{*boot, static_cast<std::uint32_t>(*seq)};
    return std::to_string(tick.boot_id) + '-' + std::to_string(tick.seq) == text ? std::optional{tick} : std::nullopt;
}

/// Serial numbers wrap: true when `a` is not older than `b`.
bool not_older(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) >= 0; }

} // namespace

std::optional<Proof> parse_proof(std::string_view text)
{
    if (text.size() > text_bytes_max || text.find_first_of("ABCDEF") != std::string_view::npos) {
        return std::nullopt;
    }
    const auto first = text.find(' ');
    const auto second = first == std::string_view::npos ? first : text.find(' ', first + 1);
    if (second == std::string_view::npos) {
        return std::nullopt;
    }
    const auto herd = base::Uuid::parse(text.substr(0, first));
    const auto tick = parse_tick(text.substr(first + 1, second - first - 1));
    Proof proof;
    if (!herd || herd->is_nil() || !tick || !base::from_hex(text.substr(second + 1), proof.mac)) {
        return std::nullopt;
    }
    proof.herd = *herd;
    proof.tick = *tick;
    return proof;
}

std::string make_proof(const Authenticator& authenticator, const base::Uuid& herd, const base::NodeId& agent, const Tick& tick)
{
    const auto mac = authenticator.proof_mac(subject(herd, agent, tick));
    if (!mac) {
        return {};
    }
    return herd.text() + ' ' + std::to_string(tick.boot_id) + '-' + std::to_string(tick.seq) + ' ' + base::to_hex(*mac);
}

std::string challenge_json(std::string_view sentence, const Tick& tick)
{
    const nlohmann::ordered_json json{{"error", sentence}, {"boot_id", tick.boot_id}, {"seq", tick.seq}};
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::optional<Tick> parse_challenge(std::string_view text)
{
    if (text.size() > challenge_bytes_max) {
        return std::nullopt;
    }
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("boot_id") || !json.contains("seq")) {
        return std::nullopt;
    }
    const auto& boot = json["boot_id"];
    const auto& seq = json["seq"];
    if (!boot.is_number_unsigned() || !seq.is_number_unsigned() || seq.get<std::uint64_t>() > 0xFFFFFFFFU) {
        return std::nullopt;
    }
    return Tick{boot.get<std::uint64_t>(), seq.get<std::uint32_t>()};
}

// ------------------------------------------------------------------------------------------------- herd

ProofBook::ProofBook(base::Uuid herd, Authenticator authenticator, Made made)
    : herd_(herd), authenticator_(std::move(authenticator)), made_(std::move(made))
{
}

void ProofBook::make(base::Instant now, const base::NodeId& agent, Entry& entry)
{
    entry.made_at = now;
    entry.text = std::make_shared<const std::string>(make_proof(authenticator_, herd_, agent, entry.tick));
    if (made_) {
        made_(agent, entry.text);
    }
}

/// Ids come and go in a long life; who has not been heard for long is not missed.
ProofBook::Entry& ProofBook::entry_of(base::Instant now, const base::NodeId& agent)
{
    if (entries_.size() >= agents_limit && !entries_.contains(agent)) {
        std::erase_if(entries_, [&](const auto& entry) { return now - entry.second.heard_at > agent_memory; });
        if (entries_.size() >= agents_limit) {
            entries_.erase(entries_.begin());
        }
    }
    Entry& entry = entries_[agent];
    entry.heard_at = now;
    return entry;
}

void ProofBook::challenged(base::Instant now, const base::NodeId& agent, const Tick& tick)
{
    if (authenticator_.primary() != 0) {
        Entry& entry = entry_of(now, agent);
        entry.tick = tick;
        make(now, agent, entry);
    }
}

void ProofBook::heard(base::Instant now, const base::NodeId& agent, const Tick& tick)
{
    if (authenticator_.primary() == 0) {
        return;
    }
    Entry& entry = entry_of(now, agent);
    const bool is_new = entry.text == nullptr;
    const bool other_life = entry.tick.boot_id != tick.boot_id;
    if (!is_new && !other_life && !not_older(tick.seq, entry.tick.seq)) {
        return;
    }
    entry.tick = tick;
    if (is_new || other_life || now - entry.made_at >= proof_renewal) {
        make(now, agent, entry);
    }
}

std::shared_ptr<const std::string> ProofBook::proof(const base::NodeId& agent) const
{
    const auto found = entries_.find(agent);
    return found == entries_.end() ? nullptr : found->second.text;
}

void ProofBook::set_authenticator(base::Instant now, Authenticator authenticator)
{
    authenticator_ = std::move(authenticator);
    if (authenticator_.primary() != 0) {
        for (auto& [agent, entry] : entries_) {
            make(now, agent, entry);
        }
        return;
    }
    for (const auto& [agent, entry] : std::exchange(entries_, {})) {
        if (made_) {
            made_(agent, nullptr);
        }
    }
}

// ------------------------------------------------------------------------------------------------ agent

void ProofGate::said(base::Instant now, std::uint32_t seq)
{
    while (!marks_.empty() && now - marks_.front().at > proof_life) {
        marks_.pop_front();
    }
    if (marks_.empty() || now - marks_.back().at >= proof_mark_interval) {
        marks_.push_back({now, seq});
    }
}

/// Whether the announcement `named` was made within the last minute: not before the oldest mark that is so young.
bool ProofGate::is_fresh(base::Instant now, std::uint32_t seq, std::uint32_t named)
{
    said(now, seq);
    return not_older(named, marks_.front().seq) && not_older(seq, named);
}

ProofGate::Verdict ProofGate::judge(base::Instant now, std::uint32_t seq, std::optional<std::string_view> text,
                                    const base::IpAddress& peer, const Authenticator& authenticator)
{
    if (!text) {
        return Verdict::missing;
    }
    for (auto shown = shown_.rbegin(); shown != shown_.rend(); ++shown) {
        if (net::constant_time_equal(net::bytes_of(shown->text), net::bytes_of(*text))) {
            return !is_fresh(now, seq, shown->seq) ? Verdict::too_old : shown->peer == peer ? Verdict::good : Verdict::borrowed;
        }
    }
    const auto proof = parse_proof(*text);
    if (!proof) {
        return Verdict::malformed;
    }
    if (!authenticator.proof_check(subject(proof->herd, agent_, proof->tick), proof->mac)) {
        return Verdict::wrong;
    }
    if (proof->tick.boot_id != boot_id_) {
        return Verdict::other_life;
    }
    if (!is_fresh(now, seq, proof->tick.seq)) {
        return Verdict::too_old;
    }
    std::erase_if(shown_, [&](const Shown& one) { return !is_fresh(now, seq, one.seq); });
    if (shown_.size() >= shown_limit) {
        shown_.erase(shown_.begin());
    }
    shown_.push_back({std::string{*text}, peer, proof->tick.seq});
    return Verdict::good;
}

std::string_view to_string(ProofGate::Verdict verdict)
{
    switch (verdict) {
    case ProofGate::Verdict::good: return "good";
    case ProofGate::Verdict::missing: return "missing";
    case ProofGate::Verdict::malformed: return "malformed";
    case ProofGate::Verdict::other_life: return "of another start of this agent";
    case ProofGate::Verdict::too_old: return "too old";
    case ProofGate::Verdict::wrong: return "made with another key";
    case ProofGate::Verdict::borrowed: return "shown before from another address";
    }
    return "unknown";
}

} // namespace herd::discovery
