#include "proxy/merged.hpp"
#include "proxy/model_ops.hpp"
#include "proxy/model_rows.hpp"
#include "support/catch.hpp"

using namespace herd;
using namespace herd::proxy;

namespace {

struct Box {
    std::string name;
    std::string version{"0.33.0"};
    fleet::NodeState state{fleet::NodeState::online};
    std::vector<fleet::Model> models{};
    std::uint64_t memory{1};
    std::vector<std::string> labels{};
};

fleet::Model model(std::string name, std::string digest, std::string modified, std::string extra = {})
{
    const auto row = "{\"name\":\"" + name + "\",\"digest\":\"" + digest + "\"" + extra + "}";
    return {name, "k/" + name, digest, 5, std::move(modified), row};
}

fleet::Snapshot snapshot(std::vector<Box> boxes)
{
    fleet::Snapshot out;
    for (auto& box : boxes) {
        auto facts = std::make_shared<fleet::NodeFacts>();
        facts->ollama_version = box.version;
        facts->host.memory_total = facts->host.memory_available = box.memory;
        facts->models = box.models;
        for (std::size_t i = 0; i < box.models.size(); ++i) {
            out.models[box.models[i].key].push_back({out.nodes.size(), i, false, 1, 0, fleet::tool_of(box.models[i].row)});
        }
        fleet::NodeView view;
        view.id.bytes[15] = static_cast<std::uint8_t>(out.nodes.size() + 1);
        view.name = box.name;
        view.state = box.state;
        view.labels = box.labels;
        view.facts = std::move(facts);
        out.nodes.push_back(std::move(view));
    }
    return out;
}

} // namespace

TEST_CASE("with one node the lists are that node's own bytes")
{
    const auto one = snapshot({{.name = "a", .models = {model("x:latest", "d1", "2026-01-01T00:00:00Z"),
                                                        model("y:latest", "d2", "2026-01-02T00:00:00Z")}}});
    CHECK(tags_body(one) == R"({"models":[{"name":"y:latest","digest":"d2"},{"name":"x:latest","digest":"d1"}]})");
    CHECK(models_body(one)
          == R"({"object":"list","data":[{"id":"y:latest","object":"model","created":1767312000,"owned_by":"library"},{"id":"x:latest","object":"model","created":1767225600,"owned_by":"library"}]})"
             "\n");
    CHECK(tags_body({}) == R"({"models":[]})");
    CHECK(models_body({}) == "{\"object\":\"list\",\"data\":null}\n");
    CHECK(version_body(one) == R"({"version":"0.33.0"})");
    CHECK(version_body({}) == R"({"version":"0.0.0"})");
}

TEST_CASE("two nodes with one name are told apart in the lists")
{
    const auto two = snapshot({{.name = "a", .models = {model("x:latest", "d1", "2026-01-01T00:00:00Z")}},
                               {.name = "a", .models = {model("x:latest", "d1", "2026-01-01T00:00:00Z")}}});
    CHECK(tags_body(two) == R"({"models":[{"name":"x:latest","digest":"d1","herd":{"nodes":["a","a-2"],"digests":{"d1":["a","a-2"]}}}]})");
}

TEST_CASE("one row per name, from the copy that most nodes have, and where it is")
{
    const auto three = snapshot({{.name = "a", .models = {model("x:latest", "d1", "2026-01-01T00:00:00Z")}},
                                 {.name = "b", .models = {model("x:latest", "d2", "2026-01-09T00:00:00Z")}},
                                 {.name = "c", .models = {model("x:latest", "d1", "2026-01-02T01:00:00+01:00", ",\"capabilities\":[],\"details\":{\"format\":\"gguf\"}")}}});
    CHECK(tags_body(three)
          == R"({"models":[{"name":"x:latest","digest":"d1","capabilities":[],"details":{"format":"gguf","fleet_nodes":["c","a","b"]},"herd":{"nodes":["c","a","b"],"digests":{"d1":["c","a"],"d2":["b"]}}}]})");
}

