#include "herd/cli/verbs.hpp"
#include "herd/command_line.hpp"

#include "support/catch.hpp"

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>
#include <stdlib.h>

using namespace herd;
using namespace std::chrono_literals;

namespace {

const config::Environment home{{"HOME", "/nowhere"}, {"STATE_DIRECTORY", "/state"}};

app::CommandLine parse(const std::vector<std::string>& words, config::Environment environment = home)
{
    return app::parse_command_line(words, environment, "/nowhere");
}

app::HerdOptions options_of(const std::vector<std::string>& words, config::Environment environment = home)
{
    auto line = parse(words, std::move(environment));
    if (const auto* exit = std::get_if<app::ExitNow>(&line)) {
        FAIL(exit->text);
    }
    return std::get<app::ServeOptions>(line).options;
}

std::string error_of(const std::vector<std::string>& words, config::Environment environment = home)
{
    const auto line = parse(words, std::move(environment));
    const auto* exit = std::get_if<app::ExitNow>(&line);
    REQUIRE(exit != nullptr);
    CHECK(exit->code == 2);
    CHECK(exit->text.ends_with("\n"));
    CHECK(std::ranges::count(exit->text, '\n') == 1); // one sentence
    return exit->text;
}

/// A configuration file, gone at the end.
struct File {
    explicit File(const std::string& content)
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "herd-XXXXXX.toml").string();
        const int fd = ::mkstemps(pattern.data(), 5);
        REQUIRE(fd >= 0);
        std::ofstream(pattern) << content;
        path = pattern;
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { std::filesystem::remove(path); }
    std::string path;
};

} // namespace

TEST_CASE("herd without words serves with the documented defaults")
{
    const auto o = options_of({});
    REQUIRE(o.listen.size() == 1);
    CHECK(o.listen[0].text() == "0.0.0.0:11435");
    CHECK(o.state_dir == "/state");
    CHECK(o.discovery.enabled);
    CHECK(o.discovery.port == 11436);
    CHECK(o.discovery.join == app::JoinMode::open);
    CHECK(o.scheduler.queue_per_model == 256);
    CHECK(o.scheduler.queue_timeout == 300s);
    CHECK(o.scheduler.hold_timeout == 30s);
    CHECK(o.scheduler.retries == 2);
    CHECK(o.proxy.max_body == 512 * base::mib);
    CHECK(o.proxy.connect_timeout == 300ms);
    CHECK(o.proxy.shutdown_grace == 30s);
    CHECK(o.warnings.empty());
    CHECK(options_of({"serve", "--listen", ":0"}).listen[0].port == 0);
}

TEST_CASE("the flags of the contract are understood")
{
    const auto o = options_of({"--listen",
                               "127.0.0.1:1",
                               "--listen",
                               "[::1]:2",
                               "--discovery-port",
                               "3",
                               "--interface",
                               "lo",
                               "--exclude-interface",
                               "eth0",
                               "--node",
                               "http://10.0.0.1:11434",
                               "--node",
                               "attic",
                               "--state-dir",
                               "x",
                               "--threads",
                               "4",
                               "--log-level",
                               "debug",
                               "--log-format",
                               "json",
                               "--log-file",
                               "l.txt",
                               "-d",
                               "--pid-file",
                               "p"});
    CHECK(o.listen[1].text() == "[::1]:2");
    CHECK(o.discovery.port == 3);
    CHECK(o.discovery.interfaces == std::vector<std::string>{"lo"});
    CHECK(o.discovery.exclude_interfaces == std::vector<std::string>{"eth0"});
    REQUIRE(o.nodes.size() == 2);
    CHECK(o.nodes[1].url == "http://attic:11434");
    CHECK(o.state_dir == "/nowhere/x");
    CHECK(o.threads == 4);
    CHECK(o.log.level == log::Level::debug);
    CHECK(o.log.format == log::Format::json);
    CHECK(o.log.file == "/nowhere/l.txt");
    CHECK(o.daemon);
    CHECK(o.pid_file == "/nowhere/p");
    CHECK_FALSE(options_of({"--no-discovery"}).discovery.enabled);
    const auto daemon = options_of({"-d"});
    CHECK(daemon.pid_file == "/state/herd.pid");
    CHECK(daemon.log.file == "/state/herd.log");
}

