// The whole agent in memory and virtual time, beside an Ollama of a few lines: what it tells, what it relays,
// how it notices its Ollama's death and return, and whom it refuses to serve for.
#include "support/catch.hpp"

#include "fake_ollama.hpp"
#include "herd-node/node_app.hpp"
#include "http/client.hpp"
#include "http/fetch.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

#include <nlohmann/json.hpp>

#include <unistd.h>

using namespace herd;
using namespace herd::node;
using namespace std::chrono_literals;
using test::FakeOllama;
using Json = nlohmann::json;

namespace {

const base::IpAddress node_host = base::IpAddress::v4({10, 0, 0, 7});
const base::IpAddress ollama_host = base::IpAddress::v4({10, 0, 0, 8});
const base::IpAddress client_host = base::IpAddress::v4({10, 0, 0, 9});
const base::Endpoint node_at{node_host, 11436};
const base::Endpoint ollama_at{ollama_host, 11434};

/// A node, its Ollama and a client, on one loop.
struct World {
    net::VirtualTime time{};
    net::Loop loop{};
    testing::MemoryWorld memory{loop};
    std::unique_ptr<net::Network> node_network{memory.host(node_host)};
    std::unique_ptr<net::Network> ollama_network{memory.host(ollama_host)};
    std::unique_ptr<net::Network> client_network{memory.host(client_host)};
    std::unique_ptr<FakeOllama> ollama{};
    std::vector<std::unique_ptr<FakeOllama>> dead{};
    std::unique_ptr<NodeApp> app{};
    http::Pool pool{loop, *client_network, {}};

    explicit World(bool with_ollama = true)
    {
        if (with_ollama) {
            start_ollama();
        }
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    ~World()
    {
        if (app) {
            testing::run(time, loop, app->stop(0s));
        }
        kill_ollama();
        for (auto& one : dead) {
            testing::run(time, loop, one->stop());
        }
    }

    void start_ollama()
    {
        ollama = std::make_unique<FakeOllama>(loop, *ollama_network, testing::memory_socket(ollama_at));
    }
    void kill_ollama()
    {
        if (ollama) {
            memory.kill(ollama_host);
            dead.push_back(std::move(ollama));
        }
    }
    void start_node(NodeOptions options = {})
    {
        options.ollama = *config::parse_backend_url("http://10.0.0.8:11434");
        options.name = "box";
        NodeSockets sockets;
        sockets.http.push_back(testing::memory_socket(node_at));
        NodeIdentity identity;
        identity.id = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
        identity.boot_id = 1767225600000000;
        app = std::make_unique<NodeApp>(loop, *node_network, std::move(options), identity,
                                        discovery::Authenticator{}, std::move(sockets));
        REQUIRE(app->start());
    }
    void run_for(base::Duration span) { time.run_for(loop, span); }
    [[nodiscard]] discovery::State state() const { return app->document().state; }

    http::Answer get(const std::string& target, std::vector<std::pair<std::string, std::string>> fields = {},
                     const std::string& method = "GET", const std::string& body = "")
    {
        http::RequestHead head;
        head.method = method;
        head.target = target;
        for (const auto& [name, value] : fields) {
            head.fields.add(name, value);
        }
        auto answer = testing::run(
            time, loop,
            http::fetch(loop, pool, node_at, std::move(head), body, {.timeout = 30s, .fresh = true}));
        REQUIRE(answer);
        return std::move(*answer);
    }
    Json node_json() { return Json::parse(get("/herd/v1/node").body); }

    /// A connection on which a test reads and writes as it likes.
    std::unique_ptr<net::Stream> dial()
    {
        auto stream = testing::run(time, loop, client_network->connect(node_at, loop.now() + 1s));
        REQUIRE(stream);
        return std::move(*stream);
    }
    void say(net::Stream& stream, std::string_view bytes)
    {
        const std::array pieces{bytes};
        REQUIRE(stream.try_write(pieces).bytes == bytes.size());
        run_for(1ms);
    }
    /// Everything that arrived so far.
    static std::string heard(net::Stream& stream)
    {
        std::string all;
        std::array<char, 4096> block{};
        for (auto io = stream.try_read(block); io.done(); io = stream.try_read(block)) {
            all.append(block.data(), io.bytes);
        }
        return all;
    }
};

} // namespace

TEST_CASE("a node that found its Ollama is READY and tells what it has")
{
    World world;
    world.start_node();
    CHECK(world.state() == discovery::State::init);
    world.run_for(100ms);
    CHECK(world.state() == discovery::State::ready);
    const auto parsed = discovery::parse_node_document(world.get("/herd/v1/node").body);
    REQUIRE(parsed);
    CHECK(parsed->name == "box");
    CHECK(parsed->boot_id == 1767225600000000);
    CHECK(parsed->ollama_version == "0.11.4");
    CHECK(parsed->api_port == 11436);
    CHECK(parsed->agent_port == 11436);
    CHECK(parsed->gateway);
    REQUIRE(parsed->models.size() == 1);
    CHECK(parsed->models[0].name == "tiny:latest");
    CHECK(parsed->models[0].row.find(R"("digest":"d1")") != std::string::npos);
    CHECK(parsed->host.cores_logical.value_or(0) > 0);
    CHECK(parsed->host.memory_total.value_or(0) > 0);
}

TEST_CASE("the ETag follows boot and revision, and 304 saves the document")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    const auto first = world.get("/herd/v1/node");
    const std::string etag{first.head.fields.find("ETag").value_or("")};
    CHECK(etag == "\"1767225600000000-" + std::to_string(world.app->document().state_rev) + "\"");
    const auto same = world.get("/herd/v1/node", {{"If-None-Match", etag}});
    CHECK(same.head.status == 304);
    CHECK(same.body.empty());
    CHECK(world.get("/herd/v1/node", {{"If-None-Match", "\"1-1\""}}).head.status == 200);

