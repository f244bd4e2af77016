#pragma once
// devices.json: our own device id for Ollana, whom people allowed, and which Ollana servers were approved. The ids are
// bearer secrets: the file is 0600.
#include "base/error.hpp"
#include "base/ip.hpp"
#include "base/time.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::store {

inline constexpr std::size_t device_id_digits = 64;
inline constexpr std::size_t devices_max = 4096;
inline constexpr std::size_t ollana_servers_max = 256;

/// 64 lower-case hexadecimal digits, as Ollana makes them.
[[nodiscard]] bool is_device_id(std::string_view text);

struct AllowedDevice {
    std::string id{};
    std::string key_id{}; ///< the API key that it acts as; empty: none
    std::string pin{};    ///< of a server: SHA-256 of the certificate that was approved, 64 hexadecimal digits; empty: not seen yet
    base::WallTime since{};
    bool operator==(const AllowedDevice&) const = default;
};

/// An Ollana server that was in use, so that it is there again before it is heard.
struct KnownServer {
    base::IpAddress address{};
    std::string device{};
    bool operator==(const KnownServer&) const = default;
};

struct DeviceState {
    std::string own_id{}; ///< empty: not made yet
    std::vector<AllowedDevice> allowed{};
    std::vector<KnownServer> servers{};
    bool operator==(const DeviceState&) const = default;
};

/// Errors: malformed, one phrase.
[[nodiscard]] base::Result<DeviceState> parse_device_state(std::string_view json);
[[nodiscard]] std::string to_json(const DeviceState& state);

struct LoadedDeviceState {
    DeviceState state{};
    std::string warning{}; ///< one sentence; empty when all is well
};
/// Never fails: a file that makes no sense is set aside, and nobody is allowed. Blocks.
[[nodiscard]] LoadedDeviceState load_device_state(const std::string& path);
/// Errors: io. Blocks.
[[nodiscard]] base::Result<void> save_device_state(const std::string& path, const DeviceState& state);

} // namespace herd::store
