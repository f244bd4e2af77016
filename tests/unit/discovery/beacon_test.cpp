// The sockets on loopback: two programs of one host meet, with nothing leaving the machine.
#include "discovery/beacon.hpp"

#include "discovery/internal/paths.hpp"
#include "net/datagram.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"
#include "support/catch.hpp"
#include "vectors.hpp"

using namespace herd;
using namespace herd::discovery;
using namespace std::chrono_literals;

namespace {

SocketOptions loopback(Role role, std::uint16_t port)
{
    SocketOptions options;
    options.role = role;
    options.port = port;
    options.interfaces = {"lo"};
    return options;
}

base::Uuid other_id(int n)
{
    auto id = vectors::herd_id;
    id.bytes[15] = static_cast<std::uint8_t>(n);
    return id;
}

/// Runs the loop until `done` or a deadline of real time.
template <class Done>
bool run_until(net::Loop& loop, Done&& done)
{
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (!done() && std::chrono::steady_clock::now() < limit) {
        loop.context().restart();
        loop.context().run_for(5ms);
    }
    return done();
}

struct HerdProgram {
    HerdProgram(net::Loop& loop, std::uint16_t wanted, int n = 1) : HerdProgram(loop, *bind_sockets(loopback(Role::herd, wanted)), n) {}
    HerdProgram(net::Loop& loop, DiscoverySockets sockets, int n)
        : port(sockets.port), own_port(sockets.own_udp_port),
          beacon(loop, std::move(sockets), HerdSide(options(n, own_port), base::Rng(1)),
                 {[this](Sighting sighting) { seen.push_back(std::move(sighting)); }, [this](const base::Endpoint&) { ++refused; }, {}, {}})
    {
    }
    static HerdSideOptions options(int n, std::uint16_t own_port)
    {
        HerdSideOptions result;
        result.id = other_id(n);
        result.boot_id = vectors::boot_id;
        result.udp_port = own_port;
        return result;
    }
    void confirm_all()
    {
        for (const Sighting& s : seen) {
            beacon.herd().confirmed(s.at, s.id(), s.header.boot_id, s.header.seq, s.arrival.from.address);
        }
    }
    bool saw_leave() const
    {
        return std::ranges::any_of(seen, [](const Sighting& s) { return s.is_leave(); });
    }
    std::uint16_t port;
    std::uint16_t own_port;
    std::vector<Sighting> seen{};
    int refused{0};
    HerdBeacon beacon;
};

struct NodeProgram {
    NodeProgram(net::Loop& loop, std::uint16_t port, std::vector<base::HostPort> herds = {})
        : network(net::make_network(loop)),
          beacon(loop, *network, *bind_sockets(loopback(Role::node, port)), Announcer(options(), facts(), base::Rng(2)),
                 std::move(herds),
                 {[this](const HttpAnnounce& post) { posts.push_back(post); },
                  [this](const Notice& notice) { notices.push_back(notice); }})
    {
    }
    static AnnouncerOptions options()
    {
        AnnouncerOptions result;
        result.id = vectors::node_id;
        result.boot_id = vectors::boot_id;
        return result;
    }
    static Facts facts()
    {
        Facts result;
        result.state = State::ready;
        result.api_port = 11436;
        return result;
    }
    bool found(const base::Uuid& herd) const
    {
        return std::ranges::any_of(notices, [&](const Notice& n) {
            return n.kind == Notice::Kind::herd_found && n.herd == herd;
        });
    }
    std::unique_ptr<net::Network> network;
    std::vector<HttpAnnounce> posts{};
    std::vector<Notice> notices{};
    NodeBeacon beacon;
};

net::Task<void> leave_and_stop(NodeBeacon& node, bool& done)
{
    co_await node.leave(LeaveReason::shutdown);
    co_await node.stop();
    done = true;
}

net::Task<void> only_stop(NodeBeacon& node, bool& done)
{
    co_await node.stop();
    done = true;
}

void stop(net::Loop& loop, NodeBeacon& node, bool with_leave)
{
    bool done = false;
    net::TaskGroup tasks(loop, "test");
    tasks.spawn("stop", with_leave ? leave_and_stop(node, done) : only_stop(node, done));
    CHECK(run_until(loop, [&] { return done && tasks.size() == 0; }));
}

} // namespace

