// Whole exchanges that ask for an alias: what the node gets, what the client and the record are told.
#include "world.hpp"

#include "proxy/aliases.hpp"
#include "proxy/frontend.hpp"
#include "proxy/question.hpp"

#include <zstd.h>

using namespace herd;
using namespace herd::proxy;
using namespace herd::proxy::testing;

namespace {

const std::string done = R"({"model":"x","done":true})" "\n";
Script stream() { return {opening(), chunk(done), end_of_chunks()}; }

ProxyOptions with(std::vector<Alias> list, bool claude_auto = false)
{
    ProxyOptions options;
    options.own_id = "test";
    options.aliases = *Aliases::compile({std::move(list), claude_auto});
    return options;
}

std::string packed(const std::string& text)
{
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
}

} // namespace

TEST_CASE("an alias becomes its model in every dialect, and what was asked stays in the record")
{
    World w(1, with({{"gpt-4o", "Qwen3:8b"}}));
    w.node(0).answers = [](const Seen&) { return answer(200, "{}"); };
    for (const auto* path : {"/api/chat", "/api/generate", "/api/embed", "/v1/chat/completions", "/v1/embeddings", "/v1/messages", "/v1/responses",
                             "/api/something-new"}) {
        CAPTURE(path);
        const auto got = w.post(path, R"({ "MODEL" : "GPT-4o:latest" ,"prompt":"\u0041","messages":[1],"input":"x","options":{"num_ctx": 99}})");
        CHECK(starts(got, "200"));
        CHECK(w.node(0).seen.back().body
              == R"({ "MODEL" : "Qwen3:8b" ,"prompt":"\u0041","messages":[1],"input":"x","options":{"num_ctx": 99}})");
        CHECK(field_of(got, "X-Herd-Model") == "qwen3:8b");
        CHECK(w.books.asked.back().model == "Qwen3:8b");
        CHECK(w.books.asked.back().model_key == "registry.ollama.ai/library/qwen3:8b");
        CHECK(w.records.back().model == "qwen3:8b");
        CHECK(w.records.back().requested_model == "GPT-4o:latest");
        CHECK_FALSE(w.records.back().fallback);
    }
}

TEST_CASE("without an alias of that name a body goes through as it came")
{
    World w(1, with({{"gpt-4o", "qwen3:8b"}}));
    w.node(0).scripts = {stream()};
    const std::string body = R"({"model":"gpt-4","messages":[1]})";
    (void)w.post("/api/chat", body);
    CHECK(w.node(0).seen.back().body == body);
}

TEST_CASE("num_ctx and the model are both written where both have to be, whichever comes first")
{
    auto options = with({{"m", "a-longer-name"}});
    options.num_ctx_buckets = {4096};
    World w(1, options);
    w.node(0).scripts = {stream()};
    (void)w.post("/api/chat", R"({"model":"m","options":{"num_ctx":9},"messages":[1]})");
    CHECK(w.node(0).seen.back().body == R"({"model":"a-longer-name","options":{"num_ctx":4096},"messages":[1]})");
    (void)w.post("/api/chat", R"({"options":{"num_ctx":9},"messages":[1],"model":"m"})");
    CHECK(w.node(0).seen.back().body == R"({"options":{"num_ctx":4096},"messages":[1],"model":"a-longer-name"})");
}

TEST_CASE("a fallback may be an alias, and an alias may have a fallback")
{
    World w(2, with({{"big", "real-big:70b"}, {"small", "real-small:1b"}}));
    w.books.instead = "real-small:1b";
    w.node(0).answers = [&w](const Seen&) {
        w.books.instead.clear();
        return Script{reset()};
    };
    w.node(1).scripts = {stream()};
    const auto got = w.post("/api/chat", R"({"model":"big","messages":[1]})", "X-Herd-Fallback-Models: small\r\n");
    CHECK(starts(got, "200"));
    REQUIRE(w.books.asked.at(0).fallbacks.size() == 1);
    CHECK(w.books.asked[0].fallbacks[0].model == "real-small:1b");
    CHECK(w.node(0).seen.at(0).body == R"({"model":"real-small:1b","messages":[1]})");
    CHECK(w.node(1).seen.at(0).body == R"({"model":"real-big:70b","messages":[1]})");
    CHECK(field_of(got, "X-Herd-Model") == "real-big:70b");
    CHECK(w.records.at(0).requested_model == "big");
}

TEST_CASE("show takes an alias in either of its spellings; changing models takes their own names")
{
    World w(1, with({{"gpt-4o", "qwen3"}}));
    w.publish({"qwen3", "gpt-4o"});
    w.node(0).answers = [](const Seen&) { return answer(200, "{}"); };
    (void)w.post("/api/show", R"({"name":"gpt-4o"})");
    CHECK(w.node(0).seen.back().body == R"({"name":"qwen3"})");
    (void)w.post("/api/show", R"({"name":"gpt-4o","model":""})");
    CHECK(w.node(0).seen.back().body == R"({"name":"gpt-4o","model":"qwen3"})");
    const auto unchanged = [&w] { return std::ranges::count(w.node(0).seen, R"({"model":"gpt-4o"})", &Seen::body); }; // lists are read behind it
    (void)w.post("/api/push", R"({"model":"gpt-4o"})");
    CHECK(unchanged() == 1);
    (void)w.ask("DELETE /api/delete HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\n{\"model\":\"gpt-4o\"}");
    CHECK(unchanged() == 2);
}

