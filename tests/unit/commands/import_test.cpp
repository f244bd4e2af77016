// What `herd import` prints: herd's own reading of its options takes it, whatever stood in the other program's settings.
#include "herd-node/options.hpp"
#include "herd/import/ollama_herd_env.hpp"
#include "herd/import/ollama_herd_files.hpp"
#include "herd/import/ollamaflow_files.hpp"
#include "herd/options.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace herd;
using namespace herd::app;
using import::Row;

namespace {

const Row frontend_row{{"identifier", "f"}, {"name", "F"}, {"hostname", "*"}, {"timeoutms", "60000"}, {"loadbalancing", "RoundRobin"}, {"blockhttp10", "1"},
                       {"maxrequestbodysize", "536870912"}, {"backends", R"(["b"])"}, {"requiredmodels", "[]"}, {"logrequestfull", "0"}, {"logrequestbody", "0"},
                       {"logresponsebody", "0"}, {"usestickysessions", "0"}, {"stickysessionexpirationms", "1800000"}, {"pinnedembeddingsprops", "{}"},
                       {"pinnedcompletionsprops", "{}"}, {"allowretries", "1"}, {"allowembeddings", "1"}, {"allowcompletions", "1"}, {"active", "1"},
                       {"createdutc", "2026-01-01 00:00:00.000000"}};
const Row backend_row{{"identifier", "b"}, {"name", "B"}, {"hostname", "10.0.0.7"}, {"port", "11434"}, {"ssl", "0"}, {"unhealthythreshold", "2"},
                      {"healthythreshold", "2"}, {"healthcheckmethod", "GET"}, {"healthcheckurl", "/"}, {"maxparallelrequests", "4"}, {"ratelimitthreshold", "10"},
                      {"apiformat", "Ollama"}, {"labels", "[]"}, {"pinnedembeddingsprops", "{}"}, {"pinnedcompletionsprops", "{}"}, {"headers", "{}"},
                      {"allowembeddings", "1"}, {"allowcompletions", "1"}, {"active", "1"}};

Row with(Row row, const std::vector<std::pair<std::string, std::string>>& changes)
{
    for (const auto& [column, value] : changes) {
        row[column] = value;
    }
    return row;
}

struct Folder {
    Folder()
    {
        std::string name = (std::filesystem::temp_directory_path() / "herd-import-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }
    std::string path;
};

/// What herd makes of it; the test fails when it refuses.
HerdOptions taken(const std::string& toml)
{
    const Folder folder;
    std::ofstream(folder.path + "/herd.toml") << toml;
    const auto loaded = load_herd_options({"--config", folder.path + "/herd.toml", "--state-dir", folder.path}, {}, folder.path);
    INFO(toml);
    INFO((loaded ? "" : loaded.error().context));
    REQUIRE(loaded);
    return loaded->options;
}

std::string of_flow(const std::vector<Row>& frontends, const std::vector<Row>& backends, std::string_view settings = "")
{
    return import::toml_of_ollamaflow(settings, frontends, backends);
}

/// The remark that has all these words, or the whole text to be looked at.
std::string remark_with(const std::string& toml, const std::vector<std::string>& words)
{
    std::size_t at = 0;
    while (at < toml.size()) {
        const auto end = std::min(toml.find('\n', at), toml.size());
        const std::string line = toml.substr(at, end - at);
        if (line.starts_with('#') && std::ranges::all_of(words, [&](const std::string& word) { return line.contains(word); })) {
            return line;
        }
        at = end + 1;
    }
    return {};
}

struct Odd {
    std::string column;
    std::string value;
    std::vector<std::string> told; ///< field, value, what was done; empty: it is taken as it is
};

} // namespace

TEST_CASE("an odd row of OllamaFlow's is taken by herd, and a remark says what became of it")
{
    const std::vector<Odd> backends{
        {"identifier", "gpu box", {}},
        {"identifier", "*", {"Identifier", "\"backend-*\""}},
        {"identifier", "health", {"Identifier", "\"backend-health\""}},
        {"identifier", "0e0b7a34-3f5c-4d4e-9a55-0d8a3f0f2a11", {"Identifier", "\"backend-0e0b7a34-3f5c-4d4e-9a55-0d8a3f0f2a11\""}},
        {"identifier", std::string(100, 'x'), {"Identifier", "is called"}},
        {"name", "The big one", {"Name \"The big one\"", "left out"}},
        {"hostname", "a host", {"is left out with all else of it", "a host"}},
        {"hostname", "169.254.169.254", {"is left out with all else of it", "link-local"}},
        {"port", "0", {"is left out with all else of it", "port"}},
        {"port", "-1", {"Port \"-1\"", "no such number"}},
        {"ssl", "maybe", {"Ssl \"maybe\"", "neither true nor false"}},
        {"unhealthythreshold", "500", {"UnhealthyThreshold 500", "100 is written"}},
        {"healthythreshold", "0", {"HealthyThreshold 0", "1 is written"}},
        {"healthcheckmethod", "POST", {"HealthCheckMethod \"POST\"", "GET"}},
        {"healthcheckurl", "health", {"HealthCheckUrl \"health\"", "with a / before it"}},
        {"healthcheckurl", "http://x/health", {"HealthCheckUrl", "is left out"}},
        {"maxparallelrequests", "1000000", {"MaxParallelRequests 1000000", "65536 is written"}},
        {"ratelimitthreshold", "3", {"MaxParallelRequests 4", "3 is written"}},
        {"ratelimitthreshold", "999999999", {"RateLimitRequestsThreshold 999999999", "is written"}},
        {"apiformat", "vLLM", {"ApiFormat \"vLLM\"", "left out"}},
        {"labels", R"(["my gpu"])", {"Labels \"my gpu\"", "\"my-gpu\""}},
        {"labels", "gpu", {"Labels \"gpu\"", "no JSON list"}},
        {"pinnedcompletionsprops", R"({"model":"llama3.2:3b","options":{"num_ctx":4096}})", {"PinnedCompletionsProperties", "model", "left out"}},
        {"pinnedcompletionsprops", R"({"options":{"stop":null},"seed":18446744073709551615})", {}},
        {"pinnedembeddingsprops", R"({"a":1,"A":2})", {"PinnedEmbeddingsProperties", "left out"}},
        {"pinnedembeddingsprops", "{", {"PinnedEmbeddingsProperties", "no JSON object"}},
        {"bearertoken", "hush\nhush", {"BearerToken", "left out"}},
        {"querystring", "?a=hush&flag", {"Querystring", "without a value", "NAME="}},
        {"querystring", "=hush", {"Querystring", "left out"}},
        {"querystring", "a=hush%0a", {"Querystring", "left out"}},
        {"headers", R"({"Authorization":"Bearer hush"})", {"Headers Authorization", "written as bearer"}},
        {"headers", R"({"authorization":"Basic hush"})", {"Headers Authorization", "left out"}},
        {"headers", R"({"Host":"hush","X-A":"b"})", {"Headers \"Host\"", "left out"}},
        {"headers", R"({"X-A":null})", {"Headers \"X-A\"", "left out"}},
        {"active", "2", {}},
        {"logrequestbody", "1", {"LogRequestBody \"1\"", "left out"}},
        {"somethingnew", "1", {"somethingnew", "left out"}},
    };
    for (const Odd& odd : backends) {
        const Row row = with(backend_row, {{odd.column, odd.value}});
        const std::string toml = of_flow({frontend_row}, {row});
        INFO(odd.column + " = " + odd.value + "\n" + toml);
        taken(toml);
        std::vector<std::string> words = odd.told;
        words.push_back("backend ");
        CHECK((odd.told.empty() || !remark_with(toml, words).empty()));
        CHECK(remark_with(toml, {"hush"}).empty());
    }
    const std::vector<Odd> frontends{
        {"identifier", "my team", {"Identifier", "\"my-team\""}},
        {"identifier", "", {"Identifier", "\"frontend\""}},
        {"name", std::string(64, 'x'), {"Name", "63 bytes"}},
        {"hostname", "team.lan:8080", {"Hostname \"team.lan:8080\"", "left out"}},
        {"hostname", "*.lan", {"Hostname \"*.lan\"", "every name"}},
        {"timeoutms", "99999999999999", {"TimeoutMs", "left out"}},
        {"timeoutms", "-5", {"TimeoutMs \"-5\"", "no such number"}},
        {"loadbalancing", "Weighted", {"LoadBalancing \"Weighted\"", "left out"}},
        {"loadbalancing", "LeastConnections", {}},
        {"maxrequestbodysize", "0", {"MaxRequestBodySize 0", "left out"}},
        {"backends", R"(["b","*","ghost",7])", {"Backends \"ghost\"", "no such node"}},
        {"backends", "b", {"Backends \"b\"", "no JSON list"}},
        {"requiredmodels", R"(["llama3.2:3b","no model!",1])", {"RequiredModels \"no model!\"", "left out"}},
        {"stickysessionexpirationms", "1", {"StickySessionExpirationMs 1", "10000 is written"}},
        {"pinnedcompletionsprops", "[1]", {"PinnedCompletionsProperties", "no JSON object"}},
        {"allowretries", "perhaps", {"AllowRetries \"perhaps\"", "neither true nor false"}},
        {"active", "0", {"Active 0", "503"}},
        {"blockhttp10", "0", {"BlockHttp10 \"0\"", "left out"}},
    };
    for (const Odd& odd : frontends) {
        const std::string toml = of_flow({with(frontend_row, {{odd.column, odd.value}})}, {backend_row});
        INFO(odd.column + " = " + odd.value + "\n" + toml);
        CHECK(taken(toml).frontends.size() == 1);
        std::vector<std::string> words = odd.told;
        words.push_back("frontend ");
        CHECK((odd.told.empty() || !remark_with(toml, words).empty()));
    }
}

TEST_CASE("nothing that stands in a column of OllamaFlow's makes a file that herd refuses")
{
    const std::vector<std::string> values{"", " ", "x", "\xff\xfe", std::string("a\0b", 3), "\"]\n[[node]]\n", "-1", "99999999999999999999", "9223372036854775808",
                                          "true", "null", "{}", "[]", "[null]", R"({"":""})", R"({"a":{"b":[null,1e300]}})", "[[1]]", R"(["a b","a\u0000","*","é,"])",
                                          std::string(300, '['), R"({"x":)" + std::string(70'000, '1') + "}"};
    for (const bool backend : {true, false}) {
        for (const auto& [column, usual] : backend ? backend_row : frontend_row) {
            for (const std::string& value : values) {
                INFO(column + " = " + value.substr(0, 40));
                const Row odd = with(backend ? backend_row : frontend_row, {{column, value}, {"bearertoken", value}, {"querystring", value}});
                taken(of_flow({backend ? frontend_row : odd}, {backend ? odd : backend_row}));
            }
        }
    }
    for (const std::string_view settings : {"", "no JSON", "[]", "{}", R"({"Webserver":7,"StickyHeaders":["Authorization","x y",1,"X-Thread"]})",
                                            R"({"Webserver":{"Hostname":"gpu.lan","Port":70000}})", R"({"Webserver":{"Hostname":"::1","Port":43411}})"}) {
        taken(of_flow({frontend_row}, {backend_row}, settings));
    }
}

TEST_CASE("of several frontends that want one name or Hostname, one has it")
{
    const auto one = with(frontend_row, {{"identifier", "old"}, {"hostname", "team.lan"}, {"createdutc", "2025-01-01 00:00:00.000000"}});
    const auto two = with(frontend_row, {{"identifier", "new"}, {"hostname", "TEAM.lan"}});
    const auto off = with(frontend_row, {{"identifier", "off"}, {"hostname", "team.lan"}, {"active", "0"}, {"createdutc", "2026-06-01 00:00:00.000000"}});
    const std::string toml = of_flow({two, one, off}, {backend_row});
    const auto options = taken(toml);
    REQUIRE(options.frontends.size() == 3);
    CHECK(options.frontends[0].rules.hostnames == std::vector<std::string>{"team.lan"}); // the newest of those that serve
    CHECK(options.frontends[1].rules.hostnames.empty());
    CHECK(options.frontends[2].rules.hostnames.empty());
    CHECK(options.frontends[0].rules.name == "F");
    CHECK(options.frontends[1].rules.name == "old");
    CHECK_FALSE(remark_with(toml, {"frontend \"old\"", "Hostname", "frontend \"new\" has it"}).empty());
    CHECK_FALSE(remark_with(toml, {"frontend \"off\"", "Name \"F\"", "it is called \"off\""}).empty());
    for (const auto& frontend : options.frontends) {
        CHECK(frontend.rules.allow_model_admin); // as it was
    }
}

TEST_CASE("a server that is there once for each ApiFormat becomes one node for both")
{
    const auto openai = with(backend_row, {{"identifier", "gpu-openai"}, {"hostname", "localhost"}, {"apiformat", "OpenAI"}, {"labels", R"(["eu"])"},
                                           {"pinnedcompletionsprops", R"({"temperature":0})"}, {"active", "0"}, {"maxparallelrequests", "8"}});
    const auto ollama = with(backend_row, {{"identifier", "gpu-ollama"}, {"hostname", "127.0.0.1"}, {"labels", R"(["gpu","eu"])"}, {"bearertoken", "hush"},
                                           {"pinnedcompletionsprops", R"({"options":{"num_ctx":4096}})"}});
    const std::string toml = of_flow({with(frontend_row, {{"backends", R"(["gpu-ollama","gpu-openai"])"}})}, {openai, ollama});
    INFO(toml);
    const auto options = taken(toml);
    REQUIRE(options.nodes.size() == 1);
    const ConfiguredNode& node = options.nodes[0];
    CHECK(node.name == "gpu-openai");
    CHECK(node.api == NodeDialect::ollama);
    CHECK(node.labels == std::vector<std::string>{"eu", "gpu"});
    CHECK(node.bearer == "hush");
    CHECK(node.settings.settings.active);
    CHECK(node.settings.max_parallel == 8);
    CHECK(node.settings.pins.completions_openai == R"({"temperature":0})");
    CHECK(node.settings.pins.completions_ollama == R"({"options":{"num_ctx":4096}})");
    CHECK(node.settings.pins.completions.empty());
    CHECK(options.frontends[0].nodes == std::vector<std::string>{"gpu-openai"});
    CHECK_FALSE(remark_with(toml, {"backend \"gpu-openai\"", "backend \"gpu-ollama\" is the same server", "serves both"}).empty());
    CHECK_FALSE(remark_with(toml, {"MaxParallelRequests 8", "\"gpu-ollama\" (4)"}).empty());
    CHECK(remark_with(toml, {"hush"}).empty());
}

TEST_CASE("what a backend is sent stays what it was")
{
    const auto row = with(backend_row, {{"querystring", "?a=1&b=%20x+y&flag"}, {"headers", R"({"AUTHORIZATION":"bearer hush","X-Team":"red"})"},
                                        {"pinnedcompletionsprops", R"({"Model":"x","options":{"stop":null}})"}, {"labels", R"(["my gpu"])"}, {"unhealthythreshold", "101"}});
    const auto node = taken(of_flow({}, {row})).nodes.at(0);
    CHECK(node.query == std::vector<std::string>{"a=1", "b= x y", "flag="}); // encoded again when it is sent
    CHECK(node.bearer == "hush");
    CHECK(node.headers == std::vector<std::string>{"X-Team=red"});
    CHECK(node.settings.pins.completions == R"({"options":{"stop":null}})");
    CHECK(node.labels == std::vector<std::string>{"my-gpu"});
    CHECK(node.down_after == 100);
}

TEST_CASE("a frontend has the nodes that it listed, under the names they have now")
{
    const auto uuid = with(backend_row, {{"identifier", "0e0b7a34-3f5c-4d4e-9a55-0d8a3f0f2a11"}});
    const auto gone = with(backend_row, {{"identifier", "gone"}, {"hostname", "no host"}});
    const auto options = taken(of_flow({with(frontend_row, {{"backends", R"(["*","gone","0e0b7a34-3f5c-4d4e-9a55-0d8a3f0f2a11"])"}}),
                                        with(frontend_row, {{"identifier", "none"}, {"hostname", "none.lan"}, {"backends", ""}})},
                                       {uuid, gone}));
    CHECK(options.frontends.at(0).nodes == std::vector<std::string>{"backend-0e0b7a34-3f5c-4d4e-9a55-0d8a3f0f2a11"});
    CHECK(options.frontends.at(1).nodes.empty());
}

TEST_CASE("where OllamaFlow listened, and whose conversations it knew")
{
    const auto listened = [](const std::string& host, const std::string& port) {
        return taken(of_flow({}, {}, R"({"Webserver":{"Hostname":")" + host + R"(","Port":)" + port + "}}")).listen.at(0).text();
    };
    CHECK(listened("localhost", "43411") == "127.0.0.1:43411");
    CHECK(listened("*", "8000") == "0.0.0.0:8000");
    CHECK(listened("::1", "8000") == "[::1]:8000");
    CHECK(listened("gpu.lan", "8000") == "0.0.0.0:8000");
    CHECK(listened("localhost", "70000") == "127.0.0.1:43411");
    const std::string toml = of_flow({}, {}, R"({"StickyHeaders":["X-Thread","Authorization"],"Logging":{"a":1},"AdminBearerTokens":["hush"],"Webserver":{"Ssl":{"Enable":true}}})");
    CHECK(taken(toml).session_headers == std::vector<std::string>{"X-Thread"});
    CHECK_FALSE(remark_with(toml, {"StickyHeaders \"Authorization\"", "left out"}).empty());
    CHECK_FALSE(remark_with(toml, {"Logging", "left out"}).empty());
    CHECK_FALSE(remark_with(toml, {"Webserver.Ssl.Enable", "tls.cert"}).empty());
    CHECK_FALSE(toml.contains("hush"));
}

TEST_CASE("an odd setting of Ollama Herd is taken by herd, and a remark says what became of it")
{
    struct Setting {
        std::string line;
        std::vector<std::string> told;
    };
    const std::vector<Setting> settings{
        {"FLEET_HOST=studio.lan", {"FLEET_HOST", "\"studio.lan\"", "every address of this machine"}},
        {"FLEET_HOST=::", {}},
        {"FLEET_PORT=70000", {"FLEET_PORT", "70000 is no port"}},
        {"FLEET_PORT=abc", {"FLEET_PORT \"abc\"", "no such number"}},
        {"fleet_max_retries=99", {"FLEET_MAX_RETRIES 99", "16 is written"}},
        {"FLEET_CLIENT_MAX_IN_FLIGHT=100000", {"FLEET_CLIENT_MAX_IN_FLIGHT 100000", "65534 is written"}},
        {R"(FLEET_ANTHROPIC_MODEL_MAP={"claude_auto":"x","a":"a","b":"no model!","c":1,"default":"qwen3:14b"})", {"FLEET_ANTHROPIC_MODEL_MAP \"a\"", "stands for itself"}},
        {"FLEET_ANTHROPIC_MODEL_MAP=[1]", {"FLEET_ANTHROPIC_MODEL_MAP \"[1]\"", "no JSON object"}},
        {"FLEET_CONTEXT_PROTECTION=odd", {"FLEET_CONTEXT_PROTECTION \"odd\"", "as it is"}},
        {"FLEET_AUTO_PULL=perhaps", {"FLEET_AUTO_PULL \"perhaps\"", "counts as true"}},
        {"FLEET_AUTO_PULL_TIMEOUT=0", {"FLEET_AUTO_PULL_TIMEOUT", "left out"}},
        {"FLEET_DYNAMIC_NUM_CTX=1\nFLEET_NUM_CTX_OVERRIDES={\"a\":1,\"num_ctx\":8192,\"b\":\"8k\",\"m:latest\":8192,\"M\":4096}", {"FLEET_NUM_CTX_OVERRIDES \"a\"", "left out"}},
        {"FLEET_PINNED_MODELS=llama3.2:3b,no model!", {"FLEET_PINNED_MODELS \"no model!\"", "left out"}},
        {"FLEET_NODE_ROUTER_URL=no url", {"FLEET_NODE_ROUTER_URL \"no url\"", "cannot take it"}},
        {"FLEET_ANTHROPIC_REQUIRE_KEY=true", {"FLEET_ANTHROPIC_REQUIRE_KEY", "require_key = true"}},
        {"FLEET_DATA_DIR=/data", {"FLEET_DATA_DIR \"/data\"", "state_dir"}},
        {"FLEET_DISABLE_MODEL_PRELOADER=true\nFLEET_PINNED_MODELS=llama3.2:3b", {"loaded no model", "[[pins]]"}},
        {"FLEET_LONG=" + std::string(2'000'000, 'x'), {"FLEET_LONG"}},
        {"FLEET_WHO_KNOWS=\xff\xfe", {"FLEET_WHO_KNOWS"}},
    };
    std::string all;
    for (const Setting& each : settings) {
        const std::string toml = import::toml_of_ollama_herd(each.line, "");
        INFO(each.line + "\n" + toml);
        taken(toml);
        CHECK((each.told.empty() || !remark_with(toml, each.told).empty()));
        all += each.line + "\n";
    }
    for (const std::string_view pins : {"", "no JSON", "[]", "{}", R"({"nodes":7})", R"({"nodes":{"":["a"],"a":"b","c":["no model!",7,"m"],"d\u0000":["m"]}})"}) {
        taken(import::toml_of_ollama_herd(all, pins));
    }
    CHECK(taken(import::toml_of_ollama_herd("", "")).models.preload_popular);
    CHECK_FALSE(taken(import::toml_of_ollama_herd("FLEET_MODEL_PRELOAD_MAX_COUNT=0", "")).models.preload_popular);
    CHECK(taken(import::toml_of_ollama_herd("FLEET_HOST=::\n", "")).listen.at(0).text() == "[::]:11435");
}

TEST_CASE("what is meant for herd-node is in the form that herd-node reads")
{
    const std::string toml = import::toml_of_ollama_herd("FLEET_NODE_ROUTER_URL=http://10.0.0.5:11435\nFLEET_NODE_OLLAMA_HOST=http://localhost:11434\nFLEET_NODE_NODE_ID=studio\n", "");
    CHECK_FALSE(remark_with(toml, {"# herd = [\"10.0.0.5:11435\"]"}).empty());
    std::string of_node;
    for (const char* key : {"herd = ", "ollama = ", "name = "}) {
        of_node += remark_with(toml, {std::string{"# "} + key}).substr(2) + "\n";
    }
    const Folder folder;
    std::ofstream(folder.path + "/herd-node.toml") << of_node;
    const auto loaded = node::load_node_options({"--config", folder.path + "/herd-node.toml", "--state-dir", folder.path}, {}, folder.path);
    INFO((loaded ? of_node : loaded.error().context));
    REQUIRE(loaded);
    CHECK(loaded->options.herds == std::vector<base::HostPort>{{"10.0.0.5", 11435}});
    CHECK(loaded->options.name == "studio");
    CHECK_FALSE(remark_with(import::toml_of_ollama_herd("FLEET_NODE_ROUTER_URL=10.0.0.5", ""), {"# herd = [\"10.0.0.5:11435\"]"}).empty());
}

TEST_CASE("a setting is a secret by whole words of its name, or by a password in its value")
{
    for (const std::string_view name : {"ANTHROPIC_API_KEY", "TOKEN", "HF_TOKEN", "CLIENT_SECRET", "DB_PASSWORD", "API_KEYS", "REQUIRE_KEY"}) {
        CHECK(import::is_secret(name, "x"));
    }
    CHECK(import::is_secret("AUTH_TOKENS", "abc"));
    CHECK(import::is_secret("PROXY_URL", "http://me:hush@proxy.lan"));
    for (const std::string_view name : {"ANTHROPIC_MAX_PROMPT_TOKENS", "KEYBOARD", "TOKENIZER_DIR", "SECRETARY", "MONKEY_MODE"}) {
        CHECK_FALSE(import::is_secret(name, "180000"));
    }
    const std::string toml = import::toml_of_ollama_herd("FLEET_ANTHROPIC_MAX_PROMPT_TOKENS=180000\nFLEET_ANTHROPIC_API_KEY=hush\n", "");
    CHECK(toml.contains("# FLEET_ANTHROPIC_MAX_PROMPT_TOKENS=180000\n"));
    CHECK_FALSE(toml.contains("hush"));
}
