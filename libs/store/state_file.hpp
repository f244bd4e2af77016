#pragma once
// Small files that must survive a crash at any moment: read whole, written whole. A write goes to a temporary
// file beside the target, is fsynced and renamed over it, so a reader sees the old content or the new.
#include "base/error.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace herd::store {

/// Replaces `path` with `content`, mode 0600. Errors: io. Blocks for the disk. Thread: any, one writer per path.
[[nodiscard]] base::Result<void> write_state_file(const std::string& path, std::string_view content);

/// Errors: not_found, too_large (more than `bytes_max`), io. Blocks.
[[nodiscard]] base::Result<std::string> read_state_file(const std::string& path, std::size_t bytes_max);

/// The same for a file with a secret in it. Errors: bad_config: others may read it; or as above. The context is one sentence
/// with the system's reason in it.
[[nodiscard]] base::Result<std::string> read_secret_file(const std::string& path, std::size_t bytes_max);

/// Whether somebody else reads a secret that a group may share (the key of a certificate). Errors: as read_secret_file().
[[nodiscard]] base::Result<void> check_shared_secret_file(const std::string& path);

/// Renames a file that made no sense to `path`.bad, so that a person can look at it. Best effort.
void set_aside(const std::string& path);

} // namespace herd::store