    // Load alone changes nothing; a new model does.
    world.run_for(10s);
    CHECK(world.get("/herd/v1/node", {{"If-None-Match", etag}}).head.status == 304);
    world.ollama->tags = R"({"models":[{"name":"other:latest","digest":"d2","size":5}]})";
    world.run_for(35s);
    const auto changed = world.get("/herd/v1/node", {{"If-None-Match", etag}});
    CHECK(changed.head.status == 200);
    CHECK(changed.body.find("other:latest") != std::string::npos);
}

TEST_CASE("the order in which Ollama lists what is loaded is no news")
{
    World world;
    const std::string a = R"({"name":"a:latest","digest":"d1","size":9})";
    const std::string b = R"({"name":"b:latest","digest":"d2","size":9})";
    world.ollama->ps = "{\"models\":[" + a + "," + b + "]}";
    world.start_node();
    world.run_for(100ms);
    const auto rev = world.app->document().state_rev;
    REQUIRE(world.app->document().loaded.size() == 2);
    world.ollama->ps = "{\"models\":[" + b + "," + a + "]}";
    world.run_for(5s);
    CHECK(world.app->document().state_rev == rev);
}

TEST_CASE("the agent's own paths answer by themselves, whatever the method")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    const auto before = world.ollama->targets.size();
    CHECK(world.get("/herd/v1/other").head.status == 404);
    CHECK(world.get("/herd").head.status == 404);
    CHECK(world.get("/herd/v1/node", {}, "POST", "{}").head.status == 405);
    CHECK(world.get("/herd/v1/node", {}, "HEAD").head.status == 200);
    CHECK(world.ollama->targets.size() == before);
}

TEST_CASE("what is Ollama's to answer is relayed, on paths that other programs keep for themselves, too")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    for (const char* path : {"/healthz", "/metrics", "/readyz"}) {
        (void)world.get(path);
        CHECK(world.ollama->count(path) == 1);
    }
}

