#include "http/tunnel.hpp"

#include "http/fetch.hpp"
#include "http/pool.hpp"
#include "net/task_group.hpp"
#include "support/catch.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

#include <array>

using namespace herd;
using namespace herd::http;
using herd::testing::MemoryWorld;
using herd::testing::run;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

base::Tunnel through(base::Tunnel::Kind kind, std::string user = {}, std::string password = {})
{
    return {.kind = kind, .host = "proxy.lan", .port = 3128, .user = std::move(user), .password = std::move(password),
            .to_host = "gpu.example", .to_port = 11434};
}

/// Takes the bytes one by one; the last step's result.
base::Result<bool> take_slowly(TunnelTalk& talk, const std::string& bytes)
{
    base::Result<bool> open = false;
    for (const char byte : bytes) {
        REQUIRE(open);
        REQUIRE_FALSE(*open);
        open = talk.take({&byte, 1});
    }
    return open;
}

std::string fault(const base::Tunnel& tunnel, const std::vector<std::string>& said)
{
    TunnelTalk talk(tunnel);
    for (const std::string& bytes : said) {
        (void)talk.to_send();
        if (auto taken = talk.take(bytes); !taken) {
            CHECK(taken.error().retry == base::Retry::always);
            CHECK(taken.error().source == base::Source::node);
            return taken.error().context;
        }
    }
    return "none";
}

} // namespace

