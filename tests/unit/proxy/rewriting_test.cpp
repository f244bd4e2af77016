// The changes that a body may see on its way: the name of a fallback, a num_ctx that is raised, what [models] adds.
#include "world.hpp"

#include "proxy/frontend.hpp"
#include "proxy/model_rules.hpp"
#include "proxy/question.hpp"

using namespace herd;
using namespace herd::proxy;
using namespace herd::proxy::testing;

namespace {

const std::string done = R"({"model":"x","done":true})" "\n";
Script stream() { return {opening(), chunk(done), end_of_chunks()}; }

} // namespace

TEST_CASE("a fallback's name replaces the model's in the body, and is told")
{
    World w;
    w.node(0).scripts = {stream()};
    w.books.instead = "Small:1b";
    const auto got = w.post("/api/chat", R"({ "MODEL" : "big" ,"fallback_models":["Small:1b"],"messages":[{"role":"user","content":"\u0041"}]})");
    CHECK(starts(got, "200"));
    CHECK(w.node(0).seen.at(0).body
          == R"({ "MODEL" : "Small:1b" ,"fallback_models":["Small:1b"],"messages":[{"role":"user","content":"\u0041"}]})");
    CHECK(field_of(got, "X-Herd-Model") == "small:1b");
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].fallback);
    CHECK(w.records[0].model == "small:1b");
    CHECK(w.records[0].requested_model == "big");
    REQUIRE(w.books.asked.at(0).fallbacks.size() == 1);
    CHECK(w.books.asked[0].fallbacks[0].model == "Small:1b");
}

TEST_CASE("when a second attempt gets the model that was asked for, its name is back")
{
    World w(2);
    w.books.instead = "small";
    w.node(0).answers = [&w](const Seen&) {
        w.books.instead.clear();
        return Script{reset()};
    };
    w.node(1).scripts = {stream()};
    const auto got = w.post("/api/chat", R"({"model":"big","fallback_models":["small"],"x":1})");
    CHECK(starts(got, "200"));
    CHECK(w.node(0).seen.at(0).body == R"({"model":"small","fallback_models":["small"],"x":1})");
    CHECK(w.node(1).seen.at(0).body == R"({"model":"big","fallback_models":["small"],"x":1})");
    CHECK(field_of(got, "X-Herd-Model") == "big:latest");
    CHECK_FALSE(w.records.at(0).fallback);
}

TEST_CASE("a body that cannot be changed allows no fallback")
{
    ProxyOptions options;
    options.replay_body = 64;
    World w(1, options);
    w.node(0).scripts = {stream()};
    const std::string body = R"({"model":"big","fallback_models":["small"],"prompt":")" + std::string(500, 'x') + "\"}";
    w.type("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body.substr(0, 100));
    w.settle();
    w.type(body.substr(100));
    w.settle();
    CHECK(w.node(0).seen.at(0).body == body);
    CHECK(w.books.asked.at(0).fallbacks.empty());
}

const std::string asked = R"({"options":{"num_ctx": 5000,"seed":1}, "model":"m","messages":[1]})";

TEST_CASE("num_ctx goes through as it is where nothing else was configured")
{
    World w;
    w.node(0).scripts = {stream()};
    (void)w.post("/api/chat", asked);
    CHECK(w.node(0).seen.at(0).body == asked);
    CHECK(w.books.asked.at(0).num_ctx == 5000);
}

TEST_CASE("num_ctx is rounded up where that was configured, and nothing else changes")
{
    ProxyOptions options;
    options.num_ctx_buckets = {4096, 16384};
    World w(1, options);
    w.node(0).scripts = {stream()};
    w.books.instead = "other";
    (void)w.post("/api/chat", asked);
    CHECK(w.node(0).seen.at(0).body == R"({"options":{"num_ctx": 16384,"seed":1}, "model":"other","messages":[1]})");
    CHECK(w.books.asked.at(0).num_ctx == 16384);
    const std::string larger = R"({"model":"m","messages":[1],"options":{"num_ctx":99999}})";
    w.books.instead.clear();
    (void)w.post("/api/chat", larger);
    CHECK(w.node(0).seen.at(1).body == larger);
}

TEST_CASE("with num_ctx = protect the body says what the model is loaded with, at each node anew")
{
    ProxyOptions options;
    options.models = *ModelRules::compile({.protect = true});
    World w(2, options);
    w.books.num_ctx = 32768;
    w.node(0).answers = [&w](const Seen&) {
        w.books.num_ctx = 0; // the other one has it as it was asked for
        return Script{reset()};
    };
    w.node(1).scripts = {stream()};
    (void)w.post("/api/chat", asked);
    CHECK(w.node(0).seen.at(0).body == R"({"options":{"num_ctx": 32768,"seed":1}, "model":"m","messages":[1]})");
    CHECK(w.node(1).seen.at(0).body == asked);
    const auto& profile = w.books.asked.at(0);
    CHECK(profile.larger_will_do);
    CHECK(profile.options_class == fleet::options_class_of(profile.options_rest, 5000));
    CHECK(w.records.at(0).num_ctx == 5000);
}

