#include "http/client.hpp"
#include "http/fetch.hpp"
#include "http/pool.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"
#include "support/catch.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

#include <functional>

using namespace herd;
using namespace herd::http;
using herd::testing::make_stream_pair;
using herd::testing::MemoryStream;
using herd::testing::MemoryWorld;
using herd::testing::run;
using herd::testing::StreamOptions;
using namespace std::chrono_literals;

namespace {

struct World {
    net::VirtualTime time{};
    net::Loop loop{};
};

/// A node that reads until it saw `request_end`, then writes its script, piece by piece.
net::Task<void> script(net::Stream& stream, std::string request_end, std::vector<std::string> pieces, std::string& seen,
                       bool close_after)
{
    std::array<char, 4096> space{};
    while (seen.find(request_end) == std::string::npos) {
        const auto n = co_await net::read_some(stream, space);
        if (!n || *n == 0) {
            co_return;
        }
        seen.append(space.data(), *n);
    }
    for (const std::string& piece : pieces) {
        (void)co_await net::write_all(stream, std::string_view(piece));
    }
    if (close_after) {
        stream.close();
    }
}

struct Answered {
    base::Result<ResponseHead> head{};
    base::Result<std::string> body{};
};

net::Task<Answered> ask(ClientConnection& client, std::string method, std::string body = {})
{
    RequestHead head;
    head.method = std::move(method);
    head.fields.add("Host", "node");
    if (!body.empty()) {
        head.framing = Framing::length;
        head.content_length = body.size();
    }
    Answered answered;
    if (const auto sent = co_await client.send(head, body); !sent) {
        answered.head = std::unexpected(sent.error());
        co_return answered;
    }
    answered.head = co_await client.read_head();
    if (answered.head) {
        answered.body = co_await client.read_all(1 << 20);
    }
    co_return answered;
}

struct Conversation {
    explicit Conversation(World& world, StreamOptions options = {}) : w(world), tasks(world.loop, "node")
    {
        auto [a, b] = make_stream_pair(w.loop, options);
        own = a.get();
        node = std::move(b);
        client = std::make_unique<ClientConnection>(w.loop, std::move(a));
    }
    ~Conversation()
    {
        client->close();
        node->close();
        run(w.time, w.loop, tasks.join());
    }
    void expect(std::vector<std::string> answer, bool close_after = false, std::string request_end = "\r\n\r\n")
    {
        tasks.spawn("node", script(*node, std::move(request_end), std::move(answer), seen, close_after));
    }
    World& w;
    net::TaskGroup tasks;
    std::unique_ptr<MemoryStream> node{};
    MemoryStream* own{nullptr};
    std::unique_ptr<ClientConnection> client{};
    std::string seen{};
};

} // namespace

