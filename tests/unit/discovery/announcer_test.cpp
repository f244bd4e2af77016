#include "discovery/announcer.hpp"

#include "support/catch.hpp"
#include "vectors.hpp"

#include <algorithm>

using namespace herd;
using namespace herd::discovery;
using namespace std::chrono_literals;

namespace {

const base::Endpoint herd_at{*base::IpAddress::parse("192.168.7.1"), 11436};

Facts ready_facts()
{
    Facts facts;
    facts.state = State::ready;
    facts.api_port = 11436;
    return facts;
}

/// One announcer, and the herd's words put into its mouth by hand.
struct Bench {
    Bench() : core(options(), ready_facts(), base::Rng(7)) {}
    static AnnouncerOptions options()
    {
        AnnouncerOptions result;
        result.id = vectors::node_id;
        result.boot_id = vectors::boot_id;
        return result;
    }

    void take(NodeActions actions)
    {
        for (NodeAction& action : actions) {
            log.emplace_back(now, std::move(action));
        }
    }
    /// Lives until `until`, calling the timer when asked to.
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
    void hear(Type type, std::uint16_t flags, const Body& body, bool to_group = false,
              const base::Endpoint& from = herd_at)
    {
        Header header = vectors::herd_header();
        header.flags = static_cast<std::uint16_t>(flags | flag::herd);
        header.seq = ++herd_seq;
        header.boot_id = herd_boot;
        header.udp_port = 0;
        header.type = type;
        Arrival arrival;
        arrival.from = from;
        arrival.interface = 2;
        arrival.ttl = 255;
        arrival.connected = true;
        arrival.to_group = to_group;
        take(core.on_datagram(now, arrival, encode(header, body)));
    }
    void ack(std::uint16_t flags = 0) { hear(Type::ack, flag::reply, Ack{vectors::boot_id, core.seq(), 1000, flags}); }

    template <class T>
    std::vector<std::pair<base::Instant, T>> all() const
    {
        std::vector<std::pair<base::Instant, T>> result;
        for (const auto& [at, action] : log) {
            if (const auto* hit = std::get_if<T>(&action)) {
                result.emplace_back(at, *hit);
            }
        }
        return result;
    }
    std::vector<std::pair<base::Instant, Send>> broadcasts() const
    {
        auto result = all<Send>();
        std::erase_if(result, [](const auto& entry) { return !entry.second.everywhere; });
        return result;
    }
    bool noticed(Notice::Kind kind) const
    {
        const auto notices = all<Notice>();
        return std::ranges::any_of(notices, [&](const auto& entry) { return entry.second.kind == kind; });
    }
    static Header header_of(const Send& send) { return parse_header(*send.bytes)->header; }
    static Announce body_of(const Send& send)
    {
        return std::get<Announce>(*parse_body(*parse_header(*send.bytes), *send.bytes));
    }

    base::Instant now{1000s};
    Announcer core;
    std::vector<std::pair<base::Instant, NodeAction>> log{};
    std::uint32_t herd_seq{0};
    std::uint64_t herd_boot{vectors::boot_id};
};

} // namespace

TEST_CASE("a starting node calls four times within 720 ms and wants an answer")
{
    Bench b;
    const auto begin = b.now;
    b.take(b.core.start(b.now));
    b.run(900ms);
    const auto calls = b.broadcasts();
    REQUIRE(calls.size() == 4);
    CHECK(calls[0].first - begin <= 20ms);
    CHECK(calls[1].first - calls[0].first == 100ms);
    CHECK(calls[2].first - calls[0].first == 300ms);
    CHECK(calls[3].first - calls[0].first == 700ms);
    for (std::size_t i = 0; i < calls.size(); ++i) {
        const Header header = Bench::header_of(calls[i].second);
        CHECK(header.seq == i + 1);
        CHECK(header.has(flag::want_ack));
        CHECK(header.state == 1);
    }
}

TEST_CASE("a node without a herd calls each second for ten seconds, then every five")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(1s);
    b.log.clear();
    b.run(9s);
    CHECK(b.broadcasts().size() >= 8);
    CHECK(b.broadcasts().size() <= 11);
    b.run(2s);
    b.log.clear();
    b.run(50s);
    CHECK(b.broadcasts().size() >= 10);
    CHECK(b.broadcasts().size() <= 11);
}

