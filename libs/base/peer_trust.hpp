#pragma once
// How a peer behind TLS is recognised: a value that the rooms above hand on without knowing what TLS is.
#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace herd::base {

struct PeerTrust {
    std::string host{};    ///< name or address that its certificate must carry; a name is also told to the peer
    std::string ca_file{}; ///< who may have signed it; empty: whom this system trusts
    bool verify{true};     ///< false: any certificate will do
    /// SHA-256 of its certificate; then nothing else counts.
    std::optional<std::array<std::uint8_t, 32>> pin{};
    bool operator==(const PeerTrust&) const = default;
};

} // namespace herd::base
