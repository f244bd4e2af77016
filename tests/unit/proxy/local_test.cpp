// What herd answers by itself, through the whole proxy.
#include "world.hpp"

using namespace herd;
using namespace herd::proxy::testing;

namespace {
std::string get(World& w, std::string_view path, std::string_view fields = {}, std::string_view method = "GET")
{
    return w.ask(std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: herd\r\n" + std::string(fields) + "\r\n");
}
std::string send_delete(World& w, std::string_view body)
{
    return w.ask("DELETE /api/delete HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
}
} // namespace

TEST_CASE("the root says that Ollama is running, whatever the nodes do")
{
    World w(0);
    auto got = get(w, "/");
    CHECK(starts(got, "200"));
    CHECK(field_of(got, "Content-Type") == "text/plain; charset=utf-8");
    CHECK(body_of(got) == "Ollama is running");
    got = get(w, "/", {}, "HEAD");
    CHECK(starts(got, "200"));
    CHECK(field_of(got, "Content-Length") == "17");
    CHECK(body_of(got).empty());
    CHECK(w.records.size() == 2);
}

TEST_CASE("paths that are none are answered as Ollama answers them")
{
    World w;
    auto got = get(w, "/api/nothing");
    CHECK(starts(got, "404"));
    CHECK(field_of(got, "Content-Type") == "text/plain");
    CHECK(body_of(got) == "404 page not found");
    got = w.post("/api/tags", "");
    CHECK(starts(got, "405"));
    CHECK(field_of(got, "Allow") == "HEAD, GET");
    CHECK(body_of(got) == "405 method not allowed");
    got = get(w, "/api/tags/?x=1");
    CHECK(starts(got, "301"));
    CHECK(field_of(got, "Location") == "/api/tags?x=1");
    CHECK(body_of(got) == "<a href=\"/api/tags?x=1\">Moved Permanently</a>.\n\n");
    CHECK(starts(w.post("/v1/unknown", "{\"a\":1}"), "404"));
    CHECK(starts(w.post("/v1/unknown", "junk"), "404"));
    CHECK(w.node(0).seen.empty());
    CHECK(starts(w.post("/v1/unknown", "{\"model\":\"m\"}"), "200"));
    CHECK(w.node(0).seen.size() == 1);
}

TEST_CASE("lists come from the snapshot")
{
    World w(1);
    w.publish({"tiny"});
    CHECK(body_of(get(w, "/api/tags")) == R"({"models":[{"name":"tiny:latest","size":10}]})");
    CHECK(body_of(get(w, "/api/version")) == R"({"version":"0.33.0"})");
    CHECK(body_of(get(w, "/v1/models")).find("\"id\":\"tiny:latest\"") != std::string::npos);
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("what runs is asked of the nodes, and told to the fleet")
{
    World w(2);
    w.publish({"m"}, {"old"});
    w.node(0).scripts = {answer(200, R"({"models":[{"name":"now:latest","expires_at":"2026-11-20T14:14:38Z"}]})")};
    w.node(1).scripts = {{hang()}}; // stalls: the snapshot stands in for it
    CHECK(get(w, "/api/ps").empty());
    w.settle(1100ms);
    CHECK(body_of(w.read())
          == R"({"models":[{"name":"now:latest","expires_at":"2026-11-20T14:14:38Z","fleet_node":"n1","herd":{"node":"n1"}},{"name":"old","fleet_node":"n2","herd":{"node":"n2"}}]})");
    REQUIRE(w.books.told.size() == 1);
    CHECK(std::get<fleet::LoadedRead>(w.books.told[0]).id == w.node(0).id);
}

TEST_CASE("the cloud is disabled when it is disabled everywhere")
{
    World w(2);
    w.node(0).scripts = {answer(200, R"({"cloud":{"disabled":true,"source":"env"}})")};
    w.node(1).scripts = {answer(200, R"({"cloud":{"disabled":true,"source":"env"}})"), answer(200, R"({"cloud":{"disabled":false,"source":"none"}})")};
    CHECK(body_of(get(w, "/api/status")) == R"({"cloud":{"disabled":true,"source":"env"}})");
    CHECK(body_of(get(w, "/api/status")) == R"({"cloud":{"disabled":false,"source":"none"}})");
}

TEST_CASE("an unload that fails on a node does not name it among those that unloaded")
{
    World w(2);
    const std::string unloaded = R"({"model":"m","response":"","done":true,"done_reason":"unload"})";
    w.node(0).scripts = {answer(200, unloaded)};
    w.node(1).scripts = {answer(500, R"({"error":"x"})")};
    const auto got = w.post("/api/generate", R"({"model":"m","keep_alive":0})");
    CHECK(starts(got, "200"));
    CHECK(got.find("X-Herd-Node: n1\r\n") != got.npos);
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].attempts.size() == 2);
}

TEST_CASE("an unload reaches every node that has the model")
{
    World w(3);
    const std::string unloaded = R"({"model":"m","response":"","done":true,"done_reason":"unload"})";
    for (auto& node : w.nodes) {
        node->scripts = {answer(200, unloaded)};
    }
    const auto got = w.post("/api/generate", R"({"model":"m","keep_alive":0})");
    CHECK(body_of(got) == unloaded);
    CHECK(field_of(got, "X-Herd-Node") == "n1,n2,n3");
    for (auto& node : w.nodes) {
        CHECK(node->seen.size() == 1);
    }
    CHECK(w.books.asked.empty());
    (void)w.post("/api/chat", R"({"model":"m","messages":[],"keep_alive":"0s"})");
    CHECK(w.node(2).seen.size() == 2);
    (void)w.post("/api/generate", R"({"model":"m","prompt":"x","keep_alive":0})"); // an inference
    CHECK(w.books.asked.size() == 1);
}

TEST_CASE("a deletion reaches every holder, and the lists are read again before the client hears of it")
{
    World w(2);
    for (auto& node : w.nodes) {
        node->answers = [](const Seen& seen) { return seen.has("GET /api/tags") ? answer(200, R"({"models":[]})") : answer(200, ""); };
    }
    auto got = send_delete(w, R"({"model":"m"})");
    CHECK(starts(got, "200"));
    CHECK(body_of(got).empty());
    CHECK(w.node(0).seen.size() == 2);
    CHECK(w.node(1).seen[0].body == R"({"model":"m"})");
    CHECK(w.books.told.size() == 2);
    CHECK(std::get<fleet::ModelsRead>(w.books.told[0]).models.empty());
    CHECK(body_of(send_delete(w, R"({"name":"nope"})")) == R"({"error":"model 'nope' not found"})");
    CHECK(starts(send_delete(w, "{}"), "400"));
    CHECK(starts(send_delete(w, ""), "400"));
}

TEST_CASE("a deletion that fails on some nodes names them")
{
    World w(3);
    w.node(0).scripts = {answer(200, "")};
    w.node(1).scripts = {answer(500, R"({"error":"disk"})")};
    w.node(2).scripts = {answer(404, R"({"error":"gone already"})")};
    const auto got = send_delete(w, R"({"model":"m"})");
    CHECK(starts(got, "500"));
    CHECK(body_of(got).find(R"({"error":"failed on n2","nodes":{")") == 0);
    CHECK(body_of(got).find(w.node(1).id.text()) != std::string::npos);
}

TEST_CASE("copies are made on every holder of the source")
{
    World w(2);
    for (auto& node : w.nodes) {
        node->scripts = {answer(200, "")};
    }
    CHECK(starts(w.post("/api/copy", R"({"source":"m","destination":"twin"})"), "200"));
    CHECK(w.node(1).seen.at(0).has("POST /api/copy"));
    CHECK(body_of(w.post("/api/copy", R"({"source":"nope","destination":"b"})")) == R"({"error":"model \"nope\" not found"})");
    CHECK(body_of(w.post("/api/copy", R"({"source":"","destination":"b"})")) == R"({"error":"source \"\" is invalid"})");
}

