// Which frontend a request is for, and what is refused when they are put together.
#include "proxy/frontend.hpp"
#include "proxy/proxy.hpp"
#include "support/catch.hpp"

#include <string>

using namespace herd;
using namespace herd::proxy;

namespace {

FrontendConfig named(std::string id, std::vector<std::string> hosts)
{
    FrontendConfig config;
    config.id = config.name = std::move(id);
    config.hostnames = std::move(hosts);
    return config;
}

std::shared_ptr<const Frontends> compiled(std::vector<FrontendConfig> list)
{
    Frontends::Input input;
    input.frontends = std::move(list);
    auto out = Frontends::compile(std::move(input), ProxyOptions{}, nullptr);
    REQUIRE(out.has_value());
    return *out;
}

std::string of_host(const Frontends& all, std::string_view host)
{
    const auto* found = all.of_host(host);
    return found == nullptr ? "-" : found->config.id;
}

std::string fault(Frontends::Input input)
{
    const auto out = Frontends::compile(std::move(input), ProxyOptions{}, nullptr);
    return out ? "" : out.error().context;
}

} // namespace

TEST_CASE("without frontends there is nothing to look at")
{
    CHECK(*Frontends::compile({}, ProxyOptions{}, nullptr) == nullptr);
}

TEST_CASE("a host is matched exactly, then by its longest suffix, then by the catch-all")
{
    const auto all = compiled({named("a", {"Team-A.lan", "10.0.0.7"}), named("lan", {"*.lan"}), named("b", {"*.b.lan"}), named("rest", {"*"})});
    CHECK(of_host(*all, "team-a.lan") == "a");
    CHECK(of_host(*all, "TEAM-A.LAN:11435") == "a");
    CHECK(of_host(*all, "team-a.lan.") == "a");
    CHECK(of_host(*all, "10.0.0.7:80") == "a");
    CHECK(of_host(*all, "x.lan") == "lan");
    CHECK(of_host(*all, "x.b.lan") == "b");
    CHECK(of_host(*all, "b.lan") == "lan");
    CHECK(of_host(*all, "lan") == "rest");
    CHECK(of_host(*all, "evilteam-a.lan.example") == "rest");
    CHECK(of_host(*all, "[::1]:11435") == "rest");
    CHECK(of_host(*all, "") == "rest");
    CHECK(of_host(*all, std::string(5000, 'a')) == "rest");
}

TEST_CASE("without a catch-all some hosts have no frontend")
{
    const auto all = compiled({named("a", {"a.lan"})});
    CHECK(of_host(*all, "b.lan") == "-");
    CHECK(of_host(*all, "") == "-");
}

TEST_CASE("a path names a frontend that allows it")
{
    auto with = named("a.b", {"a.lan"});
    with.path_prefix = true;
    const auto all = compiled({with, named("c", {"*"})});
    std::string_view rest;
    REQUIRE(all->of_path("/f/a.b/api/chat", rest) != nullptr);
    CHECK(rest == "/api/chat");
    REQUIRE(all->of_path("/f/a.b", rest) != nullptr);
    CHECK(rest == "/");
    CHECK(all->of_path("/f/c/api/chat", rest) == nullptr);
    CHECK(all->of_path("/f/a.bc/api/chat", rest) == nullptr);
    CHECK(all->of_path("/api/chat", rest) == nullptr);
}

TEST_CASE("two frontends cannot want the same")
{
    CHECK(fault({.frontends = {named("a", {"x.lan"}), named("b", {"X.LAN"})}}).find("\"X.LAN\" belongs to frontend 'a' already") != std::string::npos);
    CHECK(fault({.frontends = {named("a", {"*"}), named("b", {"*"})}}).find("frontend 'b': hostnames") != std::string::npos);
    CHECK(fault({.frontends = {named("a", {"*.x"}), named("b", {"*.x"})}}).find("frontend 'b'") != std::string::npos);
    CHECK(fault({.frontends = {named("a", {}), named("a", {})}}).find("another one has that id") != std::string::npos);
}

TEST_CASE("pins that make no sense are told with the key")
{
    auto wrong = named("a", {"*"});
    wrong.pins.completions_openai = "[]";
    CHECK(fault({.frontends = {wrong}}).find("frontend 'a': pinned_completions_openai: must be a JSON object") != std::string::npos);
    const Frontends::Input node{.node_pins = {{"gpu1", {.completions = R"({"MODEL":"x"})"}}}};
    CHECK(fault(node).find("node 'gpu1': pinned_completions: the model is pinned by a frontend") != std::string::npos);
}