TEST_CASE("the environment has the names of the contract")
{
    const auto o = options_of({},
                              {{"STATE_DIRECTORY", "/s"},
                               {"HERD_LISTEN", "127.0.0.1:5"},
                               {"HERD_DISCOVERY_PORT", "6"},
                               {"HERD_SCHEDULER_QUEUE_TIMEOUT", "7s"},
                               {"HERD_NODE", "a,b"},
                               {"HERD_URL", "x"},
                               {"HERD_NODE_NAME", "x"},
                               {"HERD_DISCOVERY_PROT", "1"}});
    CHECK(o.listen[0].port == 5);
    CHECK(o.discovery.port == 6);
    CHECK(o.scheduler.queue_timeout == 7s);
    CHECK(o.nodes.size() == 2);
    CHECK(o.warnings
          == std::vector<std::string>{
              "HERD_DISCOVERY_PROT is not a setting (did you mean HERD_DISCOVERY_PORT?)"});
}

TEST_CASE("the file of the contract is accepted")
{
    const File file(R"(
listen = ["0.0.0.0:11435"]
state_dir = "/var/lib/herd"
threads = 0                      # 0 = one per core

[discovery]
enabled = true
port = 11436
join = "open"                    # open | approve | key
fleet_key_file = "/etc/herd/fleet.key"

[scheduler]
queue_per_model = 256
queue_timeout = "300s"
retries = 2

[[node]]                         # a plain Ollama, LAN or cloud
name = "attic"
url = "http://192.168.1.20:11434"
labels = ["eu"]

[[frontend]]                     # virtual endpoint, see parity.md
name = "team-a"
hostnames = ["team-a.lan"]

[store]
path = "requests.db"             # relative to state_dir
retention = "30d"
)");
    const auto o = options_of({"--config", file.path, "--node", "10.0.0.1"});
    REQUIRE(o.nodes.size() == 2);
    CHECK(o.nodes[0].name == "attic");
    CHECK(o.nodes[0].labels == std::vector<std::string>{"eu"});
    CHECK(o.store.retention == 24h * 30);
    CHECK(o.config_file == file.path);
    CHECK(o.store.path.ends_with("/requests.db"));
    CHECK(o.store.path.starts_with("/"));
    CHECK(o.warnings.empty());

    const auto checked = parse({"--config", file.path, "--check-config"});
    const auto& exit = std::get<app::ExitNow>(checked);
    CHECK(exit.code == 0);
    CHECK(exit.text.find("\n[[node]]\nurl = \"http://192.168.1.20:11434\"\nname = \"attic\"\n")
          != std::string::npos);
    CHECK(exit.text.find(file.path + " line 4\n") != std::string::npos);
    const File again(exit.text);
    CHECK(options_of({"--config", again.path}).nodes.size() == 1);
}

