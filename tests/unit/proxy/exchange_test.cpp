// Whole exchanges over streams in memory: what the client sees while nodes behave and misbehave.
#include "world.hpp"

using namespace herd;
using namespace herd::proxy::testing;
using fleet::Result;

namespace {

const std::string line = R"({"model":"m","message":{"role":"assistant","content":"hi"},"done":false})" "\n";
const std::string done =
    R"({"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":500,"load_duration":100,"prompt_eval_count":3,"prompt_eval_duration":7,"eval_count":2,"eval_duration":9})"
    "\n";
const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";

Script stream() { return {opening(), chunk(line), chunk(done), end_of_chunks()}; }

} // namespace

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

TEST_CASE("failures before the first byte are not noticed")
{
    const std::vector<std::pair<Script, Result>> failures{
        {{close()}, Result::broken},
        {{reset()}, Result::broken},
        {{send("HTTP/1.1 200 OK\r\nContent-Ty"), reset()}, Result::broken},
        {{send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"), reset()}, Result::broken},
        {{send("garbage\r\n\r\n"), close()}, Result::broken},
        {answer(500, R"({"error":"model runner has unexpectedly stopped"})"), Result::failed},
        {answer(503, R"({"error":"server busy, please try again.  maximum pending requests exceeded"})"),
         Result::busy},
        {answer(502, "x", "text/html"), Result::failed},
        {answer(404, R"({"error":"model 'm' not found"})"), Result::model_missing},
        {answer(404, "404 page not found", "text/plain"), Result::route_missing},
    };
    for (const auto& [script, result] : failures) {
        World w(2);
        w.node(0).scripts = {script};
        w.node(1).scripts = {stream()};
        const auto got = w.post("/api/chat", chat);
        CHECK(starts(got, "200"));
        CHECK(body_of(got) == line + done);
        CHECK(field_of(got, "X-Herd-Node") == "n2");
        CHECK(field_of(got, "X-Herd-Retries") == "1");
        REQUIRE(w.books.outcomes.size() == 2);
        CHECK(w.books.outcomes[0].result == result);
        CHECK(w.books.outcomes[1].result == Result::served);
        REQUIRE(w.books.asked.size() == 2);
        CHECK(w.books.asked[1].attempt == 1);
        CHECK(w.books.asked[1].exclude == std::vector{w.node(0).id});
        CHECK(w.node(0).seen[0].body == w.node(1).seen[0].body);
        REQUIRE(w.records.size() == 1);
        CHECK(w.records[0].attempts.size() == 2);
    }
}

TEST_CASE("an Ollama whose queue is full is left for one that has the model in memory, else the client is "
          "told to come back")
{
    const auto busy =
        answer(503, R"({"error":"server busy, please try again.  maximum pending requests exceeded"})");
    {
        World w(2);
        w.node(0).scripts = {busy};
        w.node(1).scripts = {stream()};
        CHECK(starts(w.post("/api/chat", chat), "200"));
        REQUIRE(w.books.asked.size() == 2);
        CHECK_FALSE(w.books.asked[0].resident_only);
        CHECK(w.books.asked[1].resident_only);
    }
    World all(2);
    all.node(0).scripts = {busy};
    all.node(1).scripts = {busy};
    const auto got = all.post("/api/chat", chat);
    CHECK(starts(got, "429"));
    CHECK(field_of(got, "Retry-After") == "5");
    CHECK(body_of(got) == R"({"error":"too many requests wait at the Ollama of n2"})");
    CHECK(all.books.outcomes.size() == 2);
    CHECK(all.records.at(0).termination == "PS");
    CHECK(all.records.at(0).attempts.size() == 2);
}

TEST_CASE("a node that refuses connections is replaced")
{
    World w(2);
    w.node(0).stop();
    w.node(1).scripts = {stream()};
    CHECK(starts(w.post("/api/chat", chat), "200"));
    CHECK(w.books.outcomes[0].result == Result::refused);
}

TEST_CASE("a node whose host is gone is replaced after the connect timeout")
{
    World w(2);
    w.net.set_unreachable(w.node(0).endpoint.address, true);
    w.node(1).scripts = {stream()};
    CHECK(starts(w.post("/api/chat", chat, {}, 400ms), "200"));
    CHECK(w.books.outcomes[0].result == Result::timed_out);
}

TEST_CASE("a node that knows no such route is not asked for it again")
{
    World w(2);
    w.node(0).scripts = {answer(404, "404 page not found", "text/plain")};
    w.node(1).scripts = {answer(200, "{}")};
    (void)w.post("/v1/messages", chat);
    (void)w.post("/v1/messages", chat);
    CHECK(w.node(0).seen.size() == 1);
    CHECK(w.node(1).seen.size() == 2);
    (void)w.post("/v1/chat/completions", chat);
    CHECK(w.node(0).seen.size() == 2);
}

TEST_CASE("answers about the request itself pass, and are not retried")
{
    for (const int status : {400, 401, 403, 413, 429, 499}) {
        World w(2);
        w.node(0).scripts = {answer(status, R"({"error":"no"})")};
        const auto got = w.post("/api/chat", chat);
        CHECK(starts(got, std::to_string(status)));
        CHECK(body_of(got) == R"({"error":"no"})");
        CHECK(w.node(1).seen.empty());
    }
}

TEST_CASE("a 500 that is the client's mistake is final")
{
    World w(2);
    w.node(0).scripts = {answer(500, R"({"error":"option \"num_ctx\" must be of type integer"})")};
    CHECK(starts(w.post("/api/chat", chat), "500"));
    CHECK(w.node(1).seen.empty());
}

TEST_CASE("when every node fails the answer names them, or is the last node's own")
{
    World w(2);
    w.node(0).scripts = {{reset()}};
    w.node(1).scripts = {{reset()}};
    auto got = w.post("/api/chat", chat);
    CHECK(starts(got, "502"));
    CHECK(body_of(got) == R"j({"error":"every node tried failed: n1 (broken), n2 (broken)"})j");
    CHECK(field_of(got, "X-Herd-Request-Id").size() == 15);
    CHECK(w.records.back().termination == "NH"); // they had the request

    for (auto& node : w.nodes) {
        node->stop();
    }
    got = w.post("/api/chat", chat);
    CHECK(body_of(got) == R"j({"error":"every node tried failed: n1 (refused), n2 (refused)"})j");
    CHECK(w.records.back().termination == "NC");
}

TEST_CASE("a node that fails last with words of its own is quoted")
{
    World w(2);
    w.node(0).scripts = {{reset()}};
    w.node(1).scripts = {answer(500, R"({"error":"boom"})")};
    const auto got = w.post("/api/chat", chat);
    CHECK(starts(got, "500"));
    CHECK(body_of(got) == R"({"error":"boom"})");
    CHECK(field_of(got, "X-Herd-Node") == "n2");
    CHECK(field_of(got, "X-Herd-Retries") == "1");
}

TEST_CASE("why no other node was tried is said with those that were")
{
    World w(2);
    w.node(0).scripts = {{pause(1s), reset()}};
    CHECK(w.post("/api/chat", chat).empty());
    w.books.refusal = fleet::Refusal{{.code = base::Errc::attempts_failed, .context = "too many requests are being retried"}, 5s};
    w.settle(2s);
    const auto got = w.read();
    CHECK(starts(got, "502"));
    CHECK(body_of(got) == R"j({"error":"every node tried failed: n1 (broken); too many requests are being retried"})j");
}

TEST_CASE("a deadline that passes while a retry is queued is 504, with the nodes tried before")
{
    World w(2);
    w.node(0).scripts = {{pause(1s), reset()}};
    CHECK(w.post("/api/chat", chat, "X-Herd-Deadline: 3\r\n").empty());
    w.books.slots = 0;
    w.settle(3s);
    const auto got = w.read();
    CHECK(starts(got, "504"));
    CHECK(body_of(got).ends_with("; tried before: n1 (broken)\"}"));
    CHECK(w.records.at(0).termination == "TQ");
    CHECK(w.node(1).seen.empty());
}

TEST_CASE("no more attempts are made than allowed")
{
    for (const int retries : {0, 1, 2}) {
        World w(5, {.retries = retries});
        for (auto& node : w.nodes) {
            node->scripts = {{reset()}};
        }
        CHECK(starts(w.post("/api/chat", chat), "502"));
        CHECK(w.books.outcomes.size() == static_cast<std::size_t>(retries) + 1);
    }
}

TEST_CASE("a node that dies in the stream is told in the dialect, and the connection ends")
{
    struct Case {
        std::string path, type, piece, told;
    };
    const std::string sse = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[]}\n\n";
    const std::vector<Case> cases{
        {"/api/chat", "application/x-ndjson", line, R"({"error":"node 'n1' was lost in the middle of the answer"})" "\n"},
        {"/v1/chat/completions", "text/event-stream", sse,
         R"(data: {"error":{"message":"node 'n1' was lost in the middle of the answer","type":"api_error","param":null,"code":"node_failed"}})"
         "\n\n"},
        {"/v1/responses", "text/event-stream", "event: response.created\ndata: {}\n\n",
         "event: error\ndata: {\"type\":\"error\",\"code\":\"node_failed\",\"message\":\"node 'n1' was lost in the middle of the "
         "answer\",\"param\":null}\n\n"},
        {"/v1/messages", "text/event-stream", "event: ping\ndata: {}\n\n",
         "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"node 'n1' was lost in the middle of "
         "the answer\"}}\n\n"}};
    for (const auto& one : cases) {
        for (const auto& how : {reset(), close()}) {
            World w(2);
            w.node(0).scripts = {{opening(one.type), chunk(one.piece), pause(10ms), how}};
            const auto got = w.post(one.path, chat);
            CHECK(body_of(got) == one.piece + one.told + "<end>");
            CHECK(w.node(1).seen.empty());
            CHECK(w.books.outcomes.at(0).result == Result::broken);
            CHECK(w.records.at(0).termination == "ND");
        }
    }
}

TEST_CASE("half an event is closed before the error is told")
{
    World w;
    w.node(0).scripts = {{opening(), chunk(line), chunk(R"({"model":"m","mess)"), pause(10ms), reset()}};
    const auto got = w.post("/api/chat", chat);
    CHECK(body_of(got).find("{\"model\":\"m\",\"mess\n{\"error\":") != std::string::npos);
}

TEST_CASE("a stream that ends without its last word gets one; one that says its error gets nothing")
{
    World w;
    const Script cut{opening(), chunk(line), end_of_chunks()};
    const Script failed{opening(), chunk(line), chunk("{\"error\":\"boom\"}\n"), end_of_chunks()};
    w.node(0).scripts = {cut, failed};
    auto got = w.post("/api/chat", chat);
    CHECK(body_of(got) == line + R"({"error":"node 'n1' ended the stream before it was done"})" "\n<end>");
    CHECK(w.books.outcomes[0].result == Result::served);
    w.connect();
    got = w.post("/api/chat", chat);
    CHECK(body_of(got) == line + "{\"error\":\"boom\"}\n");
    CHECK(w.records.back().termination == "ND");
}

TEST_CASE("a stream of nothing at all is told as ended too early, for it is no answer")
{
    World w;
    w.node(0).scripts = {{opening(), end_of_chunks()}};
    const auto got = w.post("/api/chat", chat);
    CHECK(body_of(got) == R"({"error":"node 'n1' ended the stream before it was done"})" "\n<end>");
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].termination == "ND");
}

TEST_CASE("an answer with a length that breaks is broken for the client too")
{
    World w;
    w.node(0).scripts = {{send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"a\""), pause(10ms), close()}};
    const auto got = w.post("/api/chat", chat);
    CHECK(got.ends_with("<reset>"));
}

