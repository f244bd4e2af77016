// The bare LANA of Ollana: every rule of lana.md 12.6 A1, A7 and B2 (parity.md 4.2, 1 2 4), one test each.
#include "discovery/ollana.hpp"

#include "discovery/herd_side.hpp"
#include "support/catch.hpp"
#include "vectors.hpp"

#include <set>

using namespace herd;
using namespace herd::discovery;
using namespace std::chrono_literals;
using enum OllanaVerdict;

namespace {

const base::IpAddress ours = base::IpAddress::v4({10, 77, 0, 1});

base::IpAddress client(std::uint8_t last) { return base::IpAddress::v4({10, 77, 0, last}); }

Arrival query(std::uint8_t last = 7, std::uint16_t port = 40000)
{
    Arrival arrival;
    arrival.from = {client(last), port};
    arrival.to = base::IpAddress::v4({255, 255, 255, 255});
    arrival.local = ours;
    arrival.interface = 3;
    arrival.ttl = 64; // Ollana sends with the usual one
    arrival.connected = true;
    arrival.to_group = true;
    return arrival;
}

OllanaRules open_rules() { return {.answers = true, .from_known_port = true, .secure = {{base::IpAddress{}, 11435}}, .routable = true}; }

struct Bench {
    Bench() { ear.set_rules(open_rules()); }
    OllanaVerdict hear(const Arrival& arrival) { return ear.hear(now, arrival).verdict; }
    OllanaEar ear;
    base::Instant now{std::chrono::hours{5}};
};

} // namespace

TEST_CASE("ollana A1: a query from a neighbour's ephemeral port is answered")
{
    Bench b;
    CHECK(b.hear(query(7, 1024)) == answer);
    CHECK(b.hear(query(8, 65535)) == answer);
}

TEST_CASE("ollana A1: a source port of 11436 or below 1024 is never answered, whatever the rules say")
{
    for (const bool answers : {true, false}) {
        Bench b;
        auto rules = open_rules();
        rules.answers = answers;
        b.ear.set_rules(rules);
        CHECK(b.hear(query(7, 11436)) == server);
        for (const std::uint16_t port : std::array<std::uint16_t, 4>{0, 1, 53, 1023}) {
            CHECK(b.hear(query(8, port)) == bad_source);
        }
        CHECK(b.ear.of(answer) == 0);
    }
}

TEST_CASE("ollana A1: a source that is not in a connected subnet is not answered")
{
    Bench b;
    Arrival far = query();
    far.connected = false;
    CHECK(b.hear(far) == bad_source);
    for (const char* address : {"0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1"}) {
        Arrival odd = query();
        odd.from.address = *base::IpAddress::parse(address);
        CHECK(b.hear(odd) == bad_source);
    }
    Arrival six = query();
    six.from.address = *base::IpAddress::parse("fe80::1%3");
    CHECK(b.hear(six) == bad_source); // Ollana knows IPv4 alone
    Arrival local = query();
    local.from.address = base::IpAddress::loopback();
    local.on_loopback = true;
    CHECK(b.hear(local) == answer);
}

TEST_CASE("ollana A1: at most one answer a second to a source")
{
    Bench b;
    CHECK(b.hear(query(7, 40000)) == answer);
    CHECK(b.hear(query(7, 40001)) == too_many); // another port of the same host
    b.now += 999ms;
    CHECK(b.hear(query(7)) == too_many);
    CHECK(b.hear(query(8)) == answer);
    b.now += 1ms;
    CHECK(b.hear(query(7)) == answer);
}

TEST_CASE("ollana A1: at most fifty answers in any second to all sources together")
{
    Bench b;
    for (int tenth = 0; tenth < 30; ++tenth) {
        for (std::uint8_t i = 0; i < 40; ++i) {
            (void)b.hear(query(static_cast<std::uint8_t>(2 + (tenth * 40 + i) % 250)));
        }
        b.now += 100ms;
    }
    CHECK(b.ear.of(answer) <= 3 * 50);
    CHECK(b.ear.of(answer) >= 2 * 50);
    Bench burst;
    std::size_t answers = 0;
    for (std::uint8_t i = 1; i < 200; ++i) {
        answers += burst.hear(query(i)) == answer ? 1U : 0U;
    }
    CHECK(answers == 50);
}

TEST_CASE("ollana 12.5: who was answered is expected for a second, so that he finds no closed port")
{
    Bench b;
    CHECK(b.ear.expected_until() == base::Instant{});
    (void)b.hear(query());
    CHECK(b.ear.expected_until() == b.now + 1s);
    b.now += 300ms;
    (void)b.hear(query(7)); // not answered: too soon
    (void)b.hear(query(8, 53));
    CHECK(b.ear.expected_until() == b.now + 700ms);
}

TEST_CASE("ollana A1: only while a node is routable")
{
    Bench b;
    b.ear.set_routable(false);
    CHECK(b.hear(query()) == no_node);
    b.ear.set_routable(true);
    CHECK(b.hear(query()) == answer);
}

TEST_CASE("ollana A1: only where TCP 11435 of the very address speaks TLS")
{
    const auto with = [](std::vector<base::Endpoint> secure) {
        Bench b;
        auto rules = open_rules();
        rules.secure = std::move(secure);
        b.ear.set_rules(rules);
        return b.hear(query());
    };
    CHECK(with({}) == no_tls);
    CHECK(with({{base::IpAddress{}, 11434}}) == no_tls); // its client calls no other port
    CHECK(with({{client(2), 11435}}) == no_tls);         // another address of this host
    CHECK(with({{base::IpAddress::loopback(), 11435}, {ours, 11435}}) == answer);
    CHECK(with({{base::IpAddress{}, 11435}}) == answer);
    CHECK(with({{base::IpAddress::v6({}), 11435}}) == no_tls);
    Bench b;
    Arrival nowhere = query();
    nowhere.local = {};
    CHECK(b.hear(nowhere) == no_tls); // the client would connect to an address that nobody chose
}

