#include "herd/admin/ollamaflow.hpp"
#include "herd/static_nodes.hpp"

#include "support/catch.hpp"

using namespace herd::app::admin;
using ollamaflow::Json;
using ollamaflow::Kind;

namespace {

Json changed(Kind kind, std::string_view body, const Json& now = Json::object())
{
    const auto native = ollamaflow::ours(kind, body, now);
    REQUIRE(native);
    return native->body;
}

const Json node = Json::parse(R"({"name":"b1","url":"https://gpu.lan:8443","health_path":"/health","max_parallel":4,"queue_limit":6,
    "api":"openai","labels":["eu"],"bearer":"***","headers":{"X-A":"***"},"query":{"k":"***"},"active":true,"state":"online",
    "since":"2026-11-29T23:35:46.547Z","latency_ms":1.5,"in_flight":2,"created":"2026-11-29T20:00:00.001Z","updated":"2026-11-29T21:00:00.000Z"})");

} // namespace

TEST_CASE("a frontend of ours reads as one of OllamaFlow's")
{
    const auto shown = ollamaflow::theirs(Kind::frontend, Json::parse(R"({"id":"team-a","name":"Team A","hostnames":["a.lan","b.lan"],
        "first_byte_timeout":"1m","policy":"round_robin","max_body":"1048576","nodes":["b1"],"sticky":true,"sticky_ttl":"30m",
        "pinned_completions":{"seed":1},"allow_retries":false,"active":true,"labels_required":["eu"],"source":"managed",
        "created":"2026-11-29T23:35:46.547Z","updated":"2026-11-30T00:00:00.000Z"})"));
    CHECK(shown == Json::parse(R"({"Identifier":"team-a","Name":"Team A","Hostname":"a.lan","TimeoutMs":60000,"LoadBalancing":"RoundRobin",
        "MaxRequestBodySize":1048576,"Backends":["b1"],"UseStickySessions":true,"StickySessionExpirationMs":1800000,
        "PinnedEmbeddingsProperties":{},"PinnedCompletionsProperties":{"seed":1},"AllowRetries":false,"Active":true,"CreatedUtc":"2026-11-29T23:35:46.547000Z",
        "LastUpdateUtc":"2026-11-30T00:00:00.000000Z"})"));
}

TEST_CASE("a backend of ours reads as one of OllamaFlow's, secrets masked")
{
    const auto shown = ollamaflow::theirs(Kind::backend, node);
    CHECK(shown["Identifier"] == "b1");
    CHECK(shown["Hostname"] == "gpu.lan");
    CHECK(shown["Port"] == 8443);
    CHECK(shown["Ssl"] == true);
    CHECK(shown["ApiFormat"] == "OpenAI");
    CHECK(shown["RateLimitRequestsThreshold"] == 10); // what runs and what waits
    CHECK(shown["BearerToken"] == "***");
    CHECK(shown["Querystring"] == "***");
    CHECK(shown["Healthy"] == true);
    CHECK(shown["HealthySinceUtc"] == "2026-11-29T23:35:46.547000Z");
    CHECK_FALSE(shown.contains("UnhealthySinceUtc"));
    CHECK(shown["CreatedUtc"] == "2026-11-29T20:00:00.001000Z");
    CHECK(shown["LastUpdateUtc"] == "2026-11-29T21:00:00.000000Z");
    CHECK_FALSE(ollamaflow::theirs(Kind::backend, Json{{"name", "x"}}).contains("CreatedUtc")); // nobody wrote it down
    CHECK(shown["ActiveRequests"] == 2);
    Json lost = node;
    lost["state"] = "offline";
    CHECK(ollamaflow::theirs(Kind::backend, lost)["Healthy"] == false);
    CHECK(ollamaflow::theirs(Kind::backend, lost).contains("UnhealthySinceUtc"));
}

