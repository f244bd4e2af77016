#include "config/show.hpp"
#include "config/sources.hpp"

#include "support/catch.hpp"

using namespace herd;
using namespace std::chrono_literals;
using config::Table;

namespace {

enum class Join { open, key };

struct Item {
    std::string name{};
    std::string url{};
    std::vector<std::string> labels{};
};

struct Settings {
    std::vector<std::string> listen{"0.0.0.0:1"};
    bool enabled{true};
    bool daemon{false};
    bool gateway{true};
    std::uint16_t port{11436};
    Join join{Join::open};
    std::string key{};
    base::Duration timeout{5s};
    base::Bytes body{512 * base::mib};
    std::vector<Item> items{};
};

void rows(Table& table, Item& item)
{
    table.text({.key = "name", .sentence = "A name."}, item.name);
    table.text({.key = "url", .sentence = "Where."}, item.url);
    table.list({.key = "labels", .sentence = "Labels."}, item.labels);
}

Table table_of(Settings& s)
{
    Table t{"T_"};
    t.group("Serving");
    t.list({.key = "listen",
            .flags = "--listen",
            .value_name = "HOST:PORT",
            .sentence = "Where.",
            .restart = true},
           s.listen);
    t.boolean({.key = "daemon",
               .flags = "-d,--daemon",
               .sentence = "Background.",
               .in_file = false,
               .in_environment = false},
              s.daemon);
    t.boolean({.key = "gateway",
               .flags = "--gateway",
               .value_name = "on|off",
               .sentence = "Relay.",
               .on_off = true},
              s.gateway);
    t.group("Discovery");
    t.boolean({.key = "discovery.enabled", .flags = "--no-discovery", .sentence = "None.", .negated = true},
              s.enabled);
    t.number({.key = "discovery.port",
              .flags = "--discovery-port",
              .value_name = "N",
              .sentence = "UDP.",
              .restart = true},
             s.port);
    t.choice({.key = "discovery.join", .flags = "--join", .value_name = "MODE", .sentence = "Who."}, s.join,
             std::vector<std::pair<std::string, Join>>{{"open", Join::open}, {"key", Join::key}});
    t.text({.key = "discovery.key", .sentence = "Secret.", .secret = true}, s.key);
    t.duration({.key = "proxy.timeout", .sentence = "Patience."}, s.timeout, 1s);
    t.bytes({.key = "proxy.body", .sentence = "Size."}, s.body);
    auto& items = t.repeated("item", "One of many.", s.items, rows);
    items.required = {"url"};
    items.unique = {"name", "url"};
    return t;
}

std::string error_of(const base::Result<void>& result) { return result ? "" : result.error().context; }

std::string toml_error(std::string_view document)
{
    Settings s;
    Table t = table_of(s);
    return error_of(config::read_toml(t, document, "f.toml"));
}

} // namespace

TEST_CASE("a TOML file sets every kind of value")
{
    Settings s;
    Table t = table_of(s);
    const auto done = config::read_toml(t, R"(
listen = ["127.0.0.1:1", "[::1]:2"]
gateway = false
[discovery]
enabled = false
port = 7
join = "key"
[proxy]
timeout = "1m30s"
body = "1GiB"
[[item]]
url = "http://a"
labels = ["eu", "big"]
[[item]]
name = "b"
url = "http://b"
)",
                                        "f.toml");
    REQUIRE(error_of(done) == "");
    CHECK(s.listen == std::vector<std::string>{"127.0.0.1:1", "[::1]:2"});
    CHECK_FALSE(s.gateway);
    CHECK_FALSE(s.enabled);
    CHECK(s.port == 7);
    CHECK(s.join == Join::key);
    CHECK(s.timeout == 90s);
    CHECK(s.body == base::gib);
    REQUIRE(s.items.size() == 2);
    CHECK(s.items[0].labels == std::vector<std::string>{"eu", "big"});
    CHECK(s.items[1].name == "b");
}

