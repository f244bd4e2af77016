#pragma once
// The way to a peer through a proxy: HTTP's CONNECT (RFC 9110, 9.3.6) and SOCKS 5 (RFC 1928, 1929).
#include "base/error.hpp"
#include "base/peer_trust.hpp"
#include "http/parser.hpp"
#include "net/stream.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace herd::http {

/// What is said to a proxy until the way is open. Bytes in, bytes out; no I/O.
class TunnelTalk {
public:
    /// `tunnel` stays where it is as long as this lives.
    explicit TunnelTalk(const base::Tunnel& tunnel);

    /// To be sent next, once; empty: nothing, read on.
    [[nodiscard]] std::string to_send() { return std::exchange(to_send_, {}); }
    /// What the proxy said. True: the way is open. Errors: refused (the proxy says no, and why), malformed (that is
    /// no proxy of this kind, or it says more than it was asked, or than `heard_bytes_max` in all); retry is `always`,
    /// for nothing reached the peer.
    [[nodiscard]] base::Result<bool> take(std::string_view bytes);
    static constexpr std::uint32_t heard_bytes_max = 8 * 1024;

private:
    enum class Step : std::uint8_t { connect, method, password, way };
    [[nodiscard]] base::Result<bool> take_step(std::string_view bytes);
    [[nodiscard]] base::Result<bool> take_connect(std::string_view bytes);
    [[nodiscard]] base::Result<bool> take_method();
    [[nodiscard]] base::Result<bool> take_password();
    [[nodiscard]] base::Result<bool> take_way();
    void ask_way();
    [[nodiscard]] std::unexpected<base::Error> fail(base::Errc code, std::string_view why) const;

    const base::Tunnel& tunnel_;
    Step step_;
    std::string to_send_;
    std::size_t heard_bytes_{0}; ///< in all
    Parser parser_;              ///< of the answer to CONNECT, and of interim ones before it
    std::string heard_;          ///< of SOCKS, in this step
};

/// Asks the proxy at the other end of `stream` for the way; from then on the stream is the peer's.
/// Errors: those of TunnelTalk; closed, reset, timed_out (deadline), cancelled: retry is `always`.
/// `tunnel` stays where it is until then. Awaits: yes. Thread: the loop's.
[[nodiscard]] net::Task<base::Result<std::unique_ptr<net::Stream>>> open_tunnel(net::Loop& loop, std::unique_ptr<net::Stream> stream,
                                                                                const base::Tunnel& tunnel, base::Instant deadline);

} // namespace herd::http
