#pragma once
// The few cryptographic words of the house. OpenSSL is named in crypto.cpp alone.
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace herd::net {

using Digest = std::array<std::uint8_t, 32>;
using ByteView = std::span<const std::uint8_t>;

[[nodiscard]] inline ByteView bytes_of(std::string_view text)
{
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; // NOLINT: char and octet alias
}

/// Thread: any, for all of them.
[[nodiscard]] Digest sha256(ByteView bytes);
[[nodiscard]] Digest sha256(std::string_view text);
/// The same, piece by piece. Thread: one owner.
class Sha256 {
public:
    Sha256();
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;
    ~Sha256();
    void update(ByteView bytes);
    /// Once, at the end.
    [[nodiscard]] Digest finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Over `first` followed by `second`, without joining them. `key` may have any length.
[[nodiscard]] Digest hmac_sha256(ByteView key, ByteView first, ByteView second = {});
/// With padding, in one line.
[[nodiscard]] std::string base64(ByteView bytes);
/// Takes the same time wherever the difference is. Different lengths are different.
[[nodiscard]] bool constant_time_equal(ByteView a, ByteView b);
/// From the operating system's generator: fit for keys and nonces. Aborts when there is none.
void random_bytes(std::span<std::uint8_t> out);

} // namespace herd::net
