// Ollana servers as nodes: lana.md 12.6 B3 to B6, one test each rule.
#include "herd/devices/ollana_servers.hpp"
#include "support/catch.hpp"

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app::devices;
using namespace std::chrono_literals;
using End = Handshake::End;

namespace {

const std::string ours(64, 'f');
const std::string theirs(64, 'a');
const std::string certificate(64, '1');
const std::string other_certificate(64, '2');
const base::IpAddress at = base::IpAddress::v4({10, 77, 0, 9});
const base::IpAddress elsewhere = base::IpAddress::v4({10, 77, 0, 10});
const base::WallTime wall{std::chrono::hours{500'000}};

struct Bench {
    DeviceBook devices{{.own_id = ours}};
    ServerBook book;
    base::Instant now{std::chrono::hours{5}};

    Bench() { CHECK(book.heard(at, now)); }
    bool welcome(const std::string& shown = certificate, const base::IpAddress& address = at)
    {
        return book.concluded(address, {.end = End::welcome, .device = theirs, .certificate = shown}, devices, now);
    }
    bool end(End how, const std::string& shown = {}) { return book.concluded(at, {.end = how, .certificate = shown, .why = "because"}, devices, now); }
    ServerState state(const base::IpAddress& address = at) const { return book.all().at(address).state; }
    void approve()
    {
        (void)devices.allow(theirs, {}, wall);
        REQUIRE(book.conflict(theirs).empty());
        book.approve(theirs, devices, now);
    }
};

} // namespace

TEST_CASE("ollana B3: a server that does not know us waits, and says what to run there")
{
    Bench b;
    b.end(End::unauthorized, certificate);
    CHECK(b.state() == ServerState::awaiting_there);
    const auto& server = b.book.all().at(at);
    CHECK(awaiting(server, ours) == "awaiting approval: run `ollana device allow " + ours + "` there, then restart ollana");
    CHECK(awaiting(server, {}).find(ours) == std::string::npos); // `herd nodes` is open to all
    CHECK(awaiting(server, {}).find("herd device show") != std::string::npos);
}

TEST_CASE("ollana B3: a server whose id no human allowed waits here")
{
    Bench b;
    CHECK_FALSE(b.welcome());
    CHECK(b.state() == ServerState::awaiting_here);
    CHECK(awaiting(b.book.all().at(at), ours) == "awaiting approval: run `herd device allow " + theirs + "`");
    CHECK(b.devices.allowed(theirs) == nullptr);
}

TEST_CASE("ollana B3: it is asked again after 5 s, and ever more seldom up to 5 min, not on each answer of its")
{
    Bench b;
    std::vector<std::int64_t> pauses;
    for (int i = 0; i < 9; ++i) {
        REQUIRE(b.book.due(b.now).size() == 1);
        CHECK(b.book.due(b.now).empty()); // it is out
        CHECK_FALSE(b.book.next_deadline());
        b.end(End::unauthorized);
        const auto next = b.book.next_deadline();
        REQUIRE(next);
        pauses.push_back(base::milliseconds(*next - b.now) / 1000);
        for (int beat = 0; beat < 3; ++beat) {
            CHECK_FALSE(b.book.heard(at, b.now)); // what it says each 5 s changes nothing
        }
        CHECK(b.book.next_deadline() == next);
        CHECK(b.book.due(*next - 1ms).empty());
        b.now = *next;
    }
    CHECK(pauses == std::vector<std::int64_t>{5, 10, 20, 40, 80, 160, 300, 300, 300});
}

TEST_CASE("ollana B4: the certificate is pinned when a human allows the id, and another one needs leave again")
{
    Bench b;
    b.welcome();
    b.approve();
    CHECK(b.devices.allowed(theirs)->pin == certificate);
    CHECK(b.book.due(b.now).size() == 1); // at once: it must say so itself
    CHECK(b.welcome());
    CHECK(b.state() == ServerState::approved);
    CHECK(awaiting(b.book.all().at(at), ours).empty());
    CHECK(b.book.pin_of(at, b.devices) == certificate);

    CHECK(b.end(End::stranger, other_certificate)); // our id was not sent
    CHECK(b.state() == ServerState::changed);
    CHECK(awaiting(b.book.all().at(at), ours).find("certificate") != std::string::npos);
    CHECK(b.devices.allowed(theirs)->pin == certificate);
    CHECK_FALSE(b.welcome(other_certificate));
    CHECK(b.state() == ServerState::changed);
    b.approve();
    CHECK(b.devices.allowed(theirs)->pin == other_certificate);
    CHECK(b.welcome(other_certificate));
    CHECK(b.state() == ServerState::approved);
}

TEST_CASE("ollana B4: an id that was allowed before its server was seen gets its first certificate, and keeps it")
{
    Bench b;
    (void)b.devices.allow(theirs, {}, wall);
    CHECK(b.welcome());
    CHECK(b.state() == ServerState::approved);
    CHECK(b.devices.allowed(theirs)->pin == certificate);
    CHECK(b.book.heard(elsewhere, b.now));
    b.welcome(other_certificate, elsewhere); // a second one that says it is the same
    CHECK(b.state(elsewhere) == ServerState::changed);
    CHECK(b.devices.allowed(theirs)->pin == certificate);
    b.welcome(certificate, elsewhere); // the same one under another address
    CHECK(b.state(elsewhere) == ServerState::approved);
}

TEST_CASE("ollana B4: two servers that show one id with two certificates are not approved by that id")
{
    Bench b;
    CHECK(b.book.heard(elsewhere, b.now));
    b.welcome();
    b.welcome(other_certificate, elsewhere);
    CHECK(b.book.conflict(theirs).find("10.77.0.9 and 10.77.0.10") != std::string::npos);
    CHECK(b.book.conflict(ours).empty());
    b.welcome(certificate, elsewhere); // one machine with two addresses
    CHECK(b.book.conflict(theirs).empty());
}

TEST_CASE("an id that is disabled takes its server out at once")
{
    Bench b;
    (void)b.devices.allow(theirs, {}, wall);
    b.welcome();
    CHECK(b.book.approved().size() == 1);
    CHECK(b.devices.disable(theirs));
    b.book.settle(b.devices);
    CHECK(b.state() == ServerState::awaiting_here);
    CHECK(b.book.approved().empty());
}

TEST_CASE("ollana B6: a server in use that cannot be reached is left to the fleet's polls; one that knows us no more waits")
{
    Bench b;
    (void)b.devices.allow(theirs, {}, wall);
    b.welcome();
    CHECK(b.book.next_deadline() == b.now + 10s);
    b.end(End::unreachable);
    CHECK(b.state() == ServerState::approved);
    CHECK(b.end(End::unauthorized, certificate));
    CHECK(b.state() == ServerState::awaiting_there);
}

TEST_CASE("ollana B3: old servers, and what is none, get a sentence and no work")
{
    Bench b;
    for (const End end : {End::plain, End::odd, End::unreachable}) {
        b.end(end);
        CHECK_FALSE(awaiting(b.book.all().at(at), ours).empty());
    }
    CHECK(awaiting(b.book.all().at(at), ours).find("because") != std::string::npos);
    CHECK(read_handshake(401, "anything").end == End::unauthorized);
    CHECK(read_handshake(200, R"({"device_id":")" + theirs + "\"}").device == theirs);
    for (const auto& body : {std::string{"{}"}, std::string{"x"}, std::string{"[]"}, std::string{R"({"device_id":7})"}, std::string{R"({"device_id":"short"})"}}) {
        CHECK(read_handshake(200, body).end == End::odd);
    }
    for (const int status : {204, 302, 404, 500}) {
        CHECK(read_handshake(status, R"({"device_id":")" + theirs + "\"}").end == End::odd);
    }
}