TEST_CASE("a watcher hears one line at once, one per change, and one now and then")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    auto stream = world.dial();
    world.say(*stream, "GET /herd/v1/watch HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto hello = World::heard(*stream);
    CHECK(hello.find("200 OK") != std::string::npos);
    CHECK(hello.find("\"state\":\"ready\"") != std::string::npos);
    world.run_for(5s);
    CHECK(World::heard(*stream).empty());
    world.run_for(6s);
    CHECK(World::heard(*stream).find("\"state\":\"ready\"") != std::string::npos);

    world.kill_ollama();
    world.run_for(2ms);
    CHECK(World::heard(*stream).find("\"state\":\"backend_down\"") != std::string::npos);
    stream->close();
    world.run_for(10ms);
}

TEST_CASE("the death of Ollama is known within milliseconds, its return by itself")
{
    World world;
    world.start_node();
    world.run_for(3s);
    REQUIRE(world.state() == discovery::State::ready);
    const auto rev = world.app->document().state_rev;
    world.kill_ollama();
    world.run_for(1ms);
    CHECK(world.state() == discovery::State::backend_down);
    CHECK(world.app->document().state_reason.find("10.0.0.8:11434") != std::string::npos);
    world.run_for(10s);
    CHECK(world.state() == discovery::State::backend_down);

    world.start_ollama();
    world.ollama->version = "0.12.0";
    world.run_for(400ms);
    CHECK(world.state() == discovery::State::ready);
    CHECK(world.app->document().ollama_version == "0.12.0");
    CHECK(world.app->document().state_rev > rev);
    CHECK(world.ollama->count("/ollana/api/authorize") == 1); // asked again after the restart
}

TEST_CASE("without an Ollama the node says so, and begins when one comes")
{
    World world(false);
    world.start_node();
    world.run_for(300ms);
    CHECK(world.state() == discovery::State::backend_down);
    CHECK(world.get("/api/tags").head.status == 503);
    world.start_ollama();
    world.run_for(400ms);
    CHECK(world.state() == discovery::State::ready);
    CHECK(world.get("/api/tags").head.status == 200);
}

TEST_CASE("an Ollama that hangs counts as down after two silent seconds, and comes back when it speaks")
{
    World world;
    world.start_node();
    world.run_for(2500ms);
    world.ollama->silent = true;
    world.run_for(1s);
    CHECK(world.state() == discovery::State::ready);
    world.run_for(2s);
    CHECK(world.state() == discovery::State::backend_down);
    world.ollama->silent = false;
    world.run_for(2s);
    CHECK(world.state() == discovery::State::ready);
}