TEST_CASE("the pins of a family come over the common ones, and only for their class")
{
    auto one = named("a", {"*"});
    one.pins.completions = R"({"x":1,"options":{"num_ctx":1}})";
    one.pins.completions_ollama = R"({"options":{"num_ctx":2}})";
    one.pins.embeddings_openai = R"({"dimensions":5})";
    const auto all = compiled({one});
    const auto& pins = all->of_host("h")->pins;
    const auto chat = classify("POST", "/api/chat", "");
    const auto v1_chat = classify("POST", "/v1/chat/completions", "");
    const auto messages = classify("POST", "/v1/messages", "");
    const auto embed = classify("POST", "/api/embed", "");
    const auto v1_embed = classify("POST", "/v1/embeddings", "");
    const auto of = [&pins](const Route& route) {
        const auto* found = pins.find(class_of(route), route);
        return found == nullptr ? std::string("-") : found->merge_into("{}");
    };
    CHECK(of(chat) == R"({"x":1,"options":{"num_ctx":2}})");
    CHECK(of(v1_chat) == R"({"x":1,"options":{"num_ctx":1}})");
    CHECK(of(messages) == of(v1_chat));
    CHECK(of(embed) == "-");
    CHECK(of(v1_embed) == R"({"dimensions":5})");
    CHECK(of(classify("POST", "/api/show", "")) == "-");
    CHECK(of(classify("POST", "/api/pull", "")) == "-");
}

TEST_CASE("counters of a frontend go on over a reload")
{
    const auto before = compiled({named("a", {"*"})});
    before->find("a")->load->in_flight = 3;
    const auto after = Frontends::compile({.frontends = {named("a", {"x.lan"}), named("b", {"*"})}}, ProxyOptions{}, before.get());
    CHECK((*after)->find("a")->load->in_flight == 3);
    CHECK((*after)->find("b")->load->in_flight == 0);
}

TEST_CASE("a switched frontend has one node, if that is one of its own")
{
    auto one = named("a", {"*"});
    one.nodes = std::vector<std::string>{"gpu1", "GPU2"};
    Frontends::Input input;
    input.frontends = {one};
    input.use["a"] = "gpu2";
    const auto all = *Frontends::compile(std::move(input), ProxyOptions{}, nullptr);
    const auto& members = all->find("a")->rules->members;
    CHECK(members.admits({}, "gpu2", {}));
    CHECK_FALSE(members.admits({}, "gpu1", {}));
    CHECK_FALSE(members.admits({}, "gpu3", {}));
}

TEST_CASE("the built-in frontend can be switched too")
{
    Frontends::Input input;
    input.use["default"] = "gpu1";
    const auto all = *Frontends::compile(std::move(input), ProxyOptions{}, nullptr);
    const auto* found = all->of_host("anything");
    REQUIRE(found != nullptr);
    CHECK(found->built_in);
    CHECK(found->config.allow_model_admin);
    CHECK(found->rules->members.admits({}, "GPU1", {}));
    CHECK_FALSE(found->rules->members.admits({}, "gpu2", {}));
}

TEST_CASE("classes of requests")
{
    const auto of = [](std::string_view method, std::string_view path) { return class_of(classify(method, path, "")); };
    for (const auto* path : {"/api/embed", "/api/embeddings", "/v1/embeddings", "/api/embed-image"}) {
        CHECK(of("POST", path) == RequestClass::embeddings);
    }
    for (const auto* path : {"/api/generate", "/api/chat", "/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages",
                             "/v1/images/generations", "/v1/audio/transcriptions"}) {
        CHECK(of("POST", path) == RequestClass::completions);
    }
    for (const auto* path : {"/api/pull", "/api/push", "/api/create", "/api/copy", "/api/blobs/sha256:0", "/api/signout"}) {
        CHECK(of("POST", path) == RequestClass::model_admin);
    }
    CHECK(of("DELETE", "/api/delete") == RequestClass::model_admin);
    for (const auto* path : {"/", "/api/tags", "/api/ps", "/v1/models", "/api/version"}) {
        CHECK(of("GET", path) == RequestClass::other);
    }
    CHECK(of("POST", "/api/show") == RequestClass::other);
}

TEST_CASE("host names that nobody can have are refused")
{
    for (const auto* good : {"a", "team-a.lan", "*.lan", "*", "10.0.0.7", "[::1]", "a_b"}) {
        CHECK(hostname_fault(good).empty());
    }
    for (const auto* bad : {"", "a:80", "http://a", "a b", "*x", "a.*", "*.", "..a", "a/b"}) {
        INFO(bad);
        CHECK_FALSE(hostname_fault(bad).empty());
    }
}
