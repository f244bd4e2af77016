// [[frontend]] and [[node]] as they are written: in herd.toml, as JSON of the admin API, in managed.json.
#include "herd/options.hpp"
#include "herd/policy/managed.hpp"
#include "herd/policy/pin_request.hpp"
#include "support/catch.hpp"

#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <sys/stat.h>

using namespace herd;
using namespace herd::app;

namespace {

struct File {
    explicit File(const std::string& text)
    {
        std::string name = (std::filesystem::temp_directory_path() / "herd-policy-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        directory = name;
        std::ofstream(directory + "/herd.toml") << text;
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { std::filesystem::remove_all(directory); }
    base::Result<LoadedHerdOptions> load() const { return load_herd_options({"--config", directory + "/herd.toml", "--state-dir", directory}, {}, directory); }
    std::string fault() const
    {
        const auto loaded = load();
        return loaded ? "" : loaded.error().context;
    }
    std::string directory;
};

std::string fault_of(const std::string& text) { return File(text).fault(); }

bool says(const std::string& text, const std::vector<std::string>& words)
{
    return std::ranges::all_of(words, [&](const std::string& word) { return text.find(word) != std::string::npos; });
}

} // namespace

TEST_CASE("a frontend of the file with everything in it")
{
    const File file(R"([[frontend]]
name = "Team A"
id = "team-a"
hostnames = ["Team-A.LAN", "*.a.lan"]
nodes = []
node_labels = ["eu"]
labels_required = ["fast"]
allow_embeddings = false
allow_model_admin = true
allow_retries = false
retries = 3
policy = "least_busy"
sticky = true
sticky_ttl = "20s"
per_minute = 60
burst = 5
max_parallel = 7
connect_timeout = "1s"
first_byte_timeout = "0s"
total_timeout = "90s"
max_body = "1MiB"
path_prefix = true
pinned_embeddings = '{"truncate": null}'
[frontend.pinned_completions]
stop = ["a", "b\"c"]
deep = { n = 1, f = 0.5, t = true }
)");
    const auto loaded = file.load();
    REQUIRE(loaded.has_value());
    REQUIRE(loaded->options.frontends.size() == 1);
    const auto config = loaded->options.frontends[0].config();
    CHECK(config.id == "team-a");
    CHECK(config.name == "Team A");
    CHECK(config.hostnames == std::vector<std::string>{"team-a.lan", "*.a.lan"});
    REQUIRE(config.nodes.has_value());
    CHECK(config.nodes->empty());
    CHECK_FALSE(config.allow_embeddings);
    CHECK(config.allow_completions);
    CHECK(config.allow_model_admin);
    CHECK(config.retries == 3U);
    CHECK(config.policy == fleet::Policy::least_busy);
    CHECK(config.sticky_ttl == std::chrono::seconds{20});
    CHECK(config.connect_timeout == std::chrono::seconds{1});
    CHECK(config.first_byte_timeout == base::Duration{});
    CHECK_FALSE(config.idle_timeout.has_value());
    CHECK(config.max_body == base::mib);
    CHECK(config.pins.embeddings == R"({"truncate": null})");
    CHECK(config.pins.completions == R"({"deep":{"f":0.5,"n":1,"t":true},"stop":["a","b\"c"]})");
    // what --check-config prints loads back and means the same
    const File again(loaded->effective);
    const auto back = again.load();
    REQUIRE(back.has_value());
    CHECK(json_of(back->options.frontends.at(0)) == json_of(loaded->options.frontends[0]));
}

TEST_CASE("a frontend says little: all nodes, no changes of models, its name is its id")
{
    const auto loaded = File("[[frontend]]\nname = \"a\"\n").load();
    REQUIRE(loaded.has_value());
    const auto config = loaded->options.frontends.at(0).config();
    CHECK(config.id == "a");
    CHECK_FALSE(config.nodes.has_value());
    CHECK_FALSE(config.allow_model_admin);
    CHECK_FALSE(config.allow_cloud);
}

