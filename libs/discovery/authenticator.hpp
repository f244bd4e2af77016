#pragma once
// Fleet membership by a shared key (lana.md 5): HMAC-SHA256 over datagrams and over the answer that
// confirms a node. It proves membership, not which member, and hides nothing.
#include "base/error.hpp"
#include "discovery/datagram.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace herd::discovery {

/// off: no key. permissive: with and without a MAC, the latter marked. require: only with a valid MAC.
enum class AuthMode : std::uint8_t { off, permissive, require };
[[nodiscard]] std::string_view to_string(AuthMode mode);

struct FleetKey {
    std::uint8_t id{1}; ///< 1..255, sent as key_id
    Octets secret{};    ///< at least 16 bytes
};

inline constexpr std::size_t key_ring_limit = 8;
inline constexpr std::size_t fleet_key_file_bytes_max = 64 * 1024;
using HttpNonce = std::array<std::uint8_t, 16>;

/// Immutable; make a new one to rotate keys.  Thread: any.
class Authenticator {
public:
    /// Mode off, no keys.
    Authenticator() = default;
    /// The first key is the primary: we sign with it and accept all of them.
    /// Errors: bad_config (short key, id 0 or twice, more than 8, `permissive`/`require` without a key).
    [[nodiscard]] static base::Result<Authenticator> make(AuthMode mode, const std::vector<FleetKey>& keys);

    [[nodiscard]] AuthMode mode() const { return mode_; }
    /// What to put into Header::key_id when sending: 0 without a key.
    [[nodiscard]] std::uint8_t primary() const { return ring_.empty() ? std::uint8_t{0} : ring_.front().id; }

    /// encode() and, when there is a key, the MAC.
    [[nodiscard]] Octets sealed(Header header, const Body& body) const;

    /// Rule 7 without the source: true = valid MAC, false = no MAC and that is acceptable here.
    /// Errors: bad_key, bad_mac, unauthenticated.
    [[nodiscard]] std::expected<bool, Drop> check(const ParsedHeader& parsed, ByteView bytes) const;

    /// Herd-MAC of an HTTP answer: HMAC-SHA256(http_key, nonce ‖ body) as 64 hex digits, by the primary key.
    /// Empty without a key.
    [[nodiscard]] std::string http_mac(const HttpNonce& nonce, std::string_view body) const;
    /// True when any key of the ring made `hex`.
    [[nodiscard]] bool http_check(const HttpNonce& nonce, std::string_view body, std::string_view hex) const;

    /// The MAC of a herd's proof (proof.hpp), by the primary key; nothing without a key.
    [[nodiscard]] std::optional<std::array<std::uint8_t, 32>> proof_mac(ByteView subject) const;
    [[nodiscard]] bool proof_check(ByteView subject, ByteView mac) const;
    /// Whether each key of this ring is in `other` too.
    [[nodiscard]] bool is_part_of(const Authenticator& other) const;
    /// The ids of the ring, the primary first.
    [[nodiscard]] std::vector<std::uint8_t> key_ids() const;

private:
    using Digest = std::array<std::uint8_t, 32>;
    struct Ring {
        std::uint8_t id{0};
        Digest mac_key{};
        Digest http_key{};
        Digest proof_key{};
    };
    AuthMode mode_{AuthMode::off};
    std::vector<Ring> ring_{};
};

/// The text of a fleet key file: one key per line, "[ID] HEX" (id by position when left out, first line =
/// primary), '#' begins a comment. Errors: bad_config naming the line; the key itself is never repeated.
[[nodiscard]] base::Result<std::vector<FleetKey>> parse_fleet_keys(std::string_view text);
/// Such a text, for parse_fleet_keys().
[[nodiscard]] std::string format_fleet_keys(const std::vector<FleetKey>& keys);
/// One line of such a file with a fresh random key of 32 bytes.
[[nodiscard]] std::string make_fleet_key_line(std::uint8_t id);

/// "Herd-Nonce: <32 hex>" in both directions.
[[nodiscard]] HttpNonce make_http_nonce();
[[nodiscard]] std::string nonce_text(const HttpNonce& nonce);
[[nodiscard]] std::optional<HttpNonce> parse_nonce(std::string_view hex);

} // namespace herd::discovery
