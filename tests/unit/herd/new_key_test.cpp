#include "herd/keys/new_key.hpp"

#include "herd/keys/login_page.hpp"
#include "support/catch.hpp"

#include <nlohmann/json.hpp>

using namespace herd;
using namespace std::chrono_literals;
using app::keys::parse_new_key;

namespace {
const base::WallTime noon{std::chrono::sys_days{std::chrono::year{2026} / 11 / 20} + 12h};
std::string fault(std::string_view body)
{
    const auto made = parse_new_key(body, noon);
    return made ? "" : made.error().context;
}
} // namespace

TEST_CASE("a key is made of what was asked for")
{
    const auto made = parse_new_key(R"({"name":"alice@lab","scope":"user","models":["LLama3","qwen3:0.6b","LLama3"],"frontends":["team-a"],
        "rpm":60,"tokens_per_day":100000,"max_parallel":4,"priority":"batch","expires":"90d"})", noon);
    REQUIRE(made);
    CHECK(made->name == "alice@lab");
    CHECK_FALSE(made->admin);
    CHECK(made->models == std::vector<std::string>{"LLama3", "qwen3:0.6b"});
    CHECK(made->rpm == 60);
    CHECK(made->tokens_per_day == 100000);
    CHECK(made->max_parallel == 4);
    CHECK(made->expires == noon + 24h * 90);
    const auto key = app::keys::to_key(*made, std::make_shared<proxy::KeyUse>());
    CHECK(key->models == std::vector<std::string>{"registry.ollama.ai/library/llama3:latest", "registry.ollama.ai/library/qwen3:0.6b"});
    CHECK(key->may_use_model("registry.ollama.ai/library/llama3:latest"));
    CHECK_FALSE(key->may_use_model("registry.ollama.ai/library/llama3:70b"));
    CHECK(key->priority == fleet::Priority::batch);
}

TEST_CASE("what is wrong with a key names the field")
{
    CHECK(fault("[]").find("JSON object") != std::string::npos);
    CHECK(fault("{}").starts_with("name:"));
    for (const char* name : {"", "-x", "a b", "key-0123", "a/b", "a\\nb"}) {
        CHECK(fault(std::string(R"({"name":")") + name + "\"}").starts_with("name:"));
    }
    CHECK(fault(R"({"name":"a","modles":[]})") == R"(unknown field "modles"; did you mean "models"?)");
    CHECK(fault(R"({"name":"a","models":"x"})").starts_with("models:"));
    CHECK(fault(R"({"name":"a","models":["a b"]})").starts_with("models:"));
    CHECK(fault(R"({"name":"a","models":[""]})").starts_with("models:"));
    CHECK(fault(R"({"name":"a","rpm":-1})").starts_with("rpm:"));
    CHECK(fault(R"({"name":"a","rpm":1.5})").starts_with("rpm:"));
    CHECK(fault(R"({"name":"a","max_parallel":"4"})").starts_with("max_parallel:"));
    CHECK(fault(R"({"name":"a","priority":"urgent"})").starts_with("priority:"));
    CHECK(fault(R"({"name":"a","scope":"root"})").starts_with("scope:"));
    CHECK(fault(R"({"name":"a","expires":"yesterday"})").starts_with("expires:"));
    CHECK(fault(R"({"name":"a","expires":"2026-11-20"})") == "expires: must be in the future");
    CHECK(fault(R"({"name":"a","expires":"2026-11-21"})").empty());
    CHECK(fault(R"({"name":"a","scope":"admin","models":["m"]})").starts_with("models:"));
}

TEST_CASE("a key for an alias is refused with the model that it must name")
{
    const auto aliases = *proxy::Aliases::compile({.list = {{"gpt-4o", "house"}, {"house", "llama3.3:70b"}, {"claude-*", "qwen3:14b"}}});
    fleet::Snapshot snapshot;
    snapshot.models["registry.ollama.ai/library/claude-here:latest"];
    const auto said = [&](const char* models) { return app::keys::alias_fault(std::string(R"({"name":"x","models":)") + models + "}", aliases.get(), snapshot); };
    CHECK(said(R"(["gpt-4o"])") == R"(models: "gpt-4o" is an alias of "llama3.3:70b", and a key is for the model that runs: name that one)");
    CHECK(said(R"(["other", "GPT-4o:latest"])").find("llama3.3:70b") != std::string::npos);
    CHECK(said(R"(["claude-sonnet"])").find("\"qwen3:14b\"") != std::string::npos);
    CHECK(said(R"(["claude-here"])").empty()); // no pattern hides a model that a node has
    CHECK(said(R"(["claude-sonnet:1b"])").empty());
    CHECK(said(R"(["llama3.3:70b"])").empty());
    CHECK(said(R"(["gpt-4o", "Llama3.3:70B"])").empty()); // the alias adds nothing, but what it means may be used
    CHECK(said(R"("gpt-4o")").empty());                   // told by parse_new_key()
    CHECK(app::keys::alias_fault(R"({"models":["gpt-4o"]})", nullptr, snapshot).empty());
}

TEST_CASE("a secret has 160 random bits, and what is kept of it cannot be used")
{
    const auto secret = app::keys::make_secret();
    CHECK(secret.size() == 45);
    CHECK(secret.starts_with("herd_"));
    CHECK(secret != app::keys::make_secret());
    store::KeyRecord record{.name = "alice"};
    app::keys::seal(record, secret);
    CHECK(record.id.starts_with("key-"));
    CHECK(record.hash.size() == 64);
    CHECK(record.hash.find(secret.substr(5)) == std::string::npos);
    CHECK(record.hint == secret.substr(0, 9) + "…" + secret.substr(41));
    const proxy::KeyUse use;
    const auto shown = app::keys::key_json(record, use, noon);
    CHECK(shown.find(secret) == std::string::npos);
    CHECK(shown.find(record.hash) == std::string::npos);
    CHECK(nlohmann::json::parse(app::keys::made_json(record, use, noon, secret)).at("secret") == secret);
    CHECK(app::keys::to_key(record, std::make_shared<proxy::KeyUse>())->hash == net::sha256(secret));
}

TEST_CASE("a record whose hash cannot be read opens nothing")
{
    const auto key = app::keys::to_key({.name = "x", .hash = "not hexadecimal"}, std::make_shared<proxy::KeyUse>());
    CHECK_FALSE(key->lives(noon));
}

TEST_CASE("the login form: what it sends, what it says, which cookie it sets")
{
    CHECK(app::keys::key_of_form("key=herd_1%2B2+") == "herd_1+2");
    CHECK(app::keys::key_of_form("a=b&key=x&key=y") == "x");
    CHECK_FALSE(app::keys::key_of_form("KEY=x"));
    CHECK_FALSE(app::keys::key_of_form("key=%zz"));
    CHECK(app::keys::login_page("<script>\"&").find("&lt;script&gt;&quot;&amp;") != std::string::npos);
    CHECK(app::keys::session_field("abc", true) == "herd_session=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure");
    CHECK(app::keys::session_field("", false) == "herd_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
}