TEST_CASE("an Ollama that hangs is noticed whatever was being asked when it froze")
{
    for (const auto phase : {1900ms, 2000ms, 2100ms, 2600ms, 3900ms, 30'000ms}) {
        CAPTURE(phase.count());
        World world;
        world.start_node();
        world.run_for(phase);
        world.ollama->silent = true;
        world.run_for(3s);
        CHECK(world.state() == discovery::State::backend_down);
        world.ollama->silent = false;
        world.run_for(2s);
        CHECK(world.state() == discovery::State::ready);
    }
}

TEST_CASE("an Ollana proxy, a herd-node and a herd are refused with a sentence, and watched for a cure")
{
    for (const int which : {0, 1, 2, 3}) {
        CAPTURE(which);
        World world;
        (which == 0       ? world.ollama->authorize_status
             : which == 1 ? world.ollama->authorize_status
             : which == 2 ? world.ollama->node_status
                          : world.ollama->status_status) = which == 0 ? 401 : 200;
        world.start_node();
        world.run_for(500ms);
        CHECK(world.state() == discovery::State::backend_down);
        CHECK(world.app->backend().state == BackendState::refused);
        const auto& reason = world.app->document().state_reason;
        CHECK(reason.find(which < 2        ? "Ollana"
                              : which == 2 ? "herd-node"
                                           : "is a herd,")
              != std::string::npos);
        const auto before = world.ollama->count("/api/tags");
        CHECK(world.get("/api/tags").head.status == 503);
        CHECK(world.ollama->count("/api/tags") == before);

        world.ollama->authorize_status = world.ollama->node_status = world.ollama->status_status = 404;
        world.run_for(6s);
        CHECK(world.state() == discovery::State::ready);
    }
}

TEST_CASE("a backend that is the agent itself is refused without a question")
{
    World world(false);
    NodeOptions options;
    options.ollama = *config::parse_backend_url("http://10.0.0.7:11436");
    NodeSockets sockets;
    sockets.http.push_back(testing::memory_socket(node_at));
    NodeIdentity identity;
    identity.id = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
    world.app = std::make_unique<NodeApp>(world.loop, *world.node_network, options, identity,
                                          discovery::Authenticator{}, std::move(sockets));
    REQUIRE(world.app->start());
    world.run_for(500ms);
    CHECK(world.app->backend().state == BackendState::refused);
    CHECK(world.app->document().state_reason.find("itself") != std::string::npos);
}

TEST_CASE("the gateway relays heads and bodies, with Host rewritten and Origin and hop-by-hop fields gone")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    auto stream = world.dial();
    world.say(*stream,
              "POST /api/echo?x=1 HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://localhost:3000\r\n"
              "Connection: X-Hop\r\nX-Hop: 1\r\nX-Custom: yes\r\nTransfer-Encoding: chunked\r\n\r\n"
              "8\r\n{\"model\"\r\n8\r\n:\"tiny\"}\r\n0\r\n\r\n");
    const auto answer = World::heard(*stream);
    CHECK(answer.starts_with("HTTP/1.1 200"));
    CHECK(answer.ends_with("\r\n\r\n{\"model\":\"tiny\"}"));
    stream->close();
    const auto& seen = world.ollama->last_fields;
    CHECK(world.ollama->targets.back() == "/api/echo?x=1");
    CHECK(seen.find("Host") == "10.0.0.8:11434");
    CHECK_FALSE(seen.find("Origin"));
    CHECK_FALSE(seen.find("X-Hop"));
    CHECK(seen.find("X-Custom") == "yes");
    CHECK(seen.find("Via").value_or("").find("0f8fad5b") != std::string_view::npos);
    CHECK(world.get("/no/such/path").body == "404 page not found");
}

TEST_CASE("a stranger's web page is held to Ollama's own rule")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    const auto before = world.ollama->targets.size();
    CHECK(world.get("/api/tags", {{"Origin", "https://evil.example"}}).head.status == 403);
    CHECK(world.ollama->targets.size() == before);
    const auto fine = world.get("/api/tags", {{"Origin", "http://localhost:3000"}});
    CHECK(fine.head.status == 200);
    CHECK(fine.head.fields.find("Access-Control-Allow-Origin") == "http://localhost:3000");
}

TEST_CASE("who comes by loopback must call this machine by its own name: a rebound web page comes so too")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    auto here = world.memory.host(base::IpAddress::loopback());
    const auto ask = [&](net::Network& from, const std::string& fields) {
        auto stream = testing::run(world.time, world.loop, from.connect(node_at, world.loop.now() + 1s));
        REQUIRE(stream);
        world.say(**stream, "GET /api/tags HTTP/1.1\r\n" + fields + "\r\n");
        world.run_for(50ms);
        return World::heard(**stream).substr(0, 12);
    };
    const auto before = world.ollama->targets.size();
    CHECK(ask(*here, "Host: evil.com:11436\r\n") == "HTTP/1.1 403");
    CHECK(ask(*here, "Host: evil.com:11436\r\nOrigin: http://evil.com:11436\r\n") == "HTTP/1.1 403");
    CHECK(world.ollama->targets.size() == before);
    std::array<char, 256> name{};
    REQUIRE(::gethostname(name.data(), name.size() - 1) == 0);
    for (const std::string& host : {std::string("127.0.0.1:11436"), std::string("localhost:11436"), std::string("LOCALHOST"), std::string("[::1]:11436"),
                                    std::string("box.local"), std::string("10.0.0.7:11436"), std::string(name.data())}) {
        INFO(host);
        CHECK(ask(*here, "Host: " + host + "\r\n") == "HTTP/1.1 200");
    }
    CHECK(ask(*world.client_network, "Host: whatever.example\r\n") == "HTTP/1.1 200"); // a herd may call it anything
}

