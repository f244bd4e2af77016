#include "herd/herd_app.hpp"
#include "herd/sync/keeper.hpp"
#include "herd/sync/plan.hpp"
#include "herd/sync/pull_stream.hpp"

#include "fleet/model_name.hpp"
#include "support/catch.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app::sync;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

/// Nodes n1, n2 … online, with 100 GiB of which 50 are free.
struct World {
    explicit World(int nodes)
    {
        for (int i = 1; i <= nodes; ++i) {
            auto facts = std::make_shared<fleet::NodeFacts>();
            facts->disk_total = 100 * base::gib;
            facts->disk_free = 50 * base::gib;
            fleet::NodeView view;
            view.id.bytes[0] = static_cast<std::uint8_t>(i);
            view.name = "n" + std::to_string(i);
            view.state = fleet::NodeState::online;
            view.facts = facts;
            fleet.nodes.push_back(view);
        }
    }
    fleet::NodeView& node(int n) { return fleet.nodes[static_cast<std::size_t>(n - 1)]; }
    template <class Change>
    void facts(int n, Change change)
    {
        auto fresh = std::make_shared<fleet::NodeFacts>(*node(n).facts);
        change(*fresh);
        node(n).facts = fresh;
    }
    void has(int n, const std::string& name, base::Bytes size = base::gib)
    {
        const auto key = fleet::ModelName::parse(name).key;
        facts(n, [&](auto& f) { f.models.push_back({.name = name, .key = key, .size = size}); });
        fleet.models[key].push_back({.node = static_cast<std::size_t>(n - 1), .model = node(n).facts->models.size() - 1});
    }
    std::vector<Pull> step()
    {
        auto pulls = plan.step(fleet, now);
        return pulls;
    }
    std::string started()
    {
        std::string text;
        for (const Pull& each : step()) {
            text += each.node_name + ":" + each.model + " ";
        }
        return text;
    }
    Entry entry(int n, const std::string& model)
    {
        const auto found = std::ranges::find_if(plan.entries(), [&](const Entry& each) { return each.node == node(n).id && each.model == model; });
        REQUIRE(found != plan.entries().end());
        return *found;
    }
    void end(int n, const std::string& model, const std::string& error) { plan.ended({fleet::ModelName::parse(model).key, node(n).id}, error, now); }

    base::Instant now{std::chrono::hours{10}};
    fleet::Snapshot fleet{};
    Plan plan{base::Rng(1)};
};

} // namespace

TEST_CASE("a model is required of no node that may not serve it; where that node is named, its entry says so")
{
    World w(3);
    fleet::NodeSettings settings;
    settings.models_allow = {*fleet::ModelPattern::parse_served("other*")};
    w.node(2).settings = std::make_shared<const fleet::NodeSettings>(settings);
    w.plan.require({{.model = "m"}});
    CHECK(w.started() == "n1:m:latest n3:m:latest ");
    CHECK(w.plan.entries().size() == 2);
    w.end(1, "m", "");
    w.end(3, "m", "");
    w.plan.require({{.model = "m", .nodes = {"n2"}}});
    CHECK(w.started().empty());
    CHECK(w.entry(2, "m:latest").state == State::missing);
    CHECK(w.entry(2, "m:latest").reason == "n2 may not serve it (models_allow)");
    w.plan.require({{.model = "m", .replicas = 1, .nodes = {"n2", "n3"}}});
    CHECK(w.started() == "n3:m:latest ");
}

TEST_CASE("what is required everywhere is pulled where it is missing, under its exact name")
{
    World w(3);
    w.has(1, "llama3:latest");
    w.has(2, "llama3:70b"); // another model
    w.node(3).state = fleet::NodeState::offline;
    CHECK(w.started().empty());
    CHECK(w.plan.idle());
    w.plan.require({{.model = "llama3"}});
    CHECK(w.started() == "n2:llama3:latest ");
    CHECK(w.entry(1, "llama3:latest").state == State::present);
    CHECK(w.entry(2, "llama3:latest").state == State::pulling);
    CHECK(w.entry(3, "llama3:latest").state == State::missing);
    CHECK(w.entry(3, "llama3:latest").reason == "n3 is offline");
    CHECK(w.started().empty()); // it runs already
    w.plan.progress({w.entry(2, "llama3:latest").key, w.node(2).id}, 40);
    (void)w.step();
    CHECK(w.entry(2, "llama3:latest").percent == 40);
    w.node(3).state = fleet::NodeState::online; // it appears
    CHECK(w.started() == "n3:llama3:latest ");
}

