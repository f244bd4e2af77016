#include "discovery/herd_side.hpp"

#include "support/catch.hpp"
#include "vectors.hpp"

#include <algorithm>

using namespace herd;
using namespace herd::discovery;
using namespace std::chrono_literals;

namespace {

const base::Endpoint node_at{*base::IpAddress::parse("192.168.7.2"), 40000};

struct Bench {
    explicit Bench(bool listens = true) : core(options(listens), base::Rng(11)) {}
    static HerdSideOptions options(bool listens)
    {
        HerdSideOptions result;
        result.id = vectors::herd_id;
        result.boot_id = vectors::boot_id;
        result.listens = listens;
        return result;
    }
    void take(std::vector<Send> sends)
    {
        for (Send& send : sends) {
            log.emplace_back(now, std::move(send));
        }
    }
    void run(base::Duration span)
    {
        const auto until = now + span;
        for (int steps = 0;; ++steps) {
            REQUIRE(steps < 10000);
            const auto next = core.next_deadline();
            if (!next || *next > until) {
                break;
            }
            now = std::max(now, *next);
            take(core.on_timer(now));
        }
        now = until;
    }
    std::optional<Sighting> hear(std::uint16_t flags, const Announce& announce, const base::Endpoint& from = node_at,
                                 std::uint16_t udp_port = 0)
    {
        Header header = vectors::node_header();
        header.flags = flags;
        header.seq = ++seq;
        header.api_port = 11436;
        header.udp_port = udp_port;
        return hear(encode(header, announce), from);
    }
    std::optional<Sighting> hear(const Octets& bytes, const base::Endpoint& from = node_at)
    {
        Arrival arrival;
        arrival.from = from;
        arrival.interface = 2;
        arrival.ttl = 255;
        arrival.connected = true;
        Heard heard = core.on_datagram(now, arrival, bytes);
        take(std::move(heard.sends));
        return std::move(heard.sighting);
    }
    std::vector<Send> sent(Type type) const
    {
        std::vector<Send> result;
        for (const auto& [at, send] : log) {
            if (send.type == type) {
                result.push_back(send);
            }
        }
        return result;
    }
    void confirm() { core.confirmed(now, vectors::node_id, vectors::boot_id, seq, node_at.address); }
    static Announce knowing()
    {
        Announce announce;
        announce.herds = {vectors::herd_id.prefix()};
        return announce;
    }

    base::Instant now{1000s};
    HerdSide core;
    std::vector<std::pair<base::Instant, Send>> log{};
    std::uint32_t seq{0};
};

Header header_of(const Send& send) { return parse_header(*send.bytes)->header; }
template <class T>
T body_of(const Send& send)
{
    return std::get<T>(*parse_body(*parse_header(*send.bytes), *send.bytes));
}

} // namespace

TEST_CASE("a starting herd solicits at 0, 100, 300 and 700 ms and then beacons every five seconds")
{
    Bench b;
    const auto begin = b.now;
    b.take(b.core.start(b.now));
    b.run(1s);
    REQUIRE(b.log.size() == 4);
    const std::array<base::Duration, 4> offsets{0ms, 100ms, 300ms, 700ms};
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(b.log[i].first - begin == offsets[i]);
        CHECK(b.log[i].second.everywhere);
        CHECK(header_of(b.log[i].second).has(flag::solicit));
        CHECK(body_of<Beacon>(b.log[i].second).nonce);
    }
    b.log.clear();
    b.run(100s);
    CHECK(b.log.size() >= 20);
    CHECK(b.log.size() <= 23);
    CHECK_FALSE(header_of(b.log[0].second).has(flag::solicit));
}

TEST_CASE("a herd whose port is taken solicits every two seconds")
{
    Bench b(false);
    b.take(b.core.start(b.now));
    b.run(1s);
    b.log.clear();
    b.run(20s);
    CHECK(b.log.size() >= 10);
    CHECK(header_of(b.log[0].second).has(flag::solicit));
}