TEST_CASE("ollana B5: as a node it has one place, its pinned certificate and our id; waiting it has neither")
{
    Bench b;
    b.welcome();
    auto node = node_of_server(at, b.book.all().at(at), ours, 1, {});
    REQUIRE(node);
    CHECK(node->url.text() == "https://10.77.0.9:11435");
    CHECK(node->manner->lacking == awaiting(b.book.all().at(at), {}));
    CHECK(node->manner->headers.empty()); // nobody gets our id before he is approved
    CHECK_FALSE(node->manner->trust->pin);
    b.approve();
    b.welcome();
    node = node_of_server(at, b.book.all().at(at), ours, 1, {});
    REQUIRE(node);
    CHECK(node->slots == 1);
    CHECK(node->manner->lacking.empty());
    CHECK(node->manner->headers == std::vector<std::pair<std::string, std::string>>{{"X-Ollana-Device-Id", ours}});
    REQUIRE(node->manner->trust->pin);
    CHECK(node->manner->trust->pin->front() == 0x11);
    CHECK(node_of_server(at, b.book.all().at(at), ours, 4, {})->slots == 4);
    app::NodeSurroundings around{.listeners = {{at, 11435}}};
    CHECK_FALSE(node_of_server(at, b.book.all().at(at), ours, 1, around)); // ourselves
}

TEST_CASE("servers are bounded, and those that fall silent before they were of use are forgotten")
{
    Bench b;
    std::size_t taken = 1;
    for (int i = 0; i < 1000; ++i) {
        taken += b.book.heard(base::IpAddress::v4({10, 78, static_cast<std::uint8_t>(i / 250), static_cast<std::uint8_t>(i % 250)}), b.now) ? 1U : 0U;
    }
    CHECK(taken == store::ollana_servers_max);
    (void)b.devices.allow(theirs, {}, wall);
    b.welcome();
    CHECK(b.book.forget_silent(b.now + 59min).empty());
    CHECK(b.book.forget_silent(b.now + 61min).size() == store::ollana_servers_max - 1);
    CHECK(b.book.all().size() == 1);
}

TEST_CASE("what was approved before a restart is there again with its pin")
{
    Bench b;
    (void)b.devices.allow(theirs, {}, wall);
    b.welcome();
    ServerBook again;
    for (const auto& server : b.book.approved()) {
        again.recall(server, b.devices, b.now);
    }
    CHECK(again.all().at(at).state == ServerState::approved);
    CHECK(again.all().at(at).certificate == certificate);
    CHECK(b.devices.disable(theirs));
    ServerBook none;
    none.recall({at, theirs}, b.devices, b.now);
    CHECK(none.all().empty());
}
