#pragma once
// Ollana servers as nodes (lana.md 12.6 B): what is known of each, when it is asked again, and what must be done before
// it gets work. Values in, values out: its keeper knocks and shows the result to the fleet.
#include "base/time.hpp"
#include "herd/devices/device_book.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace herd::app::devices {

/// How a handshake ended.
struct Handshake {
    enum class End : std::uint8_t {
        welcome,      ///< 200 with its id
        unauthorized, ///< 401: it does not know us yet
        stranger,     ///< the certificate is not the pinned one: our id was not sent
        plain,        ///< no TLS, but an Ollama behind plain HTTP: Ollana before 0.4.1
        odd,          ///< an answer that no Ollana gives
        unreachable,
    };
    End end{End::unreachable};
    std::string device{};      ///< its id, with `welcome`
    std::string certificate{}; ///< SHA-256 in hexadecimal, where TLS came about
    std::string why{};         ///< of the last two
};

enum class ServerState : std::uint8_t {
    fresh,          ///< heard, not asked yet
    awaiting_there, ///< it must allow us
    awaiting_here,  ///< a human must allow its id here
    changed,        ///< its certificate is another than the one that was approved
    plain,          ///< too old to know approval
    odd,
    unreachable,
    approved,
};
[[nodiscard]] std::string_view to_string(ServerState state);

struct OllanaServer {
    ServerState state{ServerState::fresh};
    std::string device{};      ///< as it last said
    std::string certificate{}; ///< as it last showed
    std::string why{};
    std::optional<base::Instant> heard_at{}; ///< nothing: known from before, not heard yet
    base::Instant next_try{};
    base::Duration pause{};    ///< before the next try, doubled each time
    bool asking{false};
};

/// Thread: one owner.
class ServerBook {
public:
    /// It said that it is there. False: it was known, or there is no room.
    bool heard(const base::IpAddress& address, base::Instant now);
    /// Approved before a restart.
    void recall(const store::KnownServer& server, const DeviceBook& devices, base::Instant now);
    /// Those to be asked now; each is out until concluded().
    [[nodiscard]] std::vector<base::IpAddress> due(base::Instant now);
    [[nodiscard]] std::optional<base::Instant> next_deadline() const;
    /// The certificate that it must show, or our id is not sent; empty: any.
    [[nodiscard]] std::string pin_of(const base::IpAddress& address, const DeviceBook& devices) const;
    /// Judges what came of it. The first certificate of a server that was allowed is pinned in `devices`.
    /// True: `devices` changed.
    bool concluded(const base::IpAddress& address, const Handshake& handshake, DeviceBook& devices, base::Instant now);

    /// Why that id cannot be allowed: two servers show it with different certificates. Empty: it can.
    [[nodiscard]] std::string conflict(const std::string& id) const;
    /// A human allowed that id: the certificate shown by the server that waits with it is the approved one.
    /// Requires: no conflict().
    void approve(const std::string& id, DeviceBook& devices, base::Instant now);
    /// Approvals were taken back: what is not allowed any more waits again.
    void settle(const DeviceBook& devices);
    /// Those that fell silent before they were ever of use are forgotten; their addresses.
    [[nodiscard]] std::vector<base::IpAddress> forget_silent(base::Instant now);

    [[nodiscard]] const std::map<base::IpAddress, OllanaServer>& all() const { return servers_; }
    /// Ids that servers showed, for naming one by its beginning.
    [[nodiscard]] std::vector<std::string> ids() const;
    /// What devices.json keeps.
    [[nodiscard]] std::vector<store::KnownServer> approved() const;

private:
    std::map<base::IpAddress, OllanaServer> servers_{};
};

/// What a person must do before it gets work; empty: nothing. `own_id` empty: for those who may not see it.
[[nodiscard]] std::string awaiting(const OllanaServer& server, const std::string& own_id);
/// [{address, state, device, certificate, advice}]
[[nodiscard]] std::string servers_json(const ServerBook& book, const std::string& own_id);

} // namespace herd::app::devices
