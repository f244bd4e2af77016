#pragma once
// `herd fleet-key`: the file with the fleet's keys, on the machine that herd runs on. A key is changed without losing a
// node in three steps, each of which the nodes have to follow before the next: another key is accepted (`add`), it is
// used (`rotate`), the old one is dropped (`remove`).
#include "cli/terminal.hpp"
#include "discovery/authenticator.hpp"
#include "herd/command_line.hpp"

#include <vector>

namespace herd::app {

/// Does `verb.words` to `verb.key_file`, then lets the herd at `verb.url` read it. Blocks. The exit code.
[[nodiscard]] int change_fleet_keys(const Verb& verb, const cli::Terminal& terminal);
/// What is wrong with the words; empty when nothing.
[[nodiscard]] std::string check_fleet_key_words(const std::vector<std::string>& words);

using KeyRing = std::vector<discovery::FleetKey>;
// What the steps do to a ring. Errors: bad_config, one sentence.
/// One more, not in use yet.
[[nodiscard]] base::Result<KeyRing> with_another(KeyRing ring, discovery::FleetKey key);
/// The key `id` comes into use; 0: the newest, that with the highest id.
[[nodiscard]] base::Result<KeyRing> with_first(KeyRing ring, std::uint8_t id);
[[nodiscard]] base::Result<KeyRing> without(KeyRing ring, std::uint8_t id);
/// An id that no key of the ring has, higher than all of them while there are such.
[[nodiscard]] std::uint8_t next_id(const KeyRing& ring);

} // namespace herd::app
