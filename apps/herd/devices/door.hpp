#pragma once
// The door for Ollana's clients (lana.md 12.6 A3 to A5), and the admin routes behind `herd device`.
#include "herd/devices/device_keeper.hpp"
#include "http/server.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace herd::app::devices {

enum class Door : std::uint8_t {
    elsewhere, ///< goes on like any other request
    version,   ///< GET /api/version: answered here, whoever asks, always
    welcome,   ///< the handshake of a device that is allowed: 200 and our id
    refused,   ///< exactly 401
};
/// Pure. Requires: access.serves_devices().
[[nodiscard]] Door judge_door(const http::RequestHead& head, const proxy::Access& access, base::WallTime now);

[[nodiscard]] bool is_handshake(const http::RequestHead& head);

/// The id that a request shows; empty: none, or several.
[[nodiscard]] std::string shown_id(const http::RequestHead& head);

/// Answers what does not go elsewhere.
[[nodiscard]] net::Task<void> answer_door(http::ServerExchange& exchange, Door door, std::string own_id, std::string version_body);

/// Thread: its relay loop. The gate has judged before.
class DevicesApi {
public:
    explicit DevicesApi(DeviceKeeper& keeper) : keeper_(keeper) {}
    [[nodiscard]] static bool owns(std::string_view path);
    [[nodiscard]] net::Task<void> handle(http::ServerExchange& exchange);

private:
    net::Task<DeviceAnswer> answer(http::ServerExchange& exchange);

    DeviceKeeper& keeper_;
};

} // namespace herd::app::devices
