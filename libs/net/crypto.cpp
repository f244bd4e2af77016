#include "net/crypto.hpp"

#include "base/assert.hpp"

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

namespace herd::net {

namespace {

constexpr std::size_t block_bytes = 64;

// HMAC by its definition (RFC 2104) over SHA-256. OpenSSL 3's one-shot HMAC() fetches the algorithm anew on
// each call and cannot join two pieces; this is shorter than its replacement and several times faster.
// SHA256_* are deprecated in OpenSSL 3 in favour of EVP, whose context allocation dominates at 264 bytes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
class Hash {
public:
    Hash() { HERD_ASSERT(::SHA256_Init(&context_) == 1); }
    void add(ByteView bytes) { HERD_ASSERT(::SHA256_Update(&context_, bytes.data(), bytes.size()) == 1); }
    Digest end()
    {
        Digest digest{};
        HERD_ASSERT(::SHA256_Final(digest.data(), &context_) == 1);
        return digest;
    }

private:
    ::SHA256_CTX context_{};
};
#pragma GCC diagnostic pop

} // namespace

Digest sha256(ByteView bytes)
{
    Hash hash;
    hash.add(bytes);
    return hash.end();
}

Digest sha256(std::string_view text) { return sha256(bytes_of(text)); }

Digest hmac_sha256(ByteView key, ByteView first, ByteView second)
{
    std::array<std::uint8_t, block_bytes> block{};
    if (key.size() > block.size()) {
        std::ranges::copy(sha256(key), block.begin());
    } else {
        std::ranges::copy(key, block.begin());
    }
    std::array<std::uint8_t, block_bytes> pad{};
    std::ranges::transform(block, pad.begin(), [](std::uint8_t b) { return static_cast<std::uint8_t>(b ^ 0x36); });
    Hash inner;
    inner.add(pad);
    inner.add(first);
    inner.add(second);
    const Digest middle = inner.end();
    std::ranges::transform(block, pad.begin(), [](std::uint8_t b) { return static_cast<std::uint8_t>(b ^ 0x5C); });
    Hash outer;
    outer.add(pad);
    outer.add(middle);
    const Digest result = outer.end();
    ::OPENSSL_cleanse(block.data(), block.size());
    ::OPENSSL_cleanse(pad.data(), pad.size());
    return result;
}

std::string base64(ByteView bytes)
{
    std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0'); // one more: OpenSSL ends it as C does
    const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(), static_cast<int>(bytes.size())); // NOLINT
    text.resize(static_cast<std::size_t>(size));
    return text;
}

bool constant_time_equal(ByteView a, ByteView b)
{
    return a.size() == b.size() && ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void random_bytes(std::span<std::uint8_t> out)
{
    HERD_ASSERT(::RAND_bytes(out.data(), static_cast<int>(out.size())) == 1);
}

struct Sha256::State {
    Hash hash;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
void Sha256::update(ByteView bytes) { state_->hash.add(bytes); }
Digest Sha256::finish() { return state_->hash.end(); }

} // namespace herd::net