TEST_CASE("an acknowledged node beats by unicast each second and hardly broadcasts")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    CHECK(b.noticed(Notice::Kind::herd_found));
    b.run(970ms);
    b.log.clear();
    for (int second = 0; second < 100; ++second) {
        b.run(1s);
        if (second % 5 == 0) {
            b.ack();
        }
    }
    const auto sends = b.all<Send>();
    CHECK(sends.size() >= 100);
    CHECK(sends.size() <= 140);
    CHECK(b.broadcasts().size() >= 8);
    CHECK(b.broadcasts().size() <= 12);
    for (std::size_t i = 1; i < sends.size(); ++i) {
        CHECK(sends[i].first - sends[i - 1].first <= 1s);
        CHECK(sends[i].second.to == std::vector{herd_at});
        CHECK(Bench::body_of(sends[i].second).herds == std::vector{vectors::herd_id.prefix()});
        CHECK_FALSE(Bench::header_of(sends[i].second).has(flag::want_ack));
    }
    // At most four broadcasts in any ten seconds.
    const auto calls = b.broadcasts();
    for (std::size_t i = 4; i < calls.size(); ++i) {
        CHECK(calls[i].first - calls[i - 4].first > 10s);
    }
}

TEST_CASE("a change of state is told at once, twice, and never closer than 50 ms")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    b.run(2s);
    b.ack();
    b.log.clear();
    Facts down = ready_facts();
    down.state = State::backend_down;
    const auto at = b.now;
    b.take(b.core.set_facts(b.now, down));
    REQUIRE(b.all<Send>().size() == 1);
    b.now += 10ms;
    b.take(b.core.set_facts(b.now, ready_facts()));
    CHECK(b.all<Send>().size() == 1);
    b.run(200ms);
    const auto sends = b.all<Send>();
    REQUIRE(sends.size() >= 3);
    CHECK(Bench::header_of(sends[0].second).state == 4);
    CHECK(sends[1].first - at == 50ms);
    CHECK(Bench::header_of(sends[1].second).state == 1);
    CHECK(sends[2].first - at == 150ms);
}

TEST_CASE("load numbers alone wait for the next heartbeat")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    b.run(2s);
    b.log.clear();
    Facts busy = ready_facts();
    busy.announce.load = Load{};
    busy.announce.load->in_flight = 3;
    b.take(b.core.set_facts(b.now, busy));
    CHECK(b.log.empty());
    b.run(1s);
    CHECK(Bench::body_of(b.all<Send>().at(0).second).load->in_flight == 3);
}

TEST_CASE("a solicit to all is answered within the window, to the asker, with its nonce")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(10s);
    b.log.clear();
    const auto asked = b.now;
    b.hear(Type::beacon, flag::solicit, Beacon{77, 1000, 200, 1000}, true);
    b.run(201ms);
    auto sends = b.all<Send>();
    std::erase_if(sends, [](const auto& e) { return !Bench::header_of(e.second).has(flag::reply); });
    REQUIRE(sends.size() == 1);
    CHECK(sends[0].first - asked <= 200ms);
    CHECK(sends[0].second.to == std::vector{herd_at});
    CHECK_FALSE(sends[0].second.everywhere);
    CHECK(Bench::body_of(sends[0].second).echo == Echo{vectors::herd_id.prefix(), 77});
}

TEST_CASE("who acknowledged us in this boot of his gets no second answer to all, but one to himself at once")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    b.run(3s);
    const auto replies = [&] {
        auto sends = b.all<Send>();
        std::erase_if(sends, [](const auto& e) { return !Bench::header_of(e.second).has(flag::reply); });
        return sends.size();
    };
    b.hear(Type::beacon, flag::solicit, Beacon{1, 3, 20, 1000}, true);
    b.run(100ms);
    CHECK(replies() == 0);
    b.hear(Type::beacon, flag::solicit, Beacon{2, 3, 20, 1000}, false);
    CHECK(replies() == 1);
    // A restarted herd has another boot id.
    b.run(4s);
    b.herd_boot += 1000;
    b.hear(Type::beacon, flag::solicit, Beacon{3, 3, 20, 1000}, true);
    b.run(100ms);
    CHECK(replies() == 2);
}

