#pragma once
// How a peer is reached and recognised when a plain connection to its address is not all there is to it: a value
// that the rooms above hand on without knowing what TLS or a proxy is.
#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace herd::base {

/// A proxy on the way: the connection ends there, and it is asked to go on to the peer.
struct Tunnel {
    enum class Kind : std::uint8_t {
        connect, ///< HTTP's CONNECT
        socks5,  ///< RFC 1928; names are looked up by the proxy
    };
    Kind kind{Kind::connect};
    std::string host{}; ///< of the proxy: a name, or an address without brackets
    std::uint16_t port{0};
    std::string user{};     ///< empty: it asks for none
    std::string password{}; ///< a secret
    std::string to_host{};  ///< the peer, in the same way
    std::uint16_t to_port{0};
    bool operator==(const Tunnel&) const = default;
};

struct PeerTrust {
    std::string host{};    ///< name or address that its certificate must carry; a name is also told to the peer
    std::string ca_file{}; ///< who may have signed it; empty: whom this system trusts
    bool verify{true};     ///< false: any certificate will do
    /// SHA-256 of its certificate; then nothing else counts.
    std::optional<std::array<std::uint8_t, 32>> pin{};
    std::optional<Tunnel> tunnel{}; ///< none: the connection goes straight to the peer
    bool tls{true};                 ///< false: plain HTTP, and only `tunnel` counts
    bool operator==(const PeerTrust&) const = default;
};

} // namespace herd::base