TEST_CASE("a proxy of HTTP is asked with CONNECT, and its 2xx opens the way")
{
    const auto tunnel = through(base::Tunnel::Kind::connect);
    for (const auto& answer : {"HTTP/1.1 200 Connection established\r\n\r\n"s, "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n"s,
                               "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"s, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"s}) {
        CAPTURE(answer);
        TunnelTalk talk(tunnel);
        CHECK(talk.to_send() == "CONNECT gpu.example:11434 HTTP/1.1\r\nHost: gpu.example:11434\r\n\r\n");
        CHECK(talk.to_send().empty());
        const auto open = take_slowly(talk, answer);
        REQUIRE(open);
        CHECK(*open);
    }
    auto v6 = tunnel;
    v6.to_host = "fd00::7";
    CHECK(TunnelTalk(v6).to_send().starts_with("CONNECT [fd00::7]:11434 HTTP/1.1\r\nHost: [fd00::7]:11434\r\n"));
}

TEST_CASE("a proxy of HTTP that says no is told with its status, never as the node's answer")
{
    const auto tunnel = through(base::Tunnel::Kind::connect);
    CHECK(fault(tunnel, {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"}) == "the proxy proxy.lan:3128 answers 407 to CONNECT");
    CHECK(fault(tunnel, {"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n"}) == "the proxy proxy.lan:3128 answers 302 to CONNECT");
    CHECK(fault(tunnel, {"SSH-2.0-OpenSSH_9.2\r\n"}) == "the proxy proxy.lan:3128 does not answer CONNECT in HTTP");
    CHECK(fault(tunnel, {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"}) == "the proxy proxy.lan:3128 speaks before it was asked");
    CHECK(fault(tunnel, {"HTTP/1.1 200 OK\r\nX: " + std::string(9000, 'x')}) == "the proxy proxy.lan:3128 talks without end before the way is open");
}

TEST_CASE("a proxy that says 100 Continue without end is heard for 8 KiB in all")
{
    const auto tunnel = through(base::Tunnel::Kind::connect);
    const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
    TunnelTalk talk(tunnel);
    std::size_t heard = 0;
    base::Result<bool> open = false;
    for (; open && !*open && heard < 100'000; heard += interim.size()) {
        open = talk.take(interim);
    }
    REQUIRE_FALSE(open);
    CHECK(open.error().context == "the proxy proxy.lan:3128 talks without end before the way is open");
    CHECK(heard <= TunnelTalk::heard_bytes_max + interim.size());
    std::string few;
    for (int i = 0; i < 100; ++i) {
        few += interim;
    }
    TunnelTalk patient(tunnel);
    const auto late = take_slowly(patient, few + "HTTP/1.1 200 OK\r\n\r\n");
    REQUIRE(late);
    CHECK(*late);
}

TEST_CASE("a user and a password go to the proxy in base64")
{
    const auto tunnel = through(base::Tunnel::Kind::connect, "Aladdin", "open sesame");
    CHECK(TunnelTalk(tunnel).to_send().find("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n") != std::string::npos); // RFC 7617
}

TEST_CASE("SOCKS 5: the name goes to the proxy, and its reply opens the way")
{
    const auto tunnel = through(base::Tunnel::Kind::socks5);
    TunnelTalk talk(tunnel);
    CHECK(talk.to_send() == "\x05\x01\x00"s);
    REQUIRE(take_slowly(talk, "\x05\x00"s));
    CHECK(talk.to_send() == "\x05\x01\x00\x03\x0bgpu.example\x2c\xaa"s); // 11434
    const auto open = take_slowly(talk, "\x05\x00\x00\x01\x0a\x00\x00\x02\x30\x39"s);
    REQUIRE(open);
    CHECK(*open);
    for (const auto& [host, asked] : {std::pair{"10.0.0.7"s, "\x01\x0a\x00\x00\x07"s}, std::pair{"fd00::7"s, "\x04\xfd"s + std::string(14, '\0') + "\x07"}}) {
        auto numeric = tunnel;
        numeric.to_host = host;
        TunnelTalk other(numeric);
        REQUIRE(other.take("\x05\x00"s));
        CHECK(other.to_send() == "\x05\x01\x00"s + asked + "\x2c\xaa");
    }
}

TEST_CASE("SOCKS 5 with a user and a password")
{
    const auto tunnel = through(base::Tunnel::Kind::socks5, "me", "pw");
    TunnelTalk talk(tunnel);
    CHECK(talk.to_send() == "\x05\x01\x02"s);
    REQUIRE(take_slowly(talk, "\x05\x02"s));
    CHECK(talk.to_send() == "\x01\x02me\x02pw"s);
    REQUIRE(take_slowly(talk, "\x01\x00"s));
    CHECK(talk.to_send().starts_with("\x05\x01\x00\x03"s));
    const auto open = take_slowly(talk, "\x05\x00\x00\x03\x02" "ab\x00\x50"s); // it connects from a name
    REQUIRE(open);
    CHECK(*open);
    CHECK(fault(tunnel, {"\x05\x02"s, "\x01\x01"s}) == "the proxy proxy.lan:3128 refuses this user and password");
    CHECK(fault(tunnel, {"\x05\xff"s}) == "the proxy proxy.lan:3128 does not take a user and a password");
}

TEST_CASE("what a SOCKS proxy says against it is told in words")
{
    const auto tunnel = through(base::Tunnel::Kind::socks5);
    CHECK(fault(tunnel, {"\x05\xff"s}) == "the proxy proxy.lan:3128 asks for a user and a password");
    CHECK(fault(tunnel, {"\x05\x00"s, "\x05\x05"s}) == "the proxy proxy.lan:3128 says: the connection was refused");
    CHECK(fault(tunnel, {"\x05\x00"s, "\x05\x63"s}) == "the proxy proxy.lan:3128 says: it failed");
    CHECK(fault(tunnel, {"HTTP/1.1 400 Bad Request\r\n\r\n"}) == "the proxy proxy.lan:3128 does not speak SOCKS 5");
    CHECK(fault(tunnel, {"\x05\x00"s, "\x05\x00\x00\x09x"s}) == "the proxy proxy.lan:3128 does not speak SOCKS 5");
    CHECK(fault(tunnel, {"\x05\x00"s, "\x05\x00\x00\x01\x0a\x00\x00\x02\x30\x39!"s}) == "the proxy proxy.lan:3128 speaks before it was asked");
}

namespace {

const base::Endpoint proxy_at{base::IpAddress::v4({10, 0, 0, 9}), 3128};

/// Answers what it reads with one script, whoever asks.
struct FakeProxy {
    FakeProxy(net::VirtualTime& time, net::Loop& loop, MemoryWorld& world, std::vector<std::pair<std::string, std::string>> lines)
        : lines_(std::move(lines)), time_(time), loop_(loop), network_(world.host(proxy_at.address)),
          listener_(*network_->listen(herd::testing::memory_socket(proxy_at))), tasks_(loop, "proxy")
    {
        tasks_.spawn("accept", accept());
    }
    FakeProxy(const FakeProxy&) = delete;
    FakeProxy& operator=(const FakeProxy&) = delete;
    ~FakeProxy()
    {
        listener_->close();
        for (const auto& stream : streams_) {
            stream->close();
        }
        run(time_, loop_, tasks_.join());
    }
    net::Task<void> accept()
    {
        while (auto stream = co_await listener_->accept()) {
            ++connections;
            streams_.push_back(std::move(*stream));
            tasks_.spawn("serve", serve(*streams_.back()));
        }
    }
    net::Task<void> serve(net::Stream& stream)
    {
        std::array<char, 1024> space{};
        for (const auto& [expected, answer] : lines_) {
            std::string seen;
            while (!seen.ends_with(expected)) {
                const auto n = co_await net::read_some(stream, space);
                if (!n || *n == 0) {
                    co_return;
                }
                seen.append(space.data(), *n);
            }
            heard += seen;
            (void)co_await net::write_all(stream, std::string_view(answer));
        }
        (void)co_await net::read_some(stream, space);
    }
    std::string heard{};
    int connections{0};

private:
    const std::vector<std::pair<std::string, std::string>> lines_;
    net::VirtualTime& time_;
    net::Loop& loop_;
    std::unique_ptr<net::Network> network_;
    std::unique_ptr<net::Listener> listener_;
    std::vector<std::unique_ptr<net::Stream>> streams_;
    net::TaskGroup tasks_;
};

struct Scene {
    net::VirtualTime time{};
    net::Loop loop{};
    MemoryWorld world{loop};
    std::unique_ptr<net::Network> network{world.host(base::IpAddress::v4({10, 0, 0, 1}))};
    Pool pool{loop, *network, {}};
    Trust trust{std::make_shared<base::PeerTrust>(base::PeerTrust{.tunnel = through(base::Tunnel::Kind::connect), .tls = false})};

    base::Result<Answer> get(const Trust& by)
    {
        RequestHead head;
        head.target = "/api/version";
        head.fields.add("Host", "gpu.example:11434");
        return run(time, loop, fetch(loop, pool, proxy_at, std::move(head), {}, {.timeout = 5s, .trust = by}));
    }
};

const std::string request = "GET /api/version HTTP/1.1\r\nHost: gpu.example:11434\r\n\r\n";
const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

} // namespace

TEST_CASE("a request goes through the proxy, and the way stays open for the next one to the same node alone")
{
    Scene s;
    FakeProxy proxy(s.time, s.loop, s.world,
                    {{"\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"}, {"\r\n\r\n", answer}, {"\r\n\r\n", answer}});
    for (int i = 0; i < 2; ++i) {
        const auto got = s.get(s.trust);
        REQUIRE(got);
        CHECK(got->body == "ok");
    }
    CHECK(proxy.connections == 1);
    CHECK(proxy.heard == "CONNECT gpu.example:11434 HTTP/1.1\r\nHost: gpu.example:11434\r\n\r\n" + request + request);
    const auto other = std::make_shared<base::PeerTrust>(*s.trust);
    REQUIRE(s.get(other)); // another node behind the same proxy
    CHECK(proxy.connections == 2);
}

TEST_CASE("a proxy that floods the way with interim answers is left at once, and the loop goes on")
{
    Scene s;
    std::string flood;
    while (flood.size() < 1'000'000) {
        flood += "HTTP/1.1 100 Continue\r\n\r\n";
    }
    FakeProxy proxy(s.time, s.loop, s.world, {{"\r\n\r\n", flood}});
    const auto began = s.loop.now();
    const auto got = s.get(s.trust);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == base::Errc::malformed);
    CHECK(got.error().context == "the proxy proxy.lan:3128 talks without end before the way is open");
    CHECK(got.error().retry == base::Retry::always);
    CHECK(s.loop.now() - began < 1s);
    s.time.run_for(s.loop, 1ms);
    CHECK(s.world.connections_open() == 0);
}

TEST_CASE("a proxy that says nothing costs no more than connecting may")
{
    Scene s;
    FakeProxy proxy(s.time, s.loop, s.world, {{"\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"}});
    const auto began = s.loop.now();
    const auto got = s.get(s.trust);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == base::Errc::timed_out);
    CHECK(got.error().context == "the proxy proxy.lan:3128 does not answer");
    CHECK(got.error().retry == base::Retry::always);
    CHECK(s.loop.now() - began == 2s);
    s.time.run_for(s.loop, 1ms);
    CHECK(s.world.connections_open() == 0); // the proxy's end of it closed too
}