TEST_CASE("nodes that are gone lend no models and no version")
{
    const auto fleet = snapshot({{.name = "a", .version = "0.33.0", .models = {model("x:latest", "d1", "")}},
                                 {.name = "b", .version = "0.9.6", .state = fleet::NodeState::offline, .models = {model("y:latest", "d2", "")}},
                                 {.name = "c", .version = "0.11.4", .state = fleet::NodeState::suspect}});
    CHECK(tags_body(fleet).find("y:latest") == std::string::npos);
    CHECK(version_body(fleet) == R"({"version":"0.11.4"})");
    const auto gone = snapshot({{.name = "b", .version = "0.9.6", .state = fleet::NodeState::offline}});
    CHECK(version_body(gone) == R"({"version":"0.9.6"})");
}

TEST_CASE("versions compare as numbers")
{
    CHECK(version_less("0.9.6", "0.33.0"));
    CHECK(version_less("0.33.0-rc2", "0.33.0"));
    CHECK_FALSE(version_less("0.33.0", "0.33.0"));
    CHECK(version_less("0.33", "0.33.1"));
}

TEST_CASE("what is in memory is listed by node, longest remaining first")
{
    std::vector<NodeLoad> loads{{"a", {{.name = "x", .expires_at = "2026-01-01T00:00:00Z", .row = R"({"name":"x"})"}}},
                                {"b", {{.name = "y", .expires_at = "2318-01-01T00:00:00Z", .row = R"({"name":"y"})"}}}};
    CHECK(ps_body(loads, false) == R"({"models":[{"name":"y"},{"name":"x"}]})");
    CHECK(ps_body(loads, true) == R"({"models":[{"name":"y","fleet_node":"b","herd":{"node":"b"}},{"name":"x","fleet_node":"a","herd":{"node":"a"}}]})");
    CHECK(ps_body({}, true) == R"({"models":[]})");
}