TEST_CASE("a silent node is given up after the idle timeout")
{
    World w(1, {.idle_timeout = 5s});
    w.node(0).scripts = {{opening(), chunk(line), hang()}};
    const auto got = w.post("/api/chat", chat, {}, 6s);
    CHECK(body_of(got).find("fell silent") != std::string::npos);
    CHECK(w.books.outcomes.at(0).result == Result::timed_out);
    CHECK(w.records.at(0).termination == "TD");
    CHECK(w.node(0).closed_by_peer == 1);
}

TEST_CASE("when a host is known to be gone, what waits there fails over, and a stream from there ends with an error")
{
    World w(2);
    w.node(0).scripts = {{hang()}};
    w.node(1).scripts = {{opening(), chunk(line), hang()}};
    CHECK(w.post("/api/chat", chat).empty());
    w.pool->give_up(w.node(1).endpoint); // another host
    w.settle();
    CHECK(w.read().empty());
    w.pool->give_up(w.node(0).endpoint);
    w.settle();
    const auto begun = w.read();
    CHECK(field_of(begun, "X-Herd-Node") == "n2");
    CHECK(field_of(begun, "X-Herd-Retries") == "1");
    CHECK(w.books.outcomes.at(0).result == Result::timed_out);
    w.pool->give_up(w.node(1).endpoint);
    w.settle();
    CHECK(w.read().find("node 'n2' was lost in the middle of the answer") != std::string::npos);
    CHECK(w.books.outcomes.at(1).result == Result::broken);
    CHECK(w.records.at(0).termination == "ND");
}

