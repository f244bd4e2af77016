#pragma once
// How OpenSSL reads and writes a Stream: a BIO that only tries. Internal to the room.
#include "net/stream.hpp"

#include <memory>
#include <string>
#include <system_error>

struct bio_st; // OpenSSL's BIO

namespace herd::net {

/// What the BIO works with.
struct Below {
    std::unique_ptr<Stream> stream{};
    std::string early{};     ///< bytes that were read before TLS began
    std::error_code cause{}; ///< of the last failure
    bool dry{false};         ///< the last read took all there was
    bool ended{false};
};

/// A BIO over `below`, which outlives it. The caller owns it. A try that would wait sets OpenSSL's retry flags.
[[nodiscard]] ::bio_st* make_bio(Below& below);

} // namespace herd::net
