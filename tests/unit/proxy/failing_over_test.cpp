// Whole exchanges: what fails before the first byte, who is asked next, and when nobody is any more.
#include "streams.hpp"

using namespace herd;
using namespace herd::proxy::testing;
using fleet::Result;

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
