// Who may join, and what somebody who waits for that is worth: lana.md 5.
#include "support/catch.hpp"

#include "sim/fleet/world.hpp"

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::World;

namespace {

FleetOptions by_approval()
{
    FleetOptions options;
    options.approval = true;
    return options;
}

Trust trust(World& world, const test::Box& box) { return world.snapshot()->find(box.id)->trust; }

} // namespace

TEST_CASE("a node that nobody approved is shown, gets nothing, and its models count for nothing")
{
    World world{1, by_approval()};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(5s);
    CHECK(world.state(box) == NodeState::unknown);
    CHECK(world.reason(box) == "waits for approval: herd nodes approve " + box.id.text());
    CHECK(trust(world, box) == Trust::waiting);
    CHECK(world.where("m") == "no_such_model"); // not held for a stranger's sake
    REQUIRE(world.approvals.size() == 1);       // told once, although it announces every second
    CHECK(world.approvals.front().wanted);
    CHECK(world.approvals.front().agent == box.agent);
}

TEST_CASE("an approved node serves at once, and after a restart of herd without being asked again")
{
    World world{2, by_approval()};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.feed(ApproveNode{box.id, true});
    CHECK(world.state(box) == NodeState::online);
    world.run_for(100ms);
    CHECK(world.where("m") == "a");
    CHECK(trust(world, box) == Trust::approved);
    REQUIRE(world.approvals.size() == 2);
    CHECK_FALSE(world.approvals.back().wanted);
    world.restart_herd(true);
    world.run_for(1s);
    CHECK(world.where("m") == "a");
    CHECK(world.approvals.size() == 2);
}

TEST_CASE("an approval may come before the node, and outlives its going")
{
    World world{3, by_approval()};
    auto& box = world.add_box("a", {"m"});
    world.feed(ApproveNode{box.id, true});
    world.start(box);
    world.run_for(2s);
    CHECK(world.where("m") == "a");
    world.stop(box);
    world.run_for(std::chrono::hours{25}); // forgotten
    CHECK(world.snapshot()->find(box.id) == nullptr);
    world.restart(box);
    world.run_for(2s);
    CHECK(world.where("m") == "a");
}

TEST_CASE("an approval that is taken back ends new work, and what runs there goes on")
{
    World world{4, by_approval()};
    auto& box = world.add_box("a", {"m"});
    world.feed(ApproveNode{box.id, true});
    world.start(box);
    world.run_for(2s);
    const auto ticket = world.ask("m");
    const auto lease = world.lease(ticket).id;
    world.feed(ApproveNode{box.id, false});
    CHECK(world.state(box) == NodeState::unknown);
    CHECK(trust(world, box) == Trust::waiting);
    world.run_for(3s);
    CHECK(world.where("m") == "no_such_model");
    world.finish(lease);
    world.run_for(1s);
}

TEST_CASE("a waiting node is no last resort, whatever else is down")
{
    World world{5, by_approval()};
    auto& box = world.add_box("a", {"m"});
    auto& other = world.add_box("b", {"m"});
    world.feed(ApproveNode{other.id, true});
    world.start(box);
    world.start(other);
    world.run_for(2s);
    CHECK(world.where("m") == "b");
    world.kill(other);
    world.kill(box);
    world.run_for(500ms);
    const auto ticket = world.ask("m");
    world.run_for(40s);
    REQUIRE(world.answer(ticket) != nullptr);
    CHECK_FALSE(world.answer(ticket)->lease);
}

TEST_CASE("a waiting node that is forgotten waits no more, and does again when it comes back")
{
    World world{12, by_approval()};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    REQUIRE(world.approvals.size() == 1);
    world.stop(box);
    world.run_for(std::chrono::hours{25});
    REQUIRE(world.approvals.size() == 2);
    CHECK_FALSE(world.approvals.back().wanted);
    world.restart(box);
    world.run_for(2s);
    REQUIRE(world.approvals.size() == 3);
    CHECK(world.approvals.back().wanted);
}

TEST_CASE("plain Ollamas that a human named need no approval")
{
    World world{6, by_approval()};
    auto& box = world.add_static("s", {"m"});
    world.run_for(2s);
    CHECK(world.where("m") == "s");
    CHECK(trust(world, box) == Trust::configured);
}

TEST_CASE("when the rules become stricter, who cannot show himself is out at once and who can is back at once")
{
    World world{7};
    auto& member = world.add_box("a", {"m"});
    auto& stranger = world.add_box("b", {"n"});
    member.keyed = true;
    world.start(member);
    world.start(stranger);
    world.run_for(3s);
    REQUIRE(world.online() == 2);
    stranger.member = false; // from now on it would have to prove it
    world.feed(JoinChanged{false, true, true});
    CHECK(world.online() == 0); // not one request goes to somebody unproved
    world.run_for(20ms);
    CHECK(world.state(member) == NodeState::online);
    CHECK(world.state(stranger) == NodeState::unreachable);
    CHECK(world.reason(stranger) == "no member");
    CHECK(trust(world, member) == Trust::key);
    world.run_for(30s);
    CHECK(world.state(stranger) == NodeState::unreachable);
}

TEST_CASE("a live node that fails to prove itself is out without waiting for its silence")
{
    World world{8};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    box.member = false;
    world.document_changed(box);
    world.run_for(50ms);
    CHECK(world.state(box) == NodeState::unreachable);
    box.member = true;
    world.run_for(10s);
    CHECK(world.state(box) == NodeState::online);
}

TEST_CASE("switching to approval makes the unapproved wait, and back lets them in")
{
    World world{9};
    auto& box = world.add_box("a", {"m"});
    world.start(box);
    world.run_for(2s);
    world.feed(JoinChanged{true, false, false});
    CHECK(world.state(box) == NodeState::unknown);
    CHECK(world.where("m") == "no_such_model");
    world.feed(JoinChanged{false, false, false});
    world.run_for(100ms);
    CHECK(world.where("m") == "a");
    CHECK(trust(world, box) == Trust::open);
}

TEST_CASE("where the fleet has a key, a node without one is marked")
{
    FleetOptions options;
    options.keyed = true;
    World world{10, options};
    auto& keyed = world.add_box("a", {"m"});
    keyed.keyed = true;
    auto& plain = world.add_box("b", {"m"});
    world.start(keyed);
    world.start(plain);
    world.run_for(2s);
    CHECK(trust(world, keyed) == Trust::key);
    CHECK(trust(world, plain) == Trust::unauthenticated);
}

TEST_CASE("a node's proof goes with each lease to its gateway, and never to an Ollama beside it")
{
    World world{11};
    auto& box = world.add_box("a", {"m"});
    auto& direct = world.add_box("b", {"n"});
    direct.gateway = false;
    world.start(box);
    world.start(direct);
    world.run_for(2s);
    const auto proof = std::make_shared<const std::string>("proof");
    world.feed(ProofMade{box.id, proof});
    world.feed(ProofMade{direct.id, proof});
    const auto ticket = world.ask("m");
    CHECK(world.lease(ticket).address.proof == proof);
    const auto other = world.ask("n");
    CHECK(world.lease(other).address.proof == nullptr);
    world.restart(box); // the address is made anew with the document
    world.run_for(2s);
    CHECK(world.snapshot()->find(box.id)->address.proof == proof);
}