TEST_CASE("num_ctx = protect is for those that ask for a num_ctx, where such a body can be changed")
{
    ProxyOptions options;
    options.models = *ModelRules::compile({.protect = true});
    World w(1, options);
    w.node(0).scripts = {stream(), stream(), stream()};
    w.books.num_ctx = 32768;
    for (const auto& [path, body] : {std::pair{"/api/chat", R"({"model":"m","messages":[1]})"}, std::pair{"/v1/chat/completions", R"({"model":"m","options":{"num_ctx":5000}})"}}) {
        (void)w.post(path, body);
        CHECK(w.node(0).seen.back().body == body);
        CHECK_FALSE(w.books.asked.back().larger_will_do);
    }
}

TEST_CASE("a num_ctx that a frontend pins stays, although num_ctx = protect")
{
    ProxyOptions options;
    options.models = *ModelRules::compile({.protect = true});
    FrontendConfig pinned;
    pinned.id = pinned.name = "a";
    pinned.hostnames = {"*"};
    pinned.pins.completions = R"({"options":{"num_ctx":4096}})"; // the operator means that number
    options.frontends = *Frontends::compile({.frontends = {pinned}}, options, nullptr);
    World capped(1, options);
    capped.node(0).scripts = {stream()};
    (void)capped.post("/api/chat", asked);
    CHECK(capped.node(0).seen.at(0).body.find("4096") != std::string::npos);
    CHECK_FALSE(capped.books.asked.at(0).larger_will_do);
}

TEST_CASE("what [models] adds is in the body, in the question to the fleet, and in what /herd/v1/route tells")
{
    ProxyOptions options;
    options.models = *ModelRules::compile({.keep_alive = 1h, .each = {{"m", 16384, {}}}});
    World w(1, options);
    w.node(0).scripts = {stream()};
    w.books.instead = "other";
    const std::string body = R"({"messages":[1],"model":"m"})";
    (void)w.post("/api/chat", body);
    CHECK(w.node(0).seen.at(0).body == R"({"messages":[1],"model":"other","options":{"num_ctx":16384},"keep_alive":3600})");
    CHECK(w.books.asked.at(0).num_ctx == 16384);
    CHECK_FALSE(w.records.at(0).num_ctx); // the client asked for none
    CHECK(read_question(body, {}, {base::IpAddress::loopback(), 1}, {}, options)->num_ctx == 16384);
    CHECK_FALSE(read_question(R"({"model":"other"})", {}, {base::IpAddress::loopback(), 1}, {}, options)->num_ctx);
}

TEST_CASE("the question of somebody with a key for a frontend is that frontend's, and no other's")
{
    ProxyOptions options;
    FrontendConfig a;
    a.id = a.name = "a";
    a.hostnames = {"a.lan"};
    a.labels_required = {"inside"};
    auto b = a;
    b.id = b.name = "b";
    b.hostnames = {"*"};
    b.labels_required = {};
    options.frontends = *Frontends::compile({.frontends = {a, b}}, options, nullptr);
    http::Fields fields;
    fields.add("Host", "whatever.lan");
    const base::Endpoint peer{base::IpAddress::loopback(), 1};
    const auto ask = [&](std::string_view body, const Key* key) { return read_question(body, fields, peer, {}, options, {}, key); };
    const std::string_view body = R"({"model":"m"})";
    Key key;
    CHECK(ask(body, nullptr)->labels.empty());
    CHECK(ask(body, &key)->labels.empty()); // for all
    key.frontends = {"a"};
    CHECK(ask(body, &key)->labels == std::vector<std::string>{"inside"});
    CHECK(ask(R"({"model":"m","frontend":"b"})", &key).error().status == 403);
    CHECK(ask(R"({"model":"m","frontend":"nosuch"})", &key).error().status == 403);
    key.frontends = {"a", "c"};
    CHECK(ask(body, &key).error().status == 403); // the Host's is b
}

TEST_CASE("a question that names no path is about OpenAI's paths when all who have the model offer these only")
{
    fleet::Snapshot snapshot;
    snapshot.nodes.resize(2);
    fleet::Manner openai;
    openai.api = fleet::NodeApi::openai;
    snapshot.nodes[0].address.manner = std::make_shared<const fleet::Manner>(openai);
    snapshot.models["registry.ollama.ai/library/vmodel:latest"] = {fleet::Holder{.node = 0}};
    const base::Endpoint peer{base::IpAddress::loopback(), 1};
    const auto ask = [&](std::string_view body) { return read_question(body, {}, peer, {}, {}, snapshot)->openai; };
    CHECK(ask(R"({"model":"vmodel"})"));
    CHECK_FALSE(ask(R"({"model":"vmodel","path":"/api/chat"})"));
    CHECK_FALSE(ask(R"({"model":"another"})"));
    snapshot.models["registry.ollama.ai/library/vmodel:latest"].push_back(fleet::Holder{.node = 1});
    CHECK_FALSE(ask(R"({"model":"vmodel"})"));
}

