#pragma once
// The TLVs of a datagram (lana.md 2.2), read into one struct and written in the order of the golden vectors.
#include "discovery/datagram.hpp"
#include "discovery/internal/octets.hpp"

#include <expected>
#include <optional>
#include <string>

namespace herd::discovery::internal {

inline constexpr std::size_t gpu_limit = 16;
inline constexpr std::size_t model_limit = 24;
inline constexpr std::size_t address_limit = 4;
inline constexpr std::size_t herd_limit = 8;

/// Every TLV a datagram may carry; which of them its type needs is judged afterwards.
struct Fields {
    Announce announce{};
    std::optional<Agent> agent{};
    std::optional<std::uint64_t> nonce{};
    std::optional<Ack> ack{};
    std::optional<Beacon> herdinfo{};
    std::optional<Leave> reason{};
};

/// Rule 9 but for what is missing. Errors: bad_tlv, unknown_critical.
[[nodiscard]] std::expected<Fields, Drop> walk(ByteView tlvs);

/// Empty when `value` is not UTF-8 or holds control characters: it is left out, and that alone (rule 9).
[[nodiscard]] std::string clean_text(ByteView value);

void write(Writer& out, const Announce& announce);
void write(Writer& out, const Beacon& beacon);
void write(Writer& out, const Ack& ack);
void write(Writer& out, const Leave& leave);

} // namespace herd::discovery::internal
