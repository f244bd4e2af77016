// Whole exchanges: bodies of requests, long ones, chunked ones, blobs, and those that are answered early.
#include "streams.hpp"

using namespace herd;
using namespace herd::proxy::testing;

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