TEST_CASE("browsers are answered as Ollama does it, and nodes never see an origin")
{
    World w;
    auto got = get(w, "/api/chat", "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n", "OPTIONS");
    CHECK(starts(got, "204"));
    CHECK(field_of(got, "Access-Control-Allow-Origin") == "http://localhost:3000");
    CHECK(field_of(got, "Allow") == "POST");
    got = get(w, "/api/chat", "Origin: http://evil.example\r\n", "OPTIONS");
    CHECK(starts(got, "403"));
    CHECK(body_of(got).empty());
    CHECK(starts(get(w, "/api/tags", "Origin: null\r\n"), "403"));
    CHECK(starts(get(w, "/api/chat", {}, "OPTIONS"), "405"));
    got = w.post("/api/chat", R"({"model":"m"})", "Origin: app://obsidian.md\r\n");
    CHECK(field_of(got, "Access-Control-Allow-Origin") == "app://obsidian.md");
    CHECK_FALSE(w.node(0).seen.at(0).has("Origin"));
}

TEST_CASE("refusals of the scheduler reach the client in its dialect")
{
    World w;
    w.books.refusal = fleet::Refusal{{base::Errc::queue_full}, 3s};
    auto got = w.post("/v1/messages", R"({"model":"m"})");
    CHECK(starts(got, "429"));
    CHECK(field_of(got, "Retry-After") == "3");
    CHECK(body_of(got).find("rate_limit_error") != std::string::npos);
    CHECK(w.records.back().termination == "PQ");
    w.books.refusal = fleet::Refusal{{base::Errc::no_such_model}, {}};
    got = w.post("/v1/chat/completions", R"({"model":"Nope"})");
    CHECK(starts(got, "404"));
    CHECK(body_of(got).find("model 'Nope' not found") != std::string::npos);
    w.books.refusal.reset();
    w.books.slots = 0;
    CHECK(starts(w.post("/api/chat", R"({"model":"m"})", "X-Herd-Deadline: 0.3\r\n", 400ms), "504"));
    CHECK(w.records.back().termination == "TQ");
}