TEST_CASE("what is wrong with a frontend or node is told with line and key")
{
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\npolicy = \"Weighted\"\n"), {"line 3", "policy", "cost | round_robin | random | least_busy"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\nhostnames = [\"http://x\"]\n"), {"line 3", "hostnames", "host name"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\nsticky_ttl = \"9s\"\n"), {"line 3", "sticky_ttl", "at least 10s"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\nsticky_ttl = \"25h\"\n"), {"line 3", "sticky_ttl"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\npinned_completions = \"[]\"\n"), {"line 3", "pinned_completions", "JSON object"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\npinned_completions = { x = inf }\n"), {"line 3", "pinned_completions"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\nrequired_models = [\"big:cloud\"]\n"), {"line 3", "required_models", "names of models"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\nhostname = [\"x\"]\n"), {"line 3", "hostname", "did you mean \"hostnames\"?"}));
    CHECK(says(fault_of("[[frontend]]\nhostnames = [\"x\"]\n"), {"line 1", "needs a name"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"Team A\"\n"), {"line 1", "needs an id"}));
    CHECK(says(fault_of("[[frontend]]\nid = \"Team A\"\n"), {"line 2", "id", "letters"}));
    CHECK(says(fault_of("[[frontend]]\nname = \"a\"\n[[frontend]]\nid = \"a\"\n"), {"frontend 'a'", "already"}));
    CHECK(says(fault_of("[[frontend]]\nname=\"a\"\nhostnames=[\"x\"]\n[[frontend]]\nname=\"b\"\nhostnames=[\"X\"]\n"), {"line 4", "hostnames", "\"x\""}));
    CHECK(says(fault_of("[[node]]\nlabels = [\"x\"]\n"), {"line 1", "needs a url, or the name or id"}));
    CHECK(says(fault_of("[[node]]\nname = \"n\"\nbearer = \"x\"\n"), {"line 1", "has no url"}));
    for (const auto* key : {"proxy = \"http://a:1\"", "health_path = \"/x\"", "tls.verify = false", "headers = { A = \"b\" }", "slots = 3", "kind = \"cloud\""}) {
        CHECK(says(fault_of("[[node]]\nname = \"n\"\n" + std::string{key} + "\n"), {"has no url: ", "is for nodes with one"})); // not passed over in silence
    }
    CHECK(says(fault_of("[[node]]\nname = \"n\"\nid = \"7\"\n"), {"line 3", "id"}));
    CHECK(says(fault_of("[[node]]\nname = \"n\"\nweight = 0\n"), {"line 3", "weight", "0.01 to 100"}));
    CHECK(says(fault_of("[[node]]\nname = \"n\"\ntier = 10\n"), {"line 3", "tier", "from 0 to 9"}));
    CHECK(says(fault_of("[[node]]\nname = \"n\"\ntier = 1.5\n"), {"line 3", "tier"}));
    CHECK(says(fault_of("[[node]]\nurl = \"a\"\nmodels_allow = [\"*coder*\"]\n"), {"line 3", "models_allow", "the beginning of one with a * behind it"}));
    CHECK(says(fault_of("[[node]]\nname = \"n\"\npinned_completions = { MODEL = \"x\" }\n"), {"line 3", "pinned_completions", "by a frontend"}));
}

TEST_CASE("settings of a node that announces itself")
{
    const auto loaded = File("[[node]]\nname = \"studio\"\nlabels = [\"EU\"]\nweight = 2\nqueue_limit = 0\nactive = false\ntier = 3\n"
                             "models_allow = [\"Qwen3*\", \"llama3\"]\n").load();
    REQUIRE(loaded.has_value());
    const auto& node = loaded->options.nodes.at(0);
    CHECK(node.url.empty());
    const auto settings = node.settings.node_settings();
    CHECK(node.weight == 2);
    CHECK(settings.queue_limit == 0);
    CHECK_FALSE(settings.active);
    CHECK(settings.tier == 3);
    CHECK(settings.allows("registry.ollama.ai/library/qwen3:8b"));
    CHECK_FALSE(settings.allows("registry.ollama.ai/library/llama3:70b"));
}