TEST_CASE("unloading an alias unloads its model")
{
    World w(1, with({{"gpt-4o", "qwen3"}}));
    w.publish({"qwen3"}, {"qwen3"});
    w.node(0).answers = [](const Seen&) { return answer(200, R"({"done_reason":"unload"})"); };
    const auto got = w.post("/api/generate", R"({"model":"gpt-4o","keep_alive":0})");
    CHECK(starts(got, "200"));
    CHECK(w.node(0).seen.back().body == R"({"model":"qwen3","keep_alive":0})");
    CHECK(field_of(got, "X-Herd-Model") == "qwen3:latest");
}

TEST_CASE("a look-up shows the row of the model under its own name")
{
    World w(1, with({{"gpt-4o", "qwen3"}, {"openai/gpt-4o", "qwen3"}}));
    w.publish({"qwen3"});
    for (const auto* path : {"gpt-4o", "openai/gpt-4o"}) {
        CAPTURE(path);
        const auto got = w.ask("GET /v1/models/" + std::string(path) + " HTTP/1.1\r\nHost: h\r\n\r\n");
        CHECK(starts(got, "200"));
        CHECK(body_of(got).find(R"("id":"qwen3")") != std::string::npos);
    }
}

TEST_CASE("a form and a packed body are changed in the one place")
{
    World w(1, with({{"whisper-1", "gemma3n:e4b"}}));
    w.node(0).answers = [](const Seen&) { return answer(200, "{}"); };
    const auto form = [](const std::string& model) {
        return "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model
            + "\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n";
    };
    const auto sent = form("whisper-1");
    (void)w.ask("POST /v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: "
                + std::to_string(sent.size()) + "\r\n\r\n" + sent);
    CHECK(w.node(0).seen.at(0).body == form("gemma3n:e4b"));
    const auto zipped = packed(R"({"model":"whisper-1","messages":[1]})");
    (void)w.ask("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Length: "
                + std::to_string(zipped.size()) + "\r\n\r\n" + zipped);
    CHECK(w.node(0).seen.at(1).body == R"({"model":"gemma3n:e4b","messages":[1]})");
    CHECK_FALSE(w.node(0).seen.at(1).has("Content-Encoding"));
}

TEST_CASE("a body too long to be kept cannot be changed: refused before anything is sent")
{
    auto options = with({{"m", "other"}});
    options.replay_body = 64;
    World w(1, options);
    w.node(0).scripts = {stream()};
    const std::string body = R"({"model":"m","prompt":")" + std::string(500, 'x') + "\"}";
    w.type("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body.substr(0, 100));
    w.settle();
    w.type(body.substr(100));
    w.settle();
    CHECK(starts(w.read(), "413"));
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("claude_auto finds a model for Claude Code, and the answer tells which")
{
    World w(1, with({}, true));
    w.publish({"qwen3"}, {"qwen3"});
    w.node(0).answers = [](const Seen&) { return answer(200, "{}"); };
    const auto got = w.post("/v1/messages", R"({"model":"claude-sonnet-4-5-20250929","max_tokens":1,"messages":[1]})");
    CHECK(field_of(got, "X-Herd-Model") == "qwen3:latest");
    CHECK(w.node(0).seen.back().body == R"({"model":"qwen3:latest","max_tokens":1,"messages":[1]})");
    CHECK(w.records.back().requested_model == "claude-sonnet-4-5-20250929");
}

TEST_CASE("a model pinned by a frontend may be an alias, and the route question knows aliases")
{
    auto options = with({{"house", "qwen3:8b"}});
    FrontendConfig config;
    config.id = config.name = "f";
    config.hostnames = {"*"};
    config.pins.completions = R"({"model":"house"})";
    Frontends::Input input;
    input.frontends.push_back(config);
    options.frontends = *Frontends::compile(std::move(input), options, nullptr);
    World w(1, options);
    w.node(0).scripts = {stream()};
    const auto got = w.post("/api/chat", R"({"model":"m","messages":[1]})");
    CHECK(field_of(got, "X-Herd-Model") == "qwen3:8b");
    CHECK(w.node(0).seen.back().body.find(R"("model":"qwen3:8b")") != std::string::npos);
    const base::Endpoint peer{base::IpAddress::loopback(), 1};
    const auto asked = read_question(R"({"model":"House","fallback_models":["house","x"]})", {}, peer, {}, with({{"house", "qwen3:8b"}}));
    REQUIRE(asked);
    CHECK(asked->model == "qwen3:8b");
    CHECK(asked->fallbacks.size() == 1); // the model itself is none
}

TEST_CASE("claude_auto leaves a model whose Ollama said that it does not know the path")
{
    World w(2, with({}, true));
    w.publish({"m"});
    const auto& facts = w.books.picture->nodes[0].facts;
    auto picture = std::make_shared<fleet::Snapshot>(*w.books.picture);
    auto other = *facts;
    other.models[0].name = "better:latest";
    other.models[0].key = "registry.ollama.ai/library/better:latest";
    other.models[0].size = 99;
    picture->nodes[0].facts = std::make_shared<const fleet::NodeFacts>(other);
    auto& holders = picture->models.at("registry.ollama.ai/library/m:latest");
    holders.erase(holders.begin());
    w.books.picture = picture;
    w.node(0).scripts = {answer(404, "404 page not found", "text/plain")};
    w.node(1).scripts = {answer(200, "{}")};
    const std::string body = R"({"model":"claude-x","messages":[1]})";
    (void)w.post("/v1/messages", body, "X-Herd-Node: n1\r\n");
    CHECK(w.books.asked.at(0).model == "better:latest");
    (void)w.post("/v1/messages", body, "X-Herd-Node: n2\r\n");
    CHECK(w.books.asked.back().model == "m:latest");
    (void)w.post("/v1/messages/count_tokens", body);
    CHECK(w.records.back().model == "m:latest");
}