TEST_CASE("answers are never answered, and a beacon without solicit asks for nothing")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(900ms);
    b.log.clear();
    b.hear(Type::beacon, 0, Beacon{}, true);
    b.hear(Type::beacon, flag::solicit | flag::reply, Beacon{}, false);
    b.hear(Type::ack, flag::reply, Ack{vectors::boot_id, 1, 1000, 0});
    CHECK(b.all<Send>().empty());
}

TEST_CASE("acknowledgements of another life, or of what we never said, count for nothing")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.hear(Type::ack, flag::reply, Ack{vectors::boot_id - 1, 1, 1000, 0});
    b.hear(Type::ack, flag::reply, Ack{vectors::boot_id, 1000, 1000, 0});
    CHECK(b.core.herds().empty());
}

TEST_CASE("a silent herd is given up after 15 seconds, with a burst")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    b.run(14s);
    CHECK_FALSE(b.noticed(Notice::Kind::herd_lost));
    b.log.clear();
    b.run(3s);
    CHECK(b.noticed(Notice::Kind::herd_lost));
    CHECK(b.broadcasts().size() >= 4);
    CHECK(b.core.herds().empty());
    b.ack();
    CHECK(b.noticed(Notice::Kind::herd_found));
}

TEST_CASE("port unreachable and a leave are noticed at once")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    b.run(3s);
    b.take(b.core.unreachable(b.now, herd_at));
    CHECK(b.noticed(Notice::Kind::herd_lost));
    b.ack();
    b.log.clear();
    b.hear(Type::leave, 0, Leave{}, true);
    CHECK(b.noticed(Notice::Kind::herd_lost));
}

TEST_CASE("a herd may ask for slower beats, not for faster ones")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.hear(Type::ack, flag::reply, Ack{vectors::boot_id, b.core.seq(), 2000, 0});
    b.run(3s);
    b.log.clear();
    b.run(10s);
    CHECK(b.all<Send>().size() <= 8);
    CHECK(Bench::header_of(b.all<Send>().back().second).interval_ms == 2000);
    b.hear(Type::ack, flag::reply, Ack{vectors::boot_id, b.core.seq(), 1, 0});
    b.run(3s);
    CHECK(Bench::header_of(b.all<Send>().back().second).interval_ms == 1000);
}

TEST_CASE("a configured herd gets unicast from the first moment and HTTP after three seconds without answer")
{
    Bench b;
    const base::Endpoint far{*base::IpAddress::parse("203.0.113.9"), 11436};
    const base::Endpoint far_http{far.address, 11435};
    b.take(b.core.start(b.now));
    b.take(b.core.set_configured_herds(b.now, {{"herd.example", {far}, {far_http}}}));
    REQUIRE_FALSE(b.all<Send>().empty());
    CHECK(b.all<Send>().back().second.to == std::vector{far});
    const auto begin = b.now;
    b.run(4s);
    auto posts = b.all<HttpAnnounce>();
    REQUIRE(posts.size() == 1);
    CHECK(posts[0].first - begin <= 4s);
    CHECK(posts[0].second.candidates == std::vector{far_http});
    b.take(b.core.http_announced(b.now, "herd.example", vectors::herd_id, 0));
    b.run(10s); // never reported back: tried again every five seconds
    CHECK(b.all<HttpAnnounce>().size() >= 2);
    // UDP starts to work, though routed: then HTTP is over.
    Header header = vectors::herd_header();
    header.flags = flag::herd | flag::reply;
    header.seq = 5;
    header.udp_port = 0;
    Arrival arrival;
    arrival.from = far;
    arrival.ttl = 60;
    b.take(b.core.on_datagram(b.now, arrival, encode(header, Ack{vectors::boot_id, b.core.seq(), 1000, 0})));
    CHECK(b.noticed(Notice::Kind::herd_found));
    b.log.clear();
    b.run(14s);
    CHECK(b.all<HttpAnnounce>().empty());
}

