// Whole exchanges through frontends: who is refused what, and what the nodes get.
#include "world.hpp"

#include "fleet/model_name.hpp"
#include "proxy/frontend.hpp"
#include "proxy/model_rows.hpp"

#include <zstd.h>

using namespace herd;
using namespace herd::proxy;
using namespace herd::proxy::testing;

namespace {

const std::string done = R"({"model":"x","done":true})" "\n";
Script stream() { return {opening(), chunk(done), end_of_chunks()}; }

FrontendConfig named(std::string id, std::vector<std::string> hosts = {"*"})
{
    FrontendConfig config;
    config.id = config.name = std::move(id);
    config.hostnames = std::move(hosts);
    return config;
}

ProxyOptions with(Frontends::Input input, ProxyOptions options = {})
{
    options.own_id = "test";
    options.frontends = *Frontends::compile(std::move(input), options, nullptr);
    return options;
}

const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

std::string packed(const std::string& text)
{
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
}

} // namespace

TEST_CASE("a host that no frontend has is told so in the dialect of the path, and nothing reaches a node")
{
    World w(1, with({.frontends = {named("a", {"a.lan"})}}));
    const auto ollama = w.post("/api/chat", chat);
    CHECK(starts(ollama, "400"));
    CHECK(body_of(ollama) == R"({"error":"no frontend has the host name asked for"})");
    CHECK(body_of(w.post("/v1/chat/completions", chat)).find(R"("code":"no_frontend_for_host")") != std::string::npos);
    CHECK(body_of(w.post("/v1/messages", chat)).find(R"("type":"error")") != std::string::npos);
    CHECK(starts(w.ask("GET /api/tags HTTP/1.1\r\nHost: b.lan\r\n\r\n"), "400"));
    CHECK(starts(w.ask("GET /api/tags HTTP/1.1\r\nHost: A.lan:11435\r\n\r\n"), "200"));
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("the frontend stands in the record and its rules in the question")
{
    auto a = named("a");
    a.labels_required = {"EU"};
    a.sticky = true;
    World w(1, with({.frontends = {a}}));
    w.node(0).scripts = {stream()};
    CHECK(starts(w.post("/api/chat", chat, "X-Herd-Label: Fast\r\n"), "200"));
    CHECK(w.records.at(0).frontend == "a");
    const auto& asked = w.books.asked.at(0);
    CHECK(asked.labels == std::vector<std::string>{"fast", "eu"});
    REQUIRE(asked.rules != nullptr);
    CHECK(asked.rules->sticky_ttl == std::chrono::minutes{30});
}

TEST_CASE("what a frontend does not allow is refused with 403 in every dialect")
{
    auto a = named("a");
    a.allow_completions = false;
    World w(1, with({.frontends = {a}}));
    for (const auto* path : {"/api/chat", "/api/generate", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/some/new/thing"}) {
        INFO(path);
        CHECK(starts(w.post(path, chat), "403"));
    }
    CHECK(starts(w.post("/api/embed", R"({"model":"m","input":"x"})"), "200"));
    for (const auto* path : {"/api/pull", "/api/create", "/api/copy", "/api/push", "/api/signout"}) {
        INFO(path);
        CHECK(starts(w.post(path, R"({"model":"m","source":"m","destination":"n"})"), "403"));
    }
    CHECK(starts(w.ask("DELETE /api/delete HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}"), "403"));
    CHECK(starts(w.ask("GET /api/tags HTTP/1.1\r\nHost: h\r\n\r\n"), "200"));
    CHECK(w.node(0).seen.size() == 1);
}

TEST_CASE("a frontend without embeddings refuses those")
{
    auto a = named("a");
    a.allow_embeddings = false;
    World w(1, with({.frontends = {a}}));
    CHECK(starts(w.post("/v1/embeddings", R"({"model":"m","input":"x"})"), "403"));
    CHECK(starts(w.post("/api/embeddings", R"({"model":"m","prompt":"x"})"), "403"));
}

TEST_CASE("a frontend that is switched off answers 503")
{
    auto a = named("team-a");
    a.active = false;
    World w(1, with({.frontends = {a}}));
    const auto got = w.post("/api/chat", chat);
    CHECK(starts(got, "503"));
    CHECK(body_of(got).find("frontend 'team-a' is switched off") != std::string::npos);
}

TEST_CASE("without allow_cloud models of the cloud are neither run nor listed")
{
    World w(1, with({.frontends = {named("a")}}));
    auto picture = std::make_shared<fleet::Snapshot>(*w.books.picture);
    auto facts = std::make_shared<fleet::NodeFacts>(*picture->nodes[0].facts);
    facts->models.push_back({.name = "gpt-oss:120b-cloud", .key = fleet::ModelName::parse("gpt-oss:120b-cloud").key});
    picture->models[facts->models.back().key].push_back({0, facts->models.size() - 1, false, 1, 0});
    picture->nodes[0].facts = std::move(facts);
    w.books.picture = std::move(picture);
    CHECK(starts(w.post("/api/chat", R"({"model":"gpt-oss:120b-cloud","messages":[]})"), "403"));
    const auto tags = w.ask("GET /api/tags HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(tags.find("\"m:latest\"") != std::string::npos);
    CHECK(tags.find("cloud") == std::string::npos);
}

TEST_CASE("without allow_cloud no fallback is a model of the cloud")
{
    World w(1, with({.frontends = {named("a")}}));
    w.node(0).scripts = {stream()};
    CHECK(starts(w.post("/api/chat", R"({"model":"m","messages":[{}],"fallback_models":["gpt-oss:120b-cloud","n"]})",
                        "X-Herd-Fallback-Models: qwen:cloud, o, a:b:cloud\r\n"),
                 "200"));
    std::vector<std::string> names;
    for (const auto& fallback : w.books.asked.at(0).fallbacks) {
        names.push_back(fallback.model);
    }
    CHECK(names == std::vector<std::string>{"n", "o"});
}

TEST_CASE("without allow_cloud the end of a long body cannot name a model of the cloud")
{
    auto cloudy = named("b", {"b.lan"});
    cloudy.allow_cloud = true;
    ProxyOptions options;
    options.own_id = "test";
    options.replay_body = 1000;
    Frontends::Input input{.frontends = {named("a"), cloudy}};
    options.frontends = *Frontends::compile(std::move(input), options, nullptr);
    World w(1, options);
    w.node(0).scripts = {stream()};
    const auto body = R"({"model":"m","prompt":")" + std::string(5000, 'a') + R"(","model":"gpt-oss:120b-cloud"})";
    const auto begin = [&](const std::string& host) { // the rest comes later
        w.type("POST /api/generate HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body.substr(0, 2000));
        w.settle();
    };
    begin("a.lan");
    const auto got = w.read();
    CHECK(starts(got, "413"));
    CHECK(body_of(got).find("frontend 'a' does not allow the cloud") != std::string::npos);
    CHECK(w.node(0).seen.empty());
    w.connect();
    begin("b.lan");
    w.type(body.substr(2000));
    w.settle();
    CHECK(starts(w.read(), "200"));
}

TEST_CASE("without allow_cloud a body that cannot be looked into is refused")
{
    World w(1, with({.frontends = {named("a")}}));
    CHECK(starts(w.post("/v1/chat/completions", chat, "Content-Encoding: gzip\r\n"), "415"));
    CHECK(w.node(0).seen.empty());
    CHECK(starts(w.post("/v1/chat/completions", packed(chat), "Content-Encoding: zstd\r\n"), "200"));
    CHECK(starts(w.post("/v1/chat/completions", packed(R"({"model":"a:cloud","messages":[{}]})"), "Content-Encoding: zstd\r\n"), "403"));
}

TEST_CASE("without allow_cloud a copy of a cloud's model counts as one, by whatever name")
{
    World w(2, with({.frontends = {named("a")}}));
    w.publish({"m", "n"});
    auto picture = std::make_shared<fleet::Snapshot>(*w.books.picture);
    const auto make_stub = [&picture](std::size_t node, std::string_view key) {
        auto facts = std::make_shared<fleet::NodeFacts>(*picture->nodes[node].facts);
        for (auto& model : facts->models) {
            if (model.key == key) {
                model.row = R"({"name":")" + model.name + R"(","remote_model":"gpt-oss:120b","remote_host":"https://ollama.com:443"})";
                model.remote = is_remote(model.row); // as where a node's models arrive
            }
        }
        picture->nodes[node].facts = std::move(facts);
    };
    const auto m = fleet::ModelName::parse("m").key;
    make_stub(0, m);
    make_stub(0, fleet::ModelName::parse("n").key);
    make_stub(1, fleet::ModelName::parse("n").key);
    w.books.picture = std::move(picture);
    CHECK(starts(w.post("/api/chat", R"({"model":"n","messages":[{}]})"), "403"));
    CHECK(starts(w.post("/v1/chat/completions", R"({"model":"n:latest","messages":[{}]})"), "403"));
    const auto tags = body_of(w.ask("GET /api/tags HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(tags.find("\"m:latest\"") != std::string::npos);
    CHECK(tags.find("\"n:latest\"") == std::string::npos);
    CHECK(starts(w.post("/api/chat", R"({"model":"m","messages":[{}],"fallback_models":["n"]})"), "200"));
    CHECK(w.books.asked.back().fallbacks.empty());
    CHECK(w.node(0).seen.empty()); // n1's m is the cloud's; n2's is its own
    CHECK(w.node(1).seen.size() == 1);
}

TEST_CASE("labels that cannot all be honoured are refused, not dropped")
{
    World w(1, with({.frontends = {named("a")}}));
    w.node(0).scripts = {stream()};
    const auto got = w.post("/api/chat", chat, "X-Herd-Label: fast, " + std::string(129, 'x') + "\r\n");
    CHECK(starts(got, "400"));
    CHECK(body_of(got) == R"({"error":"X-Herd-Label: a label has at most 128 bytes"})");
    std::string many;
    for (int i = 0; i < 17; ++i) {
        many += "l" + std::to_string(i) + (i < 16 ? "," : "");
    }
    CHECK(starts(w.post("/api/chat", chat, "X-Herd-Label: " + many + "\r\n"), "400"));
    CHECK(starts(w.post("/v1/chat/completions", chat, "X-Herd-Label: a\r\nX-OllamaFlow-Label: " + many + "\r\n"), "400"));
    CHECK(w.node(0).seen.empty());
    CHECK(starts(w.post("/api/chat", chat, "X-Herd-Label: " + many.substr(0, many.rfind(',')) + "\r\n"), "200"));
    CHECK(w.books.asked.at(0).labels.size() == 16);
}

TEST_CASE("when everything is sent to one node the refusal says so, and is no 404 when that node was forgotten")
{
    const auto asked = [](const std::string& use, base::Errc why) {
        World w(2, with({.use = {{"default", use}}}));
        w.books.refusal = fleet::Refusal{{.code = why, .context = "no node that has model 'm' can be reached"}, {}};
        return w.post("/api/chat", chat);
    };
    const auto away = asked("n1", base::Errc::no_node);
    CHECK(starts(away, "503"));
    CHECK(body_of(away) == R"x({"error":"no node that has model 'm' can be reached: everything is sent to n1 (`herd use`)"})x");
    CHECK(starts(asked("n1", base::Errc::no_such_model), "404")); // the node is there and does not have it
    const auto forgotten = asked("gone", base::Errc::no_such_model);
    CHECK(starts(forgotten, "503"));
    CHECK(body_of(forgotten).find("everything is sent to gone, which is not known (`herd use`)") != std::string::npos);
}

TEST_CASE("lists show the frontend's nodes only")
{
    auto a = named("a", {"a.lan"});
    a.nodes = std::vector<std::string>{"N2"};
    auto none = named("none", {"none.lan"});
    none.nodes = std::vector<std::string>{};
    World w(2, with({.frontends = {a, none, named("rest")}}));
    w.node(0).answers = [](const Seen&) { return answer(200, R"({"models":[{"name":"one","model":"one"}]})"); };
    w.node(1).answers = [](const Seen&) { return answer(200, R"({"models":[{"name":"two","model":"two"}]})"); };
    const auto all = w.ask("GET /api/tags HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(all.find(R"("nodes":["n1","n2"])") != std::string::npos);
    const auto some = w.ask("GET /api/tags HTTP/1.1\r\nHost: a.lan\r\n\r\n");
    CHECK(some.find(R"("nodes":["n2"])") != std::string::npos);
    CHECK(body_of(w.ask("GET /api/tags HTTP/1.1\r\nHost: none.lan\r\n\r\n")) == R"({"models":[]})");
    CHECK(body_of(w.ask("GET /v1/models HTTP/1.1\r\nHost: none.lan\r\n\r\n")) == "{\"object\":\"list\",\"data\":null}\n");
    const auto ps = body_of(w.ask("GET /api/ps HTTP/1.1\r\nHost: a.lan\r\n\r\n"));
    CHECK(ps.find("two") != std::string::npos);
    CHECK(ps.find("one") == std::string::npos);
}

TEST_CASE("a frontend can be named by the path, and the node sees none of that")
{
    auto a = named("a", {});
    a.path_prefix = true;
    a.allow_embeddings = false;
    World w(1, with({.frontends = {a, named("rest")}}));
    w.node(0).scripts = {stream()};
    CHECK(starts(w.post("/f/a/api/chat?x=1", chat), "200"));
    CHECK(w.node(0).seen.at(0).head.starts_with("POST /api/chat?x=1 HTTP/1.1\r\n"));
    CHECK(w.records.at(0).frontend == "a");
    CHECK(w.records.at(0).path == "/api/chat");
    CHECK(starts(w.post("/f/a/v1/embeddings", R"({"model":"m","input":"x"})"), "403"));
    CHECK(field_of(w.ask("GET /f/a//api/tags HTTP/1.1\r\nHost: h\r\n\r\n"), "Location") == "/f/a/api/tags");
    CHECK(starts(w.ask("GET /f/b/api/tags HTTP/1.1\r\nHost: h\r\n\r\n"), "404"));
}

TEST_CASE("pins reach the node in every dialect, with the length that goes with them")
{
    auto a = named("a");
    a.pins.completions = R"({"seed":7})";
    a.pins.completions_ollama = R"({"options":{"num_ctx":8192}})";
    a.pins.embeddings = R"({"truncate":false})";
    World w(1, with({.frontends = {a}}));
    const auto sent = [&](std::string_view path, std::string_view body) {
        (void)w.post(path, body);
        const auto& seen = w.node(0).seen.back();
        CHECK(field_of(seen.head, "Content-Length") == std::to_string(seen.body.size()));
        return seen.body;
    };
    CHECK(sent("/api/chat", R"({ "model":"m","options":{"num_ctx":100000,"top_k":2}})") == R"({"model":"m","options":{"num_ctx":8192,"top_k":2},"seed":7})");
    CHECK(w.books.asked.back().num_ctx == 8192);
    CHECK(sent("/api/generate", R"({"model":"m","prompt":"x"})") == R"({"model":"m","prompt":"x","seed":7,"options":{"num_ctx":8192}})");
    CHECK(sent("/v1/chat/completions", R"({"model":"m","messages":[]})") == R"({"model":"m","messages":[],"seed":7})");
    CHECK(sent("/v1/messages", R"({"model":"m","messages":[]})") == R"({"model":"m","messages":[],"seed":7})");
    CHECK(sent("/v1/responses", R"({"model":"m","input":"x"})") == R"({"model":"m","input":"x","seed":7})");
    CHECK(sent("/v1/embeddings", R"({"model":"m","input":"x"})") == R"({"model":"m","input":"x","truncate":false})");
    CHECK(sent("/api/show", R"({ "model" : "m" })") == R"({ "model" : "m" })"); // no such class: untouched
}

TEST_CASE("without pins the body is untouched")
{
    World w(1, with({.frontends = {named("a")}}));
    const std::string odd = R"({  "model":"m" ,"x":[ 1,2 ]})";
    (void)w.post("/api/chat", odd);
    CHECK(w.node(0).seen.at(0).body == odd);
}

TEST_CASE("a model pinned by the frontend applies before the choice of node, and no fallback takes its place")
{
    auto a = named("a");
    a.pins.completions = R"({"model":"pinned:1b"})";
    World w(1, with({.frontends = {a}}));
    w.publish({"pinned:1b"});
    w.node(0).scripts = {stream()};
    const auto got = w.post("/api/chat", R"({"model":"big","Model":"other","fallback_models":["small"],"messages":[]})");
    CHECK(starts(got, "200"));
    CHECK(w.books.asked.at(0).model == "pinned:1b");
    CHECK(w.books.asked[0].fallbacks.empty());
    CHECK(field_of(got, "X-Herd-Model") == "pinned:1b");
    CHECK(w.node(0).seen.at(0).body == R"({"Model":"other","model":"pinned:1b","fallback_models":["small"],"messages":[]})");
}

TEST_CASE("a retry gets the pins of its own node, put into the frontend's body")
{
    auto a = named("a");
    a.pins.completions = R"({"options":{"num_ctx":1}})";
    World w(2, with({.frontends = {a},
                     .node_pins = {{"N1", {.completions = R"({"options":{"num_gpu":11},"x":1})"}},
                                   {"00000000-0000-4000-8000-000000000002", {.completions = R"({"options":{"num_ctx":22}})"}}}}));
    w.node(0).scripts = {{reset()}};
    w.node(1).scripts = {stream()};
    CHECK(starts(w.post("/api/chat", R"({"model":"m"})"), "200"));
    CHECK(w.node(0).seen.at(0).body == R"({"model":"m","options":{"num_ctx":1,"num_gpu":11},"x":1})");
    CHECK(w.node(1).seen.at(0).body == R"({"model":"m","options":{"num_ctx":22}})");
}

TEST_CASE("with pins a body that is no object is refused, and an empty one is left alone")
{
    auto a = named("a");
    a.pins.completions = R"({"seed":7})";
    World w(1, with({.frontends = {a}}));
    CHECK(starts(w.post("/api/chat", "[1]"), "400"));
    CHECK(starts(w.post("/api/chat", "5"), "400"));
    const auto broken = w.post("/api/chat", R"({"model":"m",})");
    CHECK(starts(broken, "400"));
    CHECK(body_of(broken).find("invalid character") != std::string::npos); // Ollama's own words
    CHECK(body_of(w.post("/api/chat", "")) == R"({"error":"missing request body"})");
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("a compressed body is decoded before pins are written into it")
{
    auto a = named("a");
    a.pins.completions = R"({"seed":7})";
    World w(1, with({.frontends = {a}}));
    CHECK(starts(w.post("/v1/chat/completions", packed(chat), "Content-Encoding: zstd\r\n"), "200"));
    const auto& seen = w.node(0).seen.at(0);
    CHECK(seen.body == chat.substr(0, chat.size() - 1) + R"(,"seed":7})");
    CHECK_FALSE(seen.has("Content-Encoding"));
    CHECK(starts(w.post("/v1/chat/completions", "xx", "Content-Encoding: gzip\r\n"), "415"));
}

TEST_CASE("a body too long to be kept cannot get round the pins")
{
    auto a = named("a");
    a.pins.completions = R"({"model":"m"})";
    auto options = with({.frontends = {a}});
    options.replay_body = 64;
    options.frontends = *Frontends::compile({.frontends = {a}}, options, nullptr);
    World w(1, options);
    const std::string body = R"({"model":"big","prompt":")" + std::string(500, 'x') + "\"}";
    w.type("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body.substr(0, 100));
    w.settle();
    CHECK(starts(w.read(), "413"));
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("exactly as many a minute, and as many at a time, as the frontend may")
{
    auto a = named("a");
    a.per_minute = 3;
    World w(1, with({.frontends = {a}}));
    for (int i = 0; i < 3; ++i) {
        CHECK(starts(w.post("/api/chat", chat), "200"));
    }
    const auto over = w.post("/api/chat", chat);
    CHECK(starts(over, "429"));
    CHECK(field_of(over, "Retry-After") == "20");
    CHECK(starts(w.ask("GET /api/tags HTTP/1.1\r\nHost: h\r\n\r\n"), "200")); // lists do not count
    w.settle(20s);
    CHECK(starts(w.post("/api/chat", chat), "200"));
    CHECK(starts(w.post("/api/chat", chat), "429"));
}

TEST_CASE("one more than may run at a time is told to come back")
{
    auto a = named("a");
    a.max_parallel = 1;
    World w(1, with({.frontends = {a}}));
    w.node(0).scripts = {{pause(2s), send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")}};
    w.type("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(chat.size()) + "\r\n\r\n" + chat);
    w.settle();
    const auto first = std::move(w.client);
    w.connect();
    const auto over = w.post("/api/chat", chat);
    CHECK(starts(over, "429"));
    CHECK(field_of(over, "Retry-After") == "1");
    w.settle(3s);
    CHECK(starts(w.post("/api/chat", chat, {}, 3s), "200")); // the place was given back
}

TEST_CASE("a frontend's own limits: body, retries, first byte, total")
{
    auto a = named("a");
    a.max_body = 100;
    a.allow_retries = false;
    a.first_byte_timeout = 1s;
    World w(2, with({.frontends = {a}}));
    CHECK(starts(w.post("/api/chat", R"({"model":"m","prompt":")" + std::string(200, 'x') + "\"}"), "413"));
    w.connect();
    w.node(0).scripts = {{reset()}};
    CHECK(starts(w.post("/api/chat", R"({"model":"m"})"), "502"));
    CHECK(w.node(1).seen.empty()); // exactly one attempt
    w.node(0).scripts = {{hang()}};
    const auto late = w.post("/api/chat", R"({"model":"m"})", {}, 1500ms);
    CHECK(starts(late, "502"));
}

TEST_CASE("an answer that takes longer than the frontend allows ends with the dialect's own error")
{
    auto a = named("a");
    a.total_timeout = 2s;
    World w(1, with({.frontends = {a}}));
    Script slow{opening()};
    for (int i = 0; i < 10; ++i) {
        slow.push_back(chunk(R"({"model":"m","done":false})" "\n"));
        slow.push_back(pause(500ms));
    }
    w.node(0).scripts = {slow};
    const auto got = w.post("/api/chat", R"({"model":"m"})", {}, 4s);
    CHECK(starts(got, "200"));
    CHECK(got.find("took longer than the frontend allows") != std::string::npos);
    CHECK(w.records.at(0).total < 2500ms);
    CHECK(w.records[0].termination == "TD");
    CHECK(w.books.outcomes.at(0).result == fleet::Result::cancelled); // no fault of the node
}

TEST_CASE("total_timeout is 504 before the answer, whatever is waited for, and no node is blamed or tried after it")
{
    const auto late = [](ProxyOptions options, std::string_view termination, const std::function<void(World&)>& setting) {
        World w(2, std::move(options));
        setting(w);
        const auto got = w.post("/api/chat", R"({"model":"m"})", {}, 2500ms);
        CHECK(starts(got, "504"));
        REQUIRE(w.records.size() == 1);
        CHECK(w.records[0].termination == termination);
        for (const auto& outcome : w.books.outcomes) {
            CHECK(outcome.result == fleet::Result::cancelled);
        }
        CHECK(w.node(1).seen.empty());
        return body_of(got);
    };
    const auto hangs = [](World& w) { w.node(0).scripts = {{hang()}}; };
    auto a = named("a");
    a.total_timeout = 2s;
    const ProxyOptions plain{.total_timeout = 2s};
    CHECK(late(with({.frontends = {a}}), "TH", hangs).starts_with("{\"error\":\"node 'n1' took longer than the frontend allows\"}"));
    CHECK(late(plain, "TH", hangs).starts_with("{\"error\":\"node 'n1' took longer than is allowed\"}"));
    (void)late(plain, "TH", [](World& w) { w.node(0).scripts = {{opening("application/json", 500), hang()}}; });
    (void)late(plain, "TQ", [](World& w) { w.books.slots = 0; });
    (void)late({.connect_timeout = 2200ms, .total_timeout = 2s}, "TC", [](World& w) { w.net.set_unreachable(w.node(0).endpoint.address, true); });
    World told(2, ProxyOptions{.early_head = 1s, .total_timeout = 2s});
    hangs(told);
    const auto stream = told.post("/v1/chat/completions", R"({"model":"m","stream":true})", {}, 2500ms);
    CHECK(starts(stream, "200"));
    CHECK(stream.find(R"("code":"deadline_passed")") != std::string::npos);
    CHECK(told.records.at(0).termination == "TH");
}

TEST_CASE("a node's pins are no reason to refuse a body that cannot be changed while another node can have it")
{
    const auto pinned = [](std::size_t nodes) {
        ProxyOptions options;
        options.replay_body = 64;
        return std::make_unique<World>(nodes, with({.node_pins = {{"n1", {.completions = R"({"x":1})"}}}}, options));
    };
    const std::string body = R"({"model":"m","prompt":")" + std::string(500, 'x') + "\"}";
    const auto post_long = [&body](World& to) {
        to.type("POST /api/generate HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body.substr(0, 100));
        to.settle();
        to.type(body.substr(100));
        to.settle();
        return to.read();
    };
    auto w = pinned(2);
    w->node(1).scripts = {stream()};
    CHECK(starts(post_long(*w), "200"));
    CHECK(w->node(1).seen.at(0).body == body);
    w->node(1).scripts = {answer(200, "{}")};
    CHECK(starts(w->post("/v1/completions", "xx", "Content-Encoding: gzip\r\n"), "200"));
    CHECK(w->node(0).seen.empty());
    CHECK(starts(w->post("/api/generate", R"({"model":"m"})"), "200")); // short and plain: with its pins
    CHECK(w->node(0).seen.at(0).body == R"({"model":"m","x":1})");
    w = nullptr;
    const auto alone = pinned(1);
    const auto long_one = post_long(*alone);
    CHECK(starts(long_one, "413"));
    CHECK(body_of(long_one).find("request body too large for the pinned properties of node 'n1', and no other node can serve it") != std::string::npos);
    alone->connect();
    const auto packed_one = alone->post("/v1/completions", "xx", "Content-Encoding: gzip\r\n");
    CHECK(starts(packed_one, "415"));
    CHECK(body_of(packed_one).find("the pinned properties of node 'n1' cannot be written into a body with such a Content-Encoding") != std::string::npos);
    CHECK(alone->node(0).seen.empty());
}

TEST_CASE("without retries a request is sent once, even where a kept connection turns out to be dead")
{
    auto a = named("a");
    a.allow_retries = false;
    World w(2, with({.frontends = {a}}));
    w.node(0).scripts = {{send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")}, {reset()}, {reset()}};
    CHECK(starts(w.post("/api/chat", R"({"model":"m"})"), "200"));
    CHECK(starts(w.post("/api/chat", R"({"model":"m"})"), "502"));
    CHECK(w.node(0).seen.size() == 2);
    CHECK(w.node(1).seen.empty());
}

TEST_CASE("[proxy] total_timeout holds without frontends, and a frontend may have its own")
{
    for (const bool own : {false, true}) {
        auto a = named("a");
        a.total_timeout = std::chrono::seconds{0};
        auto options = own ? with({.frontends = {a}}, {.total_timeout = 2s}) : ProxyOptions{.total_timeout = 2s};
        World w(1, std::move(options));
        Script slow{opening()};
        for (int i = 0; i < 6; ++i) {
            slow.push_back(chunk(R"({"model":"m","done":false})" "\n"));
            slow.push_back(pause(500ms));
        }
        slow.push_back(chunk(R"({"model":"m","done":true})" "\n"));
        slow.push_back(end_of_chunks());
        w.node(0).scripts = {slow};
        const auto got = w.post("/api/chat", R"({"model":"m"})", {}, 5s);
        CHECK(starts(got, "200"));
        CHECK((got.find("took longer than is allowed") != std::string::npos) == !own);
        CHECK((got.find(R"("done":true)") != std::string::npos) == own);
    }
}
