// The agent on real sockets of the loopback interface, with a herd that is named to it: announcements by
// datagram, the HTTP twin when nobody acknowledges them, and LEAVE at the end.
#include "support/catch.hpp"

#include "fake_ollama.hpp"
#include "herd-node/node_app.hpp"
#include "http/server.hpp"
#include "support/run.hpp"

#include <array>
#include <map>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

using namespace herd;
using namespace herd::node;
using namespace std::chrono_literals;

namespace {

const base::Endpoint any_port{base::IpAddress::loopback(), 0};

/// UDP on the loopback port `port`, read without waiting.
class Mailbox {
public:
    explicit Mailbox(std::uint16_t port)
        : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    {
        ::sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(port);
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::bind(fd_.get(), reinterpret_cast<const ::sockaddr*>(&at), sizeof at) == 0); // NOLINT
    }
    /// Counts what arrived, by type.
    const std::map<discovery::Type, int>& look()
    {
        std::array<std::uint8_t, 2048> bytes{};
        for (auto n = ::recv(fd_.get(), bytes.data(), bytes.size(), 0); n > 0;
             n = ::recv(fd_.get(), bytes.data(), bytes.size(), 0)) {
            const discovery::ByteView datagram(bytes.data(), static_cast<std::size_t>(n));
            if (const auto parsed = discovery::parse_header(datagram)) {
                ++seen_[parsed->header.type];
                last_ = parsed->header;
            }
        }
        return seen_;
    }
    [[nodiscard]] const discovery::Header& last() const { return last_; }

private:
    net::Fd fd_;
    std::map<discovery::Type, int> seen_{};
    discovery::Header last_{};
};

/// A herd that takes POST /herd/v1/announce and nothing else.
struct HttpHerd {
    explicit HttpHerd(net::Loop& loop)
        : server(
              loop, {}, [this](http::ServerExchange& e) { return handle(e); },
              [](int status, std::string_view, std::string_view, std::string&) {
                  http::ResponseHead head;
                  head.status = status;
                  return head;
              })
    {
    }
    net::Task<void> handle(http::ServerExchange& exchange)
    {
        auto body = co_await exchange.read_all(1024 * 1024);
        if (body && exchange.head().target == "/herd/v1/announce") {
            document = discovery::parse_node_document(*body).value_or(discovery::NodeDocument{});
        }
        discovery::AnnounceAnswer answer;
        answer.herd = *base::Uuid::parse("7c9e6679-7425-40de-944b-e07fc1f90ae7");
        answer.boot_id = 5;
        const auto text = discovery::to_json(answer);
        (void)co_await exchange.respond({}, text);
    }
    std::optional<discovery::NodeDocument> document{};
    http::Server server;
};

} // namespace

TEST_CASE("a named herd is told by datagram, over HTTP when it does not answer, and hears the goodbye")
{
    net::Loop loop;
    const auto network = net::make_network(loop);
    auto ollama_socket = net::bind_tcp(any_port, 1);
    auto herd_socket = net::bind_tcp(any_port, 1);
    REQUIRE(ollama_socket);
    REQUIRE(herd_socket);
    const auto ollama_port = ollama_socket->front().local.port;
    const auto herd_port = herd_socket->front().local.port;
    test::FakeOllama ollama(loop, *network, std::move(ollama_socket->front()));
    HttpHerd herd(loop);
    herd.server.serve(*network->listen(std::move(herd_socket->front())));
    Mailbox mailbox(herd_port);

    NodeOptions options;
    options.ollama = *config::parse_backend_url("127.0.0.1:" + std::to_string(ollama_port));
    options.listen = {any_port};
    options.herds = {{"127.0.0.1", herd_port}};
    options.discovery.interfaces = {"lo"};
    options.discovery.enabled = false; // nobody but that herd
    auto sockets = bind_node(options);
    REQUIRE(sockets);
    NodeIdentity identity;
    identity.id = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
    identity.boot_id = 42;
    NodeApp app(loop, *network, options, identity, discovery::Authenticator{}, std::move(*sockets));
    REQUIRE(app.start());
    REQUIRE(app.listening().size() == 1);
    CHECK(app.listening()[0].port != 0);

    REQUIRE(testing::run_until(loop, [&] { return mailbox.look().contains(discovery::Type::announce); }));
    CHECK(mailbox.last().sender_id == identity.id);
    CHECK(mailbox.last().boot_id == 42);
    CHECK(mailbox.last().api_port == app.listening()[0].port);
    CHECK(mailbox.last().is_routable()); // the first copy waited for Ollama's answer

    REQUIRE(testing::run_until(loop, [&] { return herd.document.has_value(); }));
    CHECK(herd.document->sender_id == identity.id);
    CHECK(herd.document->state == discovery::State::ready);
    CHECK(herd.document->models.size() == 1);

    bool stopped = false;
    asio::co_spawn(loop.context(), app.stop(1s), [&](std::exception_ptr) { stopped = true; });
    REQUIRE(testing::run_until(loop, [&] { return stopped; }));
    CHECK(mailbox.look().at(discovery::Type::leave) == 3);

    bool drained = false;
    asio::co_spawn(loop.context(), herd.server.drain(loop.now()),
                   [&](std::exception_ptr) { drained = true; });
    REQUIRE(testing::run_until(loop, [&] { return drained; }));
    bool ended = false;
    asio::co_spawn(loop.context(), ollama.stop(), [&](std::exception_ptr) { ended = true; });
    REQUIRE(testing::run_until(loop, [&] { return ended; }));
}
