#pragma once
// Identities. A node is its UUID; names are labels for people and never decide anything.
#include "base/random.hpp"
#include "base/time.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace herd::base {

/// 128-bit identity in RFC 9562 byte order. Nil means "nobody".
struct Uuid {
    std::array<std::uint8_t, 16> bytes{};

    [[nodiscard]] bool is_nil() const { return *this == Uuid{}; }
    /// The first 8 bytes, big endian: what HERDS and ECHO carry.
    [[nodiscard]] std::uint64_t prefix() const;
    /// "0f8fad5b-d9cb-469f-a165-70867728950e".
    [[nodiscard]] std::string text() const;
    auto operator<=>(const Uuid&) const = default;

    /// Accepts the canonical 36-character form, either case.
    [[nodiscard]] static std::optional<Uuid> parse(std::string_view text);
    /// Version 4 from `rng`.
    [[nodiscard]] static Uuid random(Rng& rng);
    /// Any 16 bytes marked as `version` (5 or 8): ids derived from a hash.
    [[nodiscard]] static Uuid from_hash(const std::array<std::uint8_t, 16>& bytes, int version);
};

using NodeId = Uuid;

/// Names an exchange in headers, logs and records: 15 characters of [0-9a-z], unique per process life. Later ones
/// sort behind earlier ones, so that an index over them grows at its end.
[[nodiscard]] std::string make_request_id(Rng& rng, WallTime at);

} // namespace herd::base

template <>
struct std::hash<herd::base::Uuid> {
    std::size_t operator()(const herd::base::Uuid& id) const noexcept { return static_cast<std::size_t>(id.prefix()); }
};
