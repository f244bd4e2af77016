#include "herd/node_url.hpp"
#include "herd/scout.hpp"
#include "herd/static_nodes.hpp"
#include "net/tls.hpp"

#include "support/catch.hpp"

#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

using namespace herd;

namespace {

app::NodeSurroundings surroundings()
{
    app::NodeSurroundings around;
    around.listeners = {*base::Endpoint::parse("0.0.0.0:11435"), *base::Endpoint::parse("10.0.0.1:80")};
    around.own_addresses = {*base::IpAddress::parse("10.0.0.1"), *base::IpAddress::parse("fd00::1")};
    around.variable = [](const std::string& name) { return name == "SET" || name == "OLLAMA_API_KEY" ? "key of " + name : ""; };
    return around;
}

base::Result<app::StaticNode> from_json(std::string_view json)
{
    auto settings = app::parse_static_node(json);
    return settings ? app::make_static_node(std::move(*settings), surroundings())
                    : base::Result<app::StaticNode>{std::unexpected(settings.error())};
}

std::string refusal(std::string_view json)
{
    const auto node = from_json(json);
    return node ? std::string{"accepted"} : node.error().context;
}

struct TempFile {
    explicit TempFile(std::string_view text, ::mode_t mode = 0600)
    {
        std::array<char, 32> name{"/tmp/herd-node-XXXXXX"};
        const int fd = ::mkstemp(name.data());
        REQUIRE(fd >= 0);
        ::close(fd);
        path = name.data();
        std::ofstream(path) << text;
        REQUIRE(::chmod(path.c_str(), mode) == 0);
    }
    TempFile(const TempFile&) = delete;
    TempFile& operator=(const TempFile&) = delete;
    ~TempFile() { std::remove(path.c_str()); }
    std::string path;
};

} // namespace

