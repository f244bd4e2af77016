#include "herd/devices/door.hpp"

#include "base/text.hpp"
#include "herd/admin/query.hpp"
#include "herd/admin/views.hpp"

namespace herd::app::devices {

namespace {

constexpr std::string_view authorize_path = "/ollana/api/authorize";
constexpr std::string_view version_path = "/api/version";
constexpr std::string_view list_path = "/herd/v1/devices";
constexpr std::string_view one_path = "/herd/v1/devices/";
constexpr std::size_t body_limit = 4096;

} // namespace

Door judge_door(const http::RequestHead& head, const proxy::Access& access, base::WallTime now)
{
    const std::string_view path = head.path();
    if (path == version_path) {
        const bool reads = head.method == "GET" || head.method == "HEAD";
        return reads && !head.fields.find("Origin") ? Door::version : Door::elsewhere; // a web page gets CORS with it
    }
    const auto said = access.device(head, now);
    if (path == authorize_path) {
        return said != proxy::DeviceSaid::allowed ? Door::refused : head.method == "POST" ? Door::welcome : Door::elsewhere;
    }
    return said == proxy::DeviceSaid::refused ? Door::refused : Door::elsewhere;
}

bool is_handshake(const http::RequestHead& head) { return head.path() == authorize_path; }

std::string shown_id(const http::RequestHead& head)
{
    std::string id;
    int count = 0;
    for (const auto field : head.fields) {
        if (base::iequals(field.name, proxy::device_field)) {
            id = field.value;
            ++count;
        }
    }
    return count == 1 ? id : std::string{};
}

net::Task<void> answer_door(http::ServerExchange& exchange, Door door, std::string own_id, std::string version_body)
{
    if (!co_await exchange.read_all(body_limit)) { // its bodies are chunked, on every method, and mostly empty
        exchange.close_after();
    }
    http::ResponseHead head;
    std::string body;
    switch (door) {
    case Door::version:
        head.fields.add("Content-Type", "application/json; charset=utf-8");
        body = std::move(version_body);
        break;
    case Door::welcome:
        head.fields.add("Content-Type", "application/json");
        body = R"({"device_id":")" + own_id + "\"}"; // 64 hexadecimal digits
        break;
    default:
        head.status = 401;
        head.fields.add("Content-Type", "text/plain");
        body = "Device is not authorized";
        break;
    }
    (void)co_await exchange.respond(std::move(head), body); // a client that left needs no answer
}

bool DevicesApi::owns(std::string_view path) { return path == list_path || path.starts_with(one_path); }

net::Task<DeviceAnswer> DevicesApi::answer(http::ServerExchange& exchange)
{
    const std::string path{exchange.head().path()};
    const std::string& method = exchange.head().method;
    if (path == list_path && (method == "GET" || method == "HEAD")) {
        co_return co_await keeper_.list(exchange.loop());
    }
    const auto slash = path.rfind('/');
    const std::string action = path.size() > one_path.size() && slash >= one_path.size() ? path.substr(slash + 1) : std::string{};
    if (method != "POST" || (action != "allow" && action != "disable")) {
        co_return DeviceAnswer{405, admin::error(path + " is not there for " + method)};
    }
    auto which = base::percent_decoded(std::string_view{path}.substr(one_path.size(), slash - one_path.size()), false);
    const auto body = co_await exchange.read_all(body_limit);
    if (!body) {
        auto told = admin::unread(body.error(), body_limit);
        co_return DeviceAnswer{told.status, std::move(told.body)};
    }
    if (!which) {
        co_return DeviceAnswer{400, admin::error("bad escape in the path")};
    }
    if (action == "disable") {
        co_return co_await keeper_.disable(exchange.loop(), std::move(*which));
    }
    auto key = parse_allow(*body);
    if (!key) {
        co_return DeviceAnswer{400, admin::error(key.error().context)};
    }
    co_return co_await keeper_.allow(exchange.loop(), std::move(*which), std::move(*key));
}

net::Task<void> DevicesApi::handle(http::ServerExchange& exchange)
{
    const DeviceAnswer reply = co_await answer(exchange);
    http::ResponseHead head;
    head.status = reply.status;
    head.fields.add("Content-Type", "application/json; charset=utf-8");
    head.fields.add("Cache-Control", "no-store");
    if (reply.status == 405) {
        head.fields.add("Allow", exchange.head().path() == list_path ? "GET, HEAD" : "POST");
    }
    (void)co_await exchange.respond(std::move(head), reply.body); // a client that left needs no answer
}

} // namespace herd::app::devices
