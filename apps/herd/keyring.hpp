#pragma once
// The desktop's keyring, where there is one. libsecret is opened at run time, so that servers need not have it.
#include <string>

namespace herd::app {

/// The secret stored with service=ollama, username=api-key (by `secret-tool store`, for one); empty when there is none,
/// no libsecret, or no session bus to ask on. Blocks for the keyring.
[[nodiscard]] std::string keyring_cloud_key(const char* library = "libsecret-1.so.0");

} // namespace herd::app
