#include "discovery/listener.hpp"

#include "base/random.hpp"
#include "support/catch.hpp"
#include "vectors.hpp"

using namespace herd;
using namespace herd::discovery;
using namespace std::chrono_literals;

namespace {

const base::IpAddress node_address = *base::IpAddress::parse("192.168.7.2");

Arrival lan(const base::IpAddress& from = node_address, std::uint16_t port = 40000)
{
    Arrival arrival;
    arrival.from = {from, port};
    arrival.interface = 2;
    arrival.ttl = 255;
    arrival.connected = true;
    return arrival;
}

struct Bench {
    explicit Bench(Authenticator auth = {}, Role role = Role::herd) : listener(options(std::move(auth), role)) {}

    static ListenerOptions options(Authenticator auth, Role role)
    {
        ListenerOptions result;
        result.role = role;
        result.own_id = role == Role::herd ? vectors::herd_id : vectors::node_id;
        if (auth.mode() != AuthMode::off) {
            result.cluster = cluster_of("lab");
        }
        result.authenticator = std::move(auth);
        return result;
    }

    Header header(std::uint32_t seq, std::uint64_t boot = vectors::boot_id) const
    {
        Header h = vectors::node_header();
        h.seq = seq;
        h.boot_id = boot;
        h.api_port = 11436;
        h.cluster = listener.authenticator().mode() == AuthMode::off ? 0 : cluster_of("lab");
        return h;
    }
    Octets announce(std::uint32_t seq, std::uint64_t boot = vectors::boot_id) const
    {
        Announce a;
        a.addresses = {{node_address, 24}};
        return listener.authenticator().sealed(header(seq, boot), a);
    }
    Octets leave(std::uint32_t seq, std::uint64_t boot = vectors::boot_id) const
    {
        return listener.authenticator().sealed(header(seq, boot), Leave{});
    }
    auto hear(const Octets& bytes, const Arrival& arrival = lan()) { return listener.receive(now, arrival, bytes); }
    /// Announces with `seq` and confirms it.
    void settle(std::uint32_t seq)
    {
        REQUIRE(hear(announce(seq)));
        listener.confirmed(now, vectors::node_id, vectors::boot_id, seq, node_address);
        now += 100ms;
    }

    Listener listener;
    base::Instant now{1000s};
};

} // namespace

TEST_CASE("a new node is a sighting with the doubt that it is new, until it is confirmed")
{
    Bench b;
    const auto first = b.hear(b.announce(1));
    REQUIRE(first);
    CHECK(first->doubts == doubt::new_id);
    CHECK(first->agent() == base::Endpoint{node_address, 11436});
    CHECK(b.listener.unverified() == 1);
    CHECK(b.hear(b.announce(2)).error() == Drop::unconfirmed); // it was passed on a moment ago
    b.listener.confirmed(b.now, vectors::node_id, vectors::boot_id, 2, node_address);
    CHECK(b.listener.unverified() == 0);
    CHECK(b.hear(b.announce(2)).error() == Drop::replay);
    const auto next = b.hear(b.announce(3));
    REQUIRE(next);
    CHECK(next->doubts == 0);
}

TEST_CASE("each rule before authentication has its own counter")
{
    Bench b;
    CHECK(b.hear({}).error() == Drop::empty);
    CHECK(b.hear(vectors::v1()).error() == Drop::legacy);
    Header h = b.header(1);
    h.cluster = 7;
    CHECK(b.hear(encode(h, Announce{})).error() == Drop::other_fleet);
    Octets nil = b.announce(1);
    std::fill(nil.begin() + 16, nil.begin() + 32, std::uint8_t{0});
    CHECK(b.hear(nil).error() == Drop::bad_id);
    h = b.header(1);
    h.sender_id = vectors::herd_id;
    CHECK(b.hear(encode(h, Announce{})).error() == Drop::self);
    h = vectors::herd_header();
    h.sender_id = *base::Uuid::parse("7c9e6679-7425-40de-944b-e07fc1f90ae8");
    CHECK(b.hear(encode(h, Beacon{})).error() == Drop::not_for_us);
    CHECK(b.hear(b.announce(1), lan(node_address, 0)).error() == Drop::bad_source);
    for (const char* bad : {"0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::1", "ff12::1"}) {
        CHECK(b.hear(b.announce(1), lan(*base::IpAddress::parse(bad))).error() == Drop::bad_source);
    }
    CHECK(b.listener.counters().of(Drop::bad_source) == 7);
    CHECK(b.listener.senders() == 0);
}