TEST_CASE("a mistake in the file is named with its line and the nearest key")
{
    CHECK(toml_error("\n[discovery]\nprot = 1\n")
          == "f.toml line 3: unknown key \"discovery.prot\" (did you mean \"discovery.port\"?)");
    CHECK(toml_error("[discvery]\nport = 1\n")
          == "f.toml line 1: unknown section \"discvery\" (did you mean \"discovery\"?)");
    CHECK(toml_error("[discovery]\nlistn = 1\n")
          == "f.toml line 2: unknown key \"discovery.listn\" (did you mean \"listen\"?)");
    CHECK(toml_error("[discovery]\nproxy.timeout = \"1s\"\n")
          == "f.toml line 2: unknown section \"discovery.proxy\" (did you mean \"proxy\"?)");
    CHECK(toml_error("port = 1\n")
          == "f.toml line 1: unknown key \"port\" (did you mean \"discovery.port\"?)");
    CHECK(toml_error("zzzzzzzzzz = 1\n") == "f.toml line 1: unknown key \"zzzzzzzzzz\"");
    CHECK(toml_error("discovery = 1\n") == "f.toml line 1: discovery is a section: write [discovery]");
    CHECK(toml_error("daemon = true\n").find("unknown key \"daemon\"") != std::string::npos);
    CHECK(toml_error("[discovery]\nport = \"7\"\n")
          == "f.toml line 2: discovery.port expects a number from 0 to 65535");
    CHECK(toml_error("[discovery]\nport = 70000\n")
          == "f.toml line 2: discovery.port \"70000\": expected a number from 0 to 65535");
    CHECK(toml_error("[discovery]\nport = -1\n").find("expected a number") != std::string::npos);
    CHECK(toml_error("[discovery]\njoin = \"opne\"\n")
          == "f.toml line 2: discovery.join \"opne\": expected open | key");
    CHECK(toml_error("[proxy]\ntimeout = 30\n")
          == "f.toml line 2: proxy.timeout \"30\": expected a duration such as 30s, at least 1s");
    CHECK(toml_error("listen = [1]\n") == "f.toml line 1: listen expects a list of strings");
    CHECK(toml_error("gateway = \"on\"\n") == "f.toml line 1: gateway expects true or false");
    CHECK(toml_error("a = = b\n").starts_with("f.toml line 1: "));
    CHECK(toml_error("[discovery]\nkey = 5\n") == "f.toml line 2: discovery.key expects a string in quotes");
}

TEST_CASE("a repeated table must be complete and unique")
{
    CHECK(toml_error("[[item]]\nname = \"x\"\n") == "f.toml line 1: [[item]] needs a url");
    CHECK(toml_error("[[item]]\nurl = \"a\"\n[[item]]\nurl = \"a\"\n")
          == "f.toml line 3: another [[item]] (line 1) has the url \"a\" already");
    CHECK(toml_error("[item]\nurl = \"a\"\n") == "f.toml line 1: write [[item]], once for each");
    CHECK(toml_error("item = [1]\n") == "f.toml line 1: write [[item]], once for each");
    CHECK(toml_error("[[item]]\nurll = \"a\"\n")
          == "f.toml line 2: unknown key \"urll\" (did you mean \"url\"?)");
    CHECK(toml_error("[[itme]]\nurl = \"a\"\n")
          == "f.toml line 1: unknown section \"itme\" (did you mean \"item\"?)");
}

TEST_CASE("the environment has a twin for every key")
{
    Settings s;
    Table t = table_of(s);
    REQUIRE(config::read_environment(t,
                                     {{"T_LISTEN", "a:1, b:2"},
                                      {"T_DISCOVERY_ENABLED", "off"},
                                      {"T_PROXY_BODY", "1KiB"},
                                      {"T_DISCOVERY_PORT", ""}}));
    CHECK(s.listen == std::vector<std::string>{"a:1", "b:2"});
    CHECK_FALSE(s.enabled);
    CHECK(s.body == 1024);
    CHECK(s.port == 11436);
    CHECK(error_of(config::read_environment(t, {{"T_DISCOVERY_PORT", "abc"}}))
          == "T_DISCOVERY_PORT \"abc\": expected a number from 0 to 65535");
    CHECK(config::suspicious_variables(t, {{"T_DISCOVERY_PROT", "1"}, {"T_LISTEN", "x"}, {"T_URL", "x"}},
                                       {"T_URL"})
          == std::vector<std::string>{"T_DISCOVERY_PROT is not a setting (did you mean T_DISCOVERY_PORT?)"});
    CHECK(config::suspicious_variables(t, {{"T_PORT", "1"}}, {}) // from the flag
          == std::vector<std::string>{"T_PORT is not a setting (did you mean T_DISCOVERY_PORT?)"});
}