TEST_CASE("a question is read as the exchange would read the request")
{
    ProxyOptions options;
    options.num_ctx_buckets = {8192};
    http::Fields fields;
    fields.add("X-Herd-Priority", "batch");
    fields.add("X-Herd-Deadline", "5");
    const base::Endpoint peer{base::IpAddress::loopback(), 1};
    const base::Instant now{};
    const auto ask = [&](std::string_view body) { return read_question(body, fields, peer, now, options); };
    const auto chat = ask(R"({"model":"M","messages":[{"role":"user","content":"hi"}],"options":{"num_ctx":5000}})");
    REQUIRE(chat);
    CHECK(chat->model == "M");
    CHECK(chat->need == fleet::Need::slot);
    CHECK(chat->num_ctx == 8192);
    CHECK(chat->prompt_bytes == 2);
    CHECK(chat->priority == fleet::Priority::batch);
    CHECK(chat->deadline == now + 5s);
    CHECK(chat->generates);
    const auto embed = ask(R"({"model":"m","input":"x","path":"/v1/embeddings"})");
    REQUIRE(embed);
    CHECK_FALSE(embed->generates);
    CHECK(ask(R"({"model":"m"})"));
    for (const auto* bad : {"", "{", "[]", "{}", R"({"model":""})", R"({"model":"m","path":"/api/tags"})",
                            R"({"model":"a b"})", R"({"model":5})"}) {
        CAPTURE(bad);
        const auto refused = ask(bad);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().status == 400);
        CHECK_FALSE(refused.error().message.empty());
    }
}

TEST_CASE("where the client prefers it, a fallback in memory goes before a model that is not")
{
    World w;
    w.node(0).scripts = {stream()};
    const auto publish = [&w](const std::vector<std::string>& loaded) {
        w.publish({"big", "mid", "small"});
        auto picture = std::make_shared<fleet::Snapshot>(*w.books.picture);
        for (const auto& name : loaded) {
            picture->models.at("registry.ollama.ai/library/" + name + ":latest").at(0).loaded = true;
        }
        w.books.picture = picture;
    };
    const auto ask = [&w](const std::string& more, std::string_view fields = {}) {
        (void)w.post("/api/chat", R"({"model":"big","fallback_models":["mid","small"],"messages":[1])" + more + "}", fields);
        return w.records.back().model;
    };
    const std::string prefer = R"(,"fallback":"prefer_loaded")";
    publish({"small"});
    CHECK(ask("") == "big:latest");
    CHECK(ask(prefer) == "small:latest");
    CHECK(w.records.back().fallback);
    CHECK(w.records.back().requested_model == "big");
    CHECK(w.node(0).seen.back().body.starts_with(R"({"model":"small",)"));
    REQUIRE(w.books.asked.back().fallbacks.size() == 2);
    CHECK(w.books.asked.back().fallbacks[0].model == "big"); // then as if nothing had been preferred
    CHECK(w.books.asked.back().fallbacks[1].model == "mid");
    CHECK(ask(prefer, "X-Herd-Label: eu\r\n") == "big:latest"); // it is not in memory where it may run
    w.books.instead = "big"; // the preferred one could not run after all
    CHECK(ask(prefer) == "big:latest");
    CHECK_FALSE(w.records.back().fallback);
    w.books.instead.clear();
    publish({"big", "mid"});
    CHECK(ask(prefer) == "big:latest");
    CHECK_FALSE(w.records.back().fallback);
    publish({});
    CHECK(ask(prefer) == "big:latest");
    const base::Endpoint peer{base::IpAddress::loopback(), 1};
    publish({"mid"});
    const auto question = read_question(R"({"model":"big","fallback_models":["small","mid"],"fallback":"prefer_loaded"})", {}, peer, {}, {}, *w.books.picture);
    CHECK(question->model == "mid");
    CHECK(question->is_fallback);
    CHECK(question->fallbacks.at(0).model == "big");
}

TEST_CASE("what is in the memory of a node of a higher tier is preferred when no lower one is there")
{
    World w(2);
    w.publish({"big", "small"});
    auto picture = std::make_shared<fleet::Snapshot>(*w.books.picture);
    picture->models.at("registry.ollama.ai/library/small:latest").at(1).loaded = true;
    const auto taken = [&] {
        const base::Endpoint peer{base::IpAddress::loopback(), 1};
        return read_question(R"({"model":"big","fallback_models":["small"],"fallback":"prefer_loaded"})", {}, peer, {}, {}, *picture)->model;
    };
    CHECK(taken() == "small");
    picture->nodes[1].settings = std::make_shared<const fleet::NodeSettings>(fleet::NodeSettings{.tier = 1});
    CHECK(taken() == "big"); // the lower tier would serve it, and has to load either
    picture->nodes[0].state = fleet::NodeState::offline;
    CHECK(taken() == "small");
}
