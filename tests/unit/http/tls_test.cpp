// One port for TLS and plain HTTP, and a pool that asks in either way.
#include "http/fetch.hpp"
#include "http/pool.hpp"
#include "http/server.hpp"
#include "net/task_group.hpp"
#include "net/tls.hpp"
#include "support/catch.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

#include <array>

using namespace herd;
using namespace herd::http;
using herd::testing::MemoryWorld;
using herd::testing::run;
using namespace std::chrono_literals;

namespace {

const base::IpAddress server_host = *base::IpAddress::parse("10.0.0.1");
const base::IpAddress client_host = *base::IpAddress::parse("10.0.0.2");
const base::Endpoint server_at{server_host, 80};

std::shared_ptr<const net::TlsContext> certificate()
{
    static const auto made = [] {
        const auto pem = net::make_self_signed({"node.lan"}, base::SystemClock{}.wall());
        return *net::TlsContext::server_of(pem.certificate, pem.key);
    }();
    return made;
}

Trust pinned()
{
    return std::make_shared<base::PeerTrust>(base::PeerTrust{.host = "node.lan", .pin = certificate()->fingerprint()});
}

ResponseHead error_body(int status, std::string_view reason, std::string_view /*target*/, std::string& body)
{
    body = reason;
    return {.status = status};
}

net::Task<void> tell_transport(ServerExchange& exchange)
{
    auto body = co_await exchange.read_all(10'000'000);
    const std::string said = (exchange.secure() ? "secure " : "plain ") + (body ? *body : "?");
    (void)co_await exchange.respond({}, said);
}

struct Town {
    explicit Town(ServerOptions options) : server(loop, std::move(options), tell_transport, error_body)
    {
        server.serve(std::move(*server_network->listen(herd::testing::memory_socket(server_at))));
    }
    ~Town()
    {
        run(time, loop, server.drain(time.now() + 10s));
        CHECK(server.connections() == 0);
    }
    std::string ask(Trust trust, std::string body = "x")
    {
        RequestHead head;
        head.method = "POST";
        const auto answer = run(time, loop, fetch(loop, pool, server_at, head, std::move(body), {.timeout = 5s, .trust = std::move(trust)}));
        return answer ? std::to_string(answer->head.status) + " " + answer->body : answer.error().message();
    }
    /// What a client that speaks by hand gets by now.
    std::string talk(net::Stream& stream, std::string_view bytes)
    {
        const std::array<std::string_view, 1> pieces{bytes};
        (void)stream.try_write(pieces);
        time.run_for(loop, 10ms);
        std::array<char, 4096> space{};
        std::string all;
        for (;;) {
            const auto io = stream.try_read(space);
            if (!io.done()) {
                return all + (io.state == net::Io::State::end ? "<end>" : io.would_block() ? "" : "<reset>");
            }
            all.append(space.data(), io.bytes);
            time.run_for(loop, 10ms);
        }
    }
    net::VirtualTime time{};
    net::Loop loop{};
    MemoryWorld world{loop};
    std::unique_ptr<net::Network> server_network = world.host(server_host);
    std::unique_ptr<net::Network> client_network = world.host(client_host);
    Pool pool{loop, *client_network, {}};
    Server server;
};

} // namespace

TEST_CASE("one port serves TLS and plain HTTP, and handlers can tell", "[http][tls]")
{
    Town town({.tls = certificate()});
    const auto trust = pinned();
    CHECK(town.ask({}) == "200 plain x");
    CHECK(town.ask(trust) == "200 secure x");
    CHECK(town.ask(trust, std::string(1'000'000, 'b')) == "200 secure " + std::string(1'000'000, 'b'));
    CHECK(town.ask({}) == "200 plain x");
}

TEST_CASE("a connection is reused only by those who recognise its peer in the same way", "[http][tls]")
{
    Town town({.tls = certificate()});
    const auto one = pinned();
    const auto other = pinned();
    (void)town.ask(one);
    (void)town.ask(one);
    CHECK(town.world.connections_made() == 1);
    (void)town.ask({});
    CHECK(town.world.connections_made() == 2);
    (void)town.ask(other);
    CHECK(town.world.connections_made() == 3);
    (void)town.ask(one);
    (void)town.ask({});
    (void)town.ask(other);
    CHECK(town.world.connections_made() == 3);
    CHECK(town.pool.idle() == 3);
    town.pool.drop(server_at);
    CHECK(town.pool.idle() == 0);
}