TEST_CASE("a request that came past this node before is a loop")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    const auto before = world.ollama->targets.size();
    const auto answer = world.get("/api/tags", {{"Via", "1.1 herd-0f8fad5b-d9cb-469f-a165-70867728950e"}});
    CHECK(answer.head.status == 508);
    CHECK(world.ollama->targets.size() == before);
}

TEST_CASE("a stream passes piece by piece, with no limit on the wait for the first")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    auto stream = world.dial();
    world.say(*stream,
              "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{\"model\":\"tiny\"}");
    world.run_for(30min); // a model loads
    CHECK(World::heard(*stream).empty());
    CHECK(world.app->document().in_flight == 1);
    for (int i = 0; i < 3; ++i) {
        world.ollama->step();
        world.run_for(1ms);
        const auto piece = World::heard(*stream);
        CHECK(piece.find("{\"piece\":" + std::to_string(i) + "}") != std::string::npos);
        if (i == 0) {
            CHECK(piece.starts_with("HTTP/1.1 200 OK\r\n"));
        }
    }
    world.run_for(2s);
    CHECK(world.app->document().in_flight == 0);
    CHECK_FALSE(world.ollama->client_left);
    CHECK(world.ollama->last_body == "{\"model\":\"tiny\"}");
    stream->close();
}