TEST_CASE("at most two pulls at a node and four in all")
{
    World w(3);
    w.plan.require({{.model = "a"}, {.model = "b"}, {.model = "c"}});
    CHECK(w.started() == "n1:a:latest n2:a:latest n3:a:latest n1:b:latest ");
    CHECK(w.entry(2, "b:latest").state == State::queued);
    w.end(1, "a", "");
    w.has(1, "a:latest");
    CHECK(w.started() == "n2:b:latest "); // not n1: it could take one, but the second of n2 came first
    w.end(3, "a", "");
    w.has(3, "a:latest");
    w.end(2, "a", "");
    w.has(2, "a:latest");
    CHECK(w.started() == "n3:b:latest n1:c:latest ");
}

TEST_CASE("a failure waits thirty seconds, then twice as long, up to an hour; an operator need not")
{
    World w(1);
    w.plan.require({{.model = "a"}});
    double longest = 0;
    for (int failures = 1; failures <= 12; ++failures) {
        CHECK(w.started() == "n1:a:latest ");
        w.end(1, "a", "no such model");
        (void)w.step();
        const Entry entry = w.entry(1, "a:latest");
        CHECK(entry.state == State::failed);
        CHECK(entry.failures == failures);
        CHECK(entry.reason == "no such model");
        const double wait = base::seconds(entry.next_try - w.now);
        const double wanted = std::min(30.0 * (1 << (failures - 1)), 3600.0);
        CHECK(wait >= 0.8 * wanted);
        CHECK(wait <= 1.2 * wanted);
        longest = std::max(longest, wait);
        w.now = entry.next_try - 1s;
        CHECK(w.started().empty());
        w.now = entry.next_try;
    }
    CHECK(longest <= 1.2 * 3600);
    CHECK(w.started() == "n1:a:latest ");
    w.end(1, "a", "again");
    (void)w.step();
    w.plan.retry("b", "");
    CHECK(w.started().empty());
    w.plan.retry("a", "N1");
    CHECK(w.started() == "n1:a:latest ");
    w.end(1, "a", "");
    w.has(1, "a:latest");
    CHECK(w.started().empty());
    CHECK(w.entry(1, "a:latest").failures == 0);
}

TEST_CASE("a number of copies: those that have it count first, then those with the most room")
{
    World w(4);
    w.has(3, "a:latest");
    w.facts(2, [](auto& f) { f.disk_free = 90 * base::gib; });
    w.plan.require({{.model = "a", .replicas = 2}});
    CHECK(w.started() == "n2:a:latest ");
    w.facts(4, [](auto& f) { f.disk_free = 99 * base::gib; }); // another has more room now: the one at work stays
    CHECK(w.started().empty());
    CHECK(w.plan.entries().size() == 2);
    w.end(2, "a", "");
    w.has(2, "a:latest");
    w.has(1, "a:latest"); // one more than needed: nothing is deleted
    CHECK(w.started().empty());
    w.node(3).state = fleet::NodeState::offline; // and now it is needed
    CHECK(w.started().empty());
    w.node(2).state = fleet::NodeState::offline;
    CHECK(w.started() == "n4:a:latest ");
}

TEST_CASE("where a node is lost that a copy was on its way to, another gets it")
{
    World w(2);
    w.plan.require({{.model = "a", .replicas = 1}});
    CHECK(w.started() == "n1:a:latest ");
    w.node(1).state = fleet::NodeState::offline;
    CHECK(w.started().empty()); // its keeper ends it
    w.end(1, "a", "it is offline");
    CHECK(w.started() == "n2:a:latest ");
    w.node(1).state = fleet::NodeState::online;
    CHECK(w.started().empty());
}

