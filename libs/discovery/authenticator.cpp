#include "discovery/authenticator.hpp"

#include "base/text.hpp"
#include "net/crypto.hpp"

#include <algorithm>

namespace herd::discovery {

namespace {

constexpr std::string_view mac_label = "herd/lana/v1/mac";
constexpr std::string_view http_label = "herd/lana/v1/http";
constexpr std::string_view proof_label = "herd/lana/v1/proof";
constexpr std::size_t secret_bytes_min = 16;
constexpr std::size_t secret_bytes_max = 256;

} // namespace

std::string_view to_string(AuthMode mode)
{
    switch (mode) {
    case AuthMode::off: return "off";
    case AuthMode::permissive: return "permissive";
    case AuthMode::require: return "require";
    }
    return "unknown";
}

base::Result<Authenticator> Authenticator::make(AuthMode mode, const std::vector<FleetKey>& keys)
{
    if (mode != AuthMode::off && keys.empty()) {
        return base::fail(base::Errc::bad_config, "keyed discovery needs a fleet key: make one with `herd fleet-key new`");
    }
    if (keys.size() > key_ring_limit) {
        return base::fail(base::Errc::bad_config, "at most 8 fleet keys can be in use at once");
    }
    Authenticator result;
    result.mode_ = mode;
    if (mode == AuthMode::off) {
        return result;
    }
    for (const FleetKey& key : keys) {
        const std::string name = "fleet key " + std::to_string(key.id);
        if (key.id == 0) {
            return base::fail(base::Errc::bad_config, "a fleet key's id is 1 to 255");
        }
        if (std::ranges::find(result.ring_, key.id, &Ring::id) != result.ring_.end()) {
            return base::fail(base::Errc::bad_config, name + " is there twice");
        }
        if (key.secret.size() < secret_bytes_min || key.secret.size() > secret_bytes_max) {
            return base::fail(base::Errc::bad_config, name + " must be 16 to 256 bytes long");
        }
        result.ring_.push_back({key.id, net::hmac_sha256(key.secret, net::bytes_of(mac_label)),
                                net::hmac_sha256(key.secret, net::bytes_of(http_label)),
                                net::hmac_sha256(key.secret, net::bytes_of(proof_label))});
    }
    return result;
}

Octets Authenticator::sealed(Header header, const Body& body) const
{
    header.key_id = primary();
    Octets bytes = encode(header, body);
    if (header.key_id != 0) {
        const std::size_t covered = bytes.size() - mac_bytes;
        const auto mac = net::hmac_sha256(ring_.front().mac_key, ByteView(bytes).first(covered));
        std::ranges::copy(mac, bytes.begin() + static_cast<std::ptrdiff_t>(covered));
    }
    return bytes;
}

std::expected<bool, Drop> Authenticator::check(const ParsedHeader& parsed, ByteView bytes) const
{
    const std::uint8_t id = parsed.header.key_id;
    if (id == 0) {
        if (mode_ == AuthMode::require) {
            return std::unexpected(Drop::unauthenticated);
        }
        return false;
    }
    const auto key = std::ranges::find(ring_, id, &Ring::id);
    if (key == ring_.end()) {
        return std::unexpected(Drop::bad_key);
    }
    const auto mac = net::hmac_sha256(key->mac_key, bytes.first(parsed.body_end));
    if (!net::constant_time_equal(mac, bytes.subspan(parsed.body_end))) {
        return std::unexpected(Drop::bad_mac);
    }
    return true;
}

std::string Authenticator::http_mac(const HttpNonce& nonce, std::string_view body) const
{
    if (ring_.empty()) {
        return {};
    }
    return base::to_hex(net::hmac_sha256(ring_.front().http_key, nonce, net::bytes_of(body)));
}

bool Authenticator::http_check(const HttpNonce& nonce, std::string_view body, std::string_view hex) const
{
    Digest given{};
    if (!base::from_hex(hex, given)) {
        return false;
    }
    return std::ranges::any_of(ring_, [&](const Ring& key) {
        return net::constant_time_equal(net::hmac_sha256(key.http_key, nonce, net::bytes_of(body)), given);
    });
}

std::optional<std::array<std::uint8_t, 32>> Authenticator::proof_mac(ByteView subject) const
{
    return ring_.empty() ? std::nullopt : std::optional{net::hmac_sha256(ring_.front().proof_key, subject)};
}

bool Authenticator::proof_check(ByteView subject, ByteView mac) const
{
    return std::ranges::any_of(ring_, [&](const Ring& key) {
        return net::constant_time_equal(net::hmac_sha256(key.proof_key, subject), mac);
    });
}

bool Authenticator::is_part_of(const Authenticator& other) const
{
    return std::ranges::all_of(ring_, [&](const Ring& key) {
        const auto same = std::ranges::find(other.ring_, key.id, &Ring::id);
        return same != other.ring_.end() && net::constant_time_equal(same->mac_key, key.mac_key);
    });
}

std::vector<std::uint8_t> Authenticator::key_ids() const
{
    std::vector<std::uint8_t> ids;
    for (const Ring& key : ring_) {
        ids.push_back(key.id);
    }
    return ids;
}

base::Result<std::vector<FleetKey>> parse_fleet_keys(std::string_view text)
{
    std::vector<FleetKey> keys;
    int line_number = 0;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        ++line_number;
        line = base::trim(line.substr(0, std::min(line.find('#'), line.size())));
        if (line.empty()) {
            continue;
        }
        const std::string where = "fleet key file, line " + std::to_string(line_number) + ": ";
        FleetKey key;
        key.id = static_cast<std::uint8_t>(keys.size() + 1);
        if (const auto space = line.find_first_of(" \t"); space != std::string_view::npos) {
            const auto id = base::parse_unsigned(line.substr(0, space));
            if (!id || *id == 0 || *id > 255) {
                return base::fail(base::Errc::bad_config, where + "a key's id is 1 to 255");
            }
            key.id = static_cast<std::uint8_t>(*id);
            line = base::trim(line.substr(space));
        }
        key.secret.resize(line.size() / 2);
        if (!base::from_hex(line, key.secret) || key.secret.size() < secret_bytes_min
            || key.secret.size() > secret_bytes_max) {
            return base::fail(base::Errc::bad_config, where + "expected `[ID] KEY` with a key of 32 to 512 hex digits");
        }
        keys.push_back(std::move(key));
        if (keys.size() > key_ring_limit) {
            return base::fail(base::Errc::bad_config, where + "at most 8 keys");
        }
    }
    if (keys.empty()) {
        return base::fail(base::Errc::bad_config, "the fleet key file holds no key: make one with `herd fleet-key new`");
    }
    return keys;
}

std::string format_fleet_keys(const std::vector<FleetKey>& keys)
{
    std::string text = "# The fleet's key, and others that are accepted beside it: ID KEY, the first is in use.\n";
    for (const FleetKey& key : keys) {
        text += std::to_string(key.id) + ' ' + base::to_hex(key.secret) + '\n';
    }
    return text;
}

std::string make_fleet_key_line(std::uint8_t id)
{
    std::array<std::uint8_t, 32> secret{};
    net::random_bytes(secret);
    return std::to_string(id) + ' ' + base::to_hex(secret) + '\n';
}

HttpNonce make_http_nonce()
{
    HttpNonce nonce{};
    net::random_bytes(nonce);
    return nonce;
}

std::string nonce_text(const HttpNonce& nonce) { return base::to_hex(nonce); }

std::optional<HttpNonce> parse_nonce(std::string_view hex)
{
    HttpNonce nonce{};
    if (!base::from_hex(hex, nonce)) {
        return std::nullopt;
    }
    return nonce;
}

} // namespace herd::discovery
