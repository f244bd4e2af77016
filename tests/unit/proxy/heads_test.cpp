#include "proxy/cors.hpp"
#include "proxy/heads.hpp"
#include "proxy/profile.hpp"
#include "proxy/proxy.hpp"
#include "support/catch.hpp"

using namespace herd;
using namespace herd::proxy;
using namespace std::chrono_literals;

namespace {

http::RequestHead request(std::initializer_list<std::pair<std::string_view, std::string_view>> fields,
                          std::string_view method = "GET")
{
    http::RequestHead head;
    head.method = method;
    for (const auto& [name, value] : fields) {
        head.fields.add(name, value);
    }
    return head;
}

CorsPolicy::Verdict judge(std::string_view origin, std::string_view method = "GET", std::vector<std::string> extra = {})
{
    return CorsPolicy(extra).judge(request({{"Host", "herd:11435"}, {"Origin", origin}}, method));
}

} // namespace

TEST_CASE("pages that Ollama allows are allowed, others are not")
{
    using enum CorsPolicy::Verdict;
    for (const auto* origin : {"http://localhost", "http://localhost:3000", "https://127.0.0.1", "https://0.0.0.0:1", "app://obsidian.md",
                               "file://x", "tauri://localhost", "vscode-webview://abc", "vscode-file://x"}) {
        CHECK(judge(origin) == allowed);
        CHECK(judge(origin, "OPTIONS") == preflight);
    }
    for (const auto* origin : {"http://evil.example", "chrome-extension://abc", "null", "http://localhost.evil.example", "https://10.0.0.1"}) {
        CHECK(judge(origin) == refused);
        CHECK(judge(origin, "OPTIONS") == refused);
    }
    CHECK(judge("http://herd:11435") == none);
    CHECK(judge("https://herd:11435", "OPTIONS") == none);
    CHECK(judge("") == none);
    CHECK(CorsPolicy({}).judge(request({{"Host", "x"}})) == none);
}