TEST_CASE("only what is null is not told: a default is the value in force")
{
    const auto bare = ollamaflow::theirs(Kind::backend, Json::parse(R"({"name":"b1","url":"http://gpu.lan:1","health_path":"","bearer":null,
        "headers":{},"query":{},"labels":[],"api":"ollama","state":"online","latency_ms":null})"));
    CHECK(bare["HealthCheckUrl"] == "/api/version");
    CHECK(bare["HealthCheckMethod"] == "GET");
    CHECK(bare["UnhealthyThreshold"] == 4);
    CHECK(bare["HealthyThreshold"] == 1);
    CHECK(bare["Headers"] == Json::object());
    CHECK(bare["Labels"] == Json::array());
    CHECK(bare["PinnedEmbeddingsProperties"] == Json::object());
    CHECK(bare["PinnedCompletionsProperties"] == Json::object());
    for (const char* null : {"BearerToken", "Querystring", "LatencyMs", "RateLimitRequestsThreshold"}) {
        CHECK_FALSE(bare.contains(null));
    }
    CHECK(ollamaflow::theirs(Kind::backend, Json{{"name", "b2"}, {"api", "openai"}})["HealthCheckUrl"] == "/v1/models");
    CHECK(changed(Kind::backend, bare.dump(), bare) == Json::object());
    const auto off = ollamaflow::theirs(Kind::frontend, Json{{"id", "x"}, {"first_byte_timeout", "0s"}});
    CHECK(off["TimeoutMs"] == 0);
}

TEST_CASE("a backend without a limit has its slots, and sent back they do not become one")
{
    const auto parallel = [](const char* text) { return ollamaflow::theirs(Kind::backend, Json::parse(text))["MaxParallelRequests"]; };
    CHECK(parallel(R"({"name":"x","max_parallel":0,"slots":{"total":3,"free":1}})") == 3);
    CHECK(parallel(R"({"name":"x","max_parallel":2,"slots":{"total":3,"free":1}})") == 2);
    CHECK(parallel(R"({"name":"x"})") == 1); // their least
    const auto shown = ollamaflow::theirs(Kind::backend, Json::parse(R"({"name":"x","url":"http://x:1","max_parallel":0,"queue_limit":5,
        "slots":{"total":3,"free":1}})"));
    CHECK(shown["RateLimitRequestsThreshold"] == 8);
    CHECK(changed(Kind::backend, shown.dump(), shown) == Json::object());
}

TEST_CASE("how long a backend has been there or away is a TimeSpan of .NET")
{
    const auto lasted = [](std::int64_t ms, const char* state = "online") {
        return ollamaflow::theirs(Kind::backend, Json{{"name", "x"}, {"state", state}, {"lasted_ms", ms}});
    };
    CHECK(lasted(1'552'485)["Uptime"] == "00:25:52.4850000");
    CHECK(lasted(93'784'000)["Uptime"] == "1.02:03:04");
    CHECK(lasted(0)["Uptime"] == "00:00:00");
    CHECK(lasted(-5)["Uptime"] == "00:00:00");
    CHECK_FALSE(lasted(5).contains("Downtime"));
    CHECK(lasted(864'000'001, "offline")["Downtime"] == "10.00:00:00.0010000");
    CHECK_FALSE(lasted(5, "offline").contains("Uptime"));
    CHECK(lasted(5)["IsSticky"] == false);
    CHECK_FALSE(changed(Kind::backend, R"({"Uptime":"1.00:00:00","IsSticky":true})").contains("uptime_ms"));
}

TEST_CASE("what OllamaFlow writes is ours in other words")
{
    CHECK(changed(Kind::frontend, R"({"identifier":"a","HOSTNAME":"a.lan","TimeoutMs":1500,"LoadBalancing":"Random","Backends":[]})")
          == Json::parse(R"({"id":"a","hostnames":["a.lan"],"first_byte_timeout":"1500ms","policy":"random","max_body":536870912,"nodes":[],
                             "required_models":[],"sticky":false,"sticky_ttl":"1800000ms","allow_embeddings":true,"allow_completions":true,
                             "allow_retries":true,"active":true})"));
    CHECK(changed(Kind::backend, R"({"Identifier":"b","Hostname":"::1","Port":8000,"Ssl":true,"MaxParallelRequests":4,
                                     "RateLimitRequestsThreshold":10,"ApiFormat":"OpenAI","Querystring":"k=a%20b","BearerToken":"t"})")
          == Json::parse(R"({"name":"b","health_method":"GET","down_after":2,"up_after":1,"api":"openai","labels":[],"allow_embeddings":true,
                             "allow_completions":true,"bearer":"t","query":"k=a%20b","active":true,"max_parallel":4,"queue_limit":6,
                             "url":"https://[::1]:8000"})"));
    CHECK(changed(Kind::backend, R"({"MaxParallelRequests":4,"RateLimitRequestsThreshold":2})")["queue_limit"] == 0);
    CHECK(changed(Kind::backend, "{}")["url"] == "http://localhost:11434");
}

