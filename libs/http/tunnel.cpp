#include "http/tunnel.hpp"

#include "base/ip.hpp"
#include "net/crypto.hpp"
#include "net/timer.hpp"

#include <array>

namespace herd::http {

namespace {

constexpr std::size_t name_bytes_max = 255;        // SOCKS counts them in one byte
constexpr unsigned char socks_version = 5;
constexpr unsigned char password_version = 1;
constexpr unsigned char no_password = 0;
constexpr unsigned char by_password = 2;
constexpr std::string_view early = "speaks before it was asked";

std::string host_and_port(const std::string& host, std::uint16_t port)
{
    return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
}

unsigned char byte_of(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

/// One byte that counts, then what it counts.
void append_counted(std::string& to, std::string_view text)
{
    to.push_back(static_cast<char>(std::min(text.size(), name_bytes_max)));
    to.append(text.substr(0, name_bytes_max));
}

std::string connect_request(const base::Tunnel& tunnel)
{
    const std::string to = host_and_port(tunnel.to_host, tunnel.to_port);
    std::string text = "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n";
    if (!tunnel.user.empty()) {
        text += "Proxy-Authorization: Basic " + net::base64(net::bytes_of(tunnel.user + ":" + tunnel.password)) + "\r\n";
    }
    return text + "\r\n";
}

std::string_view why_not(unsigned char reply)
{
    static constexpr std::array<std::string_view, 9> words{
        "", "it failed", "it is not allowed to go there", "that network is unreachable", "that host is unreachable",
        "the connection was refused", "that host did not answer", "it cannot connect", "it does not know that kind of address"};
    return reply < words.size() ? words[reply] : "it failed";
}

} // namespace

TunnelTalk::TunnelTalk(const base::Tunnel& tunnel)
    : tunnel_(tunnel), step_(tunnel.kind == base::Tunnel::Kind::connect ? Step::connect : Step::method),
      parser_(Parser::Role::response, {.head_bytes = heard_bytes_max})
{
    if (step_ == Step::connect) {
        to_send_ = connect_request(tunnel);
        return;
    }
    to_send_ = {socks_version, 1, static_cast<char>(tunnel.user.empty() ? no_password : by_password)};
}

std::unexpected<base::Error> TunnelTalk::fail(base::Errc code, std::string_view why) const
{
    return std::unexpected(base::Error{code, base::Source::node, base::Retry::always,
                                       "the proxy " + host_and_port(tunnel_.host, tunnel_.port) + " " + std::string{why}, {}});
}

base::Result<bool> TunnelTalk::take(std::string_view bytes)
{
    const auto heard = bytes.substr(0, heard_bytes_max - heard_bytes_); // however it comes in pieces, it is told the same
    heard_bytes_ += heard.size();
    const auto open = heard.empty() ? base::Result<bool>{false} : take_step(heard);
    if (open && heard.size() < bytes.size()) {
        return fail(base::Errc::malformed, *open ? early : "talks without end before the way is open");
    }
    return open;
}

base::Result<bool> TunnelTalk::take_step(std::string_view bytes)
{
    if (step_ == Step::connect) {
        return take_connect(bytes);
    }
    heard_ += bytes;
    switch (step_) {
    case Step::method: return take_method();
    case Step::password: return take_password();
    case Step::connect:
    case Step::way: break;
    }
    return take_way();
}

base::Result<bool> TunnelTalk::take_connect(std::string_view rest)
{
    while (!rest.empty()) {
        parser_.expect_no_body(true); // whatever its fields say: what follows is the peer's
        const auto step = parser_.execute(rest);
        if (!step) {
            return fail(base::Errc::malformed, "does not answer CONNECT in HTTP");
        }
        if (!step->head_complete) {
            return false;
        }
        rest.remove_prefix(step->consumed);
        const int status = parser_.response().status;
        if (status >= 300) {
            return fail(base::Errc::refused, "answers " + std::to_string(status) + " to CONNECT");
        }
        if (status >= 200) {
            return rest.empty() ? base::Result<bool>{true} : fail(base::Errc::malformed, early);
        }
    }
    return false;
}

base::Result<bool> TunnelTalk::take_method()
{
    if (byte_of(heard_, 0) != socks_version) {
        return fail(base::Errc::malformed, "does not speak SOCKS 5");
    }
    if (heard_.size() < 2) {
        return false;
    }
    if (heard_.size() > 2) {
        return fail(base::Errc::malformed, early);
    }
    const unsigned char wanted = tunnel_.user.empty() ? no_password : by_password;
    if (byte_of(heard_, 1) != wanted) {
        return fail(base::Errc::refused, wanted == by_password ? "does not take a user and a password" : "asks for a user and a password");
    }
    heard_.clear();
    if (wanted == no_password) {
        ask_way();
        return false;
    }
    to_send_ = {password_version};
    append_counted(to_send_, tunnel_.user);
    append_counted(to_send_, tunnel_.password);
    step_ = Step::password;
    return false;
}

base::Result<bool> TunnelTalk::take_password()
{
    if (heard_.size() < 2) {
        return false;
    }
    if (heard_.size() > 2) {
        return fail(base::Errc::malformed, early);
    }
    if (byte_of(heard_, 0) != password_version || byte_of(heard_, 1) != 0) {
        return fail(base::Errc::refused, "refuses this user and password");
    }
    heard_.clear();
    ask_way();
    return false;
}

void TunnelTalk::ask_way()
{
    constexpr unsigned char connect = 1;
    constexpr unsigned char ipv4 = 1;
    constexpr unsigned char name = 3;
    constexpr unsigned char ipv6 = 4;
    step_ = Step::way;
    to_send_ = {socks_version, connect, 0};
    if (const auto address = base::IpAddress::parse(tunnel_.to_host)) {
        const auto& bytes = address->bytes();
        to_send_.push_back(static_cast<char>(address->is_v6() ? ipv6 : ipv4));
        to_send_.append(bytes.begin(), bytes.begin() + (address->is_v6() ? 16 : 4));
    } else {
        to_send_.push_back(static_cast<char>(name));
        append_counted(to_send_, tunnel_.to_host);
    }
    to_send_.push_back(static_cast<char>(tunnel_.to_port >> 8U));
    to_send_.push_back(static_cast<char>(tunnel_.to_port & 0xFFU));
}

/// version, reply, 0, kind of address, the address it connects from, its port.
base::Result<bool> TunnelTalk::take_way()
{
    constexpr std::size_t fixed = 4;
    if (heard_.size() >= 2 && (byte_of(heard_, 0) != socks_version || byte_of(heard_, 1) != 0)) {
        return byte_of(heard_, 0) != socks_version ? fail(base::Errc::malformed, "does not speak SOCKS 5")
                                                   : fail(base::Errc::refused, "says: " + std::string{why_not(byte_of(heard_, 1))});
    }
    if (heard_.size() <= fixed) {
        return false;
    }
    const unsigned char kind = byte_of(heard_, 3);
    if (kind != 1 && kind != 3 && kind != 4) {
        return fail(base::Errc::malformed, "does not speak SOCKS 5");
    }
    const std::size_t address = kind == 1 ? 4 : kind == 4 ? 16 : 1 + std::size_t{byte_of(heard_, fixed)};
    const std::size_t whole = fixed + address + 2;
    if (heard_.size() > whole) {
        return fail(base::Errc::malformed, early);
    }
    return heard_.size() == whole;
}

net::Task<base::Result<std::unique_ptr<net::Stream>>> open_tunnel(net::Loop& loop, std::unique_ptr<net::Stream> stream,
                                                                  const base::Tunnel& tunnel, base::Instant deadline)
{
    bool expired = false;
    net::Timer timer(loop);
    timer.call_at(deadline, [&] {
        expired = true;
        stream->close();
    });
    const auto fail = [&](base::Error error) {
        error.source = base::Source::node;
        error.retry = base::Retry::always; // nothing of a request was sent
        error.code = expired ? base::Errc::timed_out : error.code;
        if (error.context.empty()) {
            error.context = "the proxy " + host_and_port(tunnel.host, tunnel.port)
                + (expired ? " does not answer" : " closed the connection before the way was open");
        }
        return std::unexpected(std::move(error));
    };
    TunnelTalk talk(tunnel);
    std::array<char, 512> buffer{};
    for (bool open = false; !open;) {
        if (const std::string bytes = talk.to_send(); !bytes.empty()) {
            if (auto sent = co_await net::write_all(*stream, bytes); !sent) {
                co_return fail(std::move(sent.error()));
            }
        }
        const auto got = co_await net::read_some(*stream, buffer);
        if (!got || *got == 0) {
            co_return fail(got ? base::Error{.code = base::Errc::closed} : got.error());
        }
        auto taken = talk.take({buffer.data(), *got});
        if (!taken) {
            co_return fail(std::move(taken.error()));
        }
        open = *taken;
        if (!open) {
            co_await loop.turn(); // a proxy that always has more to say must not keep the deadline from being told
        }
    }
    co_return stream;
}

} // namespace herd::http
