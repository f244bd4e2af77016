#pragma once
// `herd use NODE`, as people are told of it: who wonders why healthy nodes get nothing learns it where he looks. Pure.
#include "fleet/snapshot.hpp"
#include "proxy/frontend.hpp"

#include <string>

namespace herd::proxy {

/// "everything is sent to box1 (`herd use`)"; empty: the frontend (null: none) is switched to no node.
[[nodiscard]] std::string sent_words(const Frontend* frontend, const fleet::Snapshot& snapshot);

/// Nothing but that keeps this node from being one of the frontend's.
[[nodiscard]] bool is_passed_by(const Frontend& frontend, const fleet::NodeView& node);

} // namespace herd::proxy
