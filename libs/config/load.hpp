#pragma once
// Everything at once, in the order that gives precedence: file, then environment, then flags.
#include "base/time.hpp"
#include "config/sources.hpp"

#include <optional>

namespace herd::config {

struct Loaded {
    std::string file{};               ///< the file read; empty: none
    std::optional<base::WallTime> written{}; ///< when that was last written
    std::vector<std::string> words{}; ///< what is not a flag
    bool help{false};                 ///< when set, nothing else was looked at
    bool version{false};
};

/// The table needs a text row with the key `config` (not in the file) when it has a file at all. Without that
/// flag the first existing file of `candidates` is read; none of them is fine. Relative paths start at
/// `directory`: a daemon that reloads no longer stands where it was started.
/// Errors: bad_config, one sentence.
[[nodiscard]] Result<Loaded> load(Table& table, const std::vector<std::string>& arguments,
                                  const Environment& environment, const std::vector<std::string>& candidates,
                                  const std::string& directory);

/// ./NAME.toml, $XDG_CONFIG_HOME/herd/NAME.toml (or ~/.config/…), /etc/herd/NAME.toml.
[[nodiscard]] std::vector<std::string> file_candidates(std::string_view name, const Environment& environment);

/// Where a program keeps what must survive it, unless told: $STATE_DIRECTORY (systemd's), else /var/lib/herd
/// when that is root's to write, else $XDG_STATE_HOME/herd or ~/.local/state/herd.
[[nodiscard]] std::string default_state_dir(const Environment& environment);

/// Makes `path` and its missing parents, the last one 0700. Errors: io ("cannot make …: Permission denied").
[[nodiscard]] Result<void> make_private_dir(const std::string& path);

/// Where this process stands now.
[[nodiscard]] std::string current_directory();
/// `path` as seen from `directory`. Empty stays empty.
[[nodiscard]] std::string absolute_path(const std::string& path, const std::string& directory);

} // namespace herd::config
