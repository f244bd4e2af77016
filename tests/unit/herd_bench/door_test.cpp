// A request of herd's own goes through the whole proxy: past keys and frontends, through everything behind them.
#include "herd/bench/own_request.hpp"
#include "proxy/access.hpp"
#include "proxy/frontend.hpp"

#include "../proxy/world.hpp"

using namespace herd;
using namespace herd::proxy;
using namespace herd::proxy::testing;

namespace {

const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";
const std::string last_line = R"({"model":"m","done":true,"prompt_eval_count":7,"eval_count":3})" "\n";

std::shared_ptr<const Access> keys_needed()
{
    AccessRules rules;
    rules.require_key = true;
    return std::make_shared<const Access>(std::move(rules), std::make_shared<AccessMemory>());
}

/// There is one frontend, and it takes no chats.
ProxyOptions behind_a_frontend()
{
    ProxyOptions options;
    FrontendConfig one;
    one.id = one.name = "vectors";
    one.hostnames = {"*"};
    one.allow_completions = false;
    options.frontends = *Frontends::compile({.frontends = {one}}, options, nullptr);
    return options;
}

app::bench::Told ask(World& w)
{
    app::bench::OwnRequest request(w.loop, "own1", {.path = "/api/chat", .body = chat});
    herd::testing::run(w.time, w.loop, w.proxy->handle(request));
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].id == "own1");
    request.take(w.records[0]);
    return request.told();
}

Script good() { return {opening(), chunk("{\"model\":\"m\"}\n"), pause(20ms), chunk(last_line), end_of_chunks()}; }

} // namespace

TEST_CASE("where keys are needed a client without one is refused, and herd's own request is not")
{
    World w;
    w.node(0).scripts = {good()};
    w.publish({"m"}, {"m"});
    w.proxy->set_access(keys_needed());
    CHECK(starts(w.post("/api/chat", chat), "401"));
    w.records.clear();
    const auto told = ask(w);
    CHECK(told.well);
    CHECK(told.node == w.node(0).name);
    CHECK(told.timings.output_tokens == 3);
    CHECK(told.timings.prompt_tokens == 7);
    CHECK(w.records[0].key.empty());
    CHECK(w.records[0].tags == std::vector<std::string>{"benchmark"});
    CHECK(w.records[0].priority == fleet::Priority::normal);
}

TEST_CASE("what a frontend does not let clients do does not keep herd's own request out")
{
    World w(1, behind_a_frontend());
    w.node(0).scripts = {good()};
    w.publish({"m"}, {"m"});
    CHECK(starts(w.post("/api/chat", chat), "403"));
    w.records.clear();
    CHECK(ask(w).well);
    CHECK(w.records[0].frontend.empty());
}

TEST_CASE("the node of a request that leaves is let go at once")
{
    World w;
    w.node(0).scripts = {{opening(), chunk("{\"model\":\"m\"}\n"), hang()}};
    w.publish({"m"}, {"m"});
    app::bench::OwnRequest request(w.loop, "own1", {.path = "/api/chat", .body = chat});
    net::TaskGroup tasks(w.loop, "test");
    tasks.spawn("own", w.proxy->handle(request));
    w.settle();
    CHECK(w.records.empty());
    CHECK(w.books.out.size() == 1);
    request.leave();
    w.settle();
    CHECK(w.books.out.empty());
    CHECK(tasks.size() == 0);
    REQUIRE(w.records.size() == 1);
    request.take(w.records[0]);
    CHECK(request.told().cut);
    CHECK(w.node(0).closed_by_peer == 1);
}