TEST_CASE("a node and a herd on loopback find each other, and part")
{
    net::Loop loop;
    HerdProgram herd(loop, 0);
    herd.beacon.start();
    NodeProgram node(loop, herd.port);
    node.beacon.start();
    CHECK(run_until(loop, [&] { return !herd.seen.empty() && node.found(other_id(1)); }));
    REQUIRE_FALSE(herd.seen.empty());
    const Sighting& first = herd.seen.front();
    CHECK(first.arrival.from.address.is_loopback());
    CHECK(first.arrival.on_loopback);
    CHECK(first.arrival.ttl == 255);
    CHECK(first.doubts == doubt::new_id);
    CHECK(node.beacon.announcer().herds().at(0).at.port == herd.port);
    herd.confirm_all();
    stop(loop, node.beacon, true);
    CHECK(run_until(loop, [&] { return herd.saw_leave(); }));
    herd.beacon.stop();
}

TEST_CASE("a node that starts first is heard by the herd's solicit")
{
    net::Loop loop;
    std::uint16_t port = 0;
    {
        HerdProgram probe(loop, 0); // only to learn a free port
        port = probe.port;
        probe.beacon.stop();
    }
    NodeProgram node(loop, port);
    node.beacon.start();
    (void)run_until(loop, [&, begin = loop.now()] { return loop.now() - begin > 50ms; });
    HerdProgram herd(loop, port);
    herd.beacon.start();
    const auto begin = loop.now();
    CHECK(run_until(loop, [&] { return !herd.seen.empty(); }));
    CHECK(loop.now() - begin < 500ms);
    herd.beacon.stop();
    CHECK(run_until(loop, [&] { return std::ranges::any_of(node.notices, [](const Notice& n) { return n.kind == Notice::Kind::herd_lost; }); }));
    stop(loop, node.beacon, false);
}

TEST_CASE("two herds on one host both hear a node, and each gets its own unicast")
{
    net::Loop loop;
    HerdProgram first(loop, 0, 1);
    first.beacon.start();
    HerdProgram second(loop, first.port, 2);
    CHECK(second.own_port != 0);
    second.beacon.start();
    NodeProgram node(loop, first.port);
    node.beacon.start();
    CHECK(run_until(loop, [&] { return node.found(other_id(1)) && node.found(other_id(2)); }));
    first.confirm_all();
    second.confirm_all();
    const auto fresh = [](HerdProgram& herd) {
        return std::ranges::any_of(herd.seen, [](const Sighting& s) { return s.doubts == 0; });
    };
    CHECK(run_until(loop, [&] { return fresh(first) && fresh(second); }));
    stop(loop, node.beacon, false);
    first.beacon.stop();
    second.beacon.stop();
}

TEST_CASE("a port that is not shared degrades the programs instead of stopping them")
{
    const auto held = net::bind_udp({base::IpAddress{}, 0}, {.reuse_address = false});
    REQUIRE(held);
    const auto herd = bind_sockets(loopback(Role::herd, held->local.port));
    REQUIRE(herd);
    CHECK_FALSE(herd->listens);
    REQUIRE(herd->warnings.size() == 1);
    CHECK(herd->warnings[0].find(std::to_string(held->local.port)) != std::string::npos);
    const auto node = bind_sockets(loopback(Role::node, held->local.port));
    REQUIRE(node);
    CHECK_FALSE(node->listens);
    CHECK(node->unicast.size() == 1);
}

TEST_CASE("an interface that does not exist is named in the error")
{
    SocketOptions options = loopback(Role::herd, 0);
    options.interfaces = {"nosuch0"};
    const auto bound = bind_sockets(options);
    REQUIRE_FALSE(bound);
    CHECK(bound.error().code == base::Errc::bad_config);
    CHECK(bound.error().context.find("nosuch0") != std::string::npos);
}

