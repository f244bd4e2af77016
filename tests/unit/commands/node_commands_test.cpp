#include "herd-node/cli/doctor.hpp"
#include "herd-node/cli/verbs.hpp"
#include "herd-node/command_line.hpp"

#include "support/catch.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <thread>

#include <httplib.h>

using namespace herd;
using namespace std::chrono_literals;

namespace {

const config::Environment home{{"HOME", "/nowhere"}, {"STATE_DIRECTORY", "/state"}};

node::NodeOptions options_of(const std::vector<std::string>& words,
                             const config::Environment& environment = home)
{
    auto line = node::parse_command_line(words, environment, "/nowhere");
    if (const auto* exit = std::get_if<node::ExitNow>(&line)) {
        FAIL(exit->text);
    }
    return std::get<node::ServeOptions>(line).options;
}

std::string text_of(const std::vector<std::string>& words, int code)
{
    const auto line = node::parse_command_line(words, home, "/nowhere");
    const auto* exit = std::get_if<node::ExitNow>(&line);
    REQUIRE(exit != nullptr);
    CHECK(exit->code == code);
    return exit->text;
}

/// Serves one set of paths, 404 elsewhere, as Ollama or an agent would.
class FakeServer {
public:
    explicit FakeServer(const std::map<std::string, std::string>& pages)
    {
        for (const auto& [path, body] : pages) {
            server_.Get(path, [page = body](const httplib::Request&, httplib::Response& response) {
                response.set_content(page, "application/json");
            });
        }
        port_ = server_.bind_to_any_port("127.0.0.1");
        thread_ = std::thread([this] { server_.listen_after_bind(); });
        while (!server_.is_running()) { // stop() before that would be forgotten
            std::this_thread::yield();
        }
    }
    FakeServer(const FakeServer&) = delete;
    FakeServer& operator=(const FakeServer&) = delete;
    ~FakeServer()
    {
        server_.stop();
        thread_.join();
    }
    [[nodiscard]] config::BackendUrl url() const { return {.port = static_cast<std::uint16_t>(port_)}; }

private:
    httplib::Server server_;
    int port_{0};
    std::thread thread_;
};

constexpr const char* node_body =
    R"({"name":"gpu-1","state":"ready","agent_version":"herd-node 0.1.0","ollama_version":"0.31.2","gateway":true,
  "host":{"memory_total":68719476736,"memory_available":34359738368},"gpus":[{"name":"RTX","vram_total":25769803776,"vram_free":12884901888}],
  "models":[{"name":"a"},{"name":"b"}],"loaded":[{"name":"a"}],"in_flight":1,"queued":0})";

node::Check check_named(const std::vector<node::Check>& checks, std::string_view id)
{
    const auto found = std::ranges::find(checks, id, &node::Check::id);
    REQUIRE(found != checks.end());
    return *found;
}

/// Options that touch nothing outside loopback and the temporary directory.
node::NodeOptions quiet_options(const config::BackendUrl& ollama)
{
    node::NodeOptions options;
    options.ollama = ollama;
    options.listen = {{base::IpAddress::loopback(), 0}};
    options.discovery.enabled = false;
    options.state_dir = (std::filesystem::temp_directory_path() / "herd-node-test").string();
    return options;
}

} // namespace