TEST_CASE("a node that does not begin to answer in time is replaced, if a limit is set")
{
    World w(2, {.first_byte_timeout = 5s});
    w.node(0).scripts = {{hang()}};
    w.node(1).scripts = {stream()};
    CHECK(starts(w.post("/api/chat", chat, {}, 6s), "200"));
    CHECK(w.books.outcomes.at(0).result == Result::timed_out);
}

TEST_CASE("without a limit a node may take an hour to load")
{
    World patient(1);
    patient.node(0).scripts = {{pause(1h), opening(), chunk(done), end_of_chunks()}};
    CHECK(patient.post("/api/chat", chat, {}, 30min).empty());
    patient.settle(31min);
    CHECK(starts(patient.read(), "200"));
}

TEST_CASE("an operator ends what waits, its client is told, and the record says who")
{
    World w(1);
    w.books.slots = 0;
    CHECK(w.post("/api/chat", chat, "X-Request-Id: r1\r\n").empty());
    CHECK_FALSE(w.proxy->cancel("r2"));
    CHECK(w.proxy->cancel("r1"));
    w.settle(10ms);
    const auto got = w.read();
    CHECK(starts(got, "503"));
    CHECK(field_of(got, "x-should-retry") == "false");
    CHECK(body_of(got).find("ended by an operator") != std::string::npos);
    CHECK(w.records.at(0).status == 503);
    CHECK(w.books.waiting == 0);
    CHECK(w.records.at(0).termination == "PQ");
    CHECK(w.records.at(0).error == "ended by an operator");
    CHECK_FALSE(w.proxy->cancel("r1"));
}

