// `herd use NODE` as the admin API tells of it.
#include "herd/admin/sent.hpp"

#include "herd/admin/decision_view.hpp"
#include "proxy/frontend.hpp"
#include "support/catch.hpp"

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app::admin;
using Json = nlohmann::json;

namespace {

fleet::Snapshot two_nodes()
{
    fleet::Snapshot snapshot;
    for (const auto& [name, id] : {std::pair{"box1", "0f8fad5b-d9cb-469f-a165-70867728950e"}, std::pair{"box2", "7c9e6679-7425-40de-944b-e07fc1f90ae7"}}) {
        fleet::NodeView view;
        view.id = *base::Uuid::parse(id);
        view.name = name;
        view.state = snapshot.nodes.empty() ? fleet::NodeState::offline : fleet::NodeState::online;
        snapshot.nodes.push_back(view);
    }
    return snapshot;
}

proxy::ProxyOptions sent_to(const std::string& node)
{
    proxy::ProxyOptions options;
    options.frontends = *proxy::Frontends::compile({.use = {{"default", node}}}, options, nullptr);
    return options;
}

} // namespace

TEST_CASE("the status names the node that everything is sent to, and its state")
{
    const auto snapshot = two_nodes();
    CHECK(sent_of({}, nullptr).empty());
    CHECK(with_use(R"({"version":"1"})", snapshot, {}) == R"({"version":"1"})");
    const auto use = [&](const std::string& node) { return Json::parse(with_use("{}", snapshot, sent_of(sent_to(node), nullptr)))["use"]; };
    CHECK(use(snapshot.nodes[0].id.text()) == Json::parse(R"([{"frontend":"default","node":"box1","state":"offline"}])"));
    CHECK(use("gone")[0]["state"] == "unknown");
}

TEST_CASE("a decision says of nodes that are passed by that everything is sent to another one")
{
    const auto snapshot = two_nodes();
    const auto options = sent_to(snapshot.nodes[0].id.text());
    const auto* frontend = options.frontends->find("default");
    fleet::Decision decision;
    decision.candidates = {{.node = snapshot.nodes[0].id, .name = "box1", .exclusion = fleet::Exclusion::offline},
                           {.node = snapshot.nodes[1].id, .name = "box2", .exclusion = fleet::Exclusion::not_member}};
    const auto told = Json::parse(with_sent(decision_json(decision), snapshot, frontend));
    CHECK(told["sent"] == "everything is sent to box1 (`herd use`)");
    CHECK(told["candidates"][0]["reason"] == "offline");
    CHECK(told["candidates"][1]["reason"] == "sent_elsewhere");
    CHECK_FALSE(Json::parse(with_sent(decision_json(decision), snapshot, nullptr)).contains("sent"));
}

TEST_CASE("a node that the frontend does not have is no member, whatever it is switched to")
{
    const auto snapshot = two_nodes();
    proxy::ProxyOptions options;
    proxy::FrontendConfig config;
    config.id = config.name = "team-a";
    config.hostnames = {"*"};
    config.nodes = std::vector<std::string>{"box1"};
    options.frontends = *proxy::Frontends::compile({.frontends = {config}, .use = {{"team-a", "box1"}}}, options, nullptr);
    fleet::Decision decision;
    decision.candidates = {{.node = snapshot.nodes[1].id, .name = "box2", .exclusion = fleet::Exclusion::not_member}};
    const auto told = Json::parse(with_sent(decision_json(decision), snapshot, options.frontends->find("team-a")));
    CHECK(told["sent"] == "frontend 'team-a' is sent to box1 (`herd use`)");
    CHECK(told["candidates"][0]["reason"] == "not_member");
}