TEST_CASE("flags: lists collect, the last of a scalar counts, mistakes name the nearest")
{
    Settings s;
    Table t = table_of(s);
    const auto parse = [&](std::vector<std::string> words) { return config::parse_arguments(t, words); };
    const auto given = parse({"word", "--listen", "[::1]:1", "--listen=b:2", "--no-discovery", "-d",
                              "--discovery-port", "1", "--discovery-port", "2", "--gateway", "off"});
    REQUIRE(given.has_value());
    CHECK(given->words == std::vector<std::string>{"word"});
    REQUIRE(config::apply_arguments(t, *given));
    CHECK(s.listen == std::vector<std::string>{"[::1]:1", "b:2"});
    CHECK_FALSE(s.enabled);
    CHECK(s.daemon);
    CHECK(s.port == 2);
    CHECK_FALSE(s.gateway);
    CHECK(parse({"--discvery-port", "1"}).error().context
          == "unknown option --discvery-port (did you mean \"--discovery-port\"?)");
    CHECK(parse({"--discovery-port"}).error().context == "--discovery-port needs a value: N");
    CHECK(parse({"-x"}).error().context == "unknown option -x");
    CHECK(parse({"--help"})->help);
    CHECK(parse({"--version"})->version);
    const auto bad = parse({"--discovery-port", "x"});
    REQUIRE(bad.has_value());
    CHECK(error_of(config::apply_arguments(t, *bad))
          == "--discovery-port \"x\": expected a number from 0 to 65535");
    CHECK_FALSE(parse({"--listen", "a", "b"})->words.empty()); // a flag takes one value, never its neighbour
    const auto empty = parse({"--discovery-port", ""});
    REQUIRE(empty.has_value());
    CHECK_FALSE(config::apply_arguments(t, *empty).has_value());
}

TEST_CASE("the effective settings load back and hide secrets")
{
    Settings s;
    Table t = table_of(s);
    REQUIRE(config::read_toml(t, "listen = [\"a\\\"b\"]\n[proxy]\nbody = 1000\n[[item]]\nurl = \"u\"\n",
                              "f.toml"));
    const std::string shown = config::effective_toml(t);
    INFO(shown);
    CHECK(shown.find("# f.toml line 1") != std::string::npos);
    Settings again;
    Table t2 = table_of(again);
    REQUIRE(error_of(config::read_toml(t2, shown, "again")) == "");
    CHECK(again.listen == s.listen);
    CHECK(again.body == 1000);
    CHECK(again.items.at(0).url == "u");
    REQUIRE(config::read_environment(t, {{"T_DISCOVERY_KEY", "hunter2"}}));
    CHECK(config::effective_toml(t).find("hunter2") == std::string::npos);
    CHECK(config::effective_toml(t).find("********") != std::string::npos);
}

TEST_CASE("a reload knows what only a restart applies")
{
    Settings a;
    Settings b;
    b.port = 1;
    b.timeout = 7s;
    CHECK(config::restart_differences(table_of(a), table_of(b))
          == std::vector<std::string>{"discovery.port"});
    CHECK(config::restart_differences(table_of(a), table_of(a)).empty());
}

TEST_CASE("what only a restart applies is kept as it runs, the default too, and all else is not")
{
    Settings running;
    Settings fresh;
    auto table = table_of(fresh);
    REQUIRE(config::read_environment(table, {{"T_DISCOVERY_PORT", "1"}, {"T_PROXY_TIMEOUT", "7s"}}));
    REQUIRE(fresh.port == 1);
    REQUIRE(config::keep_running(table, table_of(running)));
    CHECK(fresh.port == running.port);
    CHECK(fresh.timeout == 7s);
    running.port = 2;
    REQUIRE(config::keep_running(table, table_of(running)));
    CHECK(fresh.port == 2);
}

TEST_CASE("the help shows every flag and names every other key")
{
    Settings s;
    const std::string help = config::help_options(table_of(s));
    INFO(help);
    CHECK(help.find("  -d, --daemon ") != std::string::npos);
    CHECK(help.find("      --listen HOST:PORT") != std::string::npos);
    CHECK(help.find("proxy.timeout=5s") != std::string::npos);
    CHECK(help.find("[[item]]") != std::string::npos);
    const std::string reference = config::reference_markdown(table_of(s));
    CHECK(reference.find("| `discovery.port` | `--discovery-port` | `T_DISCOVERY_PORT` | `11436` |")
          != std::string::npos);
    CHECK(reference.find("### `[[item]]`") != std::string::npos);
}
