// Models that requests name and nobody has: which node pulls one, for whom, and when not again.
#include "herd/sync/asked.hpp"

#include "fleet/model_name.hpp"
#include "support/catch.hpp"

using namespace herd;
using namespace herd::app::sync;
using namespace std::chrono_literals;

namespace {

/// Nodes n1, n2 … online, the first with the most memory free; 100 GiB of disk of which 50 are free.
struct World {
    explicit World(int nodes)
    {
        for (int i = 1; i <= nodes; ++i) {
            fleet::NodeFacts facts;
            facts.disk_total = 100 * base::gib;
            facts.disk_free = 50 * base::gib;
            facts.host.memory_total = 64 * base::gib;
            facts.host.memory_available = static_cast<base::Bytes>(40 - i) * base::gib;
            fleet::NodeView view;
            view.id.bytes[0] = static_cast<std::uint8_t>(i);
            view.name = "n" + std::to_string(i);
            view.state = fleet::NodeState::online;
            view.facts = std::make_shared<const fleet::NodeFacts>(facts);
            fleet.nodes.push_back(view);
        }
    }
    fleet::NodeView& node(int n) { return fleet.nodes[static_cast<std::size_t>(n - 1)]; }
    template <class Change>
    void facts(int n, Change change)
    {
        auto fresh = *node(n).facts;
        change(fresh);
        node(n).facts = std::make_shared<const fleet::NodeFacts>(std::move(fresh));
    }
    void has(int n, const std::string& name, base::Bytes size)
    {
        const auto key = fleet::ModelName::parse(name).key;
        facts(n, [&](auto& f) { f.models.push_back({.name = name, .key = key, .size = size}); });
        fleet.models[key].push_back({.node = static_cast<std::size_t>(n - 1), .model = node(n).facts->models.size() - 1});
    }
    proxy::WantedModel wanted(const std::string& model)
    {
        const auto name = fleet::ModelName::parse(model);
        return {.key = name.key, .model = name.display, .seen = std::make_shared<const fleet::Snapshot>(fleet)};
    }
    proxy::WantedModel at(const std::string& model, const std::string& frontend, const std::vector<std::string>& nodes)
    {
        auto all = wanted(model);
        all.wishes.rules = std::make_shared<const fleet::Rules>(fleet::Rules{.frontend = frontend, .members = {nodes, {}}});
        return all;
    }
    /// "n1", or why not.
    std::string ask(const proxy::WantedModel& model)
    {
        const auto told = asked.ask(model, pulls, now);
        return told ? fleet.find(told->second)->name : std::string(base::to_string(told.error().code)) + ": " + told.error().context;
    }
    std::string ask(const std::string& model) { return ask(wanted(model)); }
    std::string started()
    {
        std::string text;
        for (const Pull& each : asked.start()) {
            text += each.node_name + ":" + each.model + " ";
        }
        return text;
    }
    std::string end(int n, const std::string& model, const std::string& error = {}) { return asked.ended({fleet::ModelName::parse(model).key, node(n).id}, error, now); }

    base::Instant now{std::chrono::hours{10}};
    fleet::Snapshot fleet{};
    proxy::PullMemory pulls{};
    Asked asked{base::Rng(1)};
};

const std::string missing = "pull model manifest: file does not exist";

} // namespace

TEST_CASE("a node pulls nothing that it may not serve, and nodes of a lower tier go first")
{
    World w(3);
    w.node(1).settings = std::make_shared<const fleet::NodeSettings>(fleet::NodeSettings{.tier = 1});
    fleet::NodeSettings closed;
    closed.models_allow = {*fleet::ModelPattern::parse_served("other*")};
    w.node(2).settings = std::make_shared<const fleet::NodeSettings>(closed);
    CHECK(w.ask(w.wanted("m")) == "n3");
    w.node(3).state = fleet::NodeState::offline;
    CHECK(w.ask(w.wanted("n")) == "n1");
    CHECK(w.ask(w.at("p", "f", {"n2"})) == "no_such_model: no node can pull it: n2 may not serve it (models_allow)");
}

TEST_CASE("the node with the most free memory pulls it, once for all that ask")
{
    World w(3);
    CHECK(w.ask("a") == "n1");
    CHECK(w.started() == "n1:a:latest ");
    w.facts(1, [](auto& f) { f.host.memory_available = 0; });
    for (int i = 0; i < 20; ++i) {
        const proxy::PullMemory::Mark mark(w.pulls, w.wanted("a").key, w.node(1).id); // as its keeper holds one
        CHECK(w.ask(i % 2 == 0 ? "A" : "a:latest") == "n1");
    }
    CHECK(w.started().empty());
    CHECK(w.end(1, "a").empty());
    CHECK(w.asked.pending().empty());
}

TEST_CASE("only a node that may serve the request pulls for it")
{
    World w(4);
    auto manner = std::make_shared<fleet::Manner>();
    manner->cloud = true;
    w.node(1).address.manner = manner;
    w.node(2).state = fleet::NodeState::suspect;
    w.node(4).labels = {"eu"};
    CHECK(w.ask("a") == "n3");
    auto here = w.wanted("a");
    here.wishes.labels = {"eu"};
    CHECK(w.ask(here) == "n4");
    here = w.wanted("b");
    here.wishes.node = "n4";
    CHECK(w.ask(here) == "n4");
    CHECK(w.ask(w.at("c", "team", {"n4"})) == "n4");
    CHECK(w.ask(w.at("c", "other", {"n1", "n2"})) == "no_such_model: "); // nobody: in the words of ever
    here = w.wanted("d");
    here.exclude = {w.node(3).id};
    CHECK(w.ask(here) == "n4");
    w.node(4).settings = std::make_shared<const fleet::NodeSettings>(fleet::NodeSettings{.allow_completions = false});
    here = w.wanted("e");
    here.wishes.node = "n4";
    CHECK(w.ask(here) == "no_such_model: no node can pull it: n4 is not used for completions");
    here.generates = false;
    CHECK(w.ask(here) == "n4");
}