TEST_CASE("acknowledgements go to first contacts, to those who ask, and to every fifth")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(2s);
    CHECK(b.hear(0, Bench::knowing())->doubts == doubt::new_id);
    REQUIRE(b.sent(Type::ack).size() == 1);
    const Send ack = b.sent(Type::ack).front();
    CHECK(ack.to == std::vector{node_at});
    CHECK(header_of(ack).has(flag::reply));
    CHECK(body_of<Ack>(ack) == Ack{vectors::boot_id, 1, 1000, 0});
    b.confirm();
    for (int i = 0; i < 4; ++i) {
        CHECK(b.hear(0, Bench::knowing())->doubts == 0);
    }
    CHECK(b.sent(Type::ack).size() == 1);
    CHECK(b.hear(0, Bench::knowing()));
    CHECK(b.sent(Type::ack).size() == 2);
    CHECK(b.hear(flag::want_ack, Bench::knowing()));
    CHECK(b.sent(Type::ack).size() == 3);
    CHECK(b.hear(0, Bench::knowing(), node_at, 5555));
    CHECK(b.core.udp_of(vectors::node_id) == base::Endpoint{node_at.address, 5555});
}

TEST_CASE("flags for a node travel with its acknowledgements")
{
    Bench b;
    b.take(b.core.start(b.now));
    (void)b.hear(0, Bench::knowing());
    b.confirm();
    b.core.set_ack_flag(vectors::node_id, ack_flag::api_unreachable, true);
    (void)b.hear(flag::want_ack, Bench::knowing());
    CHECK(body_of<Ack>(b.sent(Type::ack).back()).flags == ack_flag::api_unreachable);
}

TEST_CASE("of two boxes with one id the younger is told with each acknowledgement, the older never")
{
    const bool boots_like_the_older_one = GENERATE(false, true);
    Bench b;
    b.take(b.core.start(b.now));
    (void)b.hear(0, Bench::knowing());
    b.confirm();
    const base::Endpoint clone_at{base::IpAddress::v4({10, 0, 0, 77}), 40'000};
    const std::uint64_t clone_boot = boots_like_the_older_one ? vectors::boot_id - 9 : vectors::boot_id + 9;
    const auto clone_says = [&] {
        b.now += 1100ms;
        Header header = vectors::node_header();
        header.flags = flag::want_ack;
        header.boot_id = clone_boot;
        header.seq = ++b.seq;
        header.api_port = 11436;
        (void)b.hear(encode(header, Bench::knowing()), clone_at);
    };
    b.core.set_duplicate(vectors::node_id, clone_boot);
    clone_says();
    CHECK(b.sent(Type::ack).back().to == std::vector{clone_at});
    CHECK(body_of<Ack>(b.sent(Type::ack).back()).flags == ack_flag::duplicate_id);
    (void)b.hear(flag::want_ack, Bench::knowing());
    CHECK(b.sent(Type::ack).back().to == std::vector{node_at});
    CHECK(body_of<Ack>(b.sent(Type::ack).back()).flags == 0);
    b.core.set_ack_flag(vectors::node_id, ack_flag::api_unreachable, true);
    CHECK(b.core.ack_flags(vectors::node_id, clone_boot) == (ack_flag::duplicate_id | ack_flag::api_unreachable));
    CHECK(b.core.ack_flags(vectors::node_id, vectors::boot_id) == ack_flag::api_unreachable);
    b.core.set_duplicate(vectors::node_id, 0);
    CHECK(b.core.ack_flags(vectors::node_id, clone_boot) == ack_flag::api_unreachable);
}

TEST_CASE("strangers call forth one beacon per second, answers and friends none")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(2s);
    b.log.clear();
    (void)b.hear(0, Announce{});
    b.confirm();
    (void)b.hear(0, Announce{});
    (void)b.hear(0, Announce{});
    CHECK(b.sent(Type::beacon).size() == 1);
    CHECK_FALSE(header_of(b.sent(Type::beacon)[0]).has(flag::solicit));
    b.run(1100ms);
    (void)b.hear(flag::reply, Announce{});
    (void)b.hear(0, Bench::knowing());
    CHECK(b.sent(Type::beacon).size() == 1);
    (void)b.hear(0, Announce{});
    CHECK(b.sent(Type::beacon).size() == 2);
}

