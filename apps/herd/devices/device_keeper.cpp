#include "herd/devices/device_keeper.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "herd/admin/views.hpp"
#include "herd/on_loop.hpp"

namespace herd::app::devices {

namespace {

/// Enough to tell devices apart in a log, and of no use to who reads it.
std::string short_id(const std::string& id) { return id.substr(0, prefix_digits_min); }

} // namespace

DeviceKeeper::DeviceKeeper(net::Loop& loop, keys::KeyKeeper& keys, std::string path, DeviceOptions options)
    : loop_(loop), keys_(keys), path_(std::move(path)), options_(options)
{
}

void DeviceKeeper::load()
{
    auto loaded = store::load_device_state(path_);
    if (!loaded.warning.empty()) {
        log::warn("devices", "devices_not_read", {{"what", loaded.warning}});
    }
    book_ = DeviceBook(std::move(loaded.state));
    set_options(options_);
}

void DeviceKeeper::set_options(const DeviceOptions& options)
{
    options_ = options;
    if (options_.clients || options_.servers.enabled) {
        ensure_own_id();
    }
    (void)publish();
    if (servers_) {
        servers_->set_options(options_.servers);
    }
}

void DeviceKeeper::use_servers(net::Network& network, ServerHooks hooks)
{
    hooks.changed = [this] { save_later(); };
    servers_ = std::make_unique<OllanaServers>(loop_, network, book_, options_.servers, std::move(hooks));
    servers_->recall();
}

void DeviceKeeper::server_heard(const base::IpAddress& address)
{
    if (servers_) {
        servers_->heard(address);
    }
}

net::Task<void> DeviceKeeper::stop()
{
    if (servers_) {
        co_await servers_->stop();
    }
}

/// Made once, when it is first wanted: whoever has no Ollana gets no such file.
void DeviceKeeper::ensure_own_id()
{
    if (!book_.own_id().empty()) {
        return;
    }
    std::array<std::uint8_t, store::device_id_digits / 2> bytes{};
    net::random_bytes(bytes);
    book_.set_own_id(base::to_hex(bytes));
    if (const auto saved = save_now(); !saved) {
        log::warn("devices", "devices_not_saved", {{"why", saved.error().message()}});
    }
}

/// For what nobody waits for.
void DeviceKeeper::save_later()
{
    auto write = [path = path_, state = book_.state()] { return store::save_device_state(path, state); };
    const bool taken = disk_.run(loop_, std::move(write), [](const base::Result<void>& saved) {
        if (!saved) {
            log::warn("devices", "devices_not_saved", {{"why", saved.error().message()}});
        }
    });
    if (!taken) {
        log::warn("devices", "devices_not_saved", {{"why", "too many changes at once"}});
    }
}

base::Result<void> DeviceKeeper::save_now() { return store::save_device_state(path_, book_.state()); }

keys::Published DeviceKeeper::publish()
{
    return keys_.set_devices(options_.clients ? std::optional{book_.rules()} : std::nullopt);
}

void DeviceKeeper::knocked(const std::string& id, const base::IpAddress& from) { book_.knocked(id, from, loop_.wall()); }

std::string DeviceKeeper::view()
{
    ensure_own_id();
    const base::WallTime now = loop_.wall();
    BookScene scene{.clients = options_.clients, .servers = options_.servers.enabled, .require_key = keys_.rules().require_key};
    if (servers_) {
        scene.server_list = servers_json(servers_->book(), book_.own_id());
    }
    scene.key = [this, now](const std::string& id) {
        const store::KeyRecord* record = keys_.find(id);
        return record == nullptr ? KeyShown{}
                                 : KeyShown{record->name, !record->revoked && !record->admin && (!record->expires || now < *record->expires)};
    };
    return book_json(book_, scene);
}

net::Task<DeviceAnswer> DeviceKeeper::list(net::Loop& asker)
{
    auto work = [this] { return view(); };
    std::string body = co_await on_loop(asker, loop_, std::move(work));
    co_return DeviceAnswer{200, std::move(body)};
}

DeviceKeeper::Change DeviceKeeper::do_allow(const std::string& which, const std::string& key)
{
    Named named = book_.find(which, servers_ ? servers_->book().ids() : std::vector<std::string>{});
    if (!named.problem.empty()) {
        return {.refused = {400, admin::error(named.problem)}};
    }
    std::string key_id;
    if (!key.empty()) {
        const store::KeyRecord* record = keys_.find(key);
        if (record == nullptr || record->revoked) {
            return {.refused = {400, admin::error("key: no key is called like that; `herd key add NAME` makes one")}};
        }
        if (record->admin) {
            return {.refused = {400, admin::error("key: a key with admin scope stands for a person; name another one")}};
        }
        key_id = record->id;
    }
    if (std::string conflict = servers_ ? servers_->book().conflict(named.id) : std::string{}; !conflict.empty()) {
        return {.refused = {409, admin::error(conflict)}};
    }
    if (!book_.allow(named.id, key_id, loop_.wall())) {
        return {.refused = {409, admin::error("so many devices are allowed already that there is no room for another")}};
    }
    if (servers_) {
        servers_->allowed(named.id);
    }
    return {.refused = {}, .id = std::move(named.id), .published = publish()};
}

DeviceKeeper::Change DeviceKeeper::do_disable(const std::string& which)
{
    Named named = book_.find(which);
    if (named.problem.empty() && !book_.disable(named.id)) {
        return {.refused = {404, admin::error("that device is not allowed")}};
    }
    if (!named.problem.empty()) {
        return {.refused = {400, admin::error(named.problem)}};
    }
    if (servers_) {
        servers_->disabled();
    }
    return {.refused = {}, .id = std::move(named.id), .published = publish()};
}

net::Task<DeviceAnswer> DeviceKeeper::finish(net::Loop& asker, Change change, std::string_view what)
{
    if (change.refused.status != 200) {
        co_return std::move(change.refused);
    }
    co_await keys_.give(asker, std::move(change.published));
    auto look = [this] { return book_.state(); };
    auto state = co_await on_loop(asker, loop_, std::move(look));
    auto write = [path = path_, state = std::move(state)] { return store::save_device_state(path, state); };
    const auto written = co_await disk_.ask(asker, std::move(write));
    if (!written || !*written) {
        co_return DeviceAnswer{500, admin::error("in force until herd restarts, since it could not be written down: "
                                                 + (written ? written->error().message() : std::string("too many changes at once")))};
    }
    log::info("devices", what, {{"device", short_id(change.id)}});
    co_return co_await list(asker);
}

net::Task<DeviceAnswer> DeviceKeeper::allow(net::Loop& asker, std::string which, std::string key)
{
    auto work = [this, which = std::move(which), key = std::move(key)] { return do_allow(which, key); };
    Change change = co_await on_loop(asker, loop_, std::move(work));
    co_return co_await finish(asker, std::move(change), "device_allowed");
}

net::Task<DeviceAnswer> DeviceKeeper::disable(net::Loop& asker, std::string which)
{
    auto work = [this, which = std::move(which)] { return do_disable(which); };
    Change change = co_await on_loop(asker, loop_, std::move(work));
    co_return co_await finish(asker, std::move(change), "device_disabled");
}

} // namespace herd::app::devices