TEST_CASE("all that can be said of a node is read, and what is shown of it is read again")
{
    const File file("[[node]]\nname = \"gpu\"\nurl = \"https://gpu.lan:8443/base\"\napi = \"openai\"\nweight = 2.5\nslots = 16\n"
                    "bearer_file = \"gpu.key\"\nheaders = { X-Team = \"blue\", \"X-B\" = \"a=b\" }\nquery = [\"v=1\"]\n"
                    "health_path = \"/health\"\ntls.verify = false\ntls.ca_file = \"ca.pem\"\n[[node]]\nurl = \"ollama.com\"\nkind = \"cloud\"\n");
    const auto options = options_of({"--config", file.path});
    REQUIRE(options.nodes.size() == 2);
    const auto& node = options.nodes.front();
    CHECK(node.url == "https://gpu.lan:8443/base");
    CHECK(node.api == app::NodeDialect::openai);
    CHECK(node.weight == 2.5);
    CHECK(node.headers == std::vector<std::string>{"X-B=a=b", "X-Team=blue"});
    CHECK(node.query == std::vector<std::string>{"v=1"});
    CHECK(node.bearer_file.ends_with("/gpu.key"));
    CHECK(node.tls_ca_file.starts_with("/"));
    CHECK_FALSE(node.tls_verify);
    CHECK(options.nodes.back().url == "https://ollama.com:443");
    CHECK(options.nodes.back().kind == app::NodeKind::cloud);
    const auto checked = parse({"--config", file.path, "--check-config"});
    const auto& exit = std::get<app::ExitNow>(checked);
    CHECK(exit.code == 0);
    CHECK(exit.text.find("\ntls.verify = false") != std::string::npos);
    CHECK(exit.text.find("blue") == std::string::npos);
}

TEST_CASE("aliases are read, shown so that they can be read again, and their faults have a line")
{
    const File file("[aliases]\n\"claude-sonnet-4.5\" = \"coder\"\ncoder = \"qwen3-coder:30b\"\nclaude_auto = true\n\"gpt-*\" = \"llama3.2\"\n");
    const auto aliases = options_of({"--config", file.path}).aliases;
    CHECK(aliases.claude_auto);
    CHECK(aliases.list.size() == 3);
    const auto checked = parse({"--config", file.path, "--check-config"});
    const auto& exit = std::get<app::ExitNow>(checked);
    CHECK(exit.code == 0);
    CHECK(exit.text.find("\n[aliases]\n\"claude-sonnet-4.5\" = \"coder\"\n") != std::string::npos);
    const File again(exit.text);
    CHECK(options_of({"--config", again.path}).aliases == aliases);
    CHECK(options_of({}, {{"HERD_ALIASES", "a=b,c=d:1b"}, {"HERD_ALIASES_CLAUDE_AUTO", "on"}}).aliases
          == proxy::AliasConfig{{{"a", "b"}, {"c", "d:1b"}}, true});

    const auto fault = [](const std::string& lines) {
        const File bad("[aliases]\n" + lines);
        auto text = error_of({"--config", bad.path});
        const auto at = text.find("line ");
        return at == std::string::npos ? text : text.substr(at);
    };
    CHECK(fault("a = \"b\"\nself = \"SELF:latest\"\n") == "line 3: aliases.self: \"self\" stands for itself\n");
    CHECK(fault("z = \"a\"\na = \"z\"\n") == "line 2: aliases.z: \"a\" leads round in a circle: it stands for no model\n");
    CHECK(fault("foo = \"a\"\n\"Foo:latest\" = \"b\"\n").starts_with("line 2: aliases.foo: \"Foo:latest\" and \"foo\" are one name"));
    CHECK(fault("a = 5\n") == "line 2: aliases.a expects a string in quotes\n");
    CHECK(fault("claude_auto = \"maybe\"\n").starts_with("line 2: aliases.claude_auto expects true or false"));
    CHECK(fault("\"a b\" = \"c\"\n").starts_with("line 2: aliases.a b: \"a b\" is no name"));
    CHECK(fault("gpt-4.1 = \"c\"\n") == "line 2: aliases.gpt-4 expects a string in quotes\n");
    CHECK(error_of({}, {{"HERD_ALIASES", "a=b,b=a"}}).find("HERD_ALIASES \"a=b\", \"b=a\": \"a\" leads round in a circle") != std::string::npos);
}

