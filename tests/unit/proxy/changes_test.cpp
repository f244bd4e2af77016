// Requests that change what nodes have, through the whole proxy: where they go, what is refused, what is recorded.
#include "world.hpp"

#include "proxy/frontend.hpp"

using namespace herd;
using namespace herd::proxy::testing;

namespace {

std::string remove(World& w, std::string_view body, std::string_view fields = {})
{
    return w.ask("DELETE /api/delete HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "Content-Length: " + std::to_string(body.size())
                 + "\r\n\r\n" + std::string(body));
}

/// Every node does what it is told, and lists nothing afterwards.
void obey(World& w)
{
    for (auto& node : w.nodes) {
        node->answers = [](const Seen& seen) { return seen.has("GET /api/tags") ? answer(200, R"({"models":[]})") : answer(200, "{}"); };
    }
}

/// How many requests that change something each node got.
std::vector<int> changes(World& w)
{
    std::vector<int> counts;
    for (auto& node : w.nodes) {
        counts.push_back(static_cast<int>(std::ranges::count_if(node->seen, [](const Seen& seen) { return !seen.has("GET /api/tags"); })));
    }
    return counts;
}

using Counts = std::vector<int>;
using Pins = std::multimap<std::string, std::string>;
const std::string m_key = "registry.ollama.ai/library/m:latest";

proxy::ProxyOptions pinned(Pins pins)
{
    proxy::ProxyOptions options;
    options.pinned_models = std::make_shared<const Pins>(std::move(pins));
    return options;
}

} // namespace

TEST_CASE("a deletion that names a node is on that node alone")
{
    World w(3);
    obey(w);
    CHECK(starts(remove(w, R"({"model":"m","node_id":"n2"})"), "200"));
    CHECK(changes(w) == Counts{0, 1, 0});
    CHECK(starts(remove(w, R"({"model":"m","node_id":")" + w.node(2).id.text() + "\"}"), "200"));
    CHECK(changes(w) == Counts{0, 1, 1});
    CHECK(starts(remove(w, R"({"model":"m","nodes":["n1"],"node_id":"n1"})", "X-Herd-Node: n1\r\n"), "200"));
    CHECK(changes(w) == Counts{1, 1, 1});
    CHECK(starts(remove(w, R"({"model":"m","nodes":"all","node_id":null})"), "200"));
    CHECK(changes(w) == Counts{2, 2, 2});
}

TEST_CASE("a node that cannot be meant is never all of them")
{
    World w(3);
    obey(w);
    const auto unknown = remove(w, R"({"model":"m","node_id":"all"})");
    CHECK(starts(unknown, "404"));
    CHECK(body_of(unknown) == R"({"error":"no node is called all"})");
    CHECK(starts(w.post("/api/pull", R"({"model":"m","node_id":"attic"})"), "404"));
    for (const auto* bad : {R"("node_id":"")", R"("node_id":5)", R"("node_id":["n1"])", R"("nodes":[])", R"("nodes":[7])", R"("nodes":"n1")",
                            R"("nodes":{})", R"("nodes":["n1","n2"])", R"("nodes":["n1"],"node_id":"n2")"}) {
        CAPTURE(bad);
        CHECK(starts(remove(w, std::string(R"({"model":"m",)") + bad + "}"), "400"));
        CHECK(starts(w.post("/api/pull", std::string(R"({"model":"m",)") + bad + "}"), "400"));
    }
    CHECK(starts(remove(w, R"({"model":"m","nodes":"best"})"), "400"));
    CHECK(starts(remove(w, R"({"model":"m","node_id":"n1"})", "X-Herd-Node: n2\r\n"), "400"));
    CHECK(changes(w) == Counts{0, 0, 0});
}

TEST_CASE("a node outside of the frontend is not known to its clients")
{
    proxy::ProxyOptions options;
    proxy::FrontendConfig a;
    a.id = a.name = "a";
    a.hostnames = {"*"};
    a.nodes = {"n1"};
    a.allow_model_admin = true;
    options.frontends = *proxy::Frontends::compile({.frontends = {a}}, options, nullptr);
    World w(2, options);
    obey(w);
    CHECK(body_of(remove(w, R"({"model":"m","node_id":"n2"})")) == R"({"error":"no node is called n2"})");
    CHECK(starts(remove(w, R"({"model":"m","node_id":"n1"})"), "200"));
    CHECK(changes(w) == Counts{1, 0});
}