TEST_CASE("named nodes and labels limit where a model goes")
{
    World w(3);
    w.node(2).labels = {"EU"};
    w.node(3).labels = {"eu", "big"};
    w.plan.require({{.model = "a", .nodes = {"N1", "nobody"}}, {.model = "b", .labels = {"eu"}}, {.model = "b", .labels = {"big"}}});
    CHECK(w.started() == "n1:a:latest n2:b:latest n3:b:latest ");
}

TEST_CASE("a tenth of the disk stays free, and a plain Ollama is asked all the same")
{
    World w(3);
    w.has(3, "a:latest", 45 * base::gib); // so large is it
    w.facts(1, [](auto& f) { f.disk_free = 54 * base::gib; });
    w.facts(2, [](auto& f) { f.disk_free.reset(); });
    w.plan.require({{.model = "a"}});
    CHECK(w.started() == "n2:a:latest ");
    CHECK(w.entry(1, "a:latest").state == State::failed);
    CHECK(w.entry(1, "a:latest").reason.starts_with("no room: 54.0 GiB free, the model takes 45.0 GiB"));
    w.facts(1, [](auto& f) { f.disk_free = 56 * base::gib; });
    w.now += 31s;
    CHECK(w.started() == "n1:a:latest ");
}

TEST_CASE("an edit of other requirements leaves pulls alone; dropping one deletes nothing and starts nothing")
{
    World w(1);
    w.plan.require({{.model = "a"}});
    CHECK(w.started() == "n1:a:latest ");
    w.plan.require({{.model = "a"}, {.model = "b"}});
    CHECK(w.started() == "n1:b:latest ");
    CHECK(w.entry(1, "a:latest").state == State::pulling);
    w.plan.require({});
    CHECK(w.started().empty());
    CHECK_FALSE(w.plan.idle()); // both go on to their ends
    w.end(1, "a", "");
    w.end(1, "b", "");
    CHECK(w.plan.idle());
    w.plan.require({{.model = "c"}});
    CHECK(w.plan.requires_model(fleet::ModelName::parse("C").key));
    w.plan.drop(fleet::ModelName::parse("c").key);
    CHECK_FALSE(w.plan.requires_model(fleet::ModelName::parse("c").key));
    CHECK(w.started().empty());
    w.plan.require({{.model = "d"}, {.model = "c"}}); // the configuration says something else
    CHECK(w.started() == "n1:d:latest n1:c:latest ");
}

TEST_CASE("what an operator deleted is not pulled again for a reload that changes nothing")
{
    World w(1);
    w.plan.require({{.model = "c"}});
    w.plan.drop(fleet::ModelName::parse("c").key);
    w.plan.require({{.model = "c"}});
    CHECK(w.started().empty());
    CHECK_FALSE(w.plan.requires_model(fleet::ModelName::parse("c").key));
}

TEST_CASE("cloud models and nonsense are not pulled")
{
    World w(1);
    w.plan.require({{.model = "big:cloud"}, {.model = "::"}});
    CHECK(w.started().empty());
}

TEST_CASE("nothing is pulled to the cloud, or to a server with OpenAI's paths alone")
{
    World w(3);
    fleet::Manner cloud;
    cloud.cloud = true;
    w.node(1).address.manner = std::make_shared<const fleet::Manner>(cloud);
    fleet::Manner openai;
    openai.api = fleet::NodeApi::openai;
    w.node(2).address.manner = std::make_shared<const fleet::Manner>(openai);
    w.plan.require({{.model = "m"}});
    CHECK(w.started() == "n3:m:latest ");
}

