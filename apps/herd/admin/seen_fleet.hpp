#pragma once
// What of the fleet somebody may see. Pure.
#include "fleet/snapshot.hpp"
#include "proxy/access.hpp"
#include "proxy/proxy.hpp"

#include <memory>

namespace herd::app::admin {

/// A key for certain frontends sees the nodes of these, and the models there; everybody else sees all. `key` may be null.
[[nodiscard]] std::shared_ptr<const fleet::Snapshot> seen_by(std::shared_ptr<const fleet::Snapshot> all, const proxy::Key* key,
                                                             const proxy::ProxyOptions& options);

} // namespace herd::app::admin