TEST_CASE("a herd taken off the list is told goodbye if only its name led to it")
{
    Bench b;
    const base::Endpoint far{*base::IpAddress::parse("203.0.113.9"), 11436};
    const base::Endpoint further{*base::IpAddress::parse("203.0.113.10"), 11436};
    b.take(b.core.start(b.now));
    b.take(b.core.set_configured_herds(b.now, {{"far", {far}, {}}}));
    Header header = vectors::herd_header();
    header.flags = flag::herd | flag::reply;
    header.seq = 5;
    header.udp_port = 0;
    const auto acknowledge = [&](const base::Endpoint& from, int ttl, bool connected) {
        Arrival arrival;
        arrival.from = from;
        arrival.ttl = ttl;
        arrival.connected = connected;
        ++header.seq;
        b.take(b.core.on_datagram(b.now, arrival, encode(header, Ack{vectors::boot_id, b.core.seq(), 1000, 0})));
        REQUIRE(b.core.herds().size() == 1);
    };
    acknowledge(far, 60, false);
    b.log.clear();
    b.take(b.core.set_configured_herds(b.now, {{"further", {further}, {}}}));
    CHECK(b.noticed(Notice::Kind::herd_lost));
    CHECK(b.core.herds().empty());
    std::size_t goodbyes = 0;
    for (const auto& [when, send] : b.all<Send>()) {
        goodbyes += send.type == Type::leave && send.to == std::vector{far} ? 1U : 0U;
    }
    CHECK(goodbyes == 3);
    b.log.clear();
    b.run(3s);
    for (const auto& [when, send] : b.all<Send>()) {
        CHECK(std::ranges::find(send.to, far) == send.to.end());
    }

    // One on our own LAN is found by broadcast anyway.
    b.take(b.core.set_configured_herds(b.now, {{"near", {herd_at}, {}}}));
    header.seq = 5000;
    acknowledge(herd_at, 255, true);
    b.take(b.core.set_configured_herds(b.now, {}));
    CHECK(b.core.herds().size() == 1);
}

TEST_CASE("HTTP announcements that work are repeated within each interval")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.take(b.core.set_configured_herds(b.now, {{"h", {herd_at}, {{herd_at.address, 11435}}}}));
    b.run(4s);
    std::size_t posts = 0;
    for (int i = 0; i < 100; ++i) {
        b.run(100ms);
        const std::size_t so_far = b.all<HttpAnnounce>().size();
        if (so_far != posts) {
            posts = so_far;
            b.take(b.core.http_announced(b.now, "h", vectors::herd_id, 0));
        }
    }
    CHECK(posts >= 10);
    CHECK(posts <= 13);
}

TEST_CASE("a herd that fetched our document is fed by unicast, if it named its own address")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(1s);
    b.log.clear();
    b.take(b.core.herd_asked(b.now, vectors::herd_id, herd_at.address, {*base::IpAddress::parse("192.168.7.99"), 11436}));
    CHECK(b.core.herds().empty());
    b.take(b.core.herd_asked(b.now, vectors::herd_id, herd_at.address, {base::IpAddress{}, 11436}));
    REQUIRE(b.core.herds().size() == 1);
    CHECK(b.core.herds()[0].at == herd_at);
    REQUIRE(b.all<Send>().size() == 1);
    CHECK(b.all<Send>()[0].second.to == std::vector{herd_at});
}

TEST_CASE("a herd that is heard keeps its address, even when its beacons come from another one too")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    const base::Endpoint other{*base::IpAddress::parse("10.0.0.1"), 11436};
    for (int i = 0; i < 4; ++i) {
        b.run(1s);
        b.hear(Type::beacon, 0, Beacon{}, true, other);
        b.hear(Type::beacon, 0, Beacon{}, true);
    }
    CHECK(b.core.herds().at(0).at == herd_at);
    for (int i = 0; i < 5; ++i) {
        b.run(1s);
        b.hear(Type::beacon, 0, Beacon{}, true, other);
    }
    CHECK(b.core.herds().at(0).at == other);
}

TEST_CASE("flags in an acknowledgement are noticed once")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    for (int i = 0; i < 3; ++i) {
        b.ack(ack_flag::not_approved | ack_flag::api_unreachable);
    }
    CHECK(b.all<Notice>().size() == 3); // found, and one for each flag
    CHECK(b.noticed(Notice::Kind::not_approved));
    CHECK(b.noticed(Notice::Kind::api_unreachable));
}