TEST_CASE("the session tickets of a new connection are no early answer to a long request", "[http][tls]")
{
    Town town({.tls = certificate()});
    const std::string body(500'000, 'x');
    const bool whole = town.ask(pinned(), body) == "200 secure " + body;
    CHECK(whole);
}

TEST_CASE("a peer that is not the expected one is sent nothing", "[http][tls]")
{
    Town town({.tls = certificate()});
    base::PeerTrust wrong{.host = "node.lan", .pin = net::Digest{7}};
    CHECK(town.ask(std::make_shared<base::PeerTrust>(wrong)) == "forbidden: node.lan: its certificate is not the pinned one");
    CHECK(town.server.exchanges() == 0);
}

TEST_CASE("a server without TLS takes a TLS greeting for what it is: no HTTP", "[http][tls]")
{
    Town town({});
    CHECK(town.ask(pinned()) == "malformed: node.lan: the peer does not speak TLS");
    CHECK(town.ask({}) == "200 plain x");
}

TEST_CASE("with tls_only a plain client is told in one sentence", "[http][tls]")
{
    Town town({.tls = certificate(), .tls_only = true});
    CHECK(town.ask({}) == "400 this port speaks TLS only: use https");
    CHECK(town.ask(pinned()) == "200 secure x");
}

TEST_CASE("a request in pieces is plain HTTP all the same", "[http][tls]")
{
    Town town({.tls = certificate()});
    auto stream = run(town.time, town.loop, town.client_network->connect(server_at, town.loop.now() + 1s));
    REQUIRE(stream);
    CHECK(town.talk(**stream, "G").empty());
    CHECK(town.talk(**stream, "ET / HTTP/1.1\r\n").empty());
    CHECK(town.talk(**stream, "Host: x\r\n\r\nGET /").starts_with("HTTP/1.1 200 OK"));
    CHECK(town.talk(**stream, " HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
}

TEST_CASE("a handshake that stalls is cut off after the patience for a head", "[http][tls]")
{
    Town town({.tls = certificate()});
    auto stream = run(town.time, town.loop, town.client_network->connect(server_at, town.loop.now() + 1s));
    REQUIRE(stream);
    CHECK(town.talk(**stream, "\x16\x03\x01").empty());
    town.time.run_for(town.loop, 9s);
    CHECK(town.server.connections() == 1);
    town.time.run_for(town.loop, 2s);
    CHECK(town.server.connections() == 0);
}

TEST_CASE("garbage after a TLS greeting ends the connection", "[http][tls]")
{
    Town town({.tls = certificate()});
    auto stream = run(town.time, town.loop, town.client_network->connect(server_at, town.loop.now() + 1s));
    REQUIRE(stream);
    (void)town.talk(**stream, "\x16garbage and more of it");
    CHECK(town.server.connections() == 0);
}

TEST_CASE("a client that says nothing is let go when idle, and at a drain at once", "[http][tls]")
{
    Town town({.tls = certificate()});
    auto stream = run(town.time, town.loop, town.client_network->connect(server_at, town.loop.now() + 1s));
    REQUIRE(stream);
    town.time.run_for(town.loop, 100s);
    CHECK(town.server.connections() == 1);
    town.time.run_for(town.loop, 21s);
    CHECK(town.server.connections() == 0);
    auto second = run(town.time, town.loop, town.client_network->connect(server_at, town.loop.now() + 1s));
    auto third = run(town.time, town.loop, town.client_network->connect(server_at, town.loop.now() + 1s));
    REQUIRE(third);
    (void)town.talk(**third, "\x16\x03"); // in the middle of its handshake
    CHECK(town.server.connections() == 2);
    const auto before = town.time.now();
    run(town.time, town.loop, town.server.drain(before + 3s));
    CHECK(town.time.now() - before < 4s);
    CHECK(town.server.connections() == 0);
}

TEST_CASE("a new certificate is for connections from then on", "[http][tls]")
{
    Town town({.tls = certificate()});
    const auto old = pinned();
    CHECK(town.ask(old) == "200 secure x");
    const auto pem = net::make_self_signed({"node.lan"}, base::SystemClock{}.wall());
    const auto fresh = *net::TlsContext::server_of(pem.certificate, pem.key);
    town.server.set_tls(fresh, false);
    CHECK(town.ask(old) == "200 secure x"); // the connection that is there goes on
    CHECK(town.ask(std::make_shared<base::PeerTrust>(base::PeerTrust{.host = "node.lan", .pin = fresh->fingerprint()}))
          == "200 secure x");
    town.pool.drop(server_at);
    CHECK(town.ask(old).starts_with("forbidden"));
}