TEST_CASE("a node is named after its address unless told otherwise, and its id follows from its URL")
{
    const auto node = from_json(R"({"url":"http://10.0.0.7:11434"})");
    REQUIRE(node);
    CHECK(node->name == "10.0.0.7:11434");
    CHECK(node->manner == nullptr);
    const auto again = from_json(R"({"url":"http://10.0.0.7:11434/","name":"attic","labels":["eu"],"slots":4})");
    REQUIRE(again);
    CHECK(again->id == node->id);
    CHECK(again->name == "attic");
    CHECK(again->slots == 4);
    CHECK(app::added(*again).address.host_header == "10.0.0.7:11434");
}

TEST_CASE("a URL may be written over the API as in the file: without a scheme it is Ollama's port over http")
{
    for (const auto& [written, meant] : {std::pair{"10.0.0.7", "http://10.0.0.7:11434"}, {"box.lan:22002", "http://box.lan:22002"}, {"http://box.lan", "http://box.lan:80"}}) {
        const auto node = from_json(std::string{R"({"url":")"} + written + R"("})");
        REQUIRE(node);
        CHECK(node->url.text() == meant);
        CHECK(node->settings.url == meant); // what is kept, too
    }
}

TEST_CASE("a node that makes no sense is refused with one sentence that names the field")
{
    const std::vector<std::pair<const char*, const char*>> cases{
        {"", "JSON object"},
        {"[]", "JSON object"},
        {"{}", "url"},
        {R"({"url":5})", "url"},
        {R"({"ulr":"http://a"})", "did you mean \"url\"?"},
        {R"({"url":"ftp://a"})", "ftp"},
        {R"({"url":"http://user:pw@a"})", "user"},
        {R"({"url":"http://a","slots":0})", "slots"},
        {R"({"url":"http://a","slots":"many"})", "slots"},
        {R"({"url":"http://a","labels":"eu"})", "labels"},
        {R"({"url":"http://a","name":7})", "name"},
        {R"({"url":"http://a","api":"grpc"})", "api: must be ollama or openai"},
        {R"({"url":"http://a","kind":"moon"})", "kind: must be static or cloud"},
        {R"({"url":"http://a","weight":0})", "weight"},
        {R"({"url":"http://a","headers":["a=b"]})", "headers: must be an object of strings"},
        {R"({"url":"http://a","headers":{"Host":"b"}})", "headers: \"Host\""},
        {R"({"url":"http://a","headers":{"Authorization":"b"}})", "headers: \"Authorization\""},
        {R"({"url":"http://a","headers":{"X-A":"b\r\nX-B: c"}})", "headers"},
        {R"({"url":"http://a","query":{"a":5}})", "query: must be an object of strings"},
        {R"({"url":"http://a","health_path":"health"})", "health_path"},
        {R"({"url":"https://a","tls":true})", "tls: must be an object"},
        {R"({"url":"https://a","tls":{"verfy":false}})", "did you mean \"tls.verify\"?"},
        {R"({"url":"https://a","tls":{"verify":"no"}})", "tls.verify: must be true or false"},
        {R"({"url":"https://a","tls":{"pin":"abc"}})", "tls.pin"},
        {R"({"url":"https://a","tls":{"ca_file":"/nowhere.pem"}})", "tls.ca_file: cannot read certificates from /nowhere.pem"},
        {R"({"url":"http://a","tls":{"verify":false}})", "need an https URL"},
        {R"({"url":"http://a","proxy":"squid.lan:3128"})", "proxy: expected http://HOST:PORT or socks5://HOST:PORT"},
        {R"({"url":"http://a","proxy":"http://squid.lan"})", "proxy: expected http://HOST:PORT"},
        {R"({"url":"http://a","proxy":"https://squid.lan:3128"})", "proxy: expected http://HOST:PORT"},
        {R"({"url":"http://a","proxy":"http://squid.lan:3128/path"})", "proxy: expected http://HOST:PORT"},
        {R"({"url":"http://a","proxy":"http://me:p%zz@squid.lan:3128"})", "proxy: its user and password must be percent-encoded"},
        {R"({"url":"http://a","proxy":"http://:pw@squid.lan:3128"})", "proxy: its user and password"},
        {R"({"url":"http://a","proxy":"socks5://169.254.169.254:1080"})", "proxy: that is a link-local address"},
        {R"({"url":"http://a","proxy":7})", "proxy: must be a string"},
        {R"({"url":"http://a","bearer_file":"/etc/shadow"})", "bearer_file: only in the configuration file"},
        {R"({"url":"http://a","bearer_env":"HOME"})", "bearer_env: only in the configuration file"},
    };
    for (const auto& [json, expected] : cases) {
        CAPTURE(json);
        const auto node = from_json(json);
        REQUIRE_FALSE(node);
        CHECK(node.error().code == base::Errc::bad_config);
        CHECK(node.error().context.find(expected) != std::string::npos);
    }
}

TEST_CASE("a node is named as herd-node may be named: 63 bytes at most, over the API and in the file")
{
    const auto named = [](std::size_t bytes) { return R"({"url":"http://10.0.0.7:11434","name":")" + std::string(bytes, 'n') + "\"}"; };
    const std::string said = "name: a name has 1 to 63 bytes of UTF-8 and no control characters";
    CHECK(app::split_new_node(named(63)));
    REQUIRE_FALSE(app::split_new_node(named(64)));
    CHECK(app::split_new_node(named(300)).error().context == said);
    CHECK(app::split_new_node(named(0))); // by default its host and port
    const auto before = app::parse_static_node(named(300)); // kept by a herd that took it
    REQUIRE(before);
    CHECK(app::changed_static_node(*before, R"({"labels":["eu"]})", false));
    const auto changed = app::changed_static_node(*before, named(64), false);
    REQUIRE_FALSE(changed);
    CHECK(changed.error().context == said);
}

TEST_CASE("where no node can be, and why")
{
    const std::vector<std::pair<const char*, const char*>> cases{
        {"http://169.254.169.254", "link-local"},   {"http://169.254.1.1:11434", "link-local"},
        {"http://[fe80::1]:11434", "link-local"},   {"http://[fd00:ec2::254]", "metadata"},
        {"http://metadata.google.internal", "metadata"}, {"http://METADATA.google.internal.", "metadata"},
        {"http://100.100.100.200", "metadata"},     {"http://224.0.0.1:11434", "one host"},
        {"http://255.255.255.255", "one host"},     {"http://127.0.0.1:11435", "own address"},
        {"http://localhost:11435", "own address"},  {"https://10.0.0.1:11435", "own address"},
        {"http://[::1]:11435", "own address"},      {"http://0.0.0.0:11435", "own address"},
        {"http://10.0.0.1:80", "own address"},
    };
    for (const auto& [url, why] : cases) {
        CAPTURE(url);
        CHECK(refusal(std::string(R"({"url":")") + url + "\"}").find(why) != std::string::npos);
    }
    for (const char* url : {"http://127.0.0.1:11434", "http://10.0.0.1:11434", "http://127.0.0.1:80", "http://10.0.0.7:11435",
                            "http://node.lan", "https://node.lan", "http://[fd00::2]:11435"}) {
        CAPTURE(url);
        CHECK(refusal(std::string(R"({"url":")") + url + "\"}") == "accepted");
    }
}

TEST_CASE("headers and parameters travel with a node's address, escaped")
{
    const auto node = from_json(
        R"({"url":"https://gpu.lan/base","api":"openai","headers":{"X-Team":"a b"},"query":{"api-version":"1 & 2"},"bearer":"t","weight":2})");
    REQUIRE(node);
    const auto address = app::added(*node).address;
    REQUIRE(address.manner);
    CHECK(address.manner->headers == std::vector<std::pair<std::string, std::string>>{{"X-Team", "a b"}});
    CHECK(address.manner->query == "api-version=1%20%26%202");
    CHECK(address.manner->weight == 2);
    CHECK(address.api() == fleet::NodeApi::openai);
    CHECK(address.bearer == "t");
    CHECK(address.path_prefix == "/base");
    CHECK(address.endpoint.port == 443);
    REQUIRE(address.trust());
    CHECK(address.trust()->host == "gpu.lan");
    CHECK(address.trust()->verify);
}

TEST_CASE("a pin may be written with colons and in either case")
{
    std::string pin;
    for (int i = 0; i < 32; ++i) {
        pin += i == 0 ? "aB" : ":0F";
    }
    const auto node = from_json(R"({"url":"https://a","tls":{"pin":")" + pin + "\"}}");
    REQUIRE(node);
    REQUIRE(node->manner->trust->pin);
    CHECK(node->manner->trust->pin->front() == 0xAB);
    CHECK(node->manner->trust->pin->back() == 0x0F);
}

TEST_CASE("a bearer comes from the text, a variable or a private file; without it the node waits and says why")
{
    const auto made = [](app::ConfiguredNode node) {
        node.url = "http://10.0.0.7:11434";
        return app::make_static_node(std::move(node), surroundings());
    };
    CHECK(made({.bearer = "x"})->bearer == "x");
    CHECK(made({.bearer_env = "SET"})->bearer == "key of SET");
    const auto without = made({.bearer_env = "UNSET"});
    REQUIRE(without);
    CHECK(without->manner->lacking == "no key: set UNSET");
    const TempFile file("secret\nrest");
    CHECK(made({.bearer_file = file.path})->bearer == "secret");
    CHECK(made({.bearer_file = "/nowhere"})->manner->lacking == "no key: put it into /nowhere, there is no such file");
    const TempFile empty_file("\n");
    CHECK(made({.bearer_file = empty_file.path})->manner->lacking == "no key: put it into " + empty_file.path + ", it is empty");
    const auto directory = made({.bearer_file = "/usr"});
    REQUIRE_FALSE(directory);
    CHECK(directory.error().context == "node http://10.0.0.7:11434: bearer_file: cannot read /usr: Is a directory");
    const TempFile open_file("secret", 0644);
    const auto open = made({.bearer_file = open_file.path});
    REQUIRE_FALSE(open);
    CHECK(open.error().context.find("chmod 600") != std::string::npos);
    CHECK(open.error().context.find("secret") == std::string::npos);
    CHECK_FALSE(made({.bearer = "x", .bearer_env = "SET"}));
}

TEST_CASE("the key for Ollama Cloud goes to exactly two origins")
{
    const auto made = [](const char* url, app::NodeKind kind, std::string bearer) {
        return app::make_static_node({.url = url, .kind = kind, .bearer = std::move(bearer)}, surroundings());
    };
    for (const char* url : {"https://ollama.com", "https://api.ollama.com", "https://API.OLLAMA.COM/", "https://ollama.com.",
                            "https://ollama.com:443/v1"}) {
        CAPTURE(url);
        for (const auto kind : {app::NodeKind::cloud, app::NodeKind::plain}) { // it is the cloud, however it is called
            const auto node = made(url, kind, {});
            REQUIRE(node);
            CHECK(node->bearer == "key of OLLAMA_API_KEY");
            CHECK(node->cloud());
            REQUIRE(node->manner->trust);
            CHECK(node->manner->trust->verify);
            CHECK_FALSE(node->manner->trust->pin);
        }
    }
    for (const char* url : {"http://ollama.com", "https://ollama.com.attacker.tld", "https://xollama.com", "https://x-api.ollama.com",
                            "https://ollama.com@evil.tld", "https://evil.tld/ollama.com", "https://evil.tld?h=ollama.com",
                            "https://ollama.com:8443", "http://ollama.com:443", "https://ollama.com..", "https://127.0.0.1",
                            "https://www.ollama.com"}) {
        CAPTURE(url);
        const auto as_cloud = made(url, app::NodeKind::cloud, {});
        CHECK_FALSE(as_cloud);
        const auto as_plain = made(url, app::NodeKind::plain, {});
        CHECK((!as_plain || (as_plain->bearer.empty() && !as_plain->cloud())));
    }
    CHECK_FALSE(made("http://ollama.com", app::NodeKind::plain, "key")); // not even when somebody asks for it
    CHECK_FALSE(made("https://ollama.com:8443", app::NodeKind::plain, "key"));
}

TEST_CASE("the certificate of Ollama Cloud is always verified")
{
    CHECK(refusal(R"({"url":"https://ollama.com","tls":{"verify":false}})").find("always verified") != std::string::npos);
    CHECK(refusal(R"({"url":"https://ollama.com","tls":{"pin":")" + std::string(64, 'a') + "\"}}").find("always verified")
          != std::string::npos);
}

TEST_CASE("the cloud's key is looked for in the variable, then in the keyring; without it nothing is sent")
{
    auto around = surroundings();
    around.variable = [](const std::string& /*name*/) { return std::string{}; };
    const app::ConfiguredNode settings{.url = "https://ollama.com", .kind = app::NodeKind::cloud};
    CHECK(app::make_static_node(settings, around)->manner->lacking == "no key: set OLLAMA_API_KEY");
    around.keyring = [] { return std::string{"from the keyring"}; };
    const auto node = app::make_static_node(settings, around);
    REQUIRE(node);
    CHECK(node->bearer == "from the keyring");
    CHECK(node->manner->lacking.empty());
    const auto elsewhere = app::make_static_node({.url = "https://node.lan"}, around);
    REQUIRE(elsewhere);
    CHECK(elsewhere->bearer.empty());
}

TEST_CASE("what the state file keeps of a node makes the same node")
{
    const auto first = app::parse_static_node(
        R"({"url":"https://a","name":"n","kind":"static","api":"openai","labels":["x"],"slots":3,"weight":0.5,"bearer":"b","headers":{"X-A":"1=2"},"query":{"q":"v"},"health_path":"/h","tls":{"verify":false}})");
    REQUIRE(first);
    const auto second = app::parse_static_node(app::static_node_json(*first));
    REQUIRE(second);
    CHECK(*second == *first);
}

TEST_CASE("a change of a node names what it changes, and \"***\" keeps a secret")
{
    const auto before = app::parse_static_node(R"({"url":"http://a:1","name":"n","labels":["x"],"weight":2,"bearer":"b","headers":{"X-A":"1","X-B":"2"},"query":{"q":"v"}})");
    REQUIRE(before);
    const auto after = [&](std::string_view body, bool replace = false) {
        auto made = app::changed_static_node(*before, body, replace);
        REQUIRE(made);
        return *made;
    };
    CHECK(after("{}") == *before);
    CHECK(after(R"({"bearer":"***","headers":{"X-B":"***","X-C":"3"}})").headers == std::vector<std::string>{"X-B=2", "X-C=3"});
    CHECK(after(R"({"bearer":null})").bearer.empty());
    CHECK(after(R"({"api":"openai","health_path":"/h"})").bearer == "b");
    const auto replaced = after(R"({"query":{"q":"***"}})", true);
    CHECK(replaced.bearer.empty());
    CHECK(replaced.headers.empty());
    CHECK(replaced.query == std::vector<std::string>{"q=v"});
    CHECK(replaced.name == "n");
    CHECK(replaced.labels == std::vector<std::string>{"x"}); // a setting, not how it is reached
    CHECK(replaced.weight == 2);
    const auto fault = [&](std::string_view body) {
        auto made = app::changed_static_node(*before, body, false);
        REQUIRE_FALSE(made);
        return made.error().context;
    };
    CHECK(fault(R"({"headers":{"X-Z":"***"}})").starts_with("headers.X-Z: there is none"));
    CHECK(fault(R"({"tls":{"pinn":"x"}})").starts_with("unknown field \"tls.pinn\""));
    CHECK(fault(R"({"bearer_file":"/etc/shadow"})").starts_with("bearer_file: only in the configuration file"));
    CHECK(fault("[]") == "the body must be a JSON object");
    const auto shown = app::masked_node_json(*before);
    CHECK(shown.find(R"("bearer":"***")") != std::string::npos);
    CHECK(shown.find(R"("headers":{"X-A":"***","X-B":"***"})") != std::string::npos);
    const auto parts = app::split_node_body(R"({"weight":2,"bearer":"x","labels":[]})");
    REQUIRE(parts);
    CHECK(parts->origin == R"({"bearer":"x"})");
    CHECK(parts->settings == R"({"labels":[],"weight":2})");
    CHECK(app::split_node_body(R"({"weight":2})")->origin.empty());
    CHECK_FALSE(app::split_node_body(std::string(1000, '[')).has_value());
}

TEST_CASE("a node behind a proxy is asked at the proxy, in its own name")
{
    const auto made = [](std::string_view json) {
        auto node = from_json(json);
        REQUIRE(node);
        return std::move(*node);
    };
    const auto plain = made(R"({"url":"http://gpu.example:11434","proxy":"socks5://127.0.0.1:1080"})");
    const auto event = app::added(plain);
    CHECK(event.address.endpoint.text() == "127.0.0.1:1080");
    CHECK(event.address.host_header == "gpu.example:11434");
    REQUIRE(event.address.trust());
    CHECK_FALSE(event.address.trust()->tls);
    CHECK(event.address.trust()->tunnel->to_host == "gpu.example");
    CHECK(event.address.trust()->tunnel->to_port == 11434);
    const auto secure = made(R"({"url":"https://gpu.example","proxy":"http://me:p%40ss@Squid.lan:3128"})");
    CHECK(app::first_stop(secure) == base::HostPort{"squid.lan", 3128});
    CHECK(secure.manner->trust->tls);
    CHECK(secure.manner->trust->host == "gpu.example"); // whose certificate it has to be
    CHECK(secure.manner->trust->tunnel->user == "me");
    CHECK(secure.manner->trust->tunnel->password == "p@ss");
    CHECK(app::first_stop(made(R"({"url":"http://gpu.example:11434"})")) == base::HostPort{"gpu.example", 11434});
}

TEST_CASE("the password of a proxy is kept, and never shown")
{
    const auto before = app::parse_static_node(R"({"url":"https://a","proxy":"http://me:secret@squid.lan:3128"})");
    REQUIRE(before);
    CHECK(*app::parse_static_node(app::static_node_json(*before)) == *before);
    CHECK(app::masked_node_json(*before).find(R"("proxy":"http://***@squid.lan:3128")") != std::string::npos);
    CHECK(app::changed_static_node(*before, R"({"proxy":"http://***@squid.lan:3128"})", true)->proxy == before->proxy);
    CHECK(app::changed_static_node(*before, R"({"slots":2})", false)->proxy == before->proxy);
    CHECK(app::changed_static_node(*before, R"({"slots":2})", true)->proxy.empty());
    CHECK(app::changed_static_node(*before, R"({"proxy":null})", false)->proxy.empty());
    const auto open = app::parse_static_node(R"({"url":"https://a","proxy":"http://squid.lan:3128"})");
    CHECK(app::masked_node_json(*open).find(R"("proxy":"http://squid.lan:3128")") != std::string::npos);
    const auto fault = from_json(R"({"url":"https://a","proxy":"http://me:secret@squid.lan:3128/x"})");
    REQUIRE_FALSE(fault);
    CHECK(fault.error().context.find("secret") == std::string::npos);
}

TEST_CASE("why a node did not answer is said in words, not by its address alone")
{
    const auto why = [](base::Errc code, std::string context) {
        return app::why_not_polled({code, base::Source::node, base::Retry::always, std::move(context), {}}, std::chrono::milliseconds{1003});
    };
    CHECK(why(base::Errc::refused, "127.0.0.1:9") == "connection refused");
    CHECK(why(base::Errc::timed_out, "[::1]:9") == "no answer within 1s");
    CHECK(why(base::Errc::timed_out, "resolving box") == "no answer within 1s (resolving box)");
    CHECK(why(base::Errc::unreachable, "10.9.9.9:1") == "no route to this address");
    CHECK(why(base::Errc::reset, {}) == "the connection was closed before an answer came");
    CHECK(why(base::Errc::malformed, "/api/tags is not a list of models") == "/api/tags is not a list of models");
}