TEST_CASE("a refusal for want of a place is explained in the record, for the model that was asked for")
{
    World w(20);
    w.publish({"m"});
    w.books.refusal = fleet::Refusal{{.code = base::Errc::queue_full, .context = "the queue of this model is full"}, 3s};
    CHECK(starts(w.post("/api/chat", R"({"model":"m","fallback_models":["small"]})"), "429"));
    REQUIRE(w.records.back().decision);
    const auto& told = *w.records.back().decision;
    CHECK(told.model == "m");
    CHECK_FALSE(told.chosen);
    CHECK(told.note == "the queue of this model is full");
    CHECK(told.candidates.size() == 16);
    CHECK(told.left_out == 4);
    CHECK(w.books.asked.back().fallbacks.empty());

    w.books.refusal = fleet::Refusal{{base::Errc::no_such_model}, {}};
    CHECK(starts(w.post("/api/chat", R"({"model":"nope"})"), "404"));
    CHECK_FALSE(w.records.back().decision);

    auto many = std::make_shared<fleet::Snapshot>(*w.books.picture); // a storm there would cost more than its requests
    many->nodes.resize(257, many->nodes.front());
    w.books.picture = many;
    w.books.refusal = fleet::Refusal{{base::Errc::queue_full}, 3s};
    CHECK(starts(w.post("/api/chat", R"({"model":"m"})"), "429"));
    CHECK_FALSE(w.records.back().decision);
}

