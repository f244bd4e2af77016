#include "herd/records/event_hub.hpp"

#include "net/task_group.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <set>

using namespace herd;
using app::Chunk;
using app::EventHub;
using app::EventViewer;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<fleet::Snapshot> fleet_of(std::size_t count, int in_flight = 0)
{
    auto snapshot = std::make_shared<fleet::Snapshot>();
    for (std::size_t i = 0; i < count; ++i) {
        fleet::NodeView view;
        view.id.bytes[0] = static_cast<std::uint8_t>(i + 1);
        view.name = "n" + std::to_string(i);
        view.state = fleet::NodeState::online;
        view.in_flight = in_flight;
        snapshot->nodes.push_back(view);
    }
    snapshot->totals.in_flight = in_flight;
    return snapshot;
}

std::shared_ptr<const store::RequestRecord> record(std::uint64_t seq)
{
    auto one = std::make_shared<store::RequestRecord>();
    one->seq = seq;
    one->id = "r" + std::to_string(seq);
    return one;
}

struct Event {
    std::string id{};
    std::string name{};
    std::string data{};
};

std::vector<Event> events_of(const std::string& text)
{
    std::vector<Event> all;
    Event now;
    std::size_t at = 0;
    while (at < text.size()) {
        const auto end = text.find('\n', at);
        REQUIRE(end != std::string::npos);
        const std::string line = text.substr(at, end - at);
        at = end + 1;
        if (line.starts_with("id: ")) {
            now.id = line.substr(4);
        } else if (line.starts_with("event: ")) {
            now.name = line.substr(7);
        } else if (line.starts_with("data: ")) {
            now.data = line.substr(6);
        } else if (line.empty() && !now.name.empty()) {
            all.push_back(std::exchange(now, {}));
        }
    }
    return all;
}

std::size_t count(const std::vector<Event>& events, std::string_view name)
{
    return static_cast<std::size_t>(std::ranges::count(events, name, &Event::name));
}

struct World {
    net::VirtualTime time{};
    net::Loop loop{};
    int made{0};
    EventHub hub;

    explicit World(app::EventLimits limits = {}) : hub(loop, "b", voices(), limits)
    {
        hub.snapshot(fleet_of(2));
        run(1ms);
    }
    app::EventVoices voices()
    {
        return {.status = [this](const fleet::Snapshot& s) { ++made; return R"({"in_flight":)" + std::to_string(s.totals.in_flight) + "}"; },
                .node = [this](const fleet::Snapshot& s, std::size_t i) { ++made; return R"({"name":")" + s.nodes[i].name + R"("})"; },
                .request = [this](const store::RequestRecord& r) { ++made; return R"({"id":")" + r.id + R"("})"; }};
    }
    void run(base::Duration span) { time.run_for(loop, span); }
    std::shared_ptr<EventViewer> viewer() const
    {
        return std::make_shared<EventViewer>(const_cast<net::Loop&>(loop), hub.limits().viewer_chunks, hub.limits().viewer_bytes);
    }
    /// What came since the last call, heartbeats left out.
    std::vector<Chunk> read(EventViewer& viewer)
    {
        std::vector<Chunk> chunks;
        run(0ms);
        net::TaskGroup tasks(loop, "test");
        bool over = false;
        tasks.spawn("read", reader(viewer, chunks, over));
        run(0ms);
        auto push_marker = std::make_shared<const std::string>("marker");
        viewer.push(push_marker);
        run(0ms);
        std::erase_if(chunks, [](const Chunk& chunk) { return chunk->starts_with(':'); });
        return chunks;
    }
    static net::Task<void> reader(EventViewer& viewer, std::vector<Chunk>& into, bool& over)
    {
        for (;;) {
            Chunk chunk = co_await viewer.next();
            if (!chunk || *chunk == "marker") {
                over = !chunk;
                co_return;
            }
            into.push_back(std::move(chunk));
        }
    }
};

std::string joined(const std::vector<Chunk>& chunks)
{
    std::string text;
    for (const Chunk& chunk : chunks) {
        text += *chunk;
    }
    return text;
}

} // namespace

TEST_CASE("who joins reads the whole state, then what changes")
{
    World world;
    const auto viewer = world.viewer();
    const auto first = world.hub.join(viewer, "");
    REQUIRE(first);
    CHECK((*first)->starts_with("retry: "));
    const auto state = events_of(**first);
    CHECK(count(state, "node") == 2);
    CHECK(count(state, "status") == 1);
    world.hub.snapshot(fleet_of(3, 1));
    world.hub.ended(record(1));
    world.run(300ms);
    const auto news = events_of(joined(world.read(*viewer)));
    CHECK(count(news, "node") == 3);
    CHECK(count(news, "request") == 1);
    CHECK(count(news, "status") == 1);
    world.hub.snapshot(fleet_of(2, 1));
    world.run(300ms);
    const auto gone = events_of(joined(world.read(*viewer)));
    REQUIRE(count(gone, "node") == 1);
    CHECK(gone[0].data.find("removed") != std::string::npos);
}