TEST_CASE("--herd reaches a herd by name, on either of its ports, and asks for HTTP when UDP is silent")
{
    net::Loop loop;
    HerdProgram herd(loop, 0);
    herd.beacon.start();
    NodeProgram node(loop, 0, {{"127.0.0.1", herd.port}}); // port 0: no broadcast at all
    node.beacon.start();
    CHECK(run_until(loop, [&] { return node.found(other_id(1)); }));
    stop(loop, node.beacon, false);
    herd.beacon.stop();

    NodeProgram lonely(loop, 0, {{"127.0.0.1", 9}});
    lonely.beacon.start();
    CHECK(run_until(loop, [&] { return !lonely.posts.empty(); }));
    CHECK(lonely.posts.at(0).candidates
          == std::vector<base::Endpoint>{{base::IpAddress::loopback(), 9}, {base::IpAddress::loopback(), 11435}});
    stop(loop, lonely.beacon, false);
}

TEST_CASE("a probe to a port where nobody listens comes back as unreachable")
{
    net::Loop loop;
    HerdProgram herd(loop, 0);
    herd.beacon.start();
    const auto closed = net::bind_udp({base::IpAddress::loopback(), 0}, {})->local;
    herd.beacon.solicit(closed);
    CHECK(run_until(loop, [&] { return herd.refused > 0; }));
    herd.beacon.stop();
}

TEST_CASE("paths leave out loopback, tunnels, container bridges and what the user excluded")
{
    const auto make = [](const char* name, unsigned index) {
        net::Interface result;
        result.name = name;
        result.index = index;
        result.up = result.running = result.can_broadcast = result.can_multicast = true;
        result.addresses.push_back({base::IpAddress::v4({10, 0, static_cast<std::uint8_t>(index), 1}), 24,
                                    base::IpAddress::v4({10, 0, static_cast<std::uint8_t>(index), 255})});
        return result;
    };
    std::vector<net::Interface> all{make("lo", 1),      make("eth0", 2),  make("docker0", 3), make("veth12", 4), make("wg0", 5),
                                    make("br-1234", 6), make("wlan0", 7), make("down0", 8),   make("bare0", 9)};
    all[0].loopback = true;
    all[4].point_to_point = true;
    all[7].running = false;
    all[8].addresses.clear();
    const auto names = [&](const SocketOptions& options) {
        std::string result;
        for (const auto& path : internal::choose_paths(all, options)) {
            result += path.name + ' ';
        }
        return result;
    };
    SocketOptions options;
    CHECK(names(options) == "eth0 wlan0 ");
    options.excluded = {"wlan0"};
    CHECK(names(options) == "eth0 ");
    options.interfaces = {"veth12", "wlan0", "lo"};
    CHECK(names(options) == "veth12 ");
    CHECK_FALSE(internal::only_loopback(all, options));
    options.interfaces = {"lo"};
    CHECK(internal::only_loopback(all, options));

    const auto at = [&](const char* from, unsigned interface, int ttl) {
        return internal::describe(all, {*base::IpAddress::parse(from), 5}, base::IpAddress::v4({10, 0, 2, 255}), interface, ttl);
    };
    CHECK(at("10.0.2.7", 2, 255).on_link());
    CHECK(at("10.0.2.7", 2, 255).to_group);
    CHECK_FALSE(at("10.0.2.7", 2, 64).on_link());
    CHECK_FALSE(at("10.0.2.7", 7, 255).on_link());
    CHECK_FALSE(at("10.9.2.7", 2, 255).on_link());
    CHECK(at("fe80::1%2", 2, 255).on_link());
    CHECK(at("10.0.2.7", 0, -1).connected); // TCP
    CHECK_FALSE(at("8.8.8.8", 0, -1).connected);
    CHECK(at("10.0.7.1", 1, 255).on_link()); // our own address over loopback
}