TEST_CASE("a probe's answer carries its nonce back, and with it the round trip")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(2s);
    (void)b.hear(0, Bench::knowing());
    b.confirm();
    const auto probe = b.core.solicit(b.now, node_at);
    REQUIRE(probe.size() == 1);
    CHECK(probe[0].to == std::vector{node_at});
    CHECK_FALSE(probe[0].everywhere);
    const auto nonce = body_of<Beacon>(probe[0]).nonce;
    REQUIRE(nonce);
    b.now += 3ms;
    Announce answer = Bench::knowing();
    answer.echo = Echo{vectors::herd_id.prefix(), *nonce};
    const auto sighting = b.hear(flag::reply, answer);
    REQUIRE(sighting);
    CHECK(sighting->fresh);
    CHECK(sighting->rtt == 3ms);
    answer.echo->nonce += 1;
    CHECK_FALSE(b.hear(flag::reply, answer)->fresh);
    b.now += 6s;
    answer.echo->nonce = *nonce;
    CHECK_FALSE(b.hear(flag::reply, answer)->fresh);
}

TEST_CASE("a bare LANA is never answered, whatever its source port")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(2s);
    b.log.clear();
    for (const std::uint16_t port : std::array<std::uint16_t, 3>{11436, 53, 40000}) {
        CHECK_FALSE(b.hear(vectors::v1(), {node_at.address, port}));
    }
    CHECK(b.log.empty());
    CHECK(b.core.counters().of(Drop::legacy) == 3);
}

TEST_CASE("one datagram leads to at most one reply, and no reply to a reply")
{
    // Exhaustive over type, flags, source port class and role: what either side sends in answer is fed to
    // the other, and the chain must end after two.
    for (int type = 1; type <= 4; ++type) {
        for (std::uint16_t flags = 0; flags < 0x20; ++flags) {
            for (const std::uint16_t port : std::array<std::uint16_t, 3>{11436, 53, 40000}) {
                Bench b;
                b.take(b.core.start(b.now));
                b.run(2s);
                b.log.clear();
                Header header = vectors::node_header();
                header.flags = flags;
                header.seq = 5;
                header.api_port = 1;
                const std::array<Body, 4> bodies{Announce{}, Beacon{}, Ack{vectors::boot_id, 1, 1000, 0}, Leave{}};
                (void)b.hear(encode(header, bodies[static_cast<std::size_t>(type - 1)]), {node_at.address, port});
                std::size_t unicast = 0;
                std::size_t broadcast = 0;
                for (const auto& [at, send] : b.log) {
                    unicast += send.to.size();
                    broadcast += send.everywhere ? 1 : 0;
                    if (send.type == Type::ack) {
                        CHECK(header_of(send).has(flag::reply));
                    }
                    CHECK_FALSE(header_of(send).has(flag::solicit));
                }
                CHECK(unicast <= 1);
                CHECK(broadcast <= 1);
                CHECK((type == 1 || b.log.empty()));
            }
        }
    }
}

TEST_CASE("the answer window and the wished interval follow the size of the pool")
{
    Bench b;
    CHECK(b.core.answer_window_ms() == 20);
    b.core.set_pool_size(1000);
    CHECK(b.core.answer_window_ms() == 200);
    CHECK(b.core.wanted_interval_ms() == 1000);
    b.core.set_pool_size(4096);
    CHECK(b.core.answer_window_ms() == 500);
    CHECK(b.core.wanted_interval_ms() == 2000);
}

TEST_CASE("named agents are beaconed by unicast too and may be off the link")
{
    Bench b;
    const base::Endpoint far{*base::IpAddress::parse("203.0.113.9"), 11436};
    b.core.set_configured_agents({far});
    b.take(b.core.start(b.now));
    CHECK(b.log.at(0).second.to == std::vector{far});
    Header header = vectors::node_header();
    header.seq = 1;
    header.api_port = 1;
    Arrival arrival;
    arrival.from = far;
    arrival.ttl = 50;
    CHECK(b.core.on_datagram(b.now, arrival, encode(header, Announce{})).sighting);
}

TEST_CASE("a stopping herd leaves once and is silent afterwards")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(1s);
    b.log.clear();
    b.take(b.core.stop(b.now));
    REQUIRE(b.log.size() == 1);
    CHECK(b.log[0].second.everywhere);
    CHECK(b.log[0].second.type == Type::leave);
    CHECK(header_of(b.log[0].second).has(flag::herd));
    b.run(20s);
    (void)b.hear(flag::want_ack, Announce{});
    b.take(b.core.solicit(b.now, node_at));
    b.take(b.core.resumed(b.now));
    CHECK(b.log.size() == 1);
}
