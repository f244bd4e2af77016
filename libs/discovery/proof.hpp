#pragma once
// Who may speak HTTP to an agent once the fleet has a key (docs/THREATS.md, "Guest list"). Each request of a herd
// carries one field, `X-Herd-Proof: HERD BOOT-SEQ MAC`, which says: "I hold a key of this fleet, and I heard you,
// agent, in your life BOOT say announcement SEQ." The agent knows when it said SEQ, so no clock is compared; a proof
// is good for a minute, and only from the address that showed it first, so that who copies it off the wire cannot use
// it from elsewhere. The herd makes a new one every ten seconds from what it hears anyway; on the way of a request
// there is one string to copy here, and one to compare there.
#include "base/ids.hpp"
#include "base/ip.hpp"
#include "base/time.hpp"
#include "discovery/authenticator.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace herd::discovery {

/// Not seen by clients nor by Ollama: like every X-Herd field it goes no further than herd or the gateway. In an
/// answer of status 403 it says that the agent refused the proof, and that nothing else happened.
inline constexpr std::string_view proof_field = "X-Herd-Proof";

/// An announcement of an agent, by number.
struct Tick {
    std::uint64_t boot_id{0};
    std::uint32_t seq{0};
    bool operator==(const Tick&) const = default;
};

struct Proof {
    base::Uuid herd{};
    Tick tick{};
    std::array<std::uint8_t, 32> mac{};
};
/// Strict: one form of each. Nothing when it is not one.
[[nodiscard]] std::optional<Proof> parse_proof(std::string_view text);
/// The field's value for `agent`; empty without a key.
[[nodiscard]] std::string make_proof(const Authenticator& authenticator, const base::Uuid& herd, const base::NodeId& agent,
                                     const Tick& tick);

/// What an agent says to who brings no good proof, under a MAC: which announcement to name.
[[nodiscard]] std::string challenge_json(std::string_view sentence, const Tick& tick);
[[nodiscard]] std::optional<Tick> parse_challenge(std::string_view text);

/// The herd's side: the newest proof for each agent.  Thread: one owner.
class ProofBook {
public:
    /// `made` is called with each new proof.
    using Made = std::function<void(const base::NodeId& agent, std::shared_ptr<const std::string> proof)>;
    ProofBook(base::Uuid herd, Authenticator authenticator, Made made);

    /// An agent said this under a right MAC. Makes a proof when there is none, the agent started anew, or the last one
    /// is `proof_renewal` old.
    void heard(base::Instant now, const base::NodeId& agent, const Tick& tick);
    /// The agent refused what we showed and says, under a right MAC, which announcement to name: a new proof at once.
    void challenged(base::Instant now, const base::NodeId& agent, const Tick& tick);
    /// Null when the agent was never heard with a right MAC.
    [[nodiscard]] std::shared_ptr<const std::string> proof(const base::NodeId& agent) const;
    [[nodiscard]] bool knows(const base::NodeId& agent) const { return entries_.contains(agent); }
    void forget(const base::NodeId& agent) { entries_.erase(agent); }
    /// Other keys: all proofs are made anew, or there are none any more.
    void set_authenticator(base::Instant now, Authenticator authenticator);
    [[nodiscard]] const Authenticator& authenticator() const { return authenticator_; }

private:
    struct Entry {
        Tick tick{};
        base::Instant heard_at{};
        base::Instant made_at{};
        std::shared_ptr<const std::string> text{};
    };
    [[nodiscard]] Entry& entry_of(base::Instant now, const base::NodeId& agent);
    void make(base::Instant now, const base::NodeId& agent, Entry& entry);

    base::Uuid herd_;
    Authenticator authenticator_;
    Made made_;
    std::unordered_map<base::NodeId, Entry> entries_{};
};

inline constexpr base::Duration proof_renewal = std::chrono::seconds{10};
inline constexpr base::Duration proof_life = std::chrono::seconds{60};
/// How often an agent wants ProofGate::said() called.
inline constexpr base::Duration proof_mark_interval = std::chrono::seconds{5};

/// The agent's side.  Thread: one owner.
class ProofGate {
public:
    enum class Verdict : std::uint8_t {
        good,
        missing,
        malformed,
        other_life, ///< of another start of this agent
        too_old,    ///< or of an announcement that was never made
        wrong,      ///< made with no key of ours
        borrowed,   ///< shown before from another address
    };
    ProofGate(base::NodeId agent, std::uint64_t boot_id) : agent_(agent), boot_id_(boot_id) {}

    /// By now, `seq` is our last announcement.
    void said(base::Instant now, std::uint32_t seq);
    [[nodiscard]] Verdict judge(base::Instant now, std::uint32_t seq, std::optional<std::string_view> text,
                                const base::IpAddress& peer, const Authenticator& authenticator);
    /// Proofs made with keys that are gone are good no more.
    void forget() { shown_.clear(); }

private:
    struct Mark {
        base::Instant at{};
        std::uint32_t seq{0};
    };
    struct Shown {
        std::string text{};
        base::IpAddress peer{};
        std::uint32_t seq{0};
    };
    [[nodiscard]] bool is_fresh(base::Instant now, std::uint32_t seq, std::uint32_t named);

    base::NodeId agent_;
    std::uint64_t boot_id_;
    std::deque<Mark> marks_{};  ///< of the last minute, oldest first
    std::vector<Shown> shown_{}; ///< good proofs, newest last; bounded
};
[[nodiscard]] std::string_view to_string(ProofGate::Verdict verdict);

} // namespace herd::discovery