TEST_CASE("further origins have at most one star")
{
    using enum CorsPolicy::Verdict;
    CHECK(judge("https://a.lan", "GET", {"https://*.lan"}) == allowed);
    CHECK(judge("https://a.lan.evil", "GET", {"https://*.lan"}) == refused);
    CHECK(judge("https://one", "GET", {"https://one,https://two"}) == allowed);
    CHECK(judge("http://anything", "GET", {"*"}) == allowed);
    http::Fields fields;
    CorsPolicy({"*"}).mark(request({{"Origin", "http://x"}}), fields);
    CHECK(fields.find("Access-Control-Allow-Origin") == "*");
    CHECK_FALSE(fields.find("Vary"));
    fields.clear();
    CorsPolicy({}).mark_preflight(request({{"Origin", "http://localhost:1"}}), fields);
    CHECK(fields.find("Access-Control-Allow-Origin") == "http://localhost:1");
    CHECK(fields.find("Access-Control-Allow-Methods") == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS");
    CHECK(fields.find("Access-Control-Max-Age") == "43200");
    CHECK(fields.find("Access-Control-Allow-Headers")->starts_with("Authorization,Content-Type,User-Agent,"));
    CHECK(fields.find("Vary") == "Origin,Access-Control-Request-Method,Access-Control-Request-Headers");
}

TEST_CASE("credentials and what is ours go no further")
{
    auto client = request({{"Host", "herd"}, {"Authorization", "Bearer a"}, {"x-api-key", "b"}, {"Cookie", "c"}, {"Origin", "d"},
                           {"Referer", "e"}, {"X-Herd-Node", "f"}, {"x-fleet-no-fallback", "g"}, {"X-OllamaFlow-Label", "h"},
                           {"Connection", "close, X-Secret"}, {"X-Secret", "i"}, {"Proxy-Authorization", "j"}, {"proxy-features", "l"}, {"X-Forwarded-For", "k"},
                           {"Via", "1.1 other"}, {"User-Agent", "ua"}, {"X-Mine", "1"}, {"X-Mine", "2"}},
                          "POST");
    client.target = "/api/chat?x=1";
    fleet::Address address;
    address.endpoint = *base::Endpoint::parse("10.0.0.7:11434");
    address.path_prefix = "/ollama";
    address.bearer = "secret";
    const auto head = node_head(client, address, *base::Endpoint::parse("192.168.1.2:5"), "id");
    CHECK(head.method == "POST");
    CHECK(head.target == "/ollama/api/chat?x=1");
    CHECK(head.fields.find("Host") == "10.0.0.7:11434");
    CHECK(head.fields.count("Host") == 1);
    CHECK(head.fields.find("Authorization") == "Bearer secret");
    CHECK(head.fields.count("Authorization") == 1);
    CHECK(head.fields.find("X-Forwarded-For") == "192.168.1.2");
    CHECK(head.fields.count("X-Mine") == 2);
    CHECK(head.fields.find("User-Agent") == "ua");
    for (const auto* gone : {"x-api-key", "Cookie", "Origin", "Referer", "X-Herd-Node", "x-fleet-no-fallback", "X-OllamaFlow-Label",
                             "Connection", "X-Secret", "Proxy-Authorization", "Proxy-Features"}) {
        CHECK_FALSE(head.fields.find(gone));
    }
    bool via = false;
    for (const auto one : head.fields.list("Via")) {
        via = via || one == "1.1 herd-id";
    }
    CHECK(via);
    address.host_header = "localhost:11434";
    CHECK(node_head(client, address, {}, "id").fields.find("Host") == "localhost:11434");
}

TEST_CASE("what a person said about a node is in every head for it, and the client's own word does not count")
{
    auto client = request({{"X-Team", "of the client"}, {"X-Mine", "1"}}, "POST");
    client.target = "/v1/chat/completions?x=1";
    auto manner = std::make_shared<fleet::Manner>();
    manner->headers = {{"X-Team", "blue"}};
    manner->query = "token=a%20b";
    fleet::Address address;
    address.endpoint = *base::Endpoint::parse("10.0.0.7:11434");
    address.path_prefix = "/base";
    address.manner = manner;
    const auto head = node_head(client, address, *base::Endpoint::parse("192.168.1.2:5"), "id", true);
    CHECK(head.target == "/base/v1/chat/completions?x=1&token=a%20b");
    CHECK(head.fields.count("X-Team") == 1);
    CHECK(head.fields.find("X-Team") == "blue");
    CHECK(head.fields.find("X-Forwarded-Proto") == "https");
    http::RequestHead own;
    own.target = "/api/version";
    address_to(own, address);
    CHECK(own.target == "/base/api/version?token=a%20b");
    CHECK(own.fields.find("X-Team") == "blue");
    manner->cloud = true; // outside of the LAN nobody hears who asked, or through whom
    const auto outside = node_head(client, address, *base::Endpoint::parse("192.168.1.2:5"), "id");
    for (const auto* gone : {"X-Forwarded-For", "X-Forwarded-Proto", "Via"}) {
        CHECK_FALSE(outside.fields.find(gone));
    }
}

TEST_CASE("a node's CORS fields are not the client's, everything else is")
{
    http::ResponseHead node;
    node.status = 201;
    node.fields.add("Content-Type", "text/x");
    node.fields.add("Access-Control-Allow-Origin", "*");
    node.fields.add("X-Herd-Node", "liar");
    node.fields.add("Set-Cookie", "a");
    node.fields.add("Set-Cookie", "b");
    node.fields.add("Keep-Alive", "5");
    const auto head = client_head(node);
    CHECK(head.status == 201);
    CHECK(head.fields.count("Set-Cookie") == 2);
    CHECK(head.fields.size() == 3);
}

namespace {
Wishes wishes_of(const http::Fields& fields) { return read_wishes(fields, ProxyOptions{}.session_headers); }
} // namespace

TEST_CASE("wishes are read from header fields, nonsense is overlooked")
{
    const auto wishes = wishes_of(request({{"X-Herd-Node", "n1"}, {"X-Herd-Label", "EU, fast"}, {"X-OllamaFlow-Label", "eu"}, {"X-Herd-Priority", "Batch"},
                                             {"X-Herd-Tags", "a,b"}, {"X-Herd-Deadline", "1.5"}, {"X-OpenWebUI-Chat-Id", "c"}, {"X-Request-Id", "my-own_id.7"}})
                                        .fields);
    CHECK(wishes.node == "n1");
    CHECK(wishes.labels == std::vector<std::string>{"eu", "fast"});
    CHECK(wishes.priority == fleet::Priority::batch);
    CHECK(wishes.tags == std::vector<std::string>{"a", "b"});
    CHECK(wishes.deadline == 1500ms);
    CHECK(wishes.session == "c");
    CHECK(wishes.request_id == "my-own_id.7");
    const auto bad = wishes_of(request({{"X-Herd-Priority", "x"}, {"X-Herd-Deadline", "-1"}, {"X-Request-Id", "a b"}, {"X-Herd-Session", ""}}).fields);
    CHECK(bad.priority == fleet::Priority::normal);
    CHECK_FALSE(bad.deadline);
    CHECK(bad.request_id.empty());
    CHECK(wishes_of(request({{"X-Herd-Deadline", "0.3"}}).fields).deadline == 300ms);
    CHECK(wishes_of(request({{"X-Herd-Deadline", "5"}}).fields).deadline == 5s);
    CHECK_FALSE(wishes_of(request({{"X-Herd-Deadline", "99999999"}}).fields).deadline);
}

TEST_CASE("a conversation's key stands in the first field that is configured for it")
{
    const auto session = [](std::vector<std::pair<std::string, std::string>> fields, const std::vector<std::string>& names) {
        http::Fields all;
        for (const auto& [name, value] : fields) {
            all.add(name, value);
        }
        return read_wishes(all, names).session;
    };
    const auto usual = ProxyOptions{}.session_headers;
    CHECK(session({{"X-Thread-Id", "t"}, {"x-conversation-id", "c"}}, usual) == "c");
    CHECK(session({{"X-Thread-Id", "t"}, {"X-Herd-Session", "s"}}, usual) == "s");
    CHECK(session({{"X-Thread-Id", "t"}}, {"Chat"}).empty());
    CHECK(session({{"chat", "7"}}, {"Chat"}) == "7"); // no other wish begins like that
    CHECK(session({{"Chat", "7"}, {"X-Herd-Session", "s"}}, {"Chat"}) == "s");
    CHECK(session({{"Chat", std::string(257, 'x')}}, {"Chat"}).empty());
}

TEST_CASE("a conversation is known by its own field, or by those that other clients send")
{
    const auto session = [](std::vector<std::pair<std::string, std::string>> fields) {
        http::RequestHead head;
        for (const auto& [name, value] : fields) {
            head.fields.add(name, value);
        }
        return wishes_of(head.fields).session;
    };
    CHECK(session({{"x-conversation-id", "one"}}) == "one");
    CHECK(session({{"X-Conversation-ID", "one"}}) == "one");
    CHECK(session({{"x-thread-id", "two"}}) == "two");
    CHECK(session({{"X-OpenWebUI-Chat-Id", "three"}}) == "three");
    CHECK(session({{"x-thread-id", "two"},
                   {"x-conversation-id", "one"},
                   {"X-OpenWebUI-Chat-Id", "three"},
                   {"X-Herd-Session", "own"}})
          == "own");
    CHECK(session({{"x-thread-id", "two"}, {"X-OpenWebUI-Chat-Id", "three"}}) == "three");
    CHECK(session({{"x-thread", "no"}}).empty());
}

TEST_CASE("requests that name no good model are refused in Ollama's words")
{
    const auto refusal = [](std::string_view path, std::string_view body) {
        const auto route = classify(path == "/api/delete" ? "DELETE" : "POST", path, "");
        const auto reading = read_request(route, peek_json(body), body, true, {});
        return reading.then == Reading::Then::refuse ? std::to_string(reading.problem.status) + " " + reading.problem.message
               : reading.then == Reading::Then::any  ? "any"
                                                     : "ok";
    };
    CHECK(refusal("/api/generate", "") == "400 missing request body");
    CHECK(refusal("/api/generate", "{}") == "404 model '' not found");
    CHECK(refusal("/api/generate", "{bad") == "400 invalid character 'b' looking for beginning of object key string");
    CHECK(refusal("/api/generate", R"({"model":"bad name!"})") == "400 invalid model name");
    CHECK(refusal("/api/generate", R"({"model":"x:cloud:local"})") == "400 use either :local or :cloud, not both: \"x:cloud:local\"");
    CHECK(refusal("/api/generate", R"({"model":5})") == "any");
    CHECK(refusal("/api/chat", "{}") == "400 model is required");
    CHECK(refusal("/api/embeddings", "{}") == "400 model is required");
    CHECK(refusal("/api/embed", "{}") == "404 model \"\" not found, try pulling it first");
    CHECK(refusal("/api/show", "{}") == "400 model is required");
    CHECK(refusal("/api/show", R"({"name":"x"})") == "ok");
    CHECK(refusal("/api/delete", "{}") == "400 model is required");
    CHECK(refusal("/v1/chat/completions", "{bad") == "400 invalid character 'b' looking for beginning of object key string");
    CHECK(refusal("/v1/chat/completions", "{}") == "any");
    CHECK(refusal("/api/chat", R"({"model":"tiny:local"})") == "ok");
}

TEST_CASE("models are named case-insensitively, with Ollama's defaults")
{
    const auto route = classify("POST", "/api/chat", "");
    CHECK(read_model("TINY", route)->key == read_model("registry.ollama.ai/library/tiny:latest", route)->key);
    CHECK(read_model("tiny:local", route)->key == read_model("tiny", route)->key);
    CHECK(read_model("tiny", route)->text == "tiny");
    CHECK(read_model("gpt-oss:20b-cloud", route)->cloud);
    CHECK(read_model("gpt-oss:cloud", route)->cloud);
    CHECK_FALSE(read_model("tiny", route)->cloud);
}
