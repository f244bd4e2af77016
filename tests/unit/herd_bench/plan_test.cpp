// What a benchmark measures: what was asked for, read and chosen.
#include "herd/bench/plan.hpp"

#include "fleet/model_name.hpp"
#include "herd/bench/prompts.hpp"
#include "support/catch.hpp"

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app::bench;

namespace {

constexpr std::string_view embedding_row = R"({"capabilities":["embedding"]})";
constexpr std::string_view vision_row = R"({"capabilities":["completion","vision"]})";
constexpr std::string_view writing_row = R"({"capabilities":["completion","tools"]})";

/// Nodes n1, n2 …, online, with 100 GiB of which half is free.
struct Fleet {
    explicit Fleet(int nodes)
    {
        for (int i = 1; i <= nodes; ++i) {
            auto facts = std::make_shared<fleet::NodeFacts>();
            facts->host = {.cores = 8, .memory_total = 100 * base::gib, .memory_available = 50 * base::gib};
            fleet::NodeView view;
            view.id.bytes[0] = static_cast<std::uint8_t>(i);
            view.name = "n" + std::to_string(i);
            view.state = fleet::NodeState::online;
            view.facts = facts;
            snapshot.nodes.push_back(view);
        }
    }
    void has(std::size_t n, const std::string& name, bool loaded = false, std::string_view row = writing_row, base::Bytes size = base::gib)
    {
        const auto key = fleet::ModelName::parse(name).key;
        auto fresh = std::make_shared<fleet::NodeFacts>(*node(n).facts);
        fresh->models.push_back({.name = name, .key = key, .size = size, .row = std::string{row}});
        node(n).facts = fresh;
        snapshot.models[key].push_back({.node = n - 1, .model = fresh->models.size() - 1, .loaded = loaded, .tool = fleet::tool_of(row)});
    }
    fleet::NodeView& node(std::size_t n) { return snapshot.nodes[n - 1]; }
    /// "a:llm b:embed"
    std::string plan(const Wish& wish = {}) const
    {
        std::string text;
        for (const Target& each : make_plan(snapshot, wish).targets) {
            text += (text.empty() ? "" : " ") + each.model + "=" + std::string{to_string(each.type)};
        }
        return text;
    }
    fleet::Snapshot snapshot{};
};

std::string fault(std::string_view body)
{
    const auto wish = parse_wish(body);
    return wish ? "" : wish.error().context;
}

} // namespace

TEST_CASE("a start without a body asks for the usual, for five minutes, of all kinds")
{
    const auto wish = parse_wish(" ");
    REQUIRE(wish);
    CHECK(wish->mode == Mode::usual);
    CHECK(wish->duration == std::chrono::seconds{300});
    CHECK(wish->types.size() == 4);
    CHECK_FALSE(wish->allow_pull);
}

TEST_CASE("a start is read as it was written")
{
    const auto wish = parse_wish(R"({"mode":"smart","duration":5,"model_types":["embed","embed"],"models":["a:1b"],"allow_pull":true})");
    REQUIRE(wish);
    CHECK(wish->mode == Mode::smart);
    CHECK(wish->duration == std::chrono::seconds{5});
    CHECK(wish->types == std::vector{Type::embed});
    CHECK(wish->models == std::vector<std::string>{"a:1b"});
    CHECK(wish->allow_pull);
}

TEST_CASE("what cannot be meant is told in one sentence")
{
    CHECK(fault("[]") == "a JSON object is needed, or nothing");
    CHECK(fault("{") == "a JSON object is needed, or nothing");
    CHECK(fault(R"({"mode":"fast"})") == R"("mode" is "default" or "smart")");
    CHECK(fault(R"({"mode":1})") == R"("mode" is "default" or "smart")");
    CHECK(fault(R"({"duration":4})") == R"("duration" is a whole number of seconds from 5 to 3600)");
    CHECK(fault(R"({"duration":3601})") == R"("duration" is a whole number of seconds from 5 to 3600)");
    CHECK(fault(R"({"duration":18446744073709551615})") == R"("duration" is a whole number of seconds from 5 to 3600)");
    CHECK(fault(R"({"duration":"10"})") == R"("duration" is a whole number of seconds from 5 to 3600)");
    CHECK(fault(R"({"model_types":[]})") == R"("model_types" is a list of "llm", "vision", "embed" and "image")");
    CHECK(fault(R"({"model_types":["speech"]})") == R"("model_types" knows "llm", "vision", "embed" and "image", not "speech")");
    CHECK(fault(R"({"models":"a"})") == R"("models" is a list of 1 to 32 names)");
    CHECK(fault(R"({"models":["no such/name/at/all/anywhere"]})") == R"("no such/name/at/all/anywhere" in "models" is not the name of a model)");
    CHECK(fault(R"({"models":["gpt-oss:120b-cloud"]})") == "gpt-oss:120b-cloud runs in a cloud, where nothing is measured: it would cost money");
    CHECK(fault(R"({"seconds":5})") == R"(only "mode", "duration", "model_types", "models" and "allow_pull" are understood, not "seconds")");
    CHECK(fault(R"({"allow_pull":true})").starts_with(R"("allow_pull" needs "mode":"smart" and "models")"));
    CHECK(fault(R"({"allow_pull":true,"mode":"smart"})").starts_with(R"("allow_pull" needs "mode":"smart" and "models")"));
}