TEST_CASE("a full replace sends only what differs, so that what was read can be written back")
{
    const auto shown = ollamaflow::theirs(Kind::backend, node);
    CHECK(changed(Kind::backend, shown.dump(), shown) == Json::object()); // the secrets stay
    Json other = shown;
    other["MaxParallelRequests"] = 3U;
    CHECK(changed(Kind::backend, other.dump(), shown) == Json::parse(R"({"max_parallel":3,"queue_limit":7})"));
    const auto bare = ollamaflow::ours(Kind::backend, R"({"Labels":["us"]})", shown, true);
    REQUIRE(bare); // it is reached as herd.toml says
    CHECK(bare->body == Json::parse(R"({"labels":["us"],"max_parallel":4,"queue_limit":6})"));
    CHECK(changed(Kind::backend, R"({"Port":9})", shown)["url"] == "https://gpu.lan:9");
}

TEST_CASE("what a full replace does not name has OllamaFlow's default")
{
    const auto made = changed(Kind::frontend, R"({"Identifier":"a","Name":null,"TimeoutMs":null})");
    CHECK(made["hostnames"] == Json{"*"});
    CHECK(made["policy"] == "round_robin");
    CHECK(made["nodes"] == Json::array()); // none
    CHECK(made["first_byte_timeout"] == "60000ms");
    const auto shown = ollamaflow::theirs(Kind::frontend, Json::parse(R"({"id":"a","hostnames":["a.lan"],"policy":"random","nodes":["*"],
        "first_byte_timeout":"5s","max_body":"5","pinned_completions":{"seed":1},"active":false})"));
    CHECK(changed(Kind::frontend, "{}", shown) == Json::parse(R"({"hostnames":["*"],"first_byte_timeout":"60000ms","policy":"round_robin",
        "max_body":536870912,"nodes":[],"pinned_completions":null,"active":true})"));
    const auto all = ollamaflow::theirs(Kind::backend, node);
    CHECK(changed(Kind::backend, "{}", all) == Json::parse(R"({"health_path":null,"down_after":2,"api":"ollama","labels":[],"bearer":null,
        "query":null,"headers":null,"max_parallel":4,"queue_limit":6})"));
    CHECK(changed(Kind::backend, R"({"Identifier":"b"})")["queue_limit"] == 6); // their 4 and 10
}

TEST_CASE("a policy that OllamaFlow has no word for is told apart, and survives being sent back")
{
    for (const char* own : {"cost", "least_busy"}) {
        const auto shown = ollamaflow::theirs(Kind::frontend, Json{{"id", "a"}, {"policy", own}});
        CHECK(shown["LoadBalancing"] == "RoundRobin"); // or a client that knows two words could not read it
        CHECK(shown["Policy"] == own);
        CHECK_FALSE(changed(Kind::frontend, shown.dump(), shown).contains("policy"));
        CHECK_FALSE(changed(Kind::frontend, R"({"LoadBalancing":"RoundRobin"})", shown).contains("policy")); // sent back by one that drops Policy
        CHECK(changed(Kind::frontend, R"({"LoadBalancing":"Random"})", shown)["policy"] == "random");
        CHECK(changed(Kind::frontend, R"({"Policy":"round_robin"})", shown)["policy"] == "round_robin");
    }
    CHECK_FALSE(ollamaflow::theirs(Kind::frontend, Json{{"id", "a"}, {"policy", "random"}}).contains("Policy"));
    CHECK(changed(Kind::frontend, R"({"Policy":"cost"})")["policy"] == "cost");
}

TEST_CASE("an Identifier in the body renames nothing: the path says which it is")
{
    const auto shown = ollamaflow::theirs(Kind::backend, node);
    Json renamed = shown;
    renamed["Identifier"] = "zzz";
    const auto native = ollamaflow::ours(Kind::backend, renamed.dump(), shown);
    REQUIRE(native);
    CHECK_FALSE(native->body.contains("name"));
    CHECK(native->ignored == "Identifier");
    CHECK(ollamaflow::ours(Kind::backend, shown.dump(), shown)->ignored.empty());
    const auto frontend = ollamaflow::ours(Kind::frontend, R"({"identifier":"zzz"})", Json{{"Identifier", "a"}});
    REQUIRE(frontend);
    CHECK_FALSE(frontend->body.contains("id"));
    CHECK(frontend->ignored == "Identifier");
}

