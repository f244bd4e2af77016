// Whole exchanges over streams in memory: what passes through as it came, and what is recorded of it.
#include "streams.hpp"

using namespace herd;
using namespace herd::proxy::testing;
using fleet::Result;

TEST_CASE("a stream reaches the client byte for byte, and its timings the fleet")
{
    World w;
    w.node(0).scripts = {stream()};
    const auto got = w.post("/api/chat", chat);
    CHECK(starts(got, "200"));
    CHECK(body_of(got) == line + done);
    CHECK(field_of(got, "Content-Type") == "application/x-ndjson");
    CHECK(field_of(got, "X-Herd-Node") == "n1");
    CHECK(field_of(got, "X-Herd-Model") == "m:latest");
    CHECK(field_of(got, "X-Herd-Retries") == "0");
    CHECK(field_of(got, "X-Herd-Queue-Ms") == "0");
    CHECK(field_of(got, "X-Herd-Request-Id").size() == 15);
    REQUIRE(w.books.outcomes.size() == 1);
    CHECK(w.books.outcomes[0].result == Result::served);
    CHECK(w.books.outcomes[0].timings.total == 500ns);
    CHECK(w.books.outcomes[0].timings.output_tokens == 2);
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].termination == "--");
    CHECK(w.records[0].model == "m:latest");
    CHECK(w.records[0].requested_model == "m");
    CHECK(w.records[0].timings.prompt_tokens == 3);
    CHECK(w.records[0].bytes_in == chat.size());
}

TEST_CASE("a request too many is turned away in its own dialect, with a record like any other")
{
    proxy::ProxyOptions options;
    options.exchanges_max = 0;
    for (const auto& [path, api, sign] : {std::tuple{"/api/chat?key=s3cret", "ollama", "{\"error\":\"too many requests at once\"}"},
                                          std::tuple{"/v1/chat/completions", "openai", "\"code\":\"unavailable\""}}) {
        World w(1, options);
        const auto got = w.post(path, chat);
        CHECK(starts(got, "503"));
        CHECK(body_of(got).find(sign) != std::string::npos);
        CHECK(field_of(got, "Retry-After") == "1");
        CHECK(got.ends_with("<end>"));
        CHECK(w.node(0).seen.empty());
        REQUIRE(w.records.size() == 1);
        CHECK(w.records[0].id == field_of(got, "X-Herd-Request-Id"));
        CHECK(w.records[0].api == api);
        CHECK(w.records[0].path.find("s3cret") == std::string::npos);
        CHECK(w.records[0].status == 503);
        CHECK(w.records[0].termination == "PR");
        CHECK(w.records[0].error == "too many requests at once");
        CHECK(w.shared->exchanges == 0);
    }
}

TEST_CASE("chunks leave in the turn in which they come")
{
    World w;
    w.node(0).scripts = {{opening(), chunk(line), pause(1s), chunk(line), pause(1s), chunk(done), end_of_chunks()}};
    auto got = w.post("/api/chat", chat);
    CHECK(body_of(got) == line + "<open>");
    w.settle(1s);
    CHECK(w.read().find(line) != std::string::npos);
    w.settle(1s);
    CHECK(w.read().find("\"done\":true") != std::string::npos);
}

TEST_CASE("the node sees the body as it was, and only fields that are its business")
{
    World w;
    const std::string odd = "  {\"MODEL\" : \"M\", \"messages\":[1], \"x\":1e3,\"x\":2 }\n ";
    (void)w.post("/api/chat?a=b", odd,
                 "Origin: http://localhost:3000\r\nAuthorization: Bearer x\r\nCookie: a=b\r\nX-Herd-Session: s\r\n"
                 "X-Fleet-No-Fallback: true\r\nUser-Agent: GitHubCopilotChat/1\r\nX-Own: kept\r\n");
    REQUIRE(w.node(0).seen.size() == 1);
    const auto& seen = w.node(0).seen[0];
    CHECK(seen.body == odd);
    CHECK(seen.has("POST /api/chat?a=b HTTP/1.1\r\n"));
    CHECK(seen.has("Host: 10.0.0.1:11434\r\n"));
    CHECK(seen.has("User-Agent: GitHubCopilotChat/1\r\n"));
    CHECK(seen.has("X-Own: kept\r\n"));
    CHECK(seen.has("herd-test"));
    for (const auto* gone : {"Origin", "Authorization", "Cookie", "X-Herd-", "X-Fleet-"}) {
        CHECK_FALSE(seen.has(gone));
    }
    CHECK(w.books.asked[0].session == "s");
}

TEST_CASE("a request that does not move is found among many, and one that moves is not")
{
    World w;
    w.publish({"m:latest"}, {"m:latest"});
    w.node(0).scripts = {{opening(), chunk("{\"response\":\"a\"}\n"), pause(100s), chunk("{\"response\":\"b\"}\n"), pause(100s), end_of_chunks()}};
    (void)w.post("/api/generate", R"({"model":"m"})");
    CHECK(w.proxy->still(60s, 10).empty()); // the first look: from now on it does not move
    w.settle(59s);
    CHECK(w.proxy->still(60s, 10).empty());
    w.settle(2s);
    const auto found = w.proxy->still(60s, 10);
    REQUIRE(found.size() == 1);
    CHECK(found[0].phase == 'D');
    CHECK(found[0].record.model == "m:latest");
    CHECK(found[0].still >= 60s);
    CHECK(w.proxy->still(60s, 0).empty());
    w.settle(40s); // "b" came
    CHECK(w.proxy->still(60s, 10).empty());
    w.settle(61s);
    CHECK(w.proxy->still(60s, 10).size() == 1);
    w.settle(60s);
    CHECK(w.proxy->still({}, 10).empty()); // it has ended
    CHECK(w.records.size() == 1);
}

TEST_CASE("a request that waits in the queue is not one that does not move, one at a silent node is")
{
    World w;
    w.publish({"m:latest"}, {"m:latest"});
    w.node(0).scripts = {{hang()}};
    w.books.slots = 0;
    (void)w.post("/api/generate", R"({"model":"m"})");
    w.settle(100s);
    CHECK(w.proxy->still(60s, 10).empty());
    w.client->close();
    w.settle();
    w.books.slots = 1;
    w.connect();
    (void)w.post("/api/generate", R"({"model":"m"})");
    CHECK(w.proxy->still(60s, 10).empty());
    w.settle(61s);
    const auto found = w.proxy->still(60s, 10);
    REQUIRE(found.size() == 1);
    CHECK(found[0].phase == 'H');
    w.client->close();
    w.settle();
}

TEST_CASE("a model is recorded as its nodes spell it, however the client does")
{
    World w;
    w.publish({"qwen3"}, {"qwen3:latest"});
    w.node(0).scripts = {answer(200, "{}")};
    for (const std::string name : {"QWEN3", "Qwen3:Latest", "registry.ollama.ai/library/qWen3"}) {
        const auto got = w.post("/api/chat", R"({"model":")" + name + R"("})");
        CHECK(field_of(got, "X-Herd-Model") == "qwen3:latest");
        CHECK(w.records.back().model == "qwen3:latest");
    }
    CHECK(w.node(0).seen.at(0).body.find("QWEN3") != std::string::npos); // the body goes on as it came
}
