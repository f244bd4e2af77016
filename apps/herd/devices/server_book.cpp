#include "herd/devices/server_book.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

namespace herd::app::devices {

namespace {

constexpr base::Duration first_pause = std::chrono::seconds{5};
constexpr base::Duration longest_pause = std::chrono::minutes{5};
/// While all is well: whether it still knows us, and is still the same.
constexpr base::Duration look_again = std::chrono::seconds{10};
constexpr base::Duration silence = std::chrono::hours{1};

/// A human's word is what it lacks.
bool waits_here(const OllanaServer& server) { return server.state == ServerState::awaiting_here || server.state == ServerState::changed; }

void wait_longer(OllanaServer& server, base::Instant now)
{
    server.pause = server.pause == base::Duration{} ? first_pause : std::min<base::Duration>(server.pause * 2, longest_pause);
    server.next_try = now + server.pause;
}

} // namespace

std::string_view to_string(ServerState state)
{
    switch (state) {
    case ServerState::fresh: return "fresh";
    case ServerState::awaiting_there: return "awaiting_approval_there";
    case ServerState::awaiting_here: return "awaiting_approval_here";
    case ServerState::changed: return "certificate_changed";
    case ServerState::plain: return "too_old";
    case ServerState::odd: return "no_ollana";
    case ServerState::unreachable: return "unreachable";
    case ServerState::approved: return "approved";
    }
    return "fresh";
}

std::string awaiting(const OllanaServer& server, const std::string& own_id)
{
    const std::string allow = "run `herd device allow " + (own_id.empty() ? server.device.substr(0, prefix_digits_min) : server.device) + "`";
    switch (server.state) {
    case ServerState::fresh: return "awaiting approval: being asked";
    case ServerState::awaiting_there:
        return own_id.empty() ? "awaiting approval: run `ollana device allow ID` there, with the ID that `herd device show` prints, then restart ollana"
                              : "awaiting approval: run `ollana device allow " + own_id + "` there, then restart ollana";
    case ServerState::awaiting_here: return "awaiting approval: " + allow;
    case ServerState::changed: return "awaiting approval: its certificate is another than the one that was approved; if that is as it should be, " + allow;
    case ServerState::plain: return "an Ollana before 0.4.1, which knows neither TLS nor approval: update it, or name it with --node";
    case ServerState::odd: return "no Ollana that herd understands: " + server.why;
    case ServerState::unreachable: return "TCP 11435 there: " + server.why;
    case ServerState::approved: return {};
    }
    return {};
}

bool ServerBook::heard(const base::IpAddress& address, base::Instant now)
{
    const auto known = servers_.find(address);
    if (known != servers_.end()) {
        known->second.heard_at = now;
        return false;
    }
    if (servers_.size() >= store::ollana_servers_max) {
        return false;
    }
    servers_[address] = {.heard_at = now, .next_try = now};
    return true;
}

void ServerBook::recall(const store::KnownServer& server, const DeviceBook& devices, base::Instant now)
{
    const auto* allowed = devices.allowed(server.device);
    if (allowed != nullptr && !allowed->pin.empty() && servers_.size() < store::ollana_servers_max) {
        servers_[server.address] = {.state = ServerState::approved, .device = server.device, .certificate = allowed->pin, .next_try = now};
    }
}

std::vector<base::IpAddress> ServerBook::due(base::Instant now)
{
    std::vector<base::IpAddress> list;
    for (auto& [address, server] : servers_) {
        if (!server.asking && server.next_try <= now) {
            server.asking = true;
            list.push_back(address);
        }
    }
    return list;
}

std::optional<base::Instant> ServerBook::next_deadline() const
{
    std::optional<base::Instant> next;
    for (const auto& [address, server] : servers_) {
        if (!server.asking && (!next || server.next_try < *next)) {
            next = server.next_try;
        }
    }
    return next;
}

std::string ServerBook::pin_of(const base::IpAddress& address, const DeviceBook& devices) const
{
    const auto server = servers_.find(address);
    const auto* allowed = server == servers_.end() ? nullptr : devices.allowed(server->second.device);
    return allowed == nullptr ? std::string{} : allowed->pin;
}

bool ServerBook::concluded(const base::IpAddress& address, const Handshake& handshake, DeviceBook& devices, base::Instant now)
{
    const auto found = servers_.find(address);
    if (found == servers_.end()) {
        return false;
    }
    OllanaServer& server = found->second;
    server.asking = false;
    bool pinned = false;
    const bool used = server.state == ServerState::approved;
    if (used && (handshake.end == Handshake::End::unreachable || handshake.end == Handshake::End::plain)) {
        wait_longer(server, now); // the fleet's own polls judge whether it is there
        return false;
    }
    server.why = handshake.why;
    if (!handshake.certificate.empty()) {
        server.certificate = handshake.certificate;
    }
    switch (handshake.end) {
    case Handshake::End::welcome: {
        server.device = handshake.device;
        auto* allowed = devices.allowed(handshake.device);
        if (allowed != nullptr && allowed->pin.empty()) {
            allowed->pin = handshake.certificate;
            pinned = true;
        }
        server.state = allowed == nullptr ? ServerState::awaiting_here
            : allowed->pin == handshake.certificate ? ServerState::approved
                                                     : ServerState::changed;
        break;
    }
    case Handshake::End::unauthorized: server.state = ServerState::awaiting_there; break;
    case Handshake::End::stranger: server.state = ServerState::changed; break;
    case Handshake::End::plain: server.state = ServerState::plain; break;
    case Handshake::End::odd: server.state = ServerState::odd; break;
    case Handshake::End::unreachable: server.state = ServerState::unreachable; break;
    }
    if (server.state == ServerState::approved) {
        server.pause = {};
        server.next_try = now + look_again;
    } else {
        wait_longer(server, now);
    }
    return pinned || used != (server.state == ServerState::approved);
}

std::string ServerBook::conflict(const std::string& id) const
{
    std::set<std::string_view> certificates;
    std::string where;
    for (const auto& [address, server] : servers_) {
        if (server.device == id && waits_here(server)) {
            certificates.insert(server.certificate);
            where += (where.empty() ? "" : " and ") + address.text();
        }
    }
    return certificates.size() < 2 ? std::string{}
                                   : where + " show that id with different certificates: at most one of them is what it says; end the other first";
}

void ServerBook::approve(const std::string& id, DeviceBook& devices, base::Instant now)
{
    for (auto& [address, server] : servers_) {
        if (server.device != id || !waits_here(server)) {
            continue;
        }
        if (auto* allowed = devices.allowed(id)) {
            allowed->pin = server.certificate;
        }
        server.pause = {};
        server.next_try = now; // it must say so itself, under that certificate
    }
}

void ServerBook::settle(const DeviceBook& devices)
{
    for (auto& [address, server] : servers_) {
        if (server.state == ServerState::approved && devices.allowed(server.device) == nullptr) {
            server.state = ServerState::awaiting_here;
        }
    }
}

std::vector<base::IpAddress> ServerBook::forget_silent(base::Instant now)
{
    std::vector<base::IpAddress> gone;
    for (const auto& [address, server] : servers_) {
        if (server.state != ServerState::approved && server.heard_at && !server.asking && now - *server.heard_at > silence) {
            gone.push_back(address);
        }
    }
    for (const auto& address : gone) {
        servers_.erase(address);
    }
    return gone;
}

std::vector<std::string> ServerBook::ids() const
{
    std::vector<std::string> ids;
    for (const auto& [address, server] : servers_) {
        if (!server.device.empty()) {
            ids.push_back(server.device);
        }
    }
    return ids;
}

std::vector<store::KnownServer> ServerBook::approved() const
{
    std::vector<store::KnownServer> list;
    for (const auto& [address, server] : servers_) {
        if (server.state == ServerState::approved) {
            list.push_back({address, server.device});
        }
    }
    return list;
}

std::string servers_json(const ServerBook& book, const std::string& own_id)
{
    using Json = nlohmann::ordered_json;
    Json list = Json::array();
    for (const auto& [address, server] : book.all()) {
        list.push_back({{"address", address.text()},
                        {"state", to_string(server.state)},
                        {"device", server.device.empty() ? Json(nullptr) : Json(server.device)},
                        {"certificate", server.certificate.empty() ? Json(nullptr) : Json(server.certificate)},
                        {"advice", awaiting(server, own_id)}});
    }
    return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace herd::app::devices