TEST_CASE("what counts for models is read, shown so that it can be read again, and its faults have a line")
{
    const File good("[models]\nnum_ctx = \"protect\"\nkeep_alive = \"30m\"\nkeep_alive_max = -1\n[models.\"llama3.1:8b\"]\nnum_ctx = 16384\nkeep_alive = \"1h\"\n[models.e]\nkeep_alive = -1\n");
    const auto rules = options_of({"--config", good.path}).models.rules;
    CHECK(rules.protect);
    CHECK(rules.keep_alive == 30min);
    CHECK(rules.keep_alive_max == proxy::for_ever);
    CHECK(rules.each == std::vector<proxy::ModelRule>{{"e", {}, proxy::for_ever}, {"llama3.1:8b", 16384, 1h}});
    const auto checked = parse({"--config", good.path, "--check-config"});
    CAPTURE(std::get<app::ExitNow>(checked).text);
    const File again(std::get<app::ExitNow>(checked).text);
    CHECK(options_of({"--config", again.path}).models.rules == rules);
    CHECK(options_of({}, {{"HERD_MODELS_KEEP_ALIVE", "-1"}, {"HERD_MODELS_NUM_CTX", "protect"}}).models.rules
          == proxy::ModelRulesConfig{.protect = true, .keep_alive = proxy::for_ever});
    const auto fault = [](const std::string& lines) {
        const File bad("[models]\n" + lines);
        auto text = error_of({"--config", bad.path});
        return text.substr(std::min(text.find("line "), text.size()));
    };
    CHECK(fault("m = 5\n") == "line 2: models.m expects a table with num_ctx and keep_alive\n");
    CHECK(fault("keep_alife = \"5m\"\n").find("there is no such key") != std::string::npos);
    CHECK(fault("m = { num_ctx = 2 }\n").starts_with("line 2: models.m: num_ctx expects a number of tokens from 4 to 16777216"));
    CHECK(fault("m = { context = 2 }\n").starts_with("line 2: models.m: unknown key \"context\""));
    CHECK(fault("m = { keep_alive = \"soon\" }\n").starts_with("line 2: models.m: keep_alive expects a time such as 30m, or -1 for ever"));
    CHECK(fault("m = { num_ctx = 512 }\n\"M:latest\" = { num_ctx = 512 }\n").find("twice") != std::string::npos);
    CHECK(fault("keep_alive = \"soon\"\n").starts_with("line 2: models.keep_alive"));
}

TEST_CASE("pins are read, shown so that they can be read again, and their faults have a line")
{
    const File file("[[pins]]\nmodel = \"qwen3:8b\"\n[[pins]]\nmodel = \"m\"\nnode = \"studio\"\n[[pins]]\nmodel = \"e\"\nreplicas = 0\n");
    const auto pins = options_of({"--config", file.path}).pins;
    CHECK(pins == std::vector<app::ConfiguredPin>{{"qwen3:8b", "", 1}, {"m", "studio", 1}, {"e", "", 0}});
    const auto checked = parse({"--config", file.path, "--check-config"});
    const File again(std::get<app::ExitNow>(checked).text);
    CHECK(options_of({"--config", again.path}).pins == pins);
    const auto fault = [](const std::string& lines) {
        const File bad(lines);
        auto text = error_of({"--config", bad.path});
        return text.substr(std::min(text.find("line "), text.size()));
    };
    CHECK(fault("[[pins]]\nnode = \"a\"\n") == "line 1: [[pins]] needs a model\n");
    CHECK(fault("[[pins]]\nmodel = \"a b\"\n").starts_with("line 2: model \"a b\": expected the name of a model"));
    CHECK(fault("[[pins]]\nmodel = \"x:cloud\"\n").starts_with("line 2: model \"x:cloud\""));
    CHECK(fault("[[pins]]\nmodel = \"a\"\nnode = \"n\"\nreplicas = 2\n") == "line 1: [[pins]] names a node: replicas are for pins without one\n");
}