TEST_CASE("a frontend's models are required of its nodes that may serve it")
{
    app::HerdOptions options;
    options.required.push_back({.model = "m", .replicas = 2});
    app::ConfiguredFrontend all{.required_models = {"a", "b"}};
    all.rules.id = "all";
    all.rules.node_labels = {"gpu"};
    all.rules.labels_required = {"eu"};
    app::ConfiguredFrontend none{.nodes = {}, .required_models = {"c"}};
    const auto wanted = app::requirements(options, {all, none});
    REQUIRE(wanted.size() == 3);
    CHECK(wanted[0] == Requirement{.model = "m", .replicas = 2});
    CHECK(wanted[1] == Requirement{.model = "a", .labels = {"gpu", "eu"}, .frontend = "all"});
    World w(3);
    w.node(1).labels = {"gpu"};
    w.node(2).labels = {"eu", "gpu"};
    w.plan.require({wanted[1]});
    CHECK(w.started() == "n2:a:latest ");
    CHECK(Json::parse(plan_json(w.plan, Asked{base::Rng(1)}, proxy::PullMemory{}, w.now, {}))["required"][0]["frontend"] == "all");
}

TEST_CASE("the plan is told as JSON")
{
    World w(2);
    w.has(1, "a:latest");
    w.plan.require({{.model = "a"}, {.model = "b", .replicas = 1, .nodes = {"n2"}}});
    (void)w.step();
    w.end(2, "b", "no \xFF such model");
    (void)w.step();
    const Json json = Json::parse(plan_json(w.plan, Asked{base::Rng(1)}, proxy::PullMemory{}, w.now, base::WallTime{1'800'000'000s}));
    CHECK(json["required"][0]["replicas"] == "all");
    CHECK(json["required"][1]["replicas"] == 1);
    REQUIRE(json["models"].size() == 3);
    CHECK(json["models"][0]["state"] == "present");
    CHECK(json["models"][1]["percent"] == 0);
    CHECK(json["models"][2]["state"] == "failed");
    CHECK(json["models"][2]["failures"] == 1);
    CHECK(json["asked"].empty());
    CHECK(json["models"][2]["next_try"].get<std::string>().starts_with("2027-01-15T08:00:"));
}

TEST_CASE("sizes beyond all measure are no undefined percent")
{
    PullStream stream;
    for (const char* digest : {"x", "y", "z"}) {
        CHECK(stream.feed(std::string{"{\"digest\":\""} + digest + "\",\"total\":1e308,\"completed\":1e308}\n"));
    }
    CHECK(stream.percent() == 100);
    CHECK(stream.feed("{\"digest\":\"z\",\"total\":1e308,\"completed\":0}\n"));
    CHECK(stream.percent() == 66);
}

TEST_CASE("a pull's stream: progress, an error inside, an end without a word")
{
    PullStream good;
    CHECK(good.feed("{\"status\":\"pulling manifest\"}\n{\"status\":\"pulling x\",\"digest\":\"x\",\"total\":100,\"comp"));
    CHECK(good.feed("leted\":30}\n{\"status\":\"pulling y\",\"digest\":\"y\",\"total\":100}\n"));
    CHECK(good.percent() == 15);
    CHECK(good.feed("{\"status\":\"pulling y\",\"digest\":\"y\",\"total\":100,\"completed\":900}\nno JSON\n[]\n{\"status\":\"success\"}"));
    CHECK(good.failure().empty());
    CHECK(good.percent() == 65);
    PullStream bad;
    CHECK(bad.feed("{\"status\":\"success\"}\n{\"error\":\"file does not exist\"}\n"));
    CHECK(bad.failure() == "file does not exist");
    const std::string euros = "\u20ac";
    std::string words = "ab";
    while (words.size() < 1000) {
        words += euros;
    }
    PullStream wordy;
    CHECK(wordy.feed("{\"error\":\"" + words + "\"}\n"));
    CHECK(wordy.failure() == words.substr(0, 299)); // 300 would be inside of a character
    PullStream cut;
    CHECK(cut.feed("{\"status\":\"verifying\"}\n"));
    CHECK(cut.failure() == "the pull ended without success");
    PullStream endless;
    CHECK_FALSE(endless.feed(std::string(100'000, 'x')));
    CHECK(endless.failure() == "the node's answer is no progress of a pull");
}
