// Whole exchanges: what ends in the middle, by a node, by silence, by an operator or by its client, and who is told what.
#include "streams.hpp"

using namespace herd;
using namespace herd::proxy::testing;
using fleet::Result;

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
         "the answer\"}}\n\n"},
        {"/v1/systemone", "text/event-stream", "data: 1\n\n",
         R"(data: {"error":{"message":"node 'n1' was lost in the middle of the answer","type":"api_error","param":null,"code":"node_failed"}})"
         "\n\n"},
        {"/api/future", "application/x-ndjson", "{\"n\":1}\n", R"({"error":"node 'n1' was lost in the middle of the answer"})" "\n"}};
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

TEST_CASE("a stream of a route that herd does not know ends as it likes")
{
    World w;
    w.node(0).scripts = {{opening("text/event-stream"), chunk("data: 1\n\n"), end_of_chunks()}};
    CHECK(body_of(w.post("/v1/systemone", chat)) == "data: 1\n\n");
    CHECK(w.books.outcomes.at(0).result == Result::served);
    CHECK(w.records.at(0).termination != "ND");
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