TEST_CASE("the settings in force name the file, and what its repeated tables set")
{
    const File file("[[node]]\nurl = \"http://10.0.0.7:11434\"\nbearer = \"hunter2\"\nlabels = [\"eu\"]\n"
                    "[[frontend]]\nname = \"Team\"\nhostnames = [\"team.example\"]\n[[required]]\nmodel = \"qwen3:8b\"\nreplicas = 2\n");
    auto line = parse({"--config", file.path, "--node", "http://10.0.0.8:11434"});
    const auto json = nlohmann::json::parse(std::get<app::ServeOptions>(line).effective_json);
    CHECK(json["config_file"]["value"] == file.path);
    CHECK(json["node"]["from"] == "[[node]]");
    REQUIRE(json["node"]["value"].size() == 2);
    CHECK(json["node"]["value"][0] == nlohmann::json::parse(R"({"url":"http://10.0.0.7:11434","labels":["eu"],"bearer":"********"})"));
    CHECK(json["node"]["value"][1]["url"] == "http://10.0.0.8:11434");
    CHECK(json["frontend"]["value"][0]["hostnames"] == nlohmann::json{"team.example"});
    CHECK(json["required"]["value"][0] == nlohmann::json::parse(R"({"model":"qwen3:8b","replicas":2})"));
    auto bare = parse({});
    const auto defaults = nlohmann::json::parse(std::get<app::ServeOptions>(bare).effective_json);
    CHECK_FALSE(defaults.contains("node"));
    CHECK_FALSE(defaults.contains("config_file"));
}

TEST_CASE("secrets are not shown")
{
    const File file("[discovery]\nfleet_key = \"00112233445566778899aabbccddeeff\"\n[[node]]\nurl = "
                    "\"a\"\nbearer = \"hunter2\"\n");
    auto line = parse({"--config", file.path});
    const auto& serve = std::get<app::ServeOptions>(line);
    CHECK(serve.options.nodes.at(0).bearer == "hunter2");
    for (const std::string& text : {serve.effective, serve.effective_json}) {
        CHECK(text.find("hunter2") == std::string::npos);
        CHECK(text.find("00112233") == std::string::npos);
    }
}

TEST_CASE("mistakes are one sentence that names the place and the nearest word")
{
    CHECK(error_of({"--discvery-port", "1"})
          == "herd: unknown option --discvery-port (did you mean \"--discovery-port\"?)\n");
    CHECK(error_of({"--port", "9"}) == "herd: unknown option --port: here it is --listen HOST:PORT\n"); // Ollama Herd's
    CHECK(error_of({"serve", "--host=::"}) == "herd: unknown option --host: here it is --listen HOST:PORT\n");
    CHECK(error_of({"--discovery-port", "99999"})
          == "herd: --discovery-port \"99999\": expected a number from 0 to 65535\n");
    CHECK(error_of({"stauts"})
          == "herd: unknown command \"stauts\" (did you mean \"status\"?); herd --help lists them\n");
    CHECK(error_of({"requsts"}).find("unknown command \"requsts\" (did you mean \"requests\"?)") != std::string::npos);
    CHECK(error_of({"serve", "extra"}) == "herd: unexpected argument \"extra\"\n");
    CHECK(error_of({"serve", "status"}) == "herd: \"status\" is a command of its own, not a word for `herd serve`: herd status --help tells more\n");
    CHECK(error_of({"serve", "stauts"}) == "herd: unexpected argument \"stauts\" (did you mean \"status\"?)\n");
    CHECK(error_of({}, {{"HERD_PROXY_MAX_BODY", "lots"}})
              .starts_with("herd: HERD_PROXY_MAX_BODY \"lots\": expected a size"));
    CHECK(error_of({"--config", "missing.toml"})
          == "herd: cannot read missing.toml: No such file or directory\n");
    CHECK(error_of({"--config", "/usr"}) == "herd: cannot read /usr: Is a directory\n");
    const File file("[discovery]\nprot = 1\n");
    CHECK(error_of({"--config", file.path})
          == "herd: " + file.path
              + " line 2: unknown key \"discovery.prot\" (did you mean \"discovery.port\"?)\n");
    CHECK(error_of({"--tls-cert", "a.pem"}) == "herd: tls.cert and tls.key need each other\n");
    CHECK(error_of({"--tls-cert", "a", "--tls-key", "b", "--tls-self-signed"}).find("exclude each other") != std::string::npos);
    const File only("[tls]\nonly = true\n");
    CHECK(error_of({"--config", only.path}) == "herd: " + only.path + " line 2: tls.only needs tls.cert and tls.key, or tls.self_signed\n");
    const File weight("[[node]]\nurl = \"a\"\nweight = 0\n");
    CHECK(error_of({"--config", weight.path}).find("line 3: weight") != std::string::npos);
    const File header("[[node]]\nurl = \"a\"\nheaders = { X-A = 5 }\n");
    CHECK(error_of({"--config", header.path}).find("line 3: headers.X-A expects a string") != std::string::npos);
    const File named("[[node]]\nurl = \"a\"\nname = \"" + std::string(64, 'n') + "\"\n");
    CHECK(error_of({"--config", named.path}).find("a name has 1 to 63 bytes") != std::string::npos);
    const File key("[[node]]\nurl = \"a\"\ntls.verfy = false\n");
    CHECK(error_of({"--config", key.path}).find("did you mean \"tls.verify\"?") != std::string::npos);
    CHECK(error_of({"--node", "a", "--node", "http://a:11434"}).find("configured already")
          != std::string::npos);
    CHECK(error_of({"--join", "key"}).find("fleet_key_file") != std::string::npos);
    CHECK(error_of({"--listen", "example.com:1"}).find("write it in numbers") != std::string::npos);
    const File twice("[[node]]\nurl = \"http://a:11434\"\n[[node]]\nurl = \"a\"\n");
    CHECK(error_of({"--config", twice.path}).find("line 3: another [[node]] (line 1) has the url")
          != std::string::npos);
}

TEST_CASE("verbs take their words and options in any order")
{
    const auto verb_of = [](const std::vector<std::string>& words, config::Environment environment = home) {
        auto line = parse(words, std::move(environment));
        if (const auto* exit = std::get_if<app::ExitNow>(&line)) {
            FAIL(exit->text);
        }
        return std::get<app::Verb>(line);
    };
    CHECK(verb_of({"status"}).url.text() == "http://127.0.0.1:11435");
    CHECK(verb_of({"--json", "--url", "h", "status"}).url.text() == "http://h:11435");
    CHECK(verb_of({"--json", "status"}).json);
    CHECK(verb_of({"status"}, {{"HERD_URL", "http://h:1"}, {"HERD_API_KEY", "k"}}).url.text()
          == "http://h:1");
    CHECK(verb_of({"status"}, {{"HERD_API_KEY", "k"}}).key == "k");
    CHECK(verb_of({"drain", "gpu 1", "--key", "x"}).words == std::vector<std::string>{"gpu 1"});
    CHECK(verb_of({"nodes", "add", "http://a", "--label", "x", "--label", "y", "--name", "n"}).labels.size()
          == 2);
    CHECK(error_of({"drain"}) == "herd: drain needs a name or id (usage: herd drain NODE)\n");
    CHECK(error_of({"status", "now"}).find("unexpected argument \"now\"") != std::string::npos);
    CHECK(error_of({"nodes", "ad", "x"}).find("did you mean \"add\"?") != std::string::npos);
    CHECK(error_of({"nodes", "add"}).find("needs a URL") != std::string::npos);
    CHECK(error_of({"nodes", "--name", "x"}).find("belong to `nodes add`") != std::string::npos);
}

TEST_CASE("an API key is taken without the line break of its file, and refused with one inside")
{
    const auto key_of = [](const std::string& given) { return std::get<app::Verb>(parse({"status"}, {{"HERD_API_KEY", given}})).key; };
    CHECK(key_of("herd_x\n") == "herd_x");
    CHECK(key_of(" \therd_x\r\n") == "herd_x");
    CHECK(key_of("\n").empty());
    for (const char* bad : {"herd_x\nherd_y", "herd x", "herd\x01x"}) {
        CHECK(error_of({"status"}, {{"HERD_API_KEY", bad}}) == "herd: the API key (--key or HERD_API_KEY) has a space or a line break in it: is it one key?\n");
    }
}

TEST_CASE("herd help takes the flags of help")
{
    const auto text_of = [](const std::vector<std::string>& words) {
        const auto line = parse(words);
        REQUIRE(std::holds_alternative<app::ExitNow>(line));
        CHECK(std::get<app::ExitNow>(line).code == 0);
        return std::get<app::ExitNow>(line).text;
    };
    CHECK(text_of({"help", "--help"}) == text_of({"--help"}));
    CHECK(text_of({"help", "-h"}) == text_of({"help"}));
    CHECK(text_of({"help", "--help", "nodes"}) == text_of({"nodes", "--help"}));
}

TEST_CASE("help is complete and exits 0")
{
    const auto text_of = [](const std::vector<std::string>& words) {
        const auto line = parse(words);
        const auto& exit = std::get<app::ExitNow>(line);
        CHECK(exit.code == 0);
        return exit.text;
    };
    const std::string help = text_of({"--help"});
    for (const app::VerbInfo& verb : app::verbs()) {
        CHECK(help.find("\n  " + verb.usage) != std::string::npos);
        CHECK(text_of({verb.name, "--help"}).find("Usage: herd " + verb.usage) != std::string::npos);
        CHECK(text_of({"help", verb.name}).find("--json") != std::string::npos);
    }
    for (const char* flag :
         {"--config", "--listen", "--discovery-port", "--no-discovery", "--interface", "--exclude-interface",
          "--node URL", "--state-dir", "--threads", "--log-level", "--log-format", "-d, --daemon",
          "--pid-file", "--log-file", "--check-config", "-h, --help", "-V, --version"}) {
        CAPTURE(flag);
        CHECK(help.find(flag) != std::string::npos);
    }
    CHECK(help.find("dump-config-docs") == std::string::npos);
    CHECK(text_of({"help"}) == help);
    CHECK(text_of({"--version"}).starts_with("herd 0."));
    CHECK(text_of({"--dump-config-docs"}).find("| `listen` |") != std::string::npos);
}

TEST_CASE("a reload keeps what needs a restart as it runs, and says so for as long as that is true")
{
    const File file("listen = [\"127.0.0.1:1\"]\nthreads = 2\n");
    const std::vector<std::string> words{"--config", file.path};
    const auto reload = [&](const app::HerdOptions& running, const std::string& text) {
        std::ofstream(file.path) << text;
        auto fresh = app::reload_serve_options(words, home, running);
        if (!fresh) {
            FAIL(fresh.error().context);
        }
        return std::move(*fresh);
    };
    const auto started = options_of(words);
    const std::string other = "listen = [\"127.0.0.1:2\"]\nthreads = 3\ncluster = \"x\"\n[log]\nlevel = \"debug\"\n";
    auto now = reload(started, other);
    for (int again = 0; again < 2; ++again) {
        CHECK(now.needs_restart == std::vector<std::string>{"listen", "threads", "cluster"});
        CHECK(now.options.listen == started.listen);
        CHECK(now.options.threads == 2);
        CHECK(now.options.cluster.empty());
        CHECK(now.options.log.level == log::Level::debug);
        const auto shown = nlohmann::json::parse(now.effective_json);
        CHECK(shown["listen"] == nlohmann::json::parse(R"({"value":["127.0.0.1:1"],"from":"in use until a restart","after_restart":["127.0.0.1:2"]})"));
        CHECK(shown["cluster"]["value"] == "");
        CHECK(shown["threads"]["after_restart"] == 3);
        CHECK_FALSE(shown["log.level"].contains("after_restart"));
        now = reload(now.options, other);
    }
    now = reload(now.options, "listen = [\"127.0.0.1:1\"]\nthreads = 2\n");
    CHECK(now.needs_restart.empty());
    CHECK(now.effective_json.find("after_restart") == std::string::npos);
}

TEST_CASE("what follows from a setting that needs a restart waits for it, too")
{
    const File file("state_dir = \"/one\"\n");
    const std::vector<std::string> words{"--config", file.path};
    const auto started = options_of(words);
    std::ofstream(file.path) << "state_dir = \"/two\"\n";
    const auto now = app::reload_serve_options(words, home, started);
    REQUIRE(now);
    CHECK(now->options.state_dir == "/one");
    CHECK(now->options.store.path == "/one/requests.db");
    CHECK(now->needs_restart == std::vector<std::string>{"state_dir", "store.path"});
}

TEST_CASE("a reload refuses a value that no restart could apply")
{
    const File file("threads = 2\n");
    const std::vector<std::string> words{"--config", file.path};
    const auto started = options_of(words);
    std::ofstream(file.path) << "listen = []\n";
    CHECK_FALSE(app::reload_serve_options(words, home, started));
}

TEST_CASE("a key in the state directory is asked for, unless the settings say otherwise")
{
    std::string pattern = (std::filesystem::temp_directory_path() / "herd-state-XXXXXX").string();
    const std::string state = ::mkdtemp(pattern.data());
    CHECK(options_of({"--state-dir", state}).discovery.join == app::JoinMode::open);
    CHECK(options_of({"--state-dir", state}).discovery.fleet_key_file.empty());
    std::ofstream(state + "/fleet.key") << "1 x\n";
    const auto keyed = options_of({"--state-dir", state}).discovery;
    CHECK(keyed.join == app::JoinMode::key);
    CHECK(keyed.fleet_key_file == state + "/fleet.key");
    CHECK(options_of({"--state-dir", state, "--join", "open"}).discovery.join == app::JoinMode::open);
    CHECK(options_of({"--state-dir", state, "--join", "approve"}).discovery.join == app::JoinMode::approve);
    const auto elsewhere = options_of({"--state-dir", state, "--fleet-key-file", "/x.key"}).discovery;
    CHECK(elsewhere.fleet_key_file == "/x.key");
    CHECK(elsewhere.join == app::JoinMode::open); // a file that was named by hand: so is the mode
    std::filesystem::remove_all(state);
}

TEST_CASE("a history goes where the records of the herd that is configured are")
{
    const File file("state_dir = \"/srv/herd\"\n[store]\npath = \"past.db\"\nretention = \"90d\"\n");
    const auto verb_of = [](std::vector<std::string> more) {
        std::vector<std::string> words{"import", "ollama-herd", "--history"};
        words.insert(words.end(), more.begin(), more.end());
        const auto line = parse(words);
        const auto* const verb = std::get_if<app::Verb>(&line);
        REQUIRE(verb != nullptr);
        return *verb;
    };
    CHECK(verb_of({}).store.path == "/state/requests.db");
    CHECK(verb_of({"--state-dir", "/other"}).store.path == "/other/requests.db");
    CHECK(verb_of({"--config", file.path}).store.path == "/srv/herd/past.db");
    CHECK(verb_of({"--config", file.path}).store.retention == std::chrono::hours{24 * 90});
    CHECK(verb_of({"--config", file.path, "--state-dir", "/other"}).store.path == "/other/past.db");
    CHECK(error_of({"import", "ollama-herd", "--history", "--config", "/nowhere/herd.toml"}).find("/nowhere/herd.toml") != std::string::npos);
    CHECK(error_of({"import", "ollama-herd", "--config", file.path}).find("--history") != std::string::npos);
    CHECK(error_of({"import", "ollamaflow", "--history"}).find("ollama-herd") != std::string::npos);
    // The same file for `fleet-key`: it is no file of the verb's own settings.
    const auto line = parse({"fleet-key", "new", "--config", file.path});
    const auto* const key = std::get_if<app::Verb>(&line);
    REQUIRE(key != nullptr);
    CHECK(key->key_file == "/srv/herd/fleet.key");
}