TEST_CASE("a client that leaves ends Ollama's work at once, before and after the first byte")
{
    for (const bool after_first : {false, true}) {
        CAPTURE(after_first);
        World world;
        world.start_node();
        world.run_for(100ms);
        auto stream = world.dial();
        world.say(*stream, "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
        if (after_first) {
            world.ollama->step();
            world.run_for(1ms);
            CHECK_FALSE(World::heard(*stream).empty());
        }
        REQUIRE(world.ollama->generating == 1);
        stream->close();
        world.run_for(2ms);
        CHECK(world.ollama->client_left);
        CHECK(world.ollama->generating == 0);
        world.run_for(2s);
        CHECK(world.app->document().in_flight == 0);
    }
}

TEST_CASE("an answer cut short by Ollama's death is cut short for the client too")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    auto stream = world.dial();
    world.say(*stream, "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    world.ollama->step();
    world.run_for(1ms);
    CHECK_FALSE(World::heard(*stream).empty());
    world.kill_ollama();
    world.run_for(5ms);
    const auto rest = World::heard(*stream);
    CHECK(rest.find("0\r\n\r\n") == std::string::npos);
    std::array<char, 16> block{};
    const auto io = stream->try_read(block);
    CHECK((io.state == net::Io::State::end || io.state == net::Io::State::failed));
}

TEST_CASE("a request that catches Ollama dying gets 502, and the node knows")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    auto stream = world.dial();
    world.say(*stream, "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    world.kill_ollama();
    world.run_for(5ms);
    CHECK(World::heard(*stream).starts_with("HTTP/1.1 502"));
    CHECK(world.state() == discovery::State::backend_down);
    stream->close();
}

TEST_CASE("what a request may have changed is asked soon after it")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    const auto tags = world.ollama->count("/api/tags");
    world.ollama->tags = R"({"models":[]})";
    CHECK(world.get("/api/delete", {}, "DELETE", "{\"model\":\"tiny\"}").head.status == 200);
    world.run_for(100ms);
    CHECK(world.ollama->count("/api/tags") == tags + 1);
    CHECK(world.app->document().models.empty());

    const auto ps = world.ollama->count("/api/ps");
    world.ollama->pieces = 1;
    auto stream = world.dial();
    world.say(*stream, "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    world.ollama->ps = R"({"models":[{"name":"tiny:latest","digest":"d1","size":9,"context_length":4096}]})";
    world.ollama->step();
    world.run_for(100ms);
    CHECK(world.ollama->count("/api/ps") >= ps + 1);
    REQUIRE(world.app->document().loaded.size() == 1);
    CHECK(world.app->document().loaded[0].context_length == 4096);
    stream->close();
}

TEST_CASE("with the gateway off nothing is relayed, and herds are sent to Ollama's own port")
{
    World world;
    NodeOptions options;
    options.gateway = false;
    world.start_node(options);
    world.run_for(100ms);
    CHECK(world.get("/api/tags").head.status == 404);
    CHECK(world.app->document().api_port == 11434);
    CHECK(world.app->document().agent_port == 11436);
}

TEST_CASE("--advertise and --slots reach the document")
{
    World world;
    NodeOptions options;
    options.advertise = base::HostPort{"192.0.2.5", 8080};
    options.slots = 3;
    options.labels = {"eu"};
    world.ollama->ps = R"({"models":[{"name":"tiny:latest","digest":"d1","size":9}]})";
    world.start_node(options);
    world.run_for(100ms);
    const auto& document = world.app->document();
    CHECK(document.api_port == 8080);
    REQUIRE(document.addresses.size() == 1);
    CHECK(document.addresses[0].address.text() == "192.0.2.5");
    CHECK(document.slots == 3);
    REQUIRE(document.loaded.size() == 1);
    CHECK(document.loaded[0].slots == 3);
    CHECK(document.labels == std::vector<std::string>{"eu"});
}

TEST_CASE("more work than slots makes the node BUSY while it lasts")
{
    World world;
    world.ollama->ps = R"({"models":[{"name":"tiny:latest","digest":"d1","size":9}]})";
    world.start_node();
    world.run_for(100ms);
    std::vector<std::unique_ptr<net::Stream>> streams;
    for (int i = 0; i < 3; ++i) {
        streams.push_back(world.dial());
        world.say(*streams.back(), "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    }
    CHECK(world.state() == discovery::State::ready);
    world.run_for(3s);
    CHECK(world.state() == discovery::State::busy);
    CHECK(world.app->document().queued == 2);
    for (auto& stream : streams) {
        stream->close();
    }
    world.run_for(3s);
    CHECK(world.state() == discovery::State::ready);
}

TEST_CASE("a stopping node drains: announces it, finishes what runs, refuses what is new")
{
    World world;
    world.start_node();
    world.run_for(100ms);
    auto running = world.dial();
    world.say(*running, "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    auto idle = world.dial();
    bool stopped = false;
    asio::co_spawn(world.loop.context(), world.app->stop(30s), [&](std::exception_ptr) { stopped = true; });
    world.run_for(50ms);
    CHECK(world.state() == discovery::State::draining);
    CHECK_FALSE(stopped);
    world.say(*idle, "GET /api/tags HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(World::heard(*idle).starts_with("HTTP/1.1 503"));
    for (int i = 0; i < 3; ++i) {
        world.ollama->step();
        world.run_for(1ms);
    }
    CHECK(World::heard(*running).ends_with("0\r\n\r\n"));
    world.run_for(2s);
    CHECK(stopped);
    world.app.reset();
}

TEST_CASE("a model of Ollama's takes the name of a tool on the same node, whoever asks")
{
    World world;
    NodeOptions options;
    options.media.image = {{"tiny", {"true", "{prompt}", "{output}"}}, {"painter", {"true", "{prompt}", "{output}"}}};
    world.start_node(options);
    world.run_for(100ms);
    const auto models = world.node_json()["models"];
    REQUIRE(models.size() == 2);
    CHECK((models[0]["name"] == "tiny:latest" && models[1]["name"] == "painter:latest"));
    CHECK(models[0]["digest"] == "d1"); // Ollama's
    const auto ask = [&](const std::string& target) {
        return world.get(target, {{"Content-Type", "application/json"}}, "POST", R"({"model":"Tiny","prompt":"a cat"})");
    };
    const auto refused = ask("/api/generate-image");
    CHECK(refused.head.status == 404);
    CHECK(refused.body == R"({"error":"image model 'Tiny' not found; available: painter"})");
    (void)ask("/v1/images/generations");
    CHECK(world.ollama->count("/v1/images/generations") == 1);
    world.ollama->tags = R"({"models":[]})";
    world.run_for(31s); // it was deleted: the tool has its name
    const auto tools = world.node_json()["models"];
    REQUIRE(tools.size() == 2);
    CHECK((tools[0]["name"] == "tiny:latest" && tools[0]["digest"] != "d1"));
}