TEST_CASE("herd-node has the flags and defaults of the contract")
{
    const auto d = options_of({});
    CHECK(d.ollama.text() == "http://127.0.0.1:11434");
    CHECK(d.listen.at(0).text() == "0.0.0.0:11436");
    CHECK(d.gateway);
    CHECK(d.discovery.port == 11436);
    CHECK(options_of({}, {{"OLLAMA_HOST", "0.0.0.0:99"}, {"STATE_DIRECTORY", "/s"}}).ollama.text()
          == "http://127.0.0.1:99");
    CHECK(options_of({"--ollama", "h"}, {{"OLLAMA_HOST", "x"}, {"STATE_DIRECTORY", "/s"}}).ollama.text()
          == "http://h:11434");
    CHECK(options_of({"--ollama", "h"}, {{"OLLAMA_HOST", ":::bad"}, {"STATE_DIRECTORY", "/s"}}).ollama.host == "h"); // not used
    const auto bad = node::parse_command_line({}, {{"OLLAMA_HOST", ":::bad"}}, "/nowhere");
    REQUIRE(std::holds_alternative<node::ExitNow>(bad));
    CHECK(std::get<node::ExitNow>(bad).code == 2);
    CHECK(std::get<node::ExitNow>(bad).text
          == "herd-node: OLLAMA_HOST: \":::bad\" is neither an address nor the name of a host; write HOST:PORT or a URL there, or name the Ollama with --ollama\n");

    const auto o = options_of({"--listen",
                               "127.0.0.1:0",
                               "--herd",
                               "a",
                               "--herd",
                               "[fe80::1]:5",
                               "--name",
                               "n",
                               "--label",
                               "eu",
                               "--label",
                               "big",
                               "--gateway",
                               "off",
                               "--advertise",
                               "203.0.113.7:7",
                               "--discovery-port",
                               "8",
                               "--interface",
                               "lo",
                               "--exclude-interface",
                               "x",
                               "--fleet-key-file",
                               "k",
                               "--slots",
                               "3",
                               "--no-listen",
                               "--state-dir",
                               "s",
                               "--log-level",
                               "warn",
                               "-d",
                               "--cluster",
                               "lab"});
    REQUIRE(o.herds.size() == 2);
    CHECK(o.herds[0] == base::HostPort{"a", 0});
    CHECK(o.herds[1] == base::HostPort{"fe80::1", 5});
    CHECK(o.labels == std::vector<std::string>{"eu", "big"});
    CHECK_FALSE(o.gateway);
    CHECK(o.advertise == base::HostPort{"203.0.113.7", 7});
    CHECK_FALSE(o.discovery.listen);
    CHECK(o.discovery.fleet_key_file == "/nowhere/k");
    CHECK(o.slots == 3);
    CHECK(o.pid_file == "/nowhere/s/herd-node.pid");
    CHECK(o.log.file == "/nowhere/s/herd-node.log");
    const auto e = options_of({},
                              {{"STATE_DIRECTORY", "/s"},
                               {"HERD_NODE_LABELS", "a,b"},
                               {"HERD_NODE_GATEWAY", "off"},
                               {"HERD_NODE_DISCOVERY_PORT", "4"}});
    CHECK(e.labels.size() == 2);
    CHECK_FALSE(e.gateway);
    CHECK(e.discovery.port == 4);
}

TEST_CASE("herd-node's mistakes are one sentence, exit 2")
{
    CHECK(text_of({"--gateway", "maybe"}, 2) == "herd-node: --gateway \"maybe\": expected on or off\n");
    CHECK(text_of({"--label", "a,b"}, 2).find("a label has") != std::string::npos);
    CHECK(text_of({"--ollama", "https://x"}, 2).find("not https") != std::string::npos);
    CHECK(text_of({"--name", std::string(64, 'x')}, 2).find("1 to 63 bytes") != std::string::npos);
    CHECK(text_of({"--herd", "http://x/"}, 2).find("expected HOST or HOST:PORT") != std::string::npos);
    CHECK(text_of({"--advertise", "nas.lan:7"}, 2).find("\"nas.lan\" is a name: write the IP address") != std::string::npos);
    CHECK(
        text_of({"docter"}, 2)
        == "herd-node: unknown command \"docter\" (did you mean \"doctor\"?); herd-node --help lists them\n");
    CHECK(text_of({"status", "x"}, 2).find("unexpected argument") != std::string::npos);
    CHECK(text_of({"--ollama-host", "http://x"}, 2) == "herd-node: unknown option --ollama-host: here it is --ollama URL\n"); // Ollama Herd's
    CHECK(text_of({"--router-url=http://x"}, 2) == "herd-node: unknown option --router-url: here it is --herd HOST[:PORT]\n");
    CHECK(text_of({"--node-id", "x"}, 2) == "herd-node: unknown option --node-id: here it is --name NAME\n");
    CHECK(text_of({"--heard", "x"}, 2).find("did you mean \"--herd\"?") != std::string::npos);
    const std::string help = text_of({"--help"}, 0);
    for (const char* flag :
         {"--ollama",         "--listen",    "--herd",           "--name",      "--label",
          "--gateway",        "--advertise", "--discovery-port", "--interface", "--exclude-interface",
          "--fleet-key-file", "--slots",     "--no-listen",      "--state-dir", "--config",
          "--log-level",      "--daemon",    "--pid-file",       "status",      "doctor"}) {
        CAPTURE(flag);
        CHECK(help.find(flag) != std::string::npos);
    }
    CHECK(text_of({"doctor", "--help"}, 0) == help);
    CHECK(text_of({"status", "--help"}, 0).find("--json") != std::string::npos);
    CHECK(text_of({"--check-config"}, 0).find("gateway = true") != std::string::npos);
    CHECK(text_of({"--version"}, 0).starts_with("herd-node 0."));
}

