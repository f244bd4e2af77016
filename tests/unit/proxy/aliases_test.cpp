// What [aliases] says, by itself: what is wrong with a list, and what a name stands for.
#include "fleet/model_name.hpp"
#include "proxy/aliases.hpp"
#include "support/catch.hpp"

using namespace herd;
using namespace herd::proxy;

namespace {

struct Fleet {
    fleet::Snapshot snapshot{};
    /// `capabilities`: as in a row; empty: the row has none.
    void model(const std::string& node, const std::string& name, base::Bytes size, const std::string& capabilities, bool loaded,
               const std::string& family = "llama")
    {
        auto at = std::ranges::find(snapshot.nodes, node, &fleet::NodeView::name);
        if (at == snapshot.nodes.end()) {
            fleet::NodeView view;
            view.name = node;
            view.state = fleet::NodeState::online;
            view.facts = std::make_shared<fleet::NodeFacts>();
            snapshot.nodes.push_back(view);
            at = std::prev(snapshot.nodes.end());
        }
        auto facts = std::make_shared<fleet::NodeFacts>(*at->facts);
        const auto key = fleet::ModelName::parse(name).key;
        std::string row = R"({"name":")" + name + R"(","details":{"family":")" + family + "\"}";
        row += capabilities.empty() ? "}" : ",\"capabilities\":[" + capabilities + "]}";
        facts->models.push_back({.name = name, .key = key, .size = size, .row = row});
        if (loaded) {
            facts->loaded.push_back({.name = name, .key = key});
        }
        at->facts = facts;
        snapshot.models[key].push_back({});
    }
};

std::string target(const Aliases& aliases, const std::string& name, const fleet::Snapshot& snapshot = {}, bool anthropic = false)
{
    const auto key = fleet::ModelName::parse(name).key;
    return aliases.stands_for({.text = name, .key = key, .anthropic = anthropic}, snapshot).value_or("-");
}

std::shared_ptr<const Aliases> made(std::vector<Alias> list, bool claude_auto = false)
{
    auto compiled = Aliases::compile({std::move(list), claude_auto});
    REQUIRE(compiled);
    return *compiled;
}

} // namespace

TEST_CASE("a list of aliases that makes no sense is told why")
{
    CHECK(alias_fault({{"a", "b"}, {"b", "c:7b"}, {"x/y", "hf.co/u/m:q4"}, {"gpt-*", "c"}, {"*x", "c"}}).find("\"*x\" is no name") != std::string::npos);
    CHECK(alias_fault({{"foo", "FOO:latest"}}) == "\"foo\" stands for itself");
    CHECK(alias_fault({{"a", "b"}, {"b", "c"}, {"C:latest", "A"}}).find("leads round in a circle") != std::string::npos);
    CHECK(alias_fault({{"x", "a"}, {"a", "b"}, {"b", "a"}}).find("leads round in a circle") != std::string::npos);
    CHECK(alias_fault({{"foo", "a"}, {"Foo:latest", "b"}}) == "\"foo\" and \"Foo:latest\" are one name");
    CHECK(alias_fault({{"Gpt-*", "a"}, {"gpt-*", "b"}}) == "\"Gpt-*\" and \"gpt-*\" are one name");
    CHECK(alias_fault({{"a b", "m"}}).find("is no name") != std::string::npos);
    CHECK(alias_fault({{"*", "m"}}).find("is no name") != std::string::npos);
    CHECK(alias_fault({{"a*b", "m"}}).find("is no name") != std::string::npos);
    CHECK(alias_fault({{"a", "m*"}}).find("which is no name of a model") != std::string::npos);
    CHECK(alias_fault({{"a", ""}}).find("which is no name of a model") != std::string::npos);
    CHECK(alias_fault({{"foo", "foo:7b"}, {"gpt-*", "gpt-oss:20b"}}).empty());
    CHECK_FALSE(Aliases::compile({{{"a", "a"}}, false}));
    CHECK(*Aliases::compile({}) == nullptr);
}

TEST_CASE("names are compared as everywhere, and an alias of an alias is followed")
{
    const auto aliases = made({{"Claude-Sonnet-4-5", "coder"}, {"coder", "qwen3-coder:30b"}, {"foo:7b", "bar"}});
    CHECK(target(*aliases, "claude-sonnet-4-5") == "qwen3-coder:30b");
    CHECK(target(*aliases, "CLAUDE-sonnet-4-5:latest") == "qwen3-coder:30b");
    CHECK(target(*aliases, "coder") == "qwen3-coder:30b");
    CHECK(target(*aliases, "foo") == "-");
    CHECK(target(*aliases, "foo:7B") == "bar");
    CHECK(target(*aliases, "qwen3-coder:30b") == "-");
    CHECK(aliases->resolved().at(0) == Alias{"Claude-Sonnet-4-5", "qwen3-coder:30b"});
}

