#pragma once
// The bare four bytes "LANA" of Ollana, another program on the same port (lana.md 12): whether one is answered. Its
// client ends with an error when whoever answers does not speak TLS and its authorisation on TCP 11435, and two naive
// answerers send each other datagrams for ever; so every rule here keeps quiet in doubt. Pure.
#include "base/ip.hpp"
#include "base/time.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace herd::discovery {

struct Arrival;

/// Where Ollana's servers are called: hard-wired in its client.
inline constexpr std::uint16_t ollana_tcp_port = 11435;
/// Where its servers hear and answer.
inline constexpr std::uint16_t ollana_udp_port = 11436;

struct OllanaRules {
    bool answers{false};                  ///< an operator wants Ollana's clients served
    bool from_known_port{false};          ///< what we send leaves from UDP 11436: nobody answers that
    std::vector<base::Endpoint> secure{}; ///< listeners that speak TLS, as bound
    bool uses_servers{false};             ///< Ollana's servers become nodes: else a person is told of them
    bool routable{false};                 ///< there is a node to send a client's requests to
};

enum class OllanaVerdict : std::uint8_t {
    answer,     ///< send the same four bytes back
    server,     ///< that was no query: an Ollana server says that it is there
    off,        ///< silent: not wanted
    no_tls,     ///< silent: at that address nobody speaks TLS on TCP 11435
    no_node,    ///< silent: nothing to serve it with
    bad_source, ///< silent: a port or an address that no client has
    too_many,   ///< silent: answered enough in this second
};
inline constexpr std::size_t ollana_verdicts = 7;
[[nodiscard]] std::string_view to_string(OllanaVerdict verdict);

/// Thread: one owner.
class OllanaEar {
public:
    static constexpr std::size_t answers_a_second = 50;
    static constexpr std::size_t clients_told_max = 256;

    struct Heard {
        OllanaVerdict verdict{OllanaVerdict::off};
        bool tell{false}; ///< a hint is due in the log: once per client and hour
    };

    void set_rules(OllanaRules rules) { rules_ = std::move(rules); }
    void set_routable(bool routable) { rules_.routable = routable; }
    [[nodiscard]] const OllanaRules& rules() const { return rules_; }

    /// A datagram of exactly these four bytes came in.
    [[nodiscard]] Heard hear(base::Instant now, const Arrival& arrival);

    /// Until when a client that was answered may still be on its way to TCP 11435: one that finds it closed ends itself.
    [[nodiscard]] base::Instant expected_until() const;
    [[nodiscard]] std::uint64_t of(OllanaVerdict verdict) const { return counts_[static_cast<std::size_t>(verdict)]; }
    void each(const std::function<void(std::string_view result, std::uint64_t count)>& visit) const;

private:
    [[nodiscard]] OllanaVerdict judge(base::Instant now, const Arrival& arrival);
    [[nodiscard]] bool speaks_tls_at(const base::IpAddress& address) const;
    [[nodiscard]] bool tell(base::Instant now, const base::IpAddress& client);

    /// What passed in the last second: never more than `answers_a_second`, one per source.
    struct Second {
        std::deque<std::pair<base::Instant, base::IpAddress>> passed{};
        bool take(base::Instant now, const base::IpAddress& source);
    };
    OllanaRules rules_{};
    Second answered_{};
    Second servers_{};
    std::unordered_map<base::IpAddress, base::Instant> told_{};
    std::array<std::uint64_t, ollana_verdicts> counts_{};
};

/// What a person can do about a client that is not answered, or a server that is not used; empty where nothing is to be said.
[[nodiscard]] std::string_view ollana_hint(OllanaVerdict verdict);

} // namespace herd::discovery