TEST_CASE("a node's change of state is told with where it came from and when, both ways")
{
    World world;
    const auto viewer = world.viewer();
    REQUIRE(world.hub.join(viewer, ""));
    const auto told = [&](std::shared_ptr<fleet::Snapshot> next) {
        world.hub.snapshot(std::move(next));
        world.run(300ms);
        std::vector<std::string> nodes;
        for (const Event& one : events_of(joined(world.read(*viewer)))) {
            if (one.name == "node") {
                nodes.push_back(one.data);
            }
        }
        return nodes;
    };
    auto fallen = fleet_of(2);
    fallen->nodes[1].state = fleet::NodeState::offline;
    fallen->nodes[1].since = base::WallTime{std::chrono::seconds{1'800'000'000}};
    CHECK(told(fallen) == std::vector<std::string>{R"({"name":"n1","from":"online","to":"offline","at":"2027-01-15T08:00:00.000Z"})"});
    auto back = fleet_of(3, 1); // and a new one; the first only works
    back->nodes[1].since = back->nodes[2].since = base::WallTime{std::chrono::seconds{1'800'000'060}};
    CHECK(told(back) == std::vector<std::string>{R"({"name":"n0"})", R"({"name":"n1","from":"offline","to":"online","at":"2027-01-15T08:01:00.000Z"})",
                                                 R"({"name":"n2","from":null,"to":"online","at":"2027-01-15T08:01:00.000Z"})"});
    auto fewer = fleet_of(2, 1);
    fewer->nodes[1].since = back->nodes[1].since;
    fewer->taken_at = base::WallTime{std::chrono::seconds{1'800'000'120}};
    const auto gone = told(fewer);
    REQUIRE(gone.size() == 1);
    CHECK(gone[0].ends_with(R"(,"state":"removed","from":"online","to":"removed","at":"2027-01-15T08:02:00.000Z"})"));
}

TEST_CASE("a thousand changes a second become at most four pushes, made once for all viewers")
{
    World world;
    std::vector<std::shared_ptr<EventViewer>> viewers;
    for (int i = 0; i < 64; ++i) {
        viewers.push_back(world.viewer());
        REQUIRE(world.hub.join(viewers.back(), ""));
    }
    const auto before = world.hub.pushes();
    for (int i = 1; i <= 1000; ++i) {
        world.hub.snapshot(fleet_of(2, i));
        world.hub.ended(record(static_cast<std::uint64_t>(i)));
        world.run(1ms);
    }
    world.run(300ms);
    CHECK(world.hub.pushes() - before <= 6);
    const auto chunks = world.read(*viewers[0]);
    const auto same = world.read(*viewers[63]);
    REQUIRE(chunks.size() == same.size());
    CHECK(std::ranges::equal(chunks, same)); // the very same bytes, not copies
    const auto events = events_of(joined(chunks));
    CHECK(count(events, "request") <= 6 * (world.hub.limits().requests_per_push + 1));
    CHECK(std::ranges::any_of(events, [](const Event& one) { return one.data.find("skipped") != std::string::npos; }));
    std::set<std::string> ids;
    for (const Event& one : events) {
        CHECK(ids.insert(one.id).second);
    }
}

TEST_CASE("who comes back with the last id it saw misses nothing and gets nothing twice")
{
    World world;
    const auto steady = world.viewer();
    REQUIRE(world.hub.join(steady, ""));
    for (int i = 1; i <= 20; ++i) {
        world.hub.snapshot(fleet_of(2, i));
        world.hub.ended(record(static_cast<std::uint64_t>(i)));
        world.run(300ms);
    }
    const auto all = events_of(joined(world.read(*steady)));
    REQUIRE(all.size() > 40);
    for (std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{7}, all.size() - 2, all.size() - 1}) {
        const auto viewer = world.viewer();
        const auto missed = world.hub.join(viewer, all[at].id);
        REQUIRE(missed);
        const auto events = events_of(**missed);
        REQUIRE(events.size() == all.size() - 1 - at);
        for (std::size_t i = 0; i < events.size(); ++i) {
            CHECK(events[i].id == all[at + 1 + i].id);
        }
        world.hub.leave(viewer.get());
    }
}

TEST_CASE("an id of another run, of the future or of nonsense gets the whole state")
{
    World world;
    const auto steady = world.viewer();
    REQUIRE(world.hub.join(steady, ""));
    world.hub.ended(record(1));
    world.run(300ms);
    for (const char* id : {"c-1", "b-999999", "b-", "b", "-1", "b-1x", "b-18446744073709551615", "b-18446744073709551616"}) {
        const auto viewer = world.viewer();
        const auto first = world.hub.join(viewer, id);
        REQUIRE(first);
        CAPTURE(id);
        CHECK(count(events_of(**first), "node") == 2);
        world.hub.leave(viewer.get());
    }
}

TEST_CASE("after too long an absence the ring has moved on, and the whole state is told")
{
    World world({.ring_bytes = 600});
    const auto steady = world.viewer();
    REQUIRE(world.hub.join(steady, ""));
    for (int i = 1; i <= 20; ++i) {
        world.hub.ended(record(static_cast<std::uint64_t>(i)));
        world.run(300ms);
    }
    const auto viewer = world.viewer();
    const auto first = world.hub.join(viewer, "b-1");
    REQUIRE(first);
    CHECK(count(events_of(**first), "node") == 2);
}

TEST_CASE("there are only so many seats")
{
    World world({.viewers = 2});
    const auto a = world.viewer();
    const auto b = world.viewer();
    REQUIRE(world.hub.join(a, ""));
    REQUIRE(world.hub.join(b, ""));
    CHECK_FALSE(world.hub.join(world.viewer(), ""));
    world.hub.leave(a.get());
    CHECK(world.hub.join(world.viewer(), ""));
}

TEST_CASE("a viewer that does not read is dropped, the others go on")
{
    World world({.viewer_chunks = 5});
    const auto slow = world.viewer();
    const auto quick = world.viewer();
    REQUIRE(world.hub.join(slow, ""));
    REQUIRE(world.hub.join(quick, ""));
    std::size_t seen = 0;
    for (int i = 1; i <= 10; ++i) {
        world.hub.ended(record(static_cast<std::uint64_t>(i)));
        world.run(300ms);
        seen += count(events_of(joined(world.read(*quick))), "request");
    }
    CHECK(slow->too_slow());
    CHECK_FALSE(quick->too_slow());
    CHECK(seen == 10);
}

TEST_CASE("while nobody watches nothing is made, and a short absence is bridged")
{
    World world;
    for (int i = 1; i <= 100; ++i) {
        world.hub.snapshot(fleet_of(2, i));
        world.hub.ended(record(static_cast<std::uint64_t>(i)));
        world.run(10ms);
    }
    CHECK(world.made == 0);
    const auto viewer = world.viewer();
    REQUIRE(world.hub.join(viewer, ""));
    world.hub.ended(record(200));
    world.run(300ms);
    const auto last = events_of(joined(world.read(*viewer))).back().id;
    world.hub.leave(viewer.get());
    world.run(10s);
    world.hub.ended(record(201));
    world.run(300ms);
    const auto again = world.viewer();
    const auto missed = world.hub.join(again, last);
    REQUIRE(missed);
    CHECK(count(events_of(**missed), "request") == 1);
    CHECK(count(events_of(**missed), "node") == 0);
    world.hub.leave(again.get());
    world.run(2min);
    const int before = world.made;
    world.hub.ended(record(202));
    world.run(1s);
    CHECK(world.made == before);
}

TEST_CASE("a silent stream is kept alive, and ends when herd stops")
{
    World world;
    const auto viewer = world.viewer();
    REQUIRE(world.hub.join(viewer, ""));
    std::vector<Chunk> chunks;
    bool over = false;
    net::TaskGroup tasks(world.loop, "test");
    tasks.spawn("read", World::reader(*viewer, chunks, over));
    world.run(50s);
    CHECK(std::ranges::count_if(chunks, [](const Chunk& chunk) { return chunk->starts_with(':'); }) == 3);
    world.hub.close();
    world.run(1ms);
    CHECK(over);
    CHECK_FALSE(world.hub.join(world.viewer(), ""));
}

TEST_CASE("what only moves with every heartbeat is told every two seconds")
{
    World world;
    const auto viewer = world.viewer();
    REQUIRE(world.hub.join(viewer, ""));
    std::size_t told = 0;
    for (int i = 0; i < 40; ++i) { // ten seconds
        auto moved = fleet_of(1);
        auto facts = std::make_shared<fleet::NodeFacts>();
        facts->host.load1 = i;
        moved->nodes[0].facts = facts;
        world.hub.snapshot(moved);
        world.run(250ms);
        told += count(events_of(joined(world.read(*viewer))), "node");
    }
    CHECK(told >= 4);
    CHECK(told <= 8);
}
