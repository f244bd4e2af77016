#pragma once
// Owner of the device book: devices.json, and what the relay loops are told of it. A change is answered when all of
// them have it, so who is disabled is refused from then on.
#include "herd/devices/device_book.hpp"
#include "herd/devices/ollana_servers.hpp"
#include "herd/keys/key_keeper.hpp"
#include "net/blocking.hpp"

#include <string>

namespace herd::app::devices {

struct DeviceOptions {
    bool clients{false}; ///< Ollana's clients are served
    ServerOptions servers{};
};

struct DeviceAnswer {
    int status{200};
    std::string body{}; ///< JSON
};

/// Thread: its loop, but for the tasks, which may be awaited on any loop.
class DeviceKeeper {
public:
    /// `loop` and `keys` outlive the keeper.
    DeviceKeeper(net::Loop& loop, keys::KeyKeeper& keys, std::string path, DeviceOptions options);

    /// At start, before anything is served; blocks.
    void load();
    /// Of a start or a reload; the keys are published afterwards by whoever does that.
    void set_options(const DeviceOptions& options);
    /// Ollana's servers, once there is a fleet to show them to. `network` outlives the keeper.
    void use_servers(net::Network& network, ServerHooks hooks);
    void server_heard(const base::IpAddress& address);
    [[nodiscard]] net::Task<void> stop();
    /// An id that is not allowed was shown.
    void knocked(const std::string& id, const base::IpAddress& from);

    [[nodiscard]] net::Task<DeviceAnswer> list(net::Loop& asker);
    [[nodiscard]] net::Task<DeviceAnswer> allow(net::Loop& asker, std::string which, std::string key);
    [[nodiscard]] net::Task<DeviceAnswer> disable(net::Loop& asker, std::string which);

private:
    /// What became of a change on the loop.
    struct Change {
        DeviceAnswer refused{}; ///< status 200: it was made
        std::string id{};
        keys::Published published{};
    };
    [[nodiscard]] Change do_allow(const std::string& which, const std::string& key);
    [[nodiscard]] Change do_disable(const std::string& which);
    [[nodiscard]] net::Task<DeviceAnswer> finish(net::Loop& asker, Change change, std::string_view what);
    [[nodiscard]] std::string view();
    [[nodiscard]] keys::Published publish();
    void ensure_own_id();
    void save_later();
    [[nodiscard]] base::Result<void> save_now();

    net::Loop& loop_;
    keys::KeyKeeper& keys_;
    std::string path_;
    DeviceOptions options_;
    DeviceBook book_;
    std::unique_ptr<OllanaServers> servers_; // null until there is a fleet
    net::Blocking disk_{"herd-devices", 64};
};

} // namespace herd::app::devices