TEST_CASE("a request that has been here before is a loop")
{
    World w;
    CHECK(starts(w.post("/api/chat", R"({"model":"m"})", "Via: 1.1 x, 1.1 herd-test\r\n"), "508"));
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("bad JSON is refused here, a field of the wrong type by a node")
{
    World w;
    const auto got = w.post("/v1/chat/completions", "{bad");
    CHECK(starts(got, "400"));
    CHECK(body_of(got)
          == R"({"error":{"message":"invalid character 'b' looking for beginning of object key string","type":"invalid_request_error","param":null,"code":"bad_request"}})");
    CHECK(w.node(0).seen.empty());
    w.node(0).scripts = {answer(400, R"({"error":"json: cannot unmarshal"})")};
    CHECK(starts(w.post("/api/chat", R"({"model":5})"), "400"));
    CHECK(w.node(0).seen.size() == 1);
    CHECK(w.books.asked.at(0).need == fleet::Need::any);
}

TEST_CASE("the id a client chose is the id of its request, unless it is unfit")
{
    World w;
    CHECK(field_of(get(w, "/", "X-Request-Id: my-own-id-7\r\n"), "X-Herd-Request-Id") == "my-own-id-7");
    CHECK(field_of(get(w, "/", "X-Request-Id: a b\r\n"), "X-Herd-Request-Id").size() == 15);
}

TEST_CASE("what the scheduler is asked is what the request says")
{
    World w;
    (void)w.post("/api/generate", R"({"model":"M","prompt":"12345","options":{"num_ctx":8192,"num_predict":7}})",
                 "X-Herd-Node: n1\r\nX-Herd-Label: EU\r\nX-Herd-Priority: batch\r\n");
    const auto& asked = w.books.asked.at(0);
    CHECK(asked.need == fleet::Need::slot);
    CHECK(asked.model_key == "registry.ollama.ai/library/m:latest");
    CHECK(asked.model == "M");
    CHECK(asked.num_ctx == 8192);
    CHECK(asked.options_class != 0);
    CHECK(asked.prompt_bytes == 5);
    CHECK(asked.output_tokens_max == 7);
    CHECK(asked.node == "n1");
    CHECK(asked.labels == std::vector<std::string>{"eu"});
    CHECK(asked.priority == fleet::Priority::batch);
    CHECK(asked.client == "127.0.0.1");
    (void)w.post("/api/show", R"({"name":"m"})");
    CHECK(w.books.asked.at(1).need == fleet::Need::model);
    (void)w.post("/api/chat", R"({"model":"gpt-oss:20b-cloud"})");
    CHECK(w.books.asked.at(2).need == fleet::Need::any);
    (void)get(w, "/v1/models/m");
    CHECK(w.books.asked.at(3).need == fleet::Need::model);
    CHECK(w.node(0).seen.at(3).has("GET /v1/models/m "));
    CHECK(starts(get(w, "/v1/models/a/b"), "404"));
}

TEST_CASE("a name cannot smuggle a field into the answer")
{
    World w;
    CHECK(starts(w.post("/api/chat", "{\"model\":\"a\\r\\nX-Evil: 1:cloud\"}"), "400"));
    w.node(0).name = "n\r\nX-Evil: 1";
    const auto got = w.post("/api/chat", "{\"model\":\"m\"}");
    CHECK(field_of(got, "X-Evil").empty());
    CHECK(field_of(got, "X-Herd-Node") == "n??X-Evil: 1");
}

TEST_CASE("tokens are counted here, with the scheduler's estimate, in Anthropic's words")
{
    World w;
    const std::string path = "/v1/messages/count_tokens";
    auto got = w.post(path, R"({"model":"M","system":"1234","messages":[{"role":"user","content":"12345678"}]})");
    CHECK(starts(got, "200"));
    CHECK(body_of(got) == R"({"input_tokens":3})"); // a token of four bytes, in this world
    CHECK(w.node(0).seen.empty());
    CHECK(w.records.back().api == "anthropic");
    CHECK(w.records.back().model == "m:latest");
    CHECK(w.records.back().status == 200);
    got = w.post(path, R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"12345678"},{"type":"image","source":{"type":"base64","data":")"
                       + std::string(400, 'A') + R"("}}]}]})");
    CHECK(body_of(got) == R"({"input_tokens":802})"); // an image counts 1500, of which the scheduler's estimate has 700 (not this world's)
    CHECK(starts(w.post(path, R"({"model":"nobody-has-it","messages":[]})"), "200"));
    for (const auto* bad : {"", "{}", "{bad", R"({"model":5})"}) {
        CAPTURE(bad);
        got = w.post(path, bad);
        CHECK(starts(got, "400"));
        CHECK(body_of(got).find(R"("type":"invalid_request_error")") != std::string::npos);
    }
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("a model that nobody has is one model in the records, whatever case it is asked for in")
{
    World w;
    w.books.refusal = fleet::Refusal{{base::Errc::no_such_model}, {}};
    (void)w.post("/api/chat", R"({"model":"NoSuch"})");
    (void)w.post("/api/chat", R"({"model":"nosuch:latest"})");
    (void)w.post("/api/pull", R"({"model":"NOSUCH"})");
    for (const auto& record : w.records) {
        CHECK(record.model == "nosuch:latest");
    }
    CHECK(w.records.front().requested_model == "NoSuch");
}