TEST_CASE("leaving is said three times, the first time to everybody")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    b.run(1s);
    b.log.clear();
    const auto begin = b.now;
    b.take(b.core.leave(b.now, LeaveReason::shutdown));
    b.run(1s);
    const auto sends = b.all<Send>();
    REQUIRE(sends.size() == 3);
    CHECK(sends[0].second.everywhere);
    CHECK_FALSE(sends[1].second.everywhere);
    CHECK(sends[1].first - begin == 50ms);
    CHECK(sends[2].first - begin == 150ms);
    CHECK(sends[2].second.to == std::vector{herd_at});
    CHECK(sends[0].second.bytes == sends[2].second.bytes);
    CHECK(Bench::header_of(sends[0].second).state == 3);
    CHECK(b.core.left());
    CHECK_FALSE(b.core.next_deadline());
}

TEST_CASE("after a long sleep there is one burst and no backlog")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    b.run(5s);
    b.log.clear();
    b.now += 8h;
    b.take(b.core.resumed(b.now));
    b.run(900ms);
    CHECK(b.all<Send>().size() <= 6);
    CHECK(b.broadcasts().size() == 4);
    CHECK_FALSE(b.noticed(Notice::Kind::herd_lost));
}

TEST_CASE("a flapping link does not make a storm")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(30ms);
    b.ack();
    b.run(5s);
    b.log.clear();
    for (int i = 0; i < 200; ++i) {
        b.take(b.core.link_changed(b.now));
        b.run(50ms);
    }
    CHECK(b.broadcasts().size() <= 100); // in ten seconds
}

TEST_CASE("a node feeds at most eight herds, whatever beacons")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(1s);
    base::Rng rng(5);
    for (int i = 0; i < 40; ++i) {
        Header header = vectors::herd_header();
        header.sender_id = base::Uuid::random(rng);
        header.flags = flag::herd | flag::solicit;
        header.seq = 1;
        Arrival arrival;
        arrival.from = {base::IpAddress::v4({192, 168, 7, static_cast<std::uint8_t>(10 + i)}), 11436};
        arrival.ttl = 255;
        arrival.connected = true;
        arrival.to_group = true;
        b.take(b.core.on_datagram(b.now, arrival, encode(header, Beacon{})));
    }
    CHECK(b.core.herds().size() == 8);
    b.log.clear();
    b.run(30ms);
    CHECK(b.all<Send>().size() <= 16);
}

TEST_CASE("new keys sign what is said from then on, the goodbye too")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(1s);
    const auto key_of = [&] { return Bench::header_of(b.all<Send>().back().second).key_id; };
    CHECK(key_of() == 0);
    b.core.set_authenticator(vectors::lab());
    b.run(2s);
    CHECK(key_of() == 1);
    auto second = vectors::fleet_key(2);
    second.secret.assign(16, 0x55);
    b.core.set_authenticator(*Authenticator::make(AuthMode::require, {second, vectors::fleet_key(1)}));
    b.take(b.core.leave(b.now, LeaveReason::shutdown));
    CHECK(key_of() == 2);
}

TEST_CASE("that a node waits for approval is told once, and once that it was approved")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.run(1s);
    b.ack(ack_flag::not_approved);
    b.ack(ack_flag::not_approved);
    const auto count = [&](Notice::Kind kind) {
        return std::ranges::count_if(b.log, [kind](const auto& entry) {
            const auto* notice = std::get_if<Notice>(&entry.second);
            return notice != nullptr && notice->kind == kind;
        });
    };
    CHECK(count(Notice::Kind::not_approved) == 1);
    CHECK(b.core.herds().front().flags == ack_flag::not_approved);
    b.ack();
    b.ack();
    CHECK(count(Notice::Kind::approved) == 1);
    CHECK(b.core.herds().front().flags == 0);
}

TEST_CASE("who is reached by HTTP alone is told by HTTP that he waits for approval")
{
    Bench b;
    b.take(b.core.start(b.now));
    b.take(b.core.set_configured_herds(b.now, {{"herd.example", {{herd_at.address, 11436}}, {{herd_at.address, 11435}}}}));
    b.run(5s);
    REQUIRE_FALSE(b.all<HttpAnnounce>().empty());
    b.take(b.core.http_announced(b.now, "herd.example", vectors::herd_id, ack_flag::not_approved));
    CHECK(b.noticed(Notice::Kind::not_approved));
    b.run(2s);
    b.take(b.core.http_announced(b.now, "herd.example", vectors::herd_id, 0));
    CHECK(b.noticed(Notice::Kind::approved));
}