TEST_CASE("a node that tells no address can be changed, and is not moved by what does not name one")
{
    const Json now{{"Identifier", "one"}};
    CHECK_FALSE(changed(Kind::backend, R"({"Labels":["eu"]})", now).contains("url"));
    CHECK(changed(Kind::backend, R"({"Hostname":"a.lan"})", now)["url"] == "http://a.lan:11434");
}

TEST_CASE("a backend has one name: another one is passed over and named as such")
{
    const auto ignored = [](Kind kind, std::string_view body, const Json& now = Json::object()) { return ollamaflow::ours(kind, body, now)->ignored; };
    CHECK(ignored(Kind::backend, R"({"Identifier":"one","Name":"Box One"})") == "Name");
    CHECK(ignored(Kind::backend, R"({"Name":"Box One"})", Json{{"Identifier", "one"}}) == "Name");
    CHECK(ignored(Kind::backend, R"({"Identifier":"one","Name":"one"})").empty());
    CHECK(ignored(Kind::backend, R"({"Identifier":"one","Name":null})").empty());
    CHECK(ignored(Kind::frontend, R"({"Identifier":"one","Name":"Box One"})").empty());
}

TEST_CASE("what has no meaning here is named, fit for a field; the wrong kind is left for /herd/v1 to refuse")
{
    const auto native = ollamaflow::ours(Kind::frontend, "{\"BlockHttp10\":true,\"X\\r\\nEvil: 1\":1,\"CreatedUtc\":\"x\",\"LogRequestFull\":1}", Json::object());
    REQUIRE(native);
    CHECK(native->ignored == "BlockHttp10, ?, LogRequestFull");
    const auto wrong = changed(Kind::frontend, R"({"TimeoutMs":"soon","LoadBalancing":"LeastConnections","Hostname":[1]})");
    CHECK(wrong["hostnames"] == Json{1});
    CHECK(wrong["first_byte_timeout"] == "soon");
    CHECK(wrong["policy"] == "LeastConnections");
    CHECK(changed(Kind::frontend, R"({"Hostname":""})")["hostnames"] == Json{""});
    CHECK(changed(Kind::backend, R"({"Hostname":7,"Port":"x"})")["url"] == R"(http://7:"x")");
    CHECK_FALSE(ollamaflow::ours(Kind::frontend, "[]", Json::object()));
    CHECK_FALSE(ollamaflow::ours(Kind::frontend, std::string(1000, '['), Json::object()));
    CHECK_FALSE(ollamaflow::ours(Kind::backend, R"({"Identifier":"health"})", Json::object()));
}

TEST_CASE("an error has their name, and the status that was sent")
{
    CHECK(ollamaflow::error(409, R"({"error":"id: taken"})") == R"({"Error":"Conflict","StatusCode":409,"Message":"id: taken"})");
    CHECK(ollamaflow::error(409, R"({"error":"y"})", true) == R"({"Error":"InUse","StatusCode":409,"Message":"y"})");
    CHECK(ollamaflow::error(412, R"({"error":"x"})") == R"({"Error":"BadRequest","StatusCode":412,"Message":"x"})");
    CHECK(ollamaflow::error(503, "no json") == R"({"Error":"InternalError","StatusCode":503,"Message":""})");
    CHECK(ollamaflow::owns("/v1.0/backends/x"));
    CHECK_FALSE(ollamaflow::owns("/v1/models"));
}

TEST_CASE("a new node's body is parted into how it is reached and its settings")
{
    const auto parts = herd::app::split_new_node(R"({"url":"http://h:1","labels":["x"],"weight":2,"max_parallel":3,"allow_embeddings":false,"tier":1,"models_allow":["m"],"wat":1})");
    REQUIRE(parts);
    CHECK(parts->origin == R"({"labels":["x"],"url":"http://h:1","wat":1,"weight":2})");
    CHECK(parts->settings == R"({"allow_embeddings":false,"max_parallel":3,"models_allow":["m"],"tier":1})");
    const auto made = herd::app::parse_static_node(R"({"url":"http://h:1","query":"a=b%3Dc&d="})");
    REQUIRE(made);
    CHECK(made->query == std::vector<std::string>{"a=b=c", "d="});
    CHECK_FALSE(herd::app::parse_static_node(R"({"url":"http://h:1","query":"a"})"));
    CHECK_FALSE(herd::app::parse_static_node(R"({"url":"http://h:1","query":"a=%zz"})"));
}