TEST_CASE("ollana A1: nothing is sent from another port than 11436, so that no two herds answer each other")
{
    Bench b;
    auto rules = open_rules();
    rules.from_known_port = false;
    b.ear.set_rules(rules);
    CHECK(b.hear(query()) == no_tls);
}

TEST_CASE("ollana A7: switched off it keeps silent, with one hint per client and hour")
{
    Bench b;
    b.ear.set_rules({});
    CHECK(b.ear.hear(b.now, query(7)).tell);
    for (int i = 0; i < 719; ++i) { // a client asks each 5 s
        b.now += 5s;
        const auto heard = b.ear.hear(b.now, query(7));
        REQUIRE(heard.verdict == off);
        REQUIRE_FALSE(heard.tell);
    }
    CHECK(b.ear.hear(b.now, query(8)).tell);
    b.now += 5s;
    CHECK(b.ear.hear(b.now, query(7)).tell);
    CHECK(ollana_hint(off).find("[ollana] clients") != std::string_view::npos);
}

TEST_CASE("ollana A7: what is no client gets no hint, and hints are bounded")
{
    Bench b;
    b.ear.set_rules({});
    CHECK_FALSE(b.ear.hear(b.now, query(7, 53)).tell);
    CHECK(b.ear.hear(b.now, query(7, 11436)).tell); // a server that could be used
    CHECK_FALSE(b.ear.hear(b.now + 1s, query(7, 11436)).tell);
    b.ear.set_rules({.uses_servers = true});
    CHECK_FALSE(b.ear.hear(b.now, query(6, 11436)).tell);
    b.ear.set_rules({});
    std::size_t told = 0;
    for (int i = 0; i < 2000; ++i) {
        Arrival arrival = query();
        arrival.from.address = base::IpAddress::v4({10, 77, static_cast<std::uint8_t>(i / 250), static_cast<std::uint8_t>(i % 250)});
        told += b.ear.hear(b.now, arrival).tell ? 1U : 0U;
    }
    CHECK(told == OllanaEar::clients_told_max - 1);
}

TEST_CASE("ollana B2: an answer from port 11436 is counted as a server, once a second, and told nothing")
{
    Bench b;
    CHECK(b.hear(query(9, 11436)) == server);
    CHECK(b.hear(query(9, 11436)) == too_many);
    CHECK(b.hear(query(10, 11436)) == server);
    b.now += 1s;
    CHECK(b.hear(query(9, 11436)) == server);
    Arrival far = query(11, 11436);
    far.connected = false;
    CHECK(b.hear(far) == bad_source);
    CHECK(b.ear.of(server) == 3);
    std::set<std::string_view> names;
    b.ear.each([&](std::string_view name, std::uint64_t) { names.insert(name); });
    CHECK(names == std::set<std::string_view>{"server", "rate", "bad_source"});
}

TEST_CASE("ollana A1: the answer is exactly the four bytes, unicast, out of the address that was asked")
{
    HerdSideOptions options;
    options.id = vectors::herd_id;
    options.boot_id = vectors::boot_id;
    HerdSide core(options, base::Rng(11));
    const base::Instant now{std::chrono::hours{5}};
    core.ollana().set_rules(open_rules());
    const auto heard = core.on_datagram(now, query(), vectors::v1());
    REQUIRE(heard.sends.size() == 1);
    const Send& send = heard.sends.front();
    CHECK(*send.bytes == vectors::v1());
    CHECK_FALSE(send.everywhere);
    CHECK(send.to == std::vector<base::Endpoint>{query().from});
    CHECK(send.from == ours);
    CHECK(send.interface == 3);
    CHECK_FALSE(heard.ollana_server);
    const auto from_server = core.on_datagram(now, query(9, 11436), vectors::v1());
    CHECK(from_server.sends.empty());
    CHECK(from_server.ollana_server == client(9));
    for (Octets other : {Octets{0x4C, 0x41, 0x4E}, Octets{0x4C, 0x41, 0x4E, 0x41, 0}, Octets{0x4C, 0x41, 0x4E, 0x42}, Octets{}}) {
        CHECK(core.on_datagram(now, query(10), other).sends.empty()); // exactly four bytes, or it is no Ollana
    }
}

TEST_CASE("ollana L3: no chain is longer than query and answer, between herds, clients, servers and forgers")
{
    // Two herds that serve Ollana clients; what one sends arrives at the other as it would on the wire.
    const auto make = [](std::uint8_t last) {
        HerdSideOptions options;
        options.id = last == 1 ? vectors::herd_id : vectors::node_id;
        options.boot_id = vectors::boot_id;
        auto core = std::make_unique<HerdSide>(options, base::Rng(last));
        core->ollana().set_rules(open_rules());
        return core;
    };
    std::array herds{make(1), make(2)};
    const base::Instant now{std::chrono::hours{5}};
    for (const std::uint16_t port : std::array<std::uint16_t, 4>{11436, 53, 1024, 40000}) {
        Arrival forged = query(2, port); // in the second herd's name
        const auto first = herds[0]->on_datagram(now, forged, vectors::v1());
        for (const Send& send : first.sends) {
            Arrival back = query(1, 11436); // herds send from there, or not at all
            const auto second = herds[1]->on_datagram(now, back, *send.bytes);
            CHECK(second.sends.empty());
        }
    }
}