TEST_CASE("unkeyed strangers must be on the link and in a private range, unless a human named them")
{
    Bench b;
    Arrival routed = lan();
    routed.ttl = 254;
    CHECK(b.hear(b.announce(1), routed).error() == Drop::off_link);
    Arrival foreign = lan();
    foreign.connected = false;
    CHECK(b.hear(b.announce(1), foreign).error() == Drop::off_link);
    CHECK(b.hear(b.announce(1), lan(*base::IpAddress::parse("8.8.8.8"))).error() == Drop::off_link);
    routed.configured_peer = true;
    CHECK(b.hear(b.announce(1), routed));
    Arrival loop = lan(base::IpAddress::loopback());
    loop.on_loopback = true;
    CHECK(b.hear(b.announce(1), loop));
}

TEST_CASE("in require mode only a right MAC from a listed address counts, from wherever it comes")
{
    Bench b(vectors::lab());
    Arrival routed = lan();
    routed.ttl = 60;
    routed.connected = false;
    const auto keyed = b.hear(b.announce(1), routed);
    REQUIRE(keyed);
    CHECK(keyed->authenticated);
    CHECK(b.hear(b.announce(2), lan(*base::IpAddress::parse("192.168.7.66"))).error() == Drop::addr_mismatch);
    CHECK(b.hear(encode(b.header(2), Announce{})).error() == Drop::unauthenticated);
    Octets forged = b.announce(3);
    forged.back() ^= 1;
    CHECK(b.hear(forged).error() == Drop::bad_mac);
}

TEST_CASE("within a boot each seq counts once, in any order within 64")
{
    Bench b;
    b.settle(100);
    CHECK(b.hear(b.announce(103)));
    CHECK(b.hear(b.announce(102)));
    CHECK(b.hear(b.announce(102)).error() == Drop::replay);
    CHECK(b.hear(b.announce(103)).error() == Drop::replay);
    CHECK(b.hear(b.announce(100)).error() == Drop::replay);
    CHECK(b.hear(b.announce(180)));
    CHECK(b.hear(b.announce(117)));
    CHECK(b.hear(b.announce(116)).error() == Drop::replay); // 64 behind
}

TEST_CASE("seq may wrap")
{
    Bench b;
    b.settle(0xFFFFFFFE);
    CHECK(b.hear(b.announce(0xFFFFFFFF)));
    CHECK(b.hear(b.announce(1)));
    CHECK(b.hear(b.announce(0)));
    CHECK(b.hear(b.announce(0xFFFFFFFF)).error() == Drop::replay);
}

TEST_CASE("a forged seq cannot lock the real node out")
{
    Bench b;
    b.settle(10);
    const auto jump = b.hear(b.announce(5000));
    REQUIRE(jump);
    CHECK(jump->doubts == doubt::seq_jump);
    CHECK(b.hear(b.announce(11)));
    CHECK(b.hear(b.announce(900))); // forged, within the allowed jump
    CHECK(b.hear(b.announce(12)).error() == Drop::replay);
    b.now += 1s;
    const auto back = b.hear(b.announce(13));
    REQUIRE(back);
    CHECK(back->doubts == 0);
    CHECK(b.hear(b.announce(14)));
}

TEST_CASE("with a MAC a lower seq is a replay for ever, and a jump is fine")
{
    Bench b(vectors::lab());
    b.settle(10);
    CHECK(b.hear(b.announce(5000))->doubts == 0);
    b.now += 10s;
    CHECK(b.hear(b.announce(11)).error() == Drop::replay);
}

TEST_CASE("another boot is confirmed first, larger or smaller, and not in a stream")
{
    Bench b;
    b.settle(10);
    const auto later = b.hear(b.announce(1, vectors::boot_id + 5));
    REQUIRE(later);
    CHECK(later->doubts == doubt::new_boot);
    CHECK(b.hear(b.announce(2, vectors::boot_id + 5)).error() == Drop::unconfirmed);
    CHECK(b.hear(b.announce(11))->doubts == 0); // the old one still counts
    const auto earlier = b.hear(b.announce(1, vectors::boot_id - 5));
    REQUIRE(earlier);
    CHECK(earlier->doubts == doubt::older_boot);
    b.now += 500ms;
    CHECK(b.hear(b.announce(2, vectors::boot_id - 5)).error() == Drop::stale_boot);
    b.listener.confirmed(b.now, vectors::node_id, vectors::boot_id + 5, 2, node_address);
    CHECK(b.hear(b.announce(3, vectors::boot_id + 5))->doubts == 0);
    CHECK(b.hear(b.announce(12)).has_value()); // now the older boot: doubted, not applied
}

