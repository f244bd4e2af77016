#pragma once
// Whether models that are to stay loaded can be in a node's memory together. An estimate: weights and the cache of the
// context, in the memory that will hold them. Pure.
// Source: reference/parity.md 2.3 (`POST /fleet/pin`), 2.9.
#include "fleet/snapshot.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace herd::app::pins {

/// Bytes that the model takes, or would take, in that node's memory: as loaded there now, else from its size, the
/// context (0: what the node has by default) and the slots. 0: the node does not have it, or does not tell its size.
[[nodiscard]] base::Bytes resident_bytes(const fleet::NodeFacts& facts, const std::string& key, int num_ctx = 0);

/// Where models go, as far as it is known to be free.
[[nodiscard]] base::Bytes free_bytes(const fleet::NodeFacts& facts);

/// They do not fit together.
struct Shortage {
    std::string node{};
    base::Bytes requested{0};
    base::Bytes pinned{0};  ///< by those that are pinned there already
    base::Bytes budget{0};  ///< what they all may take
    base::Bytes total{0};   ///< memory of the node: VRAM, or RAM without a GPU
    std::vector<std::pair<std::string, base::Bytes>> others{}; ///< display name and size of each pinned there
    std::string why{};      ///< one sentence
};

/// Whether the node has room for `key` beside the models `pinned`, whose keys are given. Nothing: it has, or does not
/// tell how much memory it has; or the model is in memory already, which proves it.
[[nodiscard]] std::optional<Shortage> shortage(const fleet::NodeView& node, const std::string& key, const std::vector<std::string>& pinned);

} // namespace herd::app::pins
