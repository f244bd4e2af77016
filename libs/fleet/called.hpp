#pragma once
// Which nodes people mean by a name. Names are labels: of several nodes with one name the only one that is there is
// meant (a reinstalled box leaves its old entry for a day), else nobody, and the sentence tells their ids. The beginning
// of an id does in place of the whole; and so does a number behind the name, which each of several with one name has.
#include "fleet/snapshot.hpp"

#include <functional>
#include <optional>
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

/// "studio-2": the second of those called studio, in the order of their ids. Whoever comes or goes offline changes no
/// number; what a node is called by itself is nobody's number.
struct Numbered {
    std::string_view name{};
    std::size_t number{0};
};
/// Nothing: the word is not written so.
[[nodiscard]] std::optional<Numbered> parse_numbered(std::string_view word);
/// Which of `count` nodes called so it is, counted from 0. `is_name`: whether a node is called that by itself, in any case.
/// One alone needs no number and has none.
[[nodiscard]] std::optional<std::size_t> place_of(const Numbered& numbered, std::size_t count,
                                                  const std::function<bool(const std::string&)>& is_name);

/// What programs call each node, in the snapshot's order: its name; of several with one name the first that is there (else
/// the first) has it, and the others are told by their numbers. Snapshot::find() finds all of them but a name that several
/// bear who are there.
[[nodiscard]] std::vector<std::string> distinct_names(const Snapshot& snapshot);
/// As Snapshot::find(), else the one that distinct_names() calls so. For fields of programs that have read those.
[[nodiscard]] const NodeView* find_distinct(const Snapshot& snapshot, std::string_view name_or_id);

/// What Snapshot::find() finds `node` by: its name where that means it, else its id.
[[nodiscard]] std::string word_for(const Snapshot& snapshot, const NodeView& node);

/// Why Snapshot::find() found nobody: "no node is called x", "2 nodes are called x: use an id (…, …)".
[[nodiscard]] std::string why_nobody(const Snapshot& snapshot, std::string_view name_or_id);
/// `ids`: of all that are called so.
[[nodiscard]] std::string why_nobody(std::string_view name, const std::vector<NodeId>& ids);

} // namespace herd::fleet