TEST_CASE("another address is noted, and doubted only when the known one falls silent")
{
    Bench b;
    const auto second = lan(*base::IpAddress::parse("192.168.7.3"));
    b.settle(10);
    CHECK(b.hear(b.announce(11)));
    CHECK(b.hear(b.announce(11), second).error() == Drop::replay); // the same tick on the other path
    CHECK(b.hear(b.announce(12), second).error() == Drop::other_path);
    CHECK(b.hear(b.announce(12)));                                 // and the known path still lives
    CHECK(b.hear(b.announce(13), second).error() == Drop::other_path);
    CHECK(b.hear(b.announce(13), second).error() == Drop::other_path);
    const auto moved = b.hear(b.announce(14), second);
    REQUIRE(moved);
    CHECK(moved->doubts == doubt::address_changed);
    b.listener.confirmed(b.now, vectors::node_id, vectors::boot_id, 14, second.from.address);
    CHECK(b.hear(b.announce(15), second)->doubts == 0);
}

TEST_CASE("a leave must match id, boot, seq and source")
{
    Bench b;
    CHECK(b.hear(b.leave(1)).error() == Drop::bad_leave);
    b.settle(10);
    CHECK(b.hear(b.leave(11, vectors::boot_id + 1)).error() == Drop::bad_leave);
    CHECK(b.hear(b.leave(11), lan(*base::IpAddress::parse("192.168.7.3"))).error() == Drop::bad_leave);
    CHECK(b.hear(b.leave(10)).error() == Drop::replay);
    const auto left = b.hear(b.leave(11));
    REQUIRE(left);
    CHECK(left->is_leave());
    CHECK(b.hear(b.leave(11)).error() == Drop::replay);
}

TEST_CASE("malformed TLVs leave no trace in the window")
{
    Bench b;
    b.settle(10);
    Octets bad = encode(b.header(11), Announce{});
    bad[65] = 5;
    CHECK(b.hear(bad).error() == Drop::bad_tlv);
    CHECK(b.hear(b.announce(11)));
}

TEST_CASE("one source may say only so much, and loopback is exempt")
{
    Bench b;
    b.settle(10);
    int accepted = 0;
    for (std::uint32_t seq = 11; seq < 311; ++seq) {
        accepted += b.hear(b.announce(seq)) ? 1 : 0;
    }
    CHECK(accepted >= 98);
    CHECK(accepted <= 106);
    CHECK(b.listener.counters().of(Drop::rate) >= 190);
    b.now += 1s;
    CHECK(b.hear(b.announce(400)));
}

TEST_CASE("a flood of forged ids is bounded in memory and does not silence a verified node")
{
    Bench b;
    b.settle(10);
    base::Rng rng(3);
    std::uint32_t seq = 10;
    for (int second = 0; second < 3; ++second) {
        for (int i = 0; i < 20000; ++i) {
            Header h = b.header(1);
            h.sender_id = base::Uuid::random(rng);
            const auto address = base::IpAddress::v4({10, static_cast<std::uint8_t>(rng.between(0, 255)),
                                                      static_cast<std::uint8_t>(rng.between(0, 255)),
                                                      static_cast<std::uint8_t>(rng.between(1, 254))});
            (void)b.hear(encode(h, Announce{}), lan(address));
        }
        CHECK(b.hear(b.announce(++seq)));
        CHECK(b.listener.unverified() <= 1024);
        b.now += 1s;
    }
    CHECK(b.listener.counters().of(Drop::rate) > 0);
}

TEST_CASE("one source may bring only so many ids")
{
    Bench b;
    base::Rng rng(4);
    int taken = 0;
    for (int i = 0; i < 20; ++i) {
        Header h = b.header(1);
        h.sender_id = base::Uuid::random(rng);
        taken += b.hear(encode(h, Announce{})) ? 1 : 0;
    }
    CHECK(taken == 8);
    CHECK(b.listener.counters().of(Drop::table_full) == 12);
}