TEST_CASE("what an operator ends while a node works stops there, and is told in the dialect of the stream")
{
    SECTION("before the node has answered")
    {
        World w(2);
        w.node(0).scripts = {{hang()}};
        CHECK(w.post("/api/chat", chat, "X-Request-Id: r1\r\n").empty());
        CHECK(w.proxy->cancel("r1"));
        w.settle(10ms);
        CHECK(starts(w.read(), "503"));
        CHECK(w.node(0).closed_by_peer == 1);
        CHECK(w.node(1).seen.empty()); // nobody else is asked instead
        CHECK(w.records.at(0).termination == "PH");
    }
    SECTION("in the middle of the answer")
    {
        World w(1);
        w.node(0).scripts = {{opening(), chunk(line), hang()}};
        const auto begun = w.post("/api/chat", chat, "X-Request-Id: r1\r\n");
        CHECK(starts(begun, "200"));
        CHECK(w.proxy->cancel("r1"));
        w.settle(10ms);
        CHECK(body_of(begun + w.read()) == line + R"({"error":"ended by an operator"})" "\n<end>");
        CHECK(w.node(0).closed_by_peer == 1);
        CHECK(w.records.at(0).termination == "PD");
        CHECK(w.books.outcomes.at(0).result == Result::cancelled);
    }
    SECTION("while the client still sends its request")
    {
        World w(1);
        w.type("POST /api/chat HTTP/1.1\r\nHost: x\r\nX-Request-Id: r1\r\nContent-Length: 100\r\n\r\n{\"model\"");
        w.settle(10ms);
        CHECK(w.proxy->cancel("r1"));
        w.settle(10ms);
        CHECK(starts(w.read(), "503"));
        CHECK(w.records.at(0).termination == "PR");
    }
    SECTION("when nothing can be told any more, the answer breaks off")
    {
        World w(1);
        w.node(0).scripts = {{send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{"), hang()}};
        CHECK(starts(w.post("/api/chat", chat, "X-Request-Id: r1\r\n"), "200"));
        CHECK(w.proxy->cancel("r1"));
        w.settle(10ms);
        CHECK(w.read() == "<reset>");
        CHECK(w.records.at(0).termination == "PD");
    }
}

TEST_CASE("a client that leaves ends the node's work at once, whatever the phase")
{
    SECTION("while its body comes")
    {
        World w;
        w.type("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"mod");
        w.client.reset();
        w.settle(10ms);
        REQUIRE(w.records.size() == 1);
        CHECK(w.records[0].termination == "CR");
        CHECK(w.books.asked.empty());
    }
    SECTION("in the queue")
    {
        World w(1);
        w.books.slots = 0;
        CHECK(w.post("/api/chat", chat).empty());
        CHECK(w.books.waiting == 1);
        w.client.reset();
        w.settle(10ms);
        CHECK(w.books.waiting == 0);
        CHECK(w.records.at(0).termination == "CQ");
        CHECK(w.records.at(0).status == 499);
    }
    SECTION("while connecting")
    {
        World w(1);
        w.net.set_unreachable(w.node(0).endpoint.address, true);
        CHECK(w.post("/api/chat", chat, {}, 10ms).empty());
        w.client.reset();
        w.settle(400ms);
        CHECK(w.records.at(0).termination == "CC");
        CHECK(w.books.outcomes.at(0).result == Result::cancelled);
    }
    SECTION("before the head")
    {
        World w(2);
        w.node(0).scripts = {{hang()}};
        CHECK(w.post("/api/chat", chat).empty());
        w.client.reset();
        w.settle(10ms);
        CHECK(w.node(0).closed_by_peer == 1);
        CHECK(w.records.at(0).termination == "CH");
        CHECK(w.books.outcomes.at(0).result == Result::cancelled);
        CHECK(w.node(1).seen.empty());
    }
    SECTION("in the stream")
    {
        World w;
        w.node(0).scripts = {{opening(), chunk(line), hang()}};
        CHECK(body_of(w.post("/api/chat", chat)) == line + "<open>");
        w.client.reset();
        w.settle(10ms);
        CHECK(w.node(0).closed_by_peer == 1);
        CHECK(w.records.at(0).termination == "CD");
        CHECK(w.books.outcomes.at(0).result == Result::cancelled);
    }
}

TEST_CASE("connections to nodes are used again")
{
    World w;
    w.node(0).scripts = {stream()};
    for (int i = 0; i < 5; ++i) {
        CHECK(body_of(w.post("/api/chat", chat)) == line + done);
    }
    CHECK(w.node(0).connections == 1);
}

TEST_CASE("a connection that died while it was idle costs no attempt")
{
    World w;
    // The second request arrives on the old connection and is dropped unanswered, as when a timeout crossed it.
    w.node(0).scripts = {stream(), Script{close()}, stream()};
    (void)w.post("/api/chat", chat);
    const auto got = w.post("/api/chat", chat);
    CHECK(body_of(got) == line + done);
    CHECK(field_of(got, "X-Herd-Retries") == "0");
    CHECK(w.books.outcomes.size() == 2);
    CHECK(w.node(0).connections == 2);
}

TEST_CASE("work that may have begun is not sent twice")
{
    for (const auto* path : {"/api/pull", "/api/push", "/api/create"}) {
        World w(2);
        w.node(0).scripts = {{close()}};
        w.node(1).scripts = {answer(200, "{}")};
        const auto got = w.post(path, R"({"model":"m","from":"m"})");
        CHECK(starts(got, "502"));
        CHECK(w.node(0).seen.size() + w.node(1).seen.size() == 1);
    }
}

TEST_CASE("a refused connection began nothing, so a pull may go elsewhere")
{
    World w(2);
    w.node(0).stop();
    w.node(1).scripts = {answer(200, R"({"status":"success"})")};
    CHECK(starts(w.post("/api/pull", R"({"model":"new"})"), "200"));
}

TEST_CASE("a body too long to be kept is streamed once, without failover")
{
    World w(2, {.replay_body = 1000});
    const auto body = R"({"model":"m","prompt":")" + std::string(50000, 'x') + "\"}";
    w.node(0).scripts = {answer(200, "{}")};
    CHECK(starts(w.post("/api/generate", body), "200"));
    CHECK(w.node(0).seen.at(0).body == body);
    w.node(0).scripts = {{close()}};
    w.connect();
    CHECK(starts(w.post("/api/generate", body), "502"));
    CHECK(w.node(1).seen.empty());
}

TEST_CASE("a long body that names its model behind what is kept is refused for that, in every dialect")
{
    World w(1, {.replay_body = 1000});
    const auto behind = R"({"prompt":")" + std::string(50000, 'x') + R"(","model":"m"})";
    for (const std::string path : {"/api/chat", "/api/generate", "/api/embed", "/v1/chat/completions"}) {
        CAPTURE(path);
        const auto got = w.post(path, behind);
        CHECK(starts(got, "413"));
        CHECK(got.find("no model is named in the first part of so large a request") != got.npos);
        w.connect();
    }
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("bodies are kept only as far as the whole process may")
{
    World w(2, {.replay_total = 1000});
    const auto body = R"({"model":"m","prompt":")" + std::string(50000, 'x') + "\"}";
    w.node(0).scripts = {answer(200, "{}")};
    CHECK(starts(w.post("/api/generate", body), "200"));
    CHECK(w.node(0).seen.at(0).body == body);
}

TEST_CASE("a body over the limit is refused")
{
    World w(1, {.max_body = 1000});
    CHECK(starts(w.ask("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n"), "413"));
    w.connect();
    auto got = w.ask("POST /api/chat HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + std::string(2000, ' ') + "\r\n");
    got += w.ask("0\r\n\r\n");
    CHECK(starts(got, "413"));
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("a chunked body arrives")
{
    World w;
    w.node(0).scripts = {answer(200, "{}")};
    const auto got = w.ask("POST /api/generate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "9\r\n{\"model\":\r\n4\r\n\"m\"}\r\n0\r\n\r\n");
    CHECK(starts(got, "200"));
    CHECK(w.node(0).seen.at(0).body == "{\"model\":\"m\"}");
    CHECK(w.node(0).seen.at(0).has("Content-Length: 13"));
}

TEST_CASE("blobs are streamed to one node, and an early answer is passed on")
{
    World w(3);
    const std::string digest = "sha256:" + std::string(64, '0');
    for (auto& node : w.nodes) {
        node->scripts = {answer(201, "")};
    }
    const auto got = w.post("/api/blobs/" + digest, std::string(200000, 'x'));
    CHECK(starts(got, "201"));
    CHECK(w.node(0).seen.size() == 1); // the biggest box
    CHECK(w.node(0).seen[0].body.size() == 200000);
    CHECK(starts(w.ask("HEAD /api/blobs/" + digest + " HTTP/1.1\r\nHost: h\r\n\r\n"), "201"));
    CHECK(w.node(0).seen.size() == 2);
    CHECK(w.shared->replay_bytes == 0);
}

TEST_CASE("an answer that comes before the body was sent is passed on, whether the client sends on or waits")
{
    const std::string head = "POST /api/blobs/sha256:" + std::string(64, '0') + " HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n";
    for (const bool sends_on : {true, false}) {
        World w(1);
        w.node(0).reads_bodies = false;
        w.node(0).scripts = {{pause(20ms), send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), pause(80ms), close()}};
        auto early = w.ask(head + "\r\n" + std::string(30000, 'x'));
        if (sends_on) {
            early += w.ask(std::string(30000, 'x'));
        }
        CHECK(starts(early, "200"));
        CHECK(field_of(early, "Connection") == "close");
    }
    World w(1); // a client that asks first need send nothing
    w.node(0).reads_bodies = false;
    w.node(0).scripts = {{send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), pause(80ms), close()}};
    const auto got = w.ask(head + "Expect: 100-continue\r\n\r\n");
    CHECK(got.find("HTTP/1.1 200") != std::string::npos);
}

TEST_CASE("create goes where the blobs went, and the fleet knows before the client does")
{
    World w(2);
    const std::string digest = "sha256:" + std::string(64, '1');
    w.node(1).scripts = {answer(201, "")};
    (void)w.post("/api/blobs/" + digest, "data", "X-Herd-Node: n2\r\n");
    CHECK(w.node(1).seen.size() == 1);
    bool reread_first = false;
    w.node(1).answers = [&](const Seen& seen) -> Script {
        if (seen.has("GET /api/tags")) {
            reread_first = w.read().find("success") == std::string::npos;
            return answer(200, R"({"models":[{"name":"new:latest","size":1,"digest":"d"}]})");
        }
        return {opening(), chunk("{\"status\":\"writing manifest\"}\n"), pause(10ms), chunk("{\"status\":\"success\"}\n"), end_of_chunks()};
    };
    const auto got = w.post("/api/create", R"({"model":"new","files":{"a.gguf":")" + digest + "\"}}");
    CHECK(got.find("\"success\"") != std::string::npos);
    CHECK(reread_first);
    REQUIRE(w.books.told.size() == 1);
    const auto& read = std::get<fleet::ModelsRead>(w.books.told[0]);
    CHECK(read.id == w.node(1).id);
    REQUIRE(read.models.size() == 1);
    CHECK(read.models[0].key == "registry.ollama.ai/library/new:latest");
}

TEST_CASE("backpressure: a client that does not read holds the node back")
{
    World w(1, {}, {.buffer_bytes = 4096});
    w.connect({.buffer_bytes = 4096});
    Script script{opening()};
    for (int i = 0; i < 100; ++i) {
        script.push_back(chunk(std::string(4000, 'x') + "\n"));
    }
    script.push_back(chunk(done));
    script.push_back(end_of_chunks());
    w.node(0).scripts = {script, answer(200, "{}")};
    w.type("POST /api/generate HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}");
    w.settle(1s);
    CHECK(w.node(0).seen.size() == 1);
    CHECK(w.node(0).scripts.size() == 1);
    CHECK(w.books.out.size() == 1); // still at it
    std::string all;
    for (int i = 0; i < 2000 && all.find("0\r\n\r\n") == std::string::npos; ++i) {
        all += w.read();
        w.settle(1ms);
    }
    CHECK(body_of(all).size() == 100 * 4001 + done.size());
    CHECK(w.books.out.empty());
}

TEST_CASE("whatever operation of the network fails, there is one outcome and nothing is left")
{
    // n counted upward over one proxied request, until it succeeds: client side, then node side.
    for (const bool client_side : {true, false}) {
        for (std::size_t n = 0; n < 200; ++n) {
            World w(2);
            w.node(0).scripts = {stream()};
            w.node(1).scripts = {stream()};
            bool done_well = false;
            if (client_side) {
                w.client->fail_after(n);
            } else {
                w.node(0).scripts = {n % 2 == 0 ? Script{opening(), chunk(line).bytes.size() > n ? send(chunk(line).bytes.substr(0, n)) : chunk(line), reset()}
                                                : Script{send(opening().bytes.substr(0, n * 2)), close()}};
            }
            const auto got = w.post("/api/chat", chat, {}, 100ms);
            done_well = body_of(got) == line + done;
            w.client.reset();
            w.settle(1s);
            CHECK(w.books.out.empty());
            CHECK(w.records.size() <= 1);
            CHECK(w.books.outcomes.size() == w.books.asked.size());
            if (client_side && done_well) {
                break;
            }
            if (!client_side && n > 90) {
                break;
            }
        }
    }
}

TEST_CASE("an agent is shown herd's proof and never a client's, and the client sees none")
{
    World w(2);
    w.node(0).proof = std::make_shared<const std::string>("of herd");
    w.node(0).scripts = {{send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Herd-Proof: echoed\r\nContent-Length: 2\r\n\r\n{}")}};
    const auto got = w.post("/api/chat", chat, "X-Herd-Proof: of a client\r\nx-herd-proof: again\r\n");
    CHECK(starts(got, "200"));
    CHECK(field_of(got, "X-Herd-Proof").empty());
    REQUIRE(w.node(0).seen.size() == 1);
    CHECK(w.node(0).seen[0].has("X-Herd-Proof: of herd\r\n"));
    CHECK_FALSE(w.node(0).seen[0].has("of a client"));
    CHECK_FALSE(w.node(0).seen[0].has("again"));
}

TEST_CASE("a request whose proof an agent refuses is served by another node, and the client never hears of it")
{
    World w(2);
    w.node(0).proof = std::make_shared<const std::string>("too old");
    w.node(0).scripts = {{send("HTTP/1.1 403 Forbidden\r\nX-Herd-Proof: refused\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"), close()}};
    w.node(1).scripts = {stream()};
    const auto got = w.post("/api/chat", chat);
    CHECK(starts(got, "200"));
    CHECK(field_of(got, "X-Herd-Node") == "n2");
    CHECK(w.books.outcomes.at(0).result == Result::refused);
}

TEST_CASE("a node's own 403 is the client's answer")
{
    World w(2);
    w.node(0).proof = std::make_shared<const std::string>("fine");
    w.node(0).scripts = {answer(403, R"({"error":"no"})")};
    CHECK(starts(w.post("/api/chat", chat), "403"));
    CHECK(w.node(1).seen.empty());
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

TEST_CASE("under /api a body is read as it came, whatever encoding it claims: so does Ollama")
{
    World w;
    w.publish({"m"}, {"m:latest"});
    w.node(0).scripts = {answer(200, "{}")};
    for (const std::string encoding : {"gzip", "zstd", "identity"}) {
        CHECK(starts(w.post("/api/chat", R"({"model":"m"})", "Content-Encoding: " + encoding + "\r\n"), "200"));
        CHECK(w.records.back().model == "m:latest");
    }
    CHECK(w.node(0).seen.at(0).has("Content-Encoding: gzip"));
    CHECK(starts(w.post("/api/chat", "\x1f\x8b rubbish", "Content-Encoding: gzip\r\n"), "400"));
    CHECK(w.node(0).seen.size() == 3);
}
