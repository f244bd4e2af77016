// Both ends over real sockets on loopback: a client, a relay made of Server and Pool, and a node.
#include "http/fetch.hpp"
#include "http/hop.hpp"
#include "http/pool.hpp"
#include "http/server.hpp"
#include "net/timer.hpp"
#include "support/catch.hpp"
#include "support/run.hpp"

#include <array>

using namespace herd;
using namespace herd::http;
using herd::testing::run_real;
using herd::testing::run_until;
using namespace std::chrono_literals;

namespace {

ResponseHead error_body(int status, std::string_view reason, std::string_view /*target*/, std::string& body)
{
    body = reason;
    return {.status = status};
}

std::unique_ptr<net::Listener> listen(net::Network& network)
{
    auto sockets = net::bind_tcp({base::IpAddress::loopback(), 0}, 1);
    REQUIRE(sockets);
    return std::move(*network.listen(std::move(sockets->front())));
}

/// Tokens with a pause between them; /big is 20 MB at once; everything else echoes.
net::Task<void> node_handler(ServerExchange& exchange)
{
    ResponseHead head;
    head.framing = Framing::chunked;
    if (exchange.head().path() == "/stream") {
        exchange.begin(std::move(head));
        for (int i = 0; i < 20; ++i) {
            const std::string token = "token " + std::to_string(i) + "\n";
            const std::array<std::string_view, 1> piece{token};
            if (!co_await exchange.write(piece)) {
                co_return;
            }
            (void)co_await net::sleep_for(exchange.loop(), 1ms);
        }
        (void)co_await exchange.end();
    } else if (exchange.head().path() == "/big") {
        const std::string block(1'000'000, 'b');
        exchange.begin(std::move(head));
        const std::array<std::string_view, 1> piece{block};
        for (int i = 0; i < 20; ++i) {
            if (!co_await exchange.write(piece)) {
                co_return;
            }
        }
        (void)co_await exchange.end();
    } else if (exchange.head().path() == "/never") {
        net::Event gone(exchange.loop());
        exchange.on_client_gone([&] { gone.notify(); });
        co_await gone.wait();
    } else {
        auto body = co_await exchange.read_all(50'000'000);
        (void)co_await exchange.respond({}, body ? *body : "?");
    }
}

/// The smallest proxy: the body of the request streamed there, the answer streamed back.
struct Relay {
    net::Task<void> handle(ServerExchange& exchange)
    {
        auto taken = co_await pool.take(node);
        if (!taken) {
            co_return;
        }
        ClientConnection& connection = *taken->connection;
        exchange.on_client_gone([&] { connection.close(); });
        if (!co_await send(exchange, connection)) {
            co_return;
        }
        auto answer = co_await connection.read_head();
        if (!answer) {
            co_return;
        }
        ResponseHead head;
        head.status = answer->status;
        head.framing = answer->framing;
        head.content_length = answer->content_length;
        copy_end_to_end(answer->fields, head.fields);
        exchange.begin(std::move(head));
        for (;;) {
            const auto pieces = co_await connection.read_body();
            if (!pieces) {
                co_return;
            }
            if (pieces->empty()) {
                break;
            }
            if (!co_await exchange.write(*pieces)) {
                co_return;
            }
        }
        (void)co_await exchange.end();
        exchange.on_client_gone(nullptr);
        pool.give_back(std::move(taken->connection));
    }

    static net::Task<bool> send(ServerExchange& exchange, ClientConnection& connection)
    {
        RequestHead head;
        head.method = exchange.head().method;
        head.target = exchange.head().target;
        head.framing = exchange.head().framing;
        head.content_length = exchange.head().content_length;
        copy_end_to_end(exchange.head().fields, head.fields);
        if (head.framing == Framing::none) {
            co_return (co_await connection.send(head, {})).has_value();
        }
        if (!co_await connection.send_head(head)) {
            co_return false;
        }
        while (!exchange.body_complete()) {
            const auto pieces = co_await exchange.read_body();
            if (!pieces || !co_await connection.send_body(*pieces)) {
                co_return false;
            }
        }
        co_return (co_await connection.send_end()).has_value();
    }