TEST_CASE("a box whose container made a new id at each start is not shut out for ever")
{
    Bench b;
    base::Rng rng(4);
    for (int start = 0; start < 30; ++start) {
        Header h = b.header(1);
        h.sender_id = base::Uuid::random(rng);
        CAPTURE(start);
        REQUIRE(b.hear(encode(h, Announce{})));
        b.listener.confirmed(b.now, h.sender_id, h.boot_id, 1, lan().from.address);
        b.now += 10s;
    }
}

TEST_CASE("the JSON twin follows the same rules without a TTL")
{
    Bench b;
    Arrival tcp = lan();
    tcp.ttl = -1;
    const auto seen = b.listener.receive_http(b.now, tcp, b.header(5), Announce{}, false);
    REQUIRE(seen);
    CHECK(seen->over_http);
    CHECK(seen->doubts == doubt::new_id);
    tcp.connected = false;
    CHECK(b.listener.receive_http(b.now, tcp, b.header(6), Announce{}, false).error() == Drop::off_link);
    Announce own;
    own.addresses = {{node_address, 24}};
    CHECK(b.listener.receive_http(b.now + 1s, tcp, b.header(6), own, true));
    b.listener.confirmed(b.now, vectors::node_id, vectors::boot_id, 6, node_address);
    CHECK(b.listener.receive_http(b.now, lan(), b.header(6), Announce{}, false).error() == Drop::replay);
    CHECK(b.listener.receive_http(b.now, lan(), b.header(7), Announce{}, false)->doubts == 0);
    Bench strict(vectors::lab());
    CHECK(strict.listener.receive_http(strict.now, lan(), strict.header(7), Announce{}, false).error()
          == Drop::unauthenticated);
}

TEST_CASE("a keyed twin that comes from an address it does not list is a copy")
{
    Bench b(vectors::lab());
    Announce own;
    own.addresses = {{node_address, 24}};
    const Arrival elsewhere = lan(*base::IpAddress::parse("192.168.7.66"));
    CHECK(b.listener.receive_http(b.now, elsewhere, b.header(5), own, true).error() == Drop::addr_mismatch);
    CHECK(b.listener.receive_http(b.now, lan(), b.header(5), own, true));
    b.listener.set_allow_nat(true);
    CHECK(b.listener.receive_http(b.now + 1s, elsewhere, b.header(6), own, true));
}

TEST_CASE("who had a MAC is not believed without one, by datagram or by HTTP")
{
    Bench b(vectors::lab(AuthMode::permissive));
    b.settle(5);
    REQUIRE(b.hear(b.announce(6))); // under a MAC, and no doubt about it
    CHECK(b.hear(encode(b.header(7), Announce{})).error() == Drop::downgrade);
    CHECK(b.hear(encode(b.header(1, vectors::boot_id + 1), Announce{})).error() == Drop::downgrade);
    CHECK(b.hear(encode(b.header(8), Leave{})).error() == Drop::downgrade);
    CHECK(b.listener.receive_http(b.now, lan(), b.header(9), Announce{}, false).error() == Drop::downgrade);
    CHECK(b.hear(b.announce(10)));
    Bench confirmed(vectors::lab(AuthMode::permissive)); // its document said so
    confirmed.listener.confirmed(confirmed.now, vectors::node_id, vectors::boot_id, 1, node_address, true);
    CHECK(confirmed.hear(encode(confirmed.header(2), Announce{})).error() == Drop::downgrade);
    confirmed.listener.set_authenticator({}); // nobody has a key any more
    Header plain = confirmed.header(2);
    plain.cluster = cluster_of("lab");
    CHECK(confirmed.hear(encode(plain, Announce{})));
}

TEST_CASE("a node hears herds and nobody else")
{
    Bench b({}, Role::node);
    CHECK(b.hear(vectors::v2()));
    Header h = vectors::node_header();
    h.sender_id = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950f");
    h.api_port = 1;
    CHECK(b.hear(encode(h, Announce{})).error() == Drop::not_for_us);
}

TEST_CASE("counters are reported by type and result")
{
    Bench b;
    (void)b.hear({});
    (void)b.hear(b.announce(1));
    std::vector<std::string> lines;
    b.listener.counters().each([&](std::string_view type, std::string_view result, std::uint64_t value) {
        lines.push_back(std::string{type} + ' ' + std::string{result} + ' ' + std::to_string(value));
    });
    CHECK(lines == std::vector<std::string>{"any empty 1", "announce accepted 1"});
}
