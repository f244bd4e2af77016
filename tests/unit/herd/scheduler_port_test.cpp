// The door between a relay loop and the fleet, over the real Fleet in virtual time.
#include "herd/scheduler_port.hpp"

#include "fleet/model_name.hpp"
#include "net/task_group.hpp"
#include "support/catch.hpp"

using namespace herd;

namespace {

struct House {
    net::VirtualTime time;
    net::Loop loop;
    app::FleetOwner owner{loop, {.discovery = false}, base::Rng(1)};
    app::SchedulerPort port{loop, owner, 0};
    net::TaskGroup tasks{loop, "test"};
    std::vector<app::SchedulerPort::Answer> answers;

    House()
    {
        owner.on_effect([](const fleet::Effect&) {});
        fleet::StaticAdded added{.id = id(), .name = "box", .url = "http://10.0.0.1:1"};
        added.address.endpoint = *base::Endpoint::parse("10.0.0.1:1");
        owner.apply(added);
        fleet::NodeFacts facts;
        facts.name = "box";
        facts.announced = fleet::AnnouncedState::ready;
        facts.models.push_back({.name = "m:latest", .key = fleet::ModelName::parse("m").key, .digest = "d"});
        fleet::StaticPolled polled{.id = id(), .facts = facts};
        polled.address = added.address;
        owner.apply(polled);
    }
    ~House()
    {
        owner.stop();
        time.run_for(loop, std::chrono::seconds{1});
    }
    static fleet::NodeId id() { return *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e"); }

    fleet::Profile profile()
    {
        fleet::Profile profile;
        profile.model_key = fleet::ModelName::parse("m").key;
        profile.model = "m";
        profile.deadline = time.now() + std::chrono::seconds{30};
        return profile;
    }
    static net::Task<void> ask(House& house, fleet::Ticket ticket)
    {
        auto answer = co_await house.port.acquire(ticket, house.profile());
        house.answers.push_back(std::move(answer));
    }
    fleet::Ticket start()
    {
        const fleet::Ticket ticket = port.new_ticket();
        tasks.spawn("ask", ask(*this, ticket));
        time.run_for(loop, std::chrono::milliseconds{1});
        return ticket;
    }
};

} // namespace

TEST_CASE("a free slot is granted, the next request waits for it, in order")
{
    House house;
    house.start();
    REQUIRE(house.answers.size() == 1);
    REQUIRE(house.answers[0].has_value());
    CHECK(house.answers[0]->node_name == "box");
    house.start();
    house.start();
    CHECK(house.answers.size() == 1);
    house.port.finished(house.answers[0]->id, {});
    house.time.run_for(house.loop, std::chrono::milliseconds{1});
    REQUIRE(house.answers.size() == 2);
    house.port.finished(house.answers[1]->id, {});
    house.time.run_for(house.loop, std::chrono::milliseconds{1});
    REQUIRE(house.answers.size() == 3);
    house.port.finished(house.answers[2]->id, {});
    CHECK(house.port.snapshot() != nullptr);
}

TEST_CASE("a cancelled wait ends at once and does not take the slot when it frees")
{
    House house;
    house.start();
    const fleet::Ticket waiting = house.start();
    house.port.cancel(waiting);
    house.time.run_for(house.loop, std::chrono::milliseconds{1});
    REQUIRE(house.answers.size() == 2);
    REQUIRE_FALSE(house.answers[1].has_value());
    CHECK(house.answers[1].error().error.code == base::Errc::cancelled);
    house.port.finished(house.answers[0]->id, {});
    house.start();
    REQUIRE(house.answers.size() == 3);
    CHECK(house.answers[2].has_value());
    house.port.finished(house.answers[2]->id, {});
    house.time.run_for(house.loop, std::chrono::milliseconds{1});
    CHECK(house.owner.publish()->nodes.front().in_flight == 0);
}

TEST_CASE("a lease whose asker left while it was on its way goes back")
{
    House house;
    house.start();
    fleet::Lease lease = *house.answers[0];
    // As if the grant for a ticket nobody waits for arrived now.
    house.port.deliver(house.port.new_ticket(), lease);
    house.time.run_for(house.loop, std::chrono::milliseconds{1});
    CHECK(house.owner.publish()->nodes.front().in_flight == 0);
}

TEST_CASE("a fresh snapshot includes what was told just before")
{
    House house;
    house.port.tell(fleet::DrainNode{House::id(), true});
    bool drained = false;
    struct Reader {
        static net::Task<void> read(House& h, bool& out)
        {
            const auto snapshot = co_await h.port.fresh_snapshot();
            out = snapshot->nodes.front().state == fleet::NodeState::draining;
        }
    };
    house.tasks.spawn("read", Reader::read(house, drained));
    house.time.run_for(house.loop, std::chrono::milliseconds{1});
    CHECK(drained);
}
