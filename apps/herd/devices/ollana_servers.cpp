#include "herd/devices/ollana_servers.hpp"

#include "base/log.hpp"
#include "discovery/ollana.hpp"

namespace herd::app::devices {

base::Result<StaticNode> node_of_server(const base::IpAddress& address, const OllanaServer& server, const std::string& own_id, std::uint32_t slots,
                                        const NodeSurroundings& around)
{
    const bool used = server.state == ServerState::approved;
    ConfiguredNode settings{.name = "ollana-" + address.text(), .url = "https://" + base::Endpoint{address, discovery::ollana_tcp_port}.text(), .slots = slots};
    settings.tls_verify = false;
    if (used) {
        settings.headers = {std::string{proxy::device_field} + "=" + own_id};
        settings.tls_pin = server.certificate;
    }
    auto node = make_static_node(std::move(settings), around);
    if (node && !used) {
        auto manner = std::make_shared<fleet::Manner>(*node->manner);
        manner->lacking = awaiting(server, {}); // shown to whoever may see nodes
        node->manner = std::move(manner);
    }
    return node;
}

OllanaServers::OllanaServers(net::Loop& loop, net::Network& network, DeviceBook& devices, ServerOptions options, ServerHooks hooks)
    : loop_(loop), network_(network), pool_(loop, network, {}), devices_(devices), options_(options), hooks_(std::move(hooks)), timer_(loop),
      tasks_(loop, "ollana")
{
}

void OllanaServers::recall()
{
    if (!options_.enabled) {
        return;
    }
    for (const store::KnownServer& server : devices_.state().servers) {
        book_.recall(server, devices_, loop_.now());
    }
    show_all();
    arm();
}

void OllanaServers::set_options(const ServerOptions& options)
{
    const bool begins = options.enabled && !options_.enabled;
    const bool ends = !options.enabled && options_.enabled;
    options_ = options;
    if (begins) {
        recall();
    } else if (ends) {
        hide_all();
        book_ = {};
    } else {
        show_all();
    }
    arm();
}

void OllanaServers::heard(const base::IpAddress& address)
{
    if (options_.enabled && !stopping_ && book_.heard(address, loop_.now())) {
        log::info("devices", "ollana_server_heard", {{"at", address.text()}});
        show_all();
        arm();
    }
}

void OllanaServers::allowed(const std::string& id)
{
    book_.approve(id, devices_, loop_.now());
    arm();
}

void OllanaServers::disabled()
{
    book_.settle(devices_);
    show_all();
}

void OllanaServers::arm()
{
    const auto next = options_.enabled && !stopping_ ? book_.next_deadline() : std::nullopt;
    if (!next) {
        timer_.cancel();
        return;
    }
    timer_.call_at(*next, [this] { work(); });
}

void OllanaServers::work()
{
    for (const auto& gone : book_.forget_silent(loop_.now())) {
        if (const auto known = shown_.find(gone); known != shown_.end()) {
            hooks_.hide(known->second.first);
            shown_.erase(known);
        }
    }
    for (const auto& address : book_.due(loop_.now())) {
        tasks_.spawn("ollana.handshake", ask(address));
    }
    arm();
}

net::Task<void> OllanaServers::ask(base::IpAddress address)
{
    HandshakeCall call{.address = address, .own_id = devices_.own_id(), .pin = book_.pin_of(address, devices_)};
    const auto handshake = co_await shake_hands(loop_, network_, pool_, std::move(call));
    if (stopping_) {
        co_return;
    }
    if (book_.concluded(address, handshake, devices_, loop_.now())) {
        devices_.set_servers(book_.approved());
        hooks_.changed();
    }
    show_all();
    arm();
}

void OllanaServers::show_all()
{
    for (const auto& [address, server] : book_.all()) {
        show(address, server);
    }
}

void OllanaServers::show(const base::IpAddress& address, const OllanaServer& server)
{
    const std::string how = std::string{to_string(server.state)} + '/' + server.certificate + '/' + std::to_string(options_.slots) + '/' + awaiting(server, {});
    const auto known = shown_.find(address);
    if (known != shown_.end() && known->second.second == how) {
        return;
    }
    auto node = node_of_server(address, server, devices_.own_id(), options_.slots, hooks_.around());
    if (!node) {
        return; // herd itself, say: it is only counted
    }
    const fleet::NodeId id = node->id;
    if (hooks_.show(std::move(*node))) {
        if (known == shown_.end() || server.state == ServerState::approved) {
            log::info("devices", "ollana_server", {{"at", address.text()}, {"state", to_string(server.state)}});
        }
        shown_[address] = {id, how};
    }
}

void OllanaServers::hide_all()
{
    for (const auto& [address, shown] : shown_) {
        hooks_.hide(shown.first);
    }
    shown_.clear();
}

net::Task<void> OllanaServers::stop()
{
    stopping_ = true;
    timer_.cancel();
    tasks_.cancel();
    co_await tasks_.join();
}

} // namespace herd::app::devices