TEST_CASE("a node without room, on the disk or in memory, does not pull it")
{
    World w(2);
    w.facts(1, [](auto& f) { f.disk_free = 9 * base::gib; });
    CHECK(w.ask("a") == "n2");
    w.facts(2, [](auto& f) { f.disk_free = 9 * base::gib; });
    CHECK(w.ask("a") == "n2"); // it takes of that room already
    CHECK(w.ask("b") == "no_such_model: no node can pull it: n2 has no room: 9.0 GiB free, and 10 % of the disk must stay free");
    World big(2);
    big.has(2, "a", 60 * base::gib); // of another frontend
    big.facts(1, [](auto& f) { f.host.memory_total = 16 * base::gib; f.disk_free = 90 * base::gib; });
    CHECK(big.ask(big.at("a", "team", {"n1"})) == "no_such_model: no node can pull it: n1 has less memory than the model takes");
}

TEST_CASE("two pulls at a time, sixteen wait for their turn, more are refused")
{
    World w(1);
    for (int i = 0; i < 18; ++i) {
        CHECK(w.ask("m" + std::to_string(i)) == "n1");
    }
    CHECK(w.ask("m18") == "queue_full: too many models are being pulled already");
    CHECK(w.ask("m17") == "n1");
    CHECK(w.started() == "n1:m0:latest n1:m1:latest ");
    CHECK(w.started().empty());
    w.end(1, "m1");
    CHECK(w.started() == "n1:m2:latest ");
    CHECK(w.ask("m18") == "n1");
}

TEST_CASE("what failed at one node is tried at another, once at each")
{
    World w(3);
    CHECK(w.ask("a") == "n1");
    CHECK(w.end(1, "a", "no space left on device") == "pulling it to n1 failed: no space left on device");
    CHECK(w.ask("a") == "n2");
    CHECK(w.ask("a") == "n2"); // both share it
    w.now += 10min;
    CHECK(w.end(2, "a", "it is offline") == "pulling it to n2 failed: it is offline");
    w.node(2).state = fleet::NodeState::offline;
    auto pinned = w.wanted("a");
    pinned.wishes.node = "n1";
    CHECK(w.ask(pinned).starts_with("no_such_model: pulling it to n2 failed: it is offline; it is tried again in "));
    CHECK(w.ask("a") == "n3");
    w.end(3, "a", missing);
    CHECK(w.ask("a").starts_with("no_such_model: pulling it to n3 failed: " + missing + "; it is tried again in "));
    CHECK(w.asked.failures().size() == 1);
    CHECK(w.asked.failures().begin()->second.failures == 1);
    w.now += 37s;
    CHECK(w.ask("a") == "n1"); // from the beginning
    w.end(1, "a", missing);
    CHECK(w.asked.failures().begin()->second.failures == 2);
    CHECK(w.ask("a") == "n3");
    w.end(3, "a");
    CHECK(w.asked.failures().empty());
}

TEST_CASE("of many nodes so many are tried, and who waits excludes those where it failed")
{
    World w(20);
    for (int n = 1; n <= 16; ++n) {
        CHECK(w.ask("a") == "n" + std::to_string(n));
        w.end(n, "a", missing);
    }
    CHECK(w.ask("a").starts_with("no_such_model: pulling it to n16 failed: "));
    auto other = w.at("b", "team", {"n1", "n2"});
    CHECK(w.ask("b") == "n1");
    CHECK(w.ask(other) == "n1"); // joins in
    w.end(1, "b", missing);      // which is told of who asked first
    other.exclude = {w.node(1).id};
    CHECK(w.ask(other) == "n2");
}

TEST_CASE("what failed is not tried again for a while, then for twice as long, each frontend for itself")
{
    World w(1);
    CHECK(w.ask("a") == "n1");
    CHECK(w.started() == "n1:a:latest ");
    CHECK(w.end(1, "a", missing) == "pulling it to n1 failed: " + missing);
    for (int i = 0; i < 100; ++i) {
        CHECK(w.ask("a").starts_with("no_such_model: pulling it to n1 failed: " + missing + "; it is tried again in "));
    }
    CHECK(w.started().empty());
    CHECK(w.ask(w.at("a", "team", {"n1"})) == "n1"); // it may reach there what others do not
    w.end(1, "a");
    w.now += 37s;
    CHECK(w.ask("a") == "n1");
    w.end(1, "a", missing);
    w.now += 37s;
    CHECK(w.ask("a").starts_with("no_such_model: "));
    w.asked.retry("b");
    CHECK(w.ask("a").starts_with("no_such_model: "));
    w.asked.retry("A:latest");
    CHECK(w.ask("a") == "n1");
    w.end(1, "a");
    CHECK(w.asked.failures().empty());
}

TEST_CASE("of failures so many are remembered, and those that matter longest")
{
    World w(1);
    w.asked = Asked(base::Rng(1), {.failures = 3});
    for (const auto* model : {"a", "b", "c", "d"}) {
        CHECK(w.ask(model) == "n1");
        w.end(1, model, missing);
        w.now += 1s;
    }
    CHECK(w.asked.failures().size() == 3);
    CHECK(w.ask("d").starts_with("no_such_model: pulling"));
    w.now += 3h;
    CHECK(w.ask("e") == "n1");
    w.end(1, "e", missing);
    CHECK(w.asked.failures().size() == 1);
}