TEST_CASE("a pattern is for names without a tag that nobody has, the longest first, an exact name before all")
{
    const auto aliases = made({{"gpt-*", "small"}, {"gpt-4*", "Large:70b"}, {"gpt-4o", "exact"}});
    Fleet fleet;
    fleet.model("n", "gpt-oss:latest", 1, "", false);
    CHECK(target(*aliases, "GPT-3.5-turbo", fleet.snapshot) == "small");
    CHECK(target(*aliases, "gpt-4.1", fleet.snapshot) == "Large:70b");
    CHECK(target(*aliases, "gpt-4.1:latest", fleet.snapshot) == "Large:70b");
    CHECK(target(*aliases, "gpt-4o", fleet.snapshot) == "exact");
    CHECK(target(*aliases, "gpt-4.1:7b", fleet.snapshot) == "-");
    CHECK(target(*aliases, "gpt-oss", fleet.snapshot) == "-"); // a node has it
    CHECK(target(*aliases, "gpt", fleet.snapshot) == "-");
}

TEST_CASE("claude_auto takes the best model that can use tools, on Anthropic's paths only")
{
    const auto aliases = made({}, true);
    Fleet fleet;
    CHECK(target(*aliases, "claude-x", fleet.snapshot, true) == "-"); // nobody has anything
    fleet.model("a", "embed:latest", 900, R"("embedding")", true);
    fleet.model("a", "old-embed:latest", 900, "", true, "nomic-bert");
    CHECK(target(*aliases, "claude-x", fleet.snapshot, true) == "-");
    fleet.model("a", "silent:7b", 800, "", true);
    CHECK(target(*aliases, "claude-x", fleet.snapshot, true) == "silent:7b"); // says nothing of itself: better than none
    fleet.model("a", "cold:70b", 700, R"("completion","tools")", false);
    CHECK(target(*aliases, "claude-x", fleet.snapshot, true) == "cold:70b");
    fleet.model("b", "hot:8b", 80, R"("completion","tools")", true);
    fleet.model("b", "hot:14b", 140, R"("completion","tools","thinking")", true);
    fleet.model("b", "blind:30b", 300, R"("completion","vision")", true);
    CHECK(target(*aliases, "Claude-x", fleet.snapshot, true) == "hot:14b");
    CHECK(target(*aliases, "claude-x", fleet.snapshot, false) == "-");
    CHECK(target(*aliases, "claude-x:7b", fleet.snapshot, true) == "-");
    CHECK(target(*aliases, "hot:8b", fleet.snapshot, true) == "-");
    fleet.snapshot.nodes[1].state = fleet::NodeState::draining;
    CHECK(target(*aliases, "claude-x", fleet.snapshot, true) == "cold:70b");
    const fleet::Members only_b(std::vector<std::string>{"b"}, {});
    CHECK(best_tool_model(fleet.snapshot, &only_b).empty());
}

TEST_CASE("claude_auto takes no model that only nodes without Anthropic's paths have")
{
    const auto aliases = made({}, true);
    Fleet fleet;
    fleet.model("old", "big:70b", 700, R"("completion","tools")", true);
    fleet.model("new", "small:8b", 80, R"("completion","tools")", true);
    CHECK(target(*aliases, "claude-x", fleet.snapshot, true) == "big:70b"); // nothing is known of its Ollama
    const auto with_version = [&](const char* version) {
        auto facts = *fleet.snapshot.nodes[0].facts;
        facts.ollama_version = version;
        fleet.snapshot.nodes[0].facts = std::make_shared<const fleet::NodeFacts>(facts);
        return target(*aliases, "claude-x", fleet.snapshot, true);
    };
    CHECK(with_version("0.14.0-rc1") == "big:70b");
    CHECK(with_version("0.14.2") == "big:70b");
    CHECK(with_version("0.13.5") == "small:8b");
    CHECK(with_version("0.9.0") == "small:8b");
    (void)with_version("0.20.0");
    fleet.snapshot.nodes[0].id.bytes[0] = 1;
    CHECK(best_tool_model(fleet.snapshot, nullptr, {fleet.snapshot.nodes[0].id}) == "small:8b"); // it said so
}