TEST_CASE("as JSON: what was written is read back, and every mistake names its field")
{
    auto made = changed(ConfiguredFrontend{}, R"({"id":"a","hostnames":["X.lan"],"nodes":[],"pinned_completions":{"n":1,"s":"\u00e9"},"retries":0,"sticky_ttl":"60s"})");
    REQUIRE(made.has_value());
    CHECK(made->rules.name == "a");
    CHECK(made->rules.hostnames == std::vector<std::string>{"x.lan"});
    CHECK(made->rules.retries == 0U);
    CHECK(made->rules.pins.completions.find("\"n\":1") != std::string::npos);
    const auto again = changed(ConfiguredFrontend{}, "{" + json_of(*made) + R"(,"source":"managed","use":null,"members":[],"missing":[],"in_flight":3})");
    REQUIRE(again.has_value());
    CHECK(json_of(*again) == json_of(*made));
    const auto patched = changed(*made, R"({"retries":null,"nodes":null,"pinned_completions":null})");
    REQUIRE(patched.has_value());
    CHECK_FALSE(patched->rules.retries.has_value());
    CHECK(patched->nodes == std::vector<std::string>{"*"});
    CHECK(patched->rules.pins.empty());
    const auto wrong = [](std::string_view body) {
        const auto out = changed(ConfiguredFrontend{}, body);
        return out ? std::string{} : out.error().context;
    };
    CHECK(wrong("[]") == "the body must be a JSON object");
    CHECK(says(wrong(R"({"id":7})"), {"id: expected a string"}));
    CHECK(says(wrong(R"({"id":"a","sticky":"yes"})"), {"sticky: expected true or false"}));
    CHECK(says(wrong(R"({"id":"a","nodes":"b"})"), {"nodes: expected a list of strings"}));
    CHECK(says(wrong(R"({"id":"a","burst":-1})"), {"burst: expected a number"}));
    CHECK(says(wrong(R"({"id":"a","total_timeout":"soon"})"), {"total_timeout", "expected a duration"}));
    CHECK(says(wrong(R"({"id":"a","nodez":[]})"), {"unknown field \"nodez\"", "\"nodes\""}));
    CHECK(says(wrong("{}"), {"id: needs a name"}));
    CHECK(says(wrong(R"({"id":"a","pinned_completions":"{\"x\":1e400}"})"), {"pinned_completions", "cannot be kept"})); // or the next start would fail
    CHECK(wrong(std::string(100'000, '[')) == "the body must be a JSON object");
    CHECK(says(wrong(R"({"id":"a","pinned_completions":")" + std::string(100'000, '[') + "\"}"), {"pinned_completions"}));
}

TEST_CASE("a request to pin in Ollama Herd's form")
{
    const auto asked = parse_pin_request(R"({"model":"m","node_id":null,"wait":true,"timeout_s":5,"force":false,"other":1})");
    REQUIRE(asked);
    CHECK(asked->model == "m");
    CHECK(asked->node.empty());
    CHECK(asked->wait);
    CHECK(asked->timeout == std::chrono::seconds{5});
    CHECK(native_body(*asked) == R"({"model":"m","force":false})");
    CHECK(parse_pin_request(R"({"model":"m","timeout_s":30.0})")->timeout == std::chrono::seconds{30});
    CHECK(parse_pin_request(R"({"model":"m","timeout_s":2.5})")->timeout == std::chrono::milliseconds{2500});
    CHECK(parse_pin_request(R"({"model":"m","timeout_s":null})")->timeout == PinRequest{}.timeout);
    for (const auto* bad : {"", "[]", R"({"model":5})", R"({"model":"m","wait":"yes"})", R"({"model":"m","timeout_s":-1})", R"({"model":"m","timeout_s":601})",
                            R"({"model":"m","timeout_s":600.5})", R"({"model":"m","timeout_s":-0.1})", R"({"model":"m","timeout_s":1e300})", R"({"model":"m","timeout_s":"30"})"}) {
        INFO(bad);
        CHECK_FALSE(parse_pin_request(bad));
    }
}

TEST_CASE("what stands in the file has the time that the file was written, and a node of a flag has none")
{
    const File file("[[node]]\nurl = \"http://10.0.0.7:11434\"\n");
    const std::timespec written{.tv_sec = 1'700'000'000, .tv_nsec = 5'000'999};
    const std::array<std::timespec, 2> both{written, written};
    REQUIRE(::utimensat(AT_FDCWD, (file.directory + "/herd.toml").c_str(), both.data(), 0) == 0);
    const base::WallTime at{std::chrono::microseconds{1'700'000'000'005'000}};
    const auto loaded = load_herd_options({"--config", file.directory + "/herd.toml", "--state-dir", file.directory, "--node", "http://10.0.0.8:11434"}, {}, file.directory);
    REQUIRE(loaded.has_value());
    CHECK(loaded->options.file_dates == base::Dates{at, at});
    REQUIRE(loaded->options.nodes.size() == 2);
    CHECK(loaded->options.nodes[0].of_file);
    CHECK_FALSE(loaded->options.nodes[1].of_file);
    CHECK_FALSE(load_herd_options({"--state-dir", file.directory}, {}, "/nowhere")->options.file_dates);
}

TEST_CASE("managed.json is read back as it was written")
{
    Managed managed;
    managed.frontends.push_back(*changed(ConfiguredFrontend{}, R"({"id":"a","policy":"random","pinned_embeddings":{"x":null}})"));
    managed.nodes.push_back(*changed(ManagedNode{.node = "studio"}, R"({"labels":["EU"],"queue_limit":0,"weight":5,"tier":1,"models_allow":["qwen3*"]})"));
    CHECK_FALSE(changed(managed.nodes[0], R"({"tier":-1})"));
    CHECK_FALSE(changed(managed.nodes[0], R"({"models_allow":"qwen3*"})"));
    managed.use["a"] = "n1";
    managed.pins = {{"qwen3:8b", "studio", 1}, {"m", "", 0}};
    const base::WallTime made{std::chrono::milliseconds{1'767'323'045'678}};
    managed.frontends[0].dates = base::Dates{made, made + std::chrono::seconds{1}};
    const auto text = managed_text(managed);
    const auto back = parse_managed(text);
    REQUIRE(back.has_value());
    CHECK(managed_text(*back) == text);
    CHECK(back->nodes.at(0).settings.queue_limit == 0U);
    CHECK(back->nodes.at(0).settings.node_settings() == managed.nodes[0].settings.node_settings());
    CHECK(back->nodes.at(0).settings.tier == 1);
    CHECK(back->use.at("a") == "n1");
    CHECK(back->pins == managed.pins);
    CHECK(back->frontends.at(0).dates == managed.frontends[0].dates);
    CHECK_FALSE(back->nodes.at(0).dates); // as in files of older versions
    CHECK(managed_text(*parse_managed(managed_text({}))) == managed_text({}));
    for (const auto* bad : {"", "[]", "{\"frontends\":[{}]}", "{\"nodes\":[{\"weight\":1}]}", "{\"nodes\":[5]}", "{\"use\":{\"a\":1}}", "{\"other\":1}",
                            "{\"frontends\":[{\"id\":\"a\",\"policy\":\"odd\"}]}", "{\"pins\":[{}]}", "{\"pins\":[{\"model\":\"a b\"}]}",
                            "{\"pins\":[{\"model\":\"a\",\"node\":\"n\",\"replicas\":2}]}",
                            R"({"frontends":[{"id":"a","created":"2026-01-02T03:04:05Z"}]})", R"({"nodes":[{"node":"n","created":"2026-01-02T03:04:05Z","updated":7}]})",
                            R"({"nodes":[{"node":"n","created":"1969-12-31T23:59:59Z","updated":"2026-01-02T03:04:05Z"}]})"}) {
        INFO(bad);
        CHECK_FALSE(parse_managed(bad).has_value());
    }
}
