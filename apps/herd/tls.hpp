#pragma once
// The certificate of herd's listeners: from files, or of its own making.
#include "herd/options.hpp"
#include "net/tls.hpp"

#include <memory>

namespace herd::app {

/// Null when TLS is off. Blocks for the disk. Errors: bad_config, io: one sentence.
[[nodiscard]] base::Result<std::shared_ptr<const net::TlsContext>> listener_tls(const HerdOptions& options);

} // namespace herd::app