TEST_CASE("rows are read as values with their bytes kept")
{
    const auto tags = parse_tags(R"({"models":[ {"name":"Tiny:latest","size":481687,"digest":"ab","modified_at":"t","details":{"name":"no"}},{"nameless":1},5 ]})");
    REQUIRE(tags);
    REQUIRE(tags->size() == 1);
    CHECK(tags->front().name == "Tiny:latest");
    CHECK(tags->front().size == 481687);
    CHECK(tags->front().row == R"({"name":"Tiny:latest","size":481687,"digest":"ab","modified_at":"t","details":{"name":"no"}})");
    const auto ps = parse_ps(R"({"models":[{"name":"a","size":10,"size_vram":4,"context_length":4096,"expires_at":"e","digest":"d"}]})");
    REQUIRE(ps);
    CHECK(ps->front().size_vram == 4);
    CHECK(ps->front().context_length == 4096);
    CHECK(parse_tags(R"({"models":null})")->empty());
    const auto stubs = parse_tags(R"({"models":[{"name":"a","remote_host":"https://ollama.com"},{"name":"b","remote_model":"x"},{"name":"c","details":{"remote_host":"y"}},{"name":"d","remote_host":""}]})");
    REQUIRE(stubs);
    REQUIRE(stubs->size() == 4);
    CHECK((*stubs)[0].remote);
    CHECK((*stubs)[1].remote);
    CHECK_FALSE((*stubs)[2].remote); // a member of a member
    CHECK_FALSE((*stubs)[3].remote);
    CHECK_FALSE(parse_tags("404 page not found"));
    CHECK_FALSE(parse_tags(R"({"models":[{"name":"a")"));
    CHECK_FALSE(parse_tags("{}"));
}

TEST_CASE("times of any zone are points in time")
{
    CHECK(parse_rfc3339("1970-01-01T00:00:01Z") == 1'000'000'000);
    CHECK(parse_rfc3339("1970-01-01T01:00:00.5+01:00") == 500'000'000);
    CHECK(parse_rfc3339("2026-11-20T14:14:38.498881597Z") == 1795184078498881597);
    CHECK(parse_rfc3339("2318-01-01T00:00:00Z") == std::numeric_limits<std::int64_t>::max());
    for (const auto* bad : {"", "2026-11-20", "2026-13-20T14:14:38Z", "2026-11-20T14:14:38", "2026-11-20T14:14:38+1"}) {
        CHECK_FALSE(parse_rfc3339(bad));
    }
}

TEST_CASE("a row takes one more member")
{
    CHECK(with_member("{\"a\":1} ", "b", "2") == "{\"a\":1,\"b\":2}");
    CHECK(with_member("{}", "b", "2") == "{\"b\":2}");
    CHECK(with_member("junk", "b", "2") == "junk");
}

TEST_CASE("models are pulled and made on nodes of the least tier that is there")
{
    auto fleet = snapshot({{.name = "small", .models = {model("base:latest", "d", "")}, .memory = 1}, {.name = "big", .memory = 9}});
    fleet.nodes[1].settings = std::make_shared<const fleet::NodeSettings>(fleet::NodeSettings{.tier = 1});
    PullMemory pulls;
    BlobMemory memory;
    CHECK(choose_pull_node(fleet, pulls, "k/new:latest", {}, {}) == fleet.nodes[0].id);
    CHECK(choose_build_node(fleet, memory, {}, "", {}, {}) == fleet.nodes[0].id);
    CHECK(choose_pull_node(fleet, pulls, "k/new:latest", {.node = "big"}, {}) == fleet.nodes[1].id);
    CHECK(choose_pull_node(fleet, pulls, "k/new:latest", {}, {fleet.nodes[0].id}) == fleet.nodes[1].id);
    fleet.nodes[0].state = fleet::NodeState::offline;
    CHECK(choose_build_node(fleet, memory, {}, "", {}, {}) == fleet.nodes[1].id);
}

TEST_CASE("models are made on the biggest box, where the blobs or the base model are")
{
    const auto fleet = snapshot({{.name = "small", .models = {model("base:latest", "d", "")}, .memory = 1},
                                 {.name = "big", .memory = 9},
                                 {.name = "biggest", .state = fleet::NodeState::offline, .memory = 99},
                                 {.name = "labelled", .memory = 2, .labels = {"EU"}}});
    const auto id = [&](std::size_t i) { return fleet.nodes[i].id; };
    BlobMemory memory;
    CHECK(choose_build_node(fleet, memory, {}, "", {}, {}) == id(1));
    CHECK(choose_build_node(fleet, memory, {}, "k/base:latest", {}, {}) == id(0));
    CHECK(choose_build_node(fleet, memory, {}, "k/other:latest", {}, {}) == id(1));
    CHECK(choose_build_node(fleet, memory, {}, "", {}, {id(1)}) == id(3));
    memory.add("sha256:1", id(3));
    CHECK(choose_build_node(fleet, memory, {"sha256:1"}, "", {}, {}) == id(3));
    CHECK(choose_build_node(fleet, memory, {"sha256:1"}, "", {.node = "small"}, {}) == id(0));
    CHECK(choose_build_node(fleet, memory, {}, "", {.labels = {"eu"}}, {}) == id(3));
    CHECK(choose_build_node(fleet, memory, {}, "", {.node = "nobody"}, {}).is_nil());
    PullMemory pulls;
    CHECK(choose_pull_node(fleet, pulls, "k/base:latest", {}, {}) == id(0));
    CHECK(choose_pull_node(fleet, pulls, "k/new:latest", {}, {}) == id(1));
    {
        const PullMemory::Mark pulling(pulls, "k/base:latest", id(3));
        CHECK(choose_pull_node(fleet, pulls, "k/base:latest", {}, {}) == id(3)); // where Ollama joins the two
        CHECK(choose_pull_node(fleet, pulls, "k/base:latest", {}, {id(3)}) == id(0));
        CHECK(choose_pull_node(fleet, pulls, "k/new:latest", {}, {}) == id(1));
    }
    CHECK(choose_pull_node(fleet, pulls, "k/base:latest", {}, {}) == id(0));
    CHECK(holders_of(fleet, "k/base:latest", {}).size() == 1);
    CHECK(holders_of(fleet, "k/base:latest", {.node = "big"}).empty());
    CHECK(holders_of(fleet, "k/none", {}).empty());
}

TEST_CASE("old nodes are remembered for a while, blobs up to a number")
{
    using namespace std::chrono_literals;
    RouteMemory routes;
    const base::Instant now{1h};
    base::NodeId a;
    a.bytes[0] = 1;
    CHECK(routes.empty());
    routes.add(a, "/v1/messages", now);
    CHECK(routes.without("/v1/messages", now + 1min) == std::vector{a});
    CHECK(routes.without("/v1/responses", now + 1min).empty());
    CHECK(routes.without("/v1/messages", now + 11min).empty());
    CHECK(routes.empty());
    BlobMemory blobs;
    for (int i = 0; i < 5000; ++i) {
        blobs.add(std::to_string(i), a);
    }
    CHECK_FALSE(blobs.find("0"));
    CHECK(blobs.find("4999") == a);
}

TEST_CASE("who makes images is listed by name, a tool as what it is and a model of Ollama's as that")
{
    const auto tool = [](const std::string& name, const std::string& details) {
        return model(name, "d", "1970-01-01T00:00:00Z", ",\"details\":{\"type\":\"image\",\"backend\":\"mflux\"" + details + "},\"capabilities\":[\"image\"]");
    };
    auto two = snapshot({{.name = "a", .models = {tool("flux:latest", ""), tool("hidden:latest", ",\"listed\":false"), model("x:latest", "d", "")}},
                         {.name = "b", .models = {tool("flux:latest", ""), model("x/z:1b", "e", "", ",\"capabilities\":[\"image\",\"completion\"]")}}});
    two.tools = {{"k/flux:latest", fleet::Tool::image}, {"k/hidden:latest", fleet::Tool::image}};
    CHECK(image_models_body(two)
          == R"({"models":[{"name":"flux","type":"image","backend":"mflux","fleet_nodes":["a","b"]},)"
             R"({"name":"hidden","type":"image","backend":"mflux","fleet_nodes":["a"]},)"
             R"({"name":"x/z:1b","type":"image","backend":"ollama","fleet_nodes":["b"]}]})");
    CHECK(image_models_body(two, [](std::string_view key) { return key == "k/x:latest"; }) == R"({"models":[]})");
    CHECK(tags_body(two).find("hidden") == std::string::npos);
    CHECK(models_body(two).find("hidden") == std::string::npos);
    CHECK(tags_body(two).find("flux:latest") != std::string::npos);
}

TEST_CASE("lists tell of the model where another node has a tool of its name, and of the tool where tools are listed")
{
    const auto tool = model("x:latest", "t", "2026-02-01T00:00:00Z", ",\"details\":{\"type\":\"image\",\"backend\":\"command\"}");
    const auto fleet = snapshot({{.name = "a", .models = {model("x:latest", "d1", "2026-01-01T00:00:00Z")}}, {.name = "b", .models = {tool}}, {.name = "c", .models = {tool}}});
    CHECK(tags_body(fleet) == R"({"models":[{"name":"x:latest","digest":"d1","herd":{"nodes":["a"],"digests":{"d1":["a"]}}}]})");
    CHECK(models_body(fleet).find(R"("created":1767225600)") != std::string::npos);
    CHECK(image_models_body(fleet) == R"({"models":[{"name":"x","type":"image","backend":"command","fleet_nodes":["b","c"]}]})");
    const auto targets = holders_of(fleet, "k/x:latest", {});
    REQUIRE(targets.size() == 1);
    CHECK(targets.front().name == "a"); // nothing is deleted at a tool
}
