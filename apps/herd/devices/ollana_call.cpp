#include "herd/devices/ollana_call.hpp"

#include "base/text.hpp"
#include "discovery/ollana.hpp"
#include "http/client.hpp"
#include "http/fetch.hpp"
#include "net/timer.hpp"
#include "net/tls.hpp"
#include "net/tls_peer.hpp"

#include <nlohmann/json.hpp>

namespace herd::app::devices {

namespace {

constexpr base::Duration patience = std::chrono::seconds{5}; // its TLS, and a proxy with two workers
constexpr std::size_t answer_bytes_max = 4096;

Handshake failed(const base::Error& error)
{
    return {.end = Handshake::End::unreachable, .why = error.context.empty() ? std::string{base::to_string(error.code)} : error.context};
}

/// TLS did not come about: perhaps an Ollana of before 0.4.1.
net::Task<Handshake> look_plainly(net::Loop& loop, http::Pool& pool, base::Endpoint at, base::Error error)
{
    http::RequestHead head;
    head.target = "/api/version";
    const auto answer = co_await http::fetch(loop, pool, at, std::move(head), {}, {.timeout = patience, .body_bytes_max = answer_bytes_max, .fresh = true});
    const auto json = answer && answer->head.status == 200 ? nlohmann::json::parse(answer->body, nullptr, false) : nlohmann::json{};
    if (json.is_object() && json.contains("version") && json["version"].is_string()) {
        co_return Handshake{.end = Handshake::End::plain};
    }
    co_return failed(error);
}

net::Task<Handshake> ask(net::Loop& loop, std::unique_ptr<net::Stream> stream, const HandshakeCall& call, base::Instant deadline)
{
    http::ClientConnection connection(loop, std::move(stream));
    net::Timer timer(loop);
    timer.call_at(deadline, [&connection] { connection.close(); });
    http::RequestHead head;
    head.method = "POST";
    head.target = "/ollana/api/authorize";
    head.framing = http::Framing::length;
    head.content_length = 0;
    head.fields.add("Host", base::Endpoint{call.address, discovery::ollana_tcp_port}.text());
    head.fields.add(proxy::device_field, call.own_id);
    if (const auto sent = co_await connection.send(head, {}); !sent) {
        co_return failed(sent.error());
    }
    const auto answer = co_await connection.read_head();
    if (!answer) {
        co_return failed(answer.error());
    }
    const auto body = co_await connection.read_all(answer_bytes_max);
    if (!body && answer->status != 401) {
        co_return failed(body.error());
    }
    co_return read_handshake(answer->status, body.value_or(std::string{}));
}

} // namespace

Handshake read_handshake(int status, std::string_view body)
{
    if (status == 401) {
        return {.end = Handshake::End::unauthorized};
    }
    const auto json = status == 200 ? nlohmann::json::parse(body, nullptr, false) : nlohmann::json{};
    const auto id = json.is_object() ? json.find("device_id") : json.end();
    if (!json.is_object() || id == json.end() || !id->is_string() || !store::is_device_id(id->get_ref<const std::string&>())) {
        return {.end = Handshake::End::odd, .why = "the handshake is answered with status " + std::to_string(status) + (status == 200 ? " and no device id" : "")};
    }
    return {.end = Handshake::End::welcome, .device = id->get<std::string>()};
}

net::Task<Handshake> shake_hands(net::Loop& loop, net::Network& network, http::Pool& pool, HandshakeCall call)
{
    const base::Endpoint at{call.address, discovery::ollana_tcp_port};
    const base::Instant deadline = loop.now() + patience;
    auto plain = co_await network.connect(at, deadline);
    if (!plain) {
        co_return failed(plain.error());
    }
    auto trust = std::make_shared<base::PeerTrust>();
    trust->host = call.address.text();
    trust->verify = false; // it signs for itself: what counts is that it stays the same
    auto stream = co_await net::tls_connect(loop, std::move(*plain), std::move(trust), deadline);
    if (!stream) {
        co_return co_await look_plainly(loop, pool, at, stream.error());
    }
    std::string certificate = base::to_hex(net::peer_certificate(**stream));
    if (!call.pin.empty() && certificate != call.pin) {
        co_return Handshake{.end = Handshake::End::stranger, .certificate = std::move(certificate)};
    }
    Handshake done = co_await ask(loop, std::move(*stream), call, deadline);
    done.certificate = std::move(certificate);
    co_return done;
}

} // namespace herd::app::devices