TEST_CASE("what is in memory is measured, and of a kind of which nothing is, the model that most nodes have")
{
    Fleet f(2);
    f.has(1, "hot:1b", true);
    f.has(1, "cold:1b");
    f.has(2, "cold:1b");
    f.has(1, "few:1b", false, embedding_row);
    f.has(1, "embedder:1b", false, embedding_row);
    f.has(2, "embedder:1b", false, embedding_row);
    CHECK(f.plan() == "embedder:1b=embed hot:1b=llm");
    CHECK(f.plan({.types = {Type::llm}}) == "hot:1b=llm");
}

TEST_CASE("a model that sees is asked about a picture where that is wished, else as one that writes")
{
    Fleet f(1);
    f.has(1, "eyes:4b", true, vision_row);
    CHECK(f.plan() == "eyes:4b=vision");
    CHECK(f.plan({.types = {Type::llm}}) == "eyes:4b=llm");
    CHECK(f.plan({.types = {Type::embed}}).empty());
}

TEST_CASE("smart adds what has room in memory beside the rest")
{
    Fleet f(1); // 50 GiB free
    f.has(1, "hot:1b", true);
    f.has(1, "small:1b");
    f.has(1, "middle:30b", false, writing_row, 30 * base::gib);
    f.has(1, "other:30b", false, writing_row, 31 * base::gib);
    CHECK(f.plan() == "hot:1b=llm");
    CHECK(f.plan({.mode = Mode::smart}) == "hot:1b=llm middle:30b=llm small:1b=llm");
}

TEST_CASE("models that are named are measured, and no others")
{
    Fleet f(1);
    f.has(1, "hot:1b", true);
    f.has(1, "cold:1b");
    CHECK(f.plan({.models = {"cold:1b"}}) == "cold:1b=llm");
    CHECK(missing(f.snapshot, {.models = {"cold:1b", "gone:7b"}}) == std::vector<std::string>{"gone:7b"});
}

TEST_CASE("nothing that runs in a cloud, and no node that takes no requests or is not to, is measured")
{
    Fleet f(3);
    f.has(1, "big:cloud", true);
    CHECK(f.plan().empty());
    f.has(2, "away:1b", true);
    f.node(2).state = fleet::NodeState::offline;
    f.has(3, "vectors:1b", true, embedding_row);
    f.node(3).settings = std::make_shared<fleet::NodeSettings>(fleet::NodeSettings{.allow_embeddings = false});
    CHECK(f.plan().empty());
    CHECK(missing(f.snapshot, {.models = {"away:1b"}}) == std::vector<std::string>{"away:1b"});
    f.has(1, "barred:1b", true);
    f.node(1).settings = std::make_shared<fleet::NodeSettings>(fleet::NodeSettings{.models_allow = {*fleet::ModelPattern::parse("other*")}});
    CHECK(f.plan().empty());
    CHECK(missing(f.snapshot, {.models = {"barred:1b"}}) == std::vector<std::string>{"barred:1b"});
    CHECK(why_none(f.snapshot, {.types = {Type::llm, Type::embed}}) == "no node of this LAN has a model that can be measured as llm or embed");
    f.node(1).state = f.node(3).state = fleet::NodeState::offline;
    CHECK(why_none(f.snapshot, {}) == "no node takes requests");
}

TEST_CASE("image tools are measured where they are, and what writes speech down is not")
{
    Fleet f(1);
    f.has(1, "painter", false, R"({"details":{"type":"image"}})");
    f.has(1, "listener", false, R"({"details":{"type":"transcription"}})");
    f.snapshot.tools[fleet::ModelName::parse("painter").key] = fleet::Tool::image;
    f.snapshot.tools[fleet::ModelName::parse("listener").key] = fleet::Tool::speech;
    const auto plan = make_plan(f.snapshot, {});
    REQUIRE(plan.targets.size() == 1);
    CHECK(plan.targets[0].type == Type::image);
    CHECK(question_for(plan.targets[0], 0).path == "/api/generate-image");
}

TEST_CASE("a model is measured as one although another node has a tool of its name")
{
    Fleet f(2);
    f.has(1, "llama:8b", true);
    f.has(2, "llama:8b", false, R"({"details":{"type":"image"}})");
    CHECK(f.plan() == "llama:8b=llm");
}

TEST_CASE("eight workers for every node are shared among the models, six at most and one at least for each")
{
    const auto workers = [](std::size_t models, std::size_t nodes) { return Plan{std::vector<Target>(models), nodes}.workers_each(); };
    CHECK(workers(1, 1) == 6);
    CHECK(workers(2, 1) == 4);
    CHECK(workers(4, 2) == 4);
    CHECK(workers(20, 1) == 1);
    CHECK(workers(2, 8) == 6);
}

TEST_CASE("each kind is asked in the words of its path")
{
    const auto body = [](const Question& question) { return nlohmann::json::parse(question.body); };
    const Target writer{.model = "m"};
    CHECK(question_for(writer, 0).path == "/api/chat");
    CHECK(body(question_for(writer, 0))["options"]["num_predict"] == answer_tokens_max);
    CHECK(question_for(writer, 0).body != question_for(writer, 1).body);
    CHECK(question_for(writer, 3).body == question_for(writer, 13).body);
    const Target foreign{.model = "m", .native = false};
    CHECK(question_for(foreign, 0).path == "/v1/chat/completions");
    CHECK(body(question_for(foreign, 0))["stream_options"]["include_usage"] == true);
    CHECK(question_for({.model = "m", .type = Type::embed}, 0).path == "/api/embed");
    CHECK(question_for({.model = "m", .type = Type::embed, .native = false}, 0).path == "/v1/embeddings");
    CHECK(body(question_for({.model = "m", .type = Type::vision}, 0))["messages"][0]["images"].size() == 1);
    CHECK(question_for({.model = "m", .type = Type::image}, 0).path == "/api/generate");
}