    Pool& pool;
    base::Endpoint node;
};

struct House {
    House()
        : network(net::make_network(loop)), node(loop, {}, node_handler, error_body), pool(loop, *network, {}),
          server(loop, {}, [this](ServerExchange& e) { return relay->handle(e); }, error_body)
    {
        auto listener = listen(*network);
        relay = std::make_unique<Relay>(Relay{pool, listener->local()});
        node.serve(std::move(listener));
        listener = listen(*network);
        at = listener->local();
        server.serve(std::move(listener));
    }
    ~House()
    {
        struct Go {
            static net::Task<bool> drain(House& house)
            {
                co_await house.server.drain(house.loop.now() + 5s);
                house.pool.drop(house.relay->node);
                co_await house.node.drain(house.loop.now() + 5s);
                co_return true;
            }
        };
        CHECK(run_real(loop, Go::drain(*this)));
    }
    base::Result<Answer> ask(std::string method, std::string target, std::string body = {})
    {
        Pool own(loop, *network, {});
        RequestHead head;
        head.method = std::move(method);
        head.target = std::move(target);
        return run_real(loop, fetch(loop, own, at, std::move(head), std::move(body),
                                    {.timeout = 20s, .body_bytes_max = 100'000'000}));
    }
    net::Loop loop{};
    std::unique_ptr<net::Network> network;
    Server node;
    Pool pool;
    std::unique_ptr<Relay> relay{};
    Server server;
    base::Endpoint at{};
};

} // namespace

TEST_CASE("bodies of every size pass a relay over TCP unchanged")
{
    House house;
    for (const std::size_t size : {0U, 1U, 1000U, 16384U, 100'000U, 20'000'000U}) {
        std::string body;
        body.reserve(size + 20);
        while (body.size() < size) {
            body += std::to_string(body.size());
        }
        body.resize(size);
        const auto answer = house.ask("POST", "/echo", body);
        REQUIRE(answer);
        CHECK(answer->head.status == 200);
        CHECK((answer->body == body));
    }
    CHECK(run_until(house.loop, [&] { return house.pool.idle() == 1; })); // one connection did it all
}

TEST_CASE("a stream passes a relay over TCP, and so does much at once")
{
    House house;
    const auto stream = house.ask("GET", "/stream");
    REQUIRE(stream);
    CHECK(stream->body.starts_with("token 0\ntoken 1\n"));
    CHECK(stream->body.ends_with("token 19\n"));
    const auto big = house.ask("GET", "/big");
    REQUIRE(big);
    CHECK(big->body.size() == 20'000'000);
    CHECK(big->head.fields.find("date"));
}

TEST_CASE("a client that goes away takes its work on the node with it, at once")
{
    House house;
    auto connected = run_real(house.loop, house.network->connect(house.at, house.loop.now() + 5s));
    REQUIRE(connected);
    REQUIRE(run_real(house.loop, net::write_all(**connected, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n")));
    REQUIRE(run_until(house.loop, [&] { return house.node.exchanges() == 1; }));
    const auto left = house.loop.now();
    (*connected)->close();
    CHECK(run_until(house.loop, [&] { return house.node.exchanges() == 0 && house.server.exchanges() == 0; }));
    CHECK(house.loop.now() - left < 1s);
    CHECK(run_until(house.loop, [&] { return house.server.connections() == 0; }));
}

TEST_CASE("a refused node means a refused answer, not a hung client")
{
    House house;
    struct Go {
        static net::Task<bool> drain(House& h)
        {
            co_await h.node.drain(h.loop.now());
            co_return true;
        }
    };
    CHECK(run_real(house.loop, Go::drain(house)));
    const auto answer = house.ask("GET", "/x");
    REQUIRE(answer);
    CHECK(answer->head.status == 500);
}
