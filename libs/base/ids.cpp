#include "base/ids.hpp"

#include "base/request_id.hpp"
#include "base/text.hpp"

namespace herd::base {

namespace {
// Of a request's name.
constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::size_t of_time = 8; // 36^8 milliseconds end in 2059; then they begin anew
} // namespace

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
    constexpr std::string_view hex = "0123456789abcdef";
    std::string out(36, '-');
    std::size_t at = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        at += i == 4 || i == 6 || i == 8 || i == 10 ? 1U : 0U;
        out[at++] = hex[bytes[i] >> 4];
        out[at++] = hex[bytes[i] & 0x0F];
    }
    return out;
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

std::string make_request_id(Rng& rng, WallTime at)
{
    std::string id(15, '0'); // as many as a string holds without memory of its own: it is passed on a lot
    const auto write = [&id](std::size_t from, std::size_t to, std::uint64_t word) {
        for (std::size_t i = to; i > from; --i) {
            id[i - 1] = digits[word % digits.size()];
            word /= digits.size();
        }
    };
    write(0, of_time, static_cast<std::uint64_t>(at.time_since_epoch().count()) / 1000);
    write(of_time, id.size(), rng.next());
    return id;
}

WallTime time_of_request_id(std::string_view id)
{
    std::int64_t ms = 0;
    for (const char c : id.substr(0, of_time)) {
        const auto digit = digits.find(c);
        ms = ms * static_cast<std::int64_t>(digits.size()) + (digit == std::string_view::npos ? 0 : static_cast<std::int64_t>(digit));
    }
    return WallTime{std::chrono::milliseconds{ms}};
}

} // namespace herd::base
