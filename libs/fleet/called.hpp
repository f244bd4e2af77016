#pragma once
// Which nodes people mean by a name. Names are labels: of several nodes with one name the only one that is there is
// meant (a reinstalled box leaves its old entry for a day), else nobody, and the sentence tells their ids. The beginning
// of an id does in place of the whole.
#include "fleet/snapshot.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::fleet {

/// Of an id, where people read it.
inline constexpr std::size_t short_id_length = 8;

/// Not offline, unreachable or yet to be seen.
[[nodiscard]] constexpr bool is_there(NodeState state)
{
    return state == NodeState::online || state == NodeState::suspect || state == NodeState::draining;
}

/// Long enough to be no name by chance, and nothing but what an id is written with.
[[nodiscard]] bool may_begin_id(std::string_view text);

/// What Snapshot::find() finds `node` by: its name where that means it, else its id.
[[nodiscard]] std::string word_for(const Snapshot& snapshot, const NodeView& node);

/// Why Snapshot::find() found nobody: "no node is called x", "2 nodes are called x: use an id (…, …)".
[[nodiscard]] std::string why_nobody(const Snapshot& snapshot, std::string_view name_or_id);
/// `ids`: of all that are called so.
[[nodiscard]] std::string why_nobody(std::string_view name, const std::vector<NodeId>& ids);

} // namespace herd::fleet
