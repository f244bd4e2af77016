#pragma once
// The certificate that a program of ours made for itself: once, then kept, so that it can be pinned.
#include "base/error.hpp"
#include "base/time.hpp"

#include <string>

namespace herd::store {

struct OwnCertificate {
    std::string certificate_file{}; ///< PEM
    std::string key_file{};         ///< PEM, mode 0600
};

/// `tls-cert.pem` and `tls-key.pem` in `state_dir`, made when both are absent: for this host's name and addresses.
/// What is there and cannot be read is never replaced: others may rely on it. Blocks. Errors: io, bad_config.
[[nodiscard]] base::Result<OwnCertificate> own_certificate(const std::string& state_dir, base::WallTime now);

} // namespace herd::store