TEST_CASE("a pull goes to the node it names, and says when it cannot go to several")
{
    World w(3);
    obey(w);
    CHECK(starts(w.post("/api/pull", R"({"model":"new","node_id":"n3"})"), "200"));
    CHECK(starts(w.post("/api/pull", R"({"model":"new","nodes":["n2"],"stream":false})"), "200"));
    CHECK(changes(w) == Counts{0, 1, 1});
    const auto all = w.post("/api/pull", R"({"model":"new","nodes":"all"})");
    CHECK(starts(all, "400"));
    CHECK(body_of(all) == R"({"error":"one request pulls to one node: send one for each, as \"herd pull MODEL --all\" does"})");
    CHECK(starts(w.post("/api/pull", R"({"model":"new","nodes":"best"})"), "200"));
    CHECK(w.books.asked.size() == 3);
}

TEST_CASE("a second pull of a model joins the first, as long as that runs")
{
    World w(2);
    w.publish({});
    for (auto& node : w.nodes) {
        node->answers = [](const Seen&) { return Script{opening(), chunk("{\"status\":\"pulling\"}\n"), pause(10s), chunk("{\"status\":\"success\"}\n"), end_of_chunks()}; };
    }
    const std::string body = R"({"model":"new"})";
    (void)w.post("/api/pull", R"({"model":"New:latest"})", "X-Herd-Node: n2\r\n"); // n1 has more room
    auto first = std::move(w.client);
    w.connect();
    (void)w.post("/api/pull", body);
    CHECK(changes(w) == Counts{0, 2});
    first.reset(); // the second is still there
    w.settle();
    auto second = std::move(w.client);
    w.connect();
    (void)w.post("/api/pull", body);
    CHECK(changes(w) == Counts{0, 3});
    second.reset();
    w.client.reset();
    w.settle();
    w.connect();
    (void)w.post("/api/pull", body);
    CHECK(changes(w) == Counts{1, 3});
}

TEST_CASE("a pinned model is not deleted where it is pinned unless that is meant")
{
    World w(2, pinned({{m_key, ""}}));
    w.publish({"m", "other"});
    obey(w);
    const auto refused = remove(w, R"({"model":"M:latest"})");
    CHECK(starts(refused, "409"));
    CHECK(body_of(refused) == R"({"error":"model 'M:latest' is pinned: unpin it first, or send \"force\": true"})");
    CHECK(starts(remove(w, R"({"model":"m","node_id":"n2"})"), "409"));
    CHECK(w.node(0).seen.empty());
    CHECK(starts(remove(w, R"({"model":"m","force":true})"), "200"));
    CHECK(starts(remove(w, R"({"model":"other"})"), "200"));
}

TEST_CASE("a pin on one node keeps the model there, not elsewhere, and not where it is gone")
{
    World w(2, pinned({{m_key, "n1"}, {"registry.ollama.ai/library/gone:latest", ""}}));
    obey(w);
    CHECK(starts(remove(w, R"({"model":"m"})"), "409"));
    CHECK(starts(remove(w, R"({"model":"m"})", "X-Herd-Node: n1\r\n"), "409"));
    CHECK(changes(w) == Counts{0, 0});
    CHECK(starts(remove(w, R"({"model":"m","node_id":"n2"})"), "200"));
    CHECK(changes(w) == Counts{0, 1});
    CHECK(body_of(remove(w, R"({"model":"gone"})")) == R"({"error":"model 'gone' not found"})");
}

TEST_CASE("a change on every holder leaves a record with one attempt for each")
{
    World w(3);
    w.node(0).scripts = {answer(200, "")};
    w.node(1).scripts = {answer(500, R"({"error":"disk"})")};
    w.node(2).scripts = {answer(404, R"({"error":"gone already"})")};
    CHECK(field_of(remove(w, R"({"model":"M"})"), "X-Herd-Node") == "n1,n2,n3");
    const auto& record = w.records.back();
    CHECK(record.node == "n1,n2,n3");
    CHECK(record.model == "m:latest");
    CHECK(record.requested_model == "M");
    REQUIRE(record.attempts.size() == 3);
    using fleet::Result;
    const std::array outcomes{Result::served, Result::failed, Result::model_missing};
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(record.attempts[i].node == w.node(i).name);
        CHECK(record.attempts[i].outcome == outcomes[i]);
    }
    w.node(0).stop();
    (void)w.post("/api/copy", R"({"source":"m","destination":"twin"})", "X-Herd-Node: n1\r\n");
    CHECK(w.records.back().attempts.at(0).outcome == Result::refused);
    (void)w.post("/api/generate", R"({"model":"m","keep_alive":0})", "X-Herd-Node: n1\r\n");
    CHECK(w.records.back().node == "n1");
    CHECK(w.records.back().attempts.size() == 1);
}