TEST_CASE("herd-node status prints what the agent says")
{
    const FakeServer agent({{"/herd/v1/node", node_body}});
    std::ostringstream out;
    std::ostringstream err;
    CHECK(node::run_verb({.name = "status", .url = agent.url()}, {out, err, false}) == 0);
    CHECK(out.str()
          == "gpu-1 at " + agent.url().text()
              + "\n"
                "  state     ready\n"
                "  versions  herd-node 0.1.0, Ollama 0.31.2\n"
                "  gateway   on\n"
                "  memory    32.0 GiB of 64.0 GiB free\n"
                "  gpu       RTX, 12.0 GiB of 24.0 GiB free\n"
                "  models    2 on disk\n"
                "  in memory a\n"
                "  requests  1 running, 0 waiting\n");
    const FakeServer other({{"/", "Ollama is running"}});
    CHECK(node::run_verb({.name = "status", .url = other.url()}, {out, err, false}) == 1);
    CHECK(err.str().find("is not a herd-node") != std::string::npos);
}

TEST_CASE("the doctor finds a healthy Ollama")
{
    const FakeServer ollama(
        {{"/api/version", R"({"version":"0.31.2"})"}, {"/api/tags", R"({"models":[{"name":"a"}]})"}});
    const auto checks = node::examine(quiet_options(ollama.url()));
    CHECK(check_named(checks, "ollama").summary == "Ollama 0.31.2 answers at " + ollama.url().text());
    CHECK(check_named(checks, "models").summary == "1 model on this machine");
    CHECK(check_named(checks, "state").severity == node::Severity::ok);
    CHECK(std::ranges::none_of(
        checks, [](const node::Check& check) { return check.severity > node::Severity::info; }));
    std::ostringstream out;
    CHECK(node::run_verb({.name = "doctor", .options = quiet_options(ollama.url())}, {out, out, false}) == 0);
    CHECK(out.str().find("All is well.") != std::string::npos);
}

TEST_CASE("the doctor tells what stands where Ollama should")
{
    const FakeServer herd({{"/api/version", R"({"version":"0.31.2"})"}, {"/herd/v1/status", "{}"}});
    const auto loop = check_named(node::examine(quiet_options(herd.url())), "ollama");
    CHECK(loop.severity == node::Severity::critical);
    CHECK(loop.summary.find("is a herd, not an Ollama") != std::string::npos);
    const FakeServer web({});
    CHECK(check_named(node::examine(quiet_options(web.url())), "ollama")
              .summary.find("is not an Ollama (status 404)")
          != std::string::npos);
}

TEST_CASE("the doctor sees a missing Ollama, a taken port, a missing key, and exits 1")
{
    const FakeServer taken({});
    auto options = quiet_options({.port = 1});
    options.listen = {{base::IpAddress::loopback(), taken.url().port}};
    options.discovery.fleet_key_file = "/no/such/key";
    const auto checks = node::examine(options);
    CHECK(check_named(checks, "ollama").summary == "nothing answers at http://127.0.0.1:1");
    CHECK(check_named(checks, "agent_port").summary.find("is taken by another program") != std::string::npos);
    CHECK(check_named(checks, "fleet_key").severity == node::Severity::critical);
    options.discovery.fleet_key_file = "/usr"; // is no file, so that its mode is not what to change
    CHECK(check_named(node::examine(options), "fleet_key").summary == "/usr cannot be read (Is a directory)");
    std::ostringstream out;
    CHECK(node::run_verb({.name = "doctor", .json = true, .options = options}, {out, out, false}) == 1);
    CHECK(out.str().starts_with(R"({"checks":[{"id":"ollama","severity":"critical")"));
}