TEST_CASE("a request is answered and the connection can be used again")
{
    World w;
    Conversation c(w);
    for (int i = 0; i < 3; ++i) {
        c.seen.clear();
        c.expect({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hel", "lo"});
        const auto a = run(w.time, w.loop, ask(*c.client, "POST", "body"));
        REQUIRE(a.head);
        CHECK(a.head->status == 200);
        CHECK(a.body == "hello");
        CHECK(c.client->reusable());
        CHECK(c.seen == "POST / HTTP/1.1\r\nHost: node\r\nContent-Length: 4\r\n\r\nbody");
    }
    CHECK(c.own->writes() == 3); // head and body left together
}

TEST_CASE("interim answers are skipped and HEAD has no body")
{
    World w;
    Conversation c(w);
    c.expect({"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"});
    const auto a = run(w.time, w.loop, ask(*c.client, "HEAD"));
    REQUIRE(a.head);
    CHECK(a.head->content_length == 50);
    CHECK(a.body == "");
    CHECK(c.client->reusable());
}

TEST_CASE("a node that sends interim answers without end is given up")
{
    World w;
    Conversation c(w);
    std::string many;
    for (int i = 0; i < 17; ++i) {
        many += "HTTP/1.1 100 Continue\r\n\r\n";
    }
    c.expect({many + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
    const auto a = run(w.time, w.loop, ask(*c.client, "GET"));
    REQUIRE_FALSE(a.head);
    CHECK(a.head.error().code == base::Errc::malformed);
}

TEST_CASE("an answer that ends with the connection is whole, and not reusable")
{
    World w;
    Conversation c(w);
    c.expect({"HTTP/1.1 200 OK\r\n\r\n", "some ", "text"}, true);
    const auto a = run(w.time, w.loop, ask(*c.client, "GET"));
    REQUIRE(a.head);
    CHECK(a.head->framing == Framing::until_close);
    CHECK(a.body == "some text");
    CHECK_FALSE(c.client->reusable());
}

TEST_CASE("a node that closes says whether the request may be tried again")
{
    World w;
    {
        Conversation c(w);
        c.expect({}, true);
        const auto a = run(w.time, w.loop, ask(*c.client, "GET"));
        REQUIRE_FALSE(a.head);
        CHECK(a.head.error().code == base::Errc::closed);
        CHECK(a.head.error().source == base::Source::node);
        CHECK(a.head.error().retry == base::Retry::if_unsent);
        CHECK_FALSE(c.client->answer_begun());
    }
    {
        Conversation c(w);
        c.expect({"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}, true);
        const auto a = run(w.time, w.loop, ask(*c.client, "GET"));
        REQUIRE(a.head);
        REQUIRE_FALSE(a.body);
        CHECK(a.body.error().code == base::Errc::closed);
        CHECK(a.body.error().retry == base::Retry::never);
        CHECK_FALSE(c.client->reusable());
    }
    {
        Conversation c(w);
        c.expect({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"}, true);
        const auto a = run(w.time, w.loop, ask(*c.client, "GET"));
        REQUIRE_FALSE(a.body);
        CHECK(a.body.error().code == base::Errc::closed);
    }
    {
        Conversation c(w);
        c.expect({"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"});
        const auto a = run(w.time, w.loop, ask(*c.client, "GET"));
        REQUIRE_FALSE(a.head);
        CHECK(a.head.error().code == base::Errc::malformed);
    }
}

TEST_CASE("bytes nobody asked for make a connection useless")
{
    World w;
    Conversation c(w);
    c.expect({"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"});
    const auto a = run(w.time, w.loop, ask(*c.client, "GET"));
    CHECK(a.body == "ok");
    CHECK_FALSE(c.client->reusable());
}

TEST_CASE("close() from outside ends the wait for an answer")
{
    World w;
    Conversation c(w);
    net::Timer timer(w.loop);
    timer.call_after(5s, [&] { c.client->close(); });
    const auto before = w.time.now();
    const auto a = run(w.time, w.loop, ask(*c.client, "GET"));
    REQUIRE_FALSE(a.head);
    CHECK(a.head.error().code == base::Errc::cancelled);
    CHECK(w.time.now() - before < 6s);
}

namespace {

net::Task<base::Result<ResponseHead>> upload(ClientConnection& client, std::size_t pieces, bool& early, bool chunked)
{
    RequestHead head;
    head.method = "POST";
    head.fields.add("Host", "node");
    head.framing = chunked ? Framing::chunked : Framing::length;
    const std::string piece(1000, 'x');
    head.content_length = pieces * piece.size();
    if (const auto ok = co_await client.send_head(head); !ok) {
        co_return std::unexpected(ok.error());
    }
    for (std::size_t i = 0; i < pieces; ++i) {
        if (client.answer_waiting()) {
            early = true;
            break;
        }
        const std::array<std::string_view, 2> parts{std::string_view(piece).substr(0, 400), std::string_view(piece).substr(400)};
        if (const auto ok = co_await client.send_body(parts); !ok) {
            co_return std::unexpected(ok.error());
        }
    }
    if (const auto ok = co_await client.send_end(); !ok) {
        co_return std::unexpected(ok.error());
    }
    co_return co_await client.read_head();
}

} // namespace

TEST_CASE("a body is streamed through a small socket")
{
    World w;
    for (const bool chunked : {false, true}) {
        Conversation c(w, {.buffer_bytes = 700});
        bool early = false;
        c.expect({"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, false, chunked ? "\r\n0\r\n\r\n" : std::string(20000, 'x'));
        const auto head = run(w.time, w.loop, upload(*c.client, 20, early, chunked));
        REQUIRE(head);
        CHECK_FALSE(early);
        CHECK(c.client->reusable());
        if (chunked) {
            CHECK(c.seen.find("\r\n\r\n3e8\r\nxxx") != std::string::npos);
        }
    }
}

TEST_CASE("an answer that comes just before send_end() leaves the connection good")
{
    World w;
    Conversation c(w);
    struct Go {
        static net::Task<base::Result<ResponseHead>> go(ClientConnection& client, net::Loop& loop)
        {
            RequestHead head;
            head.method = "POST";
            head.framing = Framing::length;
            head.content_length = 4;
            (void)co_await client.send_head(head);
            const std::array<std::string_view, 1> body{"body"};
            (void)co_await client.send_body(body);
            (void)co_await net::sleep_for(loop, std::chrono::seconds{1}); // it answers meanwhile
            CHECK(client.answer_waiting());
            (void)co_await client.send_end();
            co_return co_await client.read_head();
        }
    };
    c.expect({"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, false, "body");
    CHECK(run(w.time, w.loop, Go::go(*c.client, w.loop)));
    CHECK(c.client->reusable());
}

TEST_CASE("an early answer ends an upload, and the connection with it")
{
    World w;
    Conversation c(w, {.buffer_bytes = 700});
    bool early = false;
    c.expect({"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, false, "\r\n\r\n"); // reads no body
    const auto head = run(w.time, w.loop, upload(*c.client, 100, early, false));
    REQUIRE(head);
    CHECK(head->status == 200);
    CHECK(early);
    CHECK_FALSE(c.client->reusable());
}

TEST_CASE("whichever operation fails, asking ends with one error and nothing left")
{
    World w;
    std::size_t n = 0;
    for (bool succeeded = false; !succeeded; ++n) {
        REQUIRE(n < 100);
        Conversation c(w, {.buffer_bytes = 64, .read_bytes_max = 30});
        c.own->fail_after(n);
        c.expect({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n"});
        const auto a = run(w.time, w.loop, ask(*c.client, "POST", std::string(100, 'b')), 60s);
        succeeded = a.head && a.body;
        if (!succeeded) {
            const auto& error = a.head ? a.body.error() : a.head.error();
            CHECK(error.code == base::Errc::reset);
            CHECK(error.source == base::Source::node);
            CHECK_FALSE(c.client->reusable());
        } else {
            CHECK(*a.body == "abcdef");
        }
    }
    CHECK(n > 5);
}

// --- pool and fetch ---

namespace {

const base::Endpoint node_at{base::IpAddress::v4({10, 0, 0, 7}), 11434};

/// A node that answers each request on each connection with `answer`, or closes after `per_connection` answers.
struct FakeNode {
    FakeNode(World& w, MemoryWorld& world) : network(world.host(node_at.address)), tasks(w.loop, "fake node"), world_of(w)
    {
        listener = *network->listen(herd::testing::memory_socket(node_at));
        tasks.spawn("accept", accept(*this));
    }
    ~FakeNode()
    {
        listener->close();
        for (auto& s : streams) {
            s->close();
        }
        run(world_of.time, world_of.loop, tasks.join());
    }
    static net::Task<void> accept(FakeNode& node)
    {
        for (;;) {
            auto stream = co_await node.listener->accept();
            if (!stream) {
                co_return;
            }
            node.streams.push_back(std::move(*stream));
            node.tasks.spawn("serve", serve(node, *node.streams.back()));
        }
    }
    static net::Task<void> serve(FakeNode& node, net::Stream& stream)
    {
        for (std::size_t i = 0; i < node.per_connection; ++i) {
            std::string seen;
            std::array<char, 512> space{};
            while (!seen.ends_with("\r\n\r\n")) {
                const auto n = co_await net::read_some(stream, space);
                if (!n || *n == 0) {
                    co_return;
                }
                seen.append(space.data(), *n);
            }
            ++node.requests;
            node.last = seen;
            if (!node.silent) {
                (void)co_await net::write_all(stream, node.answer);
            }
        }
        stream.close();
    }
    std::unique_ptr<net::Network> network;
    net::TaskGroup tasks;
    std::unique_ptr<net::Listener> listener{};
    std::vector<std::unique_ptr<net::Stream>> streams{};
    std::string answer{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"};
    std::size_t per_connection{1000};
    std::size_t requests{0};
    std::string last{};
    bool silent{false};
    World& world_of;
};

net::Task<base::Result<Answer>> get(World& w, Pool& pool, FetchOptions options = {})
{
    RequestHead head;
    head.target = "/api/version";
    return fetch(w.loop, pool, node_at, std::move(head), {}, options);
}

} // namespace

TEST_CASE("connections are kept and reused, also across many requests")
{
    World w;
    MemoryWorld world(w.loop);
    FakeNode node(w, world);
    auto network = world.host(base::IpAddress::v4({10, 0, 0, 1}));
    Pool pool(w.loop, *network, {});
    for (int i = 0; i < 5; ++i) {
        const auto answer = run(w.time, w.loop, get(w, pool));
        REQUIRE(answer);
        CHECK(answer->body == "ok");
    }
    CHECK(world.connections_made() == 1);
    CHECK(pool.idle() == 1);
    CHECK(node.last == "GET /api/version HTTP/1.1\r\nHost: 10.0.0.7:11434\r\n\r\n");
    (void)run(w.time, w.loop, get(w, pool, {.fresh = true}));
    CHECK(world.connections_made() == 2);
    CHECK(pool.idle() == 2);
    pool.drop(node_at);
    CHECK(pool.idle() == 0);
}

TEST_CASE("an idle connection that ends, or is too old, is forgotten at once")
{
    World w;
    MemoryWorld world(w.loop);
    FakeNode node(w, world);
    auto network = world.host(base::IpAddress::v4({10, 0, 0, 1}));
    Pool pool(w.loop, *network, {.idle_timeout = 55s});
    node.per_connection = 1;
    REQUIRE(run(w.time, w.loop, get(w, pool)));
    w.time.run_for(w.loop, 1ms);
    CHECK(pool.idle() == 0);
    node.per_connection = 100;
    REQUIRE(run(w.time, w.loop, get(w, pool)));
    w.time.run_for(w.loop, 50s);
    CHECK(pool.idle() == 1);
    w.time.run_for(w.loop, 6s);
    CHECK(pool.idle() == 0);
}

TEST_CASE("the pool keeps no more than it may")
{
    World w;
    MemoryWorld world(w.loop);
    FakeNode node(w, world);
    auto network = world.host(base::IpAddress::v4({10, 0, 0, 1}));
    Pool pool(w.loop, *network, {.idle_per_endpoint = 2});
    for (int i = 0; i < 4; ++i) {
        REQUIRE(run(w.time, w.loop, get(w, pool, {.fresh = true})));
    }
    CHECK(pool.idle() == 2);
}

TEST_CASE("a fetch keeps its deadline, to the millisecond")
{
    World w;
    MemoryWorld world(w.loop);
    FakeNode node(w, world);
    auto network = world.host(base::IpAddress::v4({10, 0, 0, 1}));
    Pool pool(w.loop, *network, {.connect_timeout = 10s});
    const auto timed = [&] {
        const auto before = w.time.now();
        const auto answer = run(w.time, w.loop, get(w, pool, {.timeout = 300ms}));
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code == base::Errc::timed_out);
        CHECK(answer.error().source == base::Source::node);
        return w.time.now() - before;
    };
    node.silent = true;
    CHECK(timed() <= 310ms);
    world.set_unreachable(node_at.address, true);
    CHECK(timed() <= 310ms);
    world.set_unreachable(node_at.address, false);
    CHECK(pool.idle() == 0);
}

TEST_CASE("a fetch from nobody is refused, and a huge answer too large")
{
    World w;
    MemoryWorld world(w.loop);
    auto network = world.host(base::IpAddress::v4({10, 0, 0, 1}));
    Pool pool(w.loop, *network, {});
    auto answer = run(w.time, w.loop, get(w, pool));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == base::Errc::refused);
    CHECK(answer.error().retry == base::Retry::always);
    FakeNode node(w, world);
    node.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x');
    answer = run(w.time, w.loop, get(w, pool, {.body_bytes_max = 1000}));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == base::Errc::too_large);
    CHECK(pool.idle() == 0);
}

TEST_CASE("a reused connection that turns out dead is replaced once")
{
    World w;
    MemoryWorld world(w.loop);
    FakeNode node(w, world);
    auto network = world.host(base::IpAddress::v4({10, 0, 0, 1}));
    Pool pool(w.loop, *network, {});
    REQUIRE(run(w.time, w.loop, get(w, pool)));
    // The node closes its end as our next request is on its way.
    world.stream_options.latency = 1ms;
    node.streams.front()->abort();
    const auto answer = run(w.time, w.loop, get(w, pool));
    REQUIRE(answer);
    CHECK(node.requests == 2);
    CHECK(world.connections_made() == 2);
}

TEST_CASE("a cancelled fetch ends without an answer or a connection")
{
    World w;
    MemoryWorld world(w.loop);
    FakeNode node(w, world);
    node.silent = true;
    auto network = world.host(base::IpAddress::v4({10, 0, 0, 1}));
    Pool pool(w.loop, *network, {});
    net::TaskGroup tasks(w.loop, "test");
    base::Errc code{};
    struct Probe {
        static net::Task<void> go(World& w, Pool& pool, base::Errc& code)
        {
            const auto answer = co_await get(w, pool, {.timeout = 1h});
            code = answer ? base::Errc::internal : answer.error().code;
        }
    };
    tasks.spawn("fetch", Probe::go(w, pool, code));
    w.time.run_for(w.loop, 1s);
    CHECK(node.requests == 1);
    tasks.cancel();
    run(w.time, w.loop, tasks.join());
    CHECK(code == base::Errc::cancelled);
    w.time.run_for(w.loop, 10ms);
    CHECK(world.connections_open() == 0);
    CHECK(pool.idle() == 0);
}

TEST_CASE("giving up an endpoint while a connection to it is being made disturbs nobody")
{
    World w;
    MemoryWorld world(w.loop);
    world.stream_options.latency = 20ms;
    auto network = world.host(base::IpAddress::v4({10, 0, 0, 1}));
    Pool pool(w.loop, *network, {});
    const auto fetch_and_give_up = [&] {
        net::Timer meanwhile(w.loop);
        meanwhile.call_after(10ms, [&] { pool.give_up(node_at); }); // connecting takes 40
        return run(w.time, w.loop, get(w, pool));
    };
    auto answer = fetch_and_give_up();
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == base::Errc::refused); // the network's own word, in its own time
    FakeNode node(w, world);
    answer = fetch_and_give_up();
    REQUIRE(answer); // who connects after all was not meant: he found the node alive
    CHECK(answer->head.status == 200);
    pool.give_up(node_at); // idle ones go with it
    CHECK(pool.idle() == 0);
}
