#include "base/ids.hpp"

#include "base/text.hpp"

namespace herd::base {

std::uint64_t Uuid::prefix() const
{
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        value = (value << 8) | bytes[i];
    }
    return value;
}

std::string Uuid::text() const
{
    const std::string hex = to_hex(bytes);
    return hex.substr(0, 8) + '-' + hex.substr(8, 4) + '-' + hex.substr(12, 4) + '-' + hex.substr(16, 4) + '-'
        + hex.substr(20);
}

std::optional<Uuid> Uuid::parse(std::string_view text)
{
    if (text.size() != 36) {
        return std::nullopt;
    }
    std::string hex;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (text[i] == '-')) {
            return std::nullopt;
        }
        if (!dash) {
            hex += text[i];
        }
    }
    Uuid id;
    if (!from_hex(hex, id.bytes)) {
        return std::nullopt;
    }
    return id;
}

Uuid Uuid::random(Rng& rng)
{
    std::array<std::uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < 16; i += 8) {
        std::uint64_t word = rng.next();
        for (std::size_t j = 0; j < 8; ++j, word >>= 8) {
            bytes[i + j] = static_cast<std::uint8_t>(word);
        }
    }
    return from_hash(bytes, 4);
}

Uuid Uuid::from_hash(const std::array<std::uint8_t, 16>& bytes, int version)
{
    Uuid id{bytes};
    id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0F) | (version << 4));
    id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3F) | 0x80);
    return id;
}

std::string make_request_id(Rng& rng)
{
    constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuvwxyz";
    std::string id(16, '0');
    std::uint64_t word = rng.next();
    for (std::size_t i = 0; i < id.size(); ++i) {
        if (i == 8) {
            word = rng.next();
        }
        id[i] = digits[word % digits.size()];
        word /= digits.size();
    }
    return id;
}

} // namespace herd::base
