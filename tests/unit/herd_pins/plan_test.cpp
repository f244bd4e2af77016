// Which loads a set of pins wants, with the fleet as it is.
#include "world.hpp"

using namespace herd;
using namespace herd::test;

TEST_CASE("a pin of a node is loaded there, once, and stays")
{
    World w(2);
    w.has(1, "m:1b");
    w.has(2, "m:1b");
    w.plan.want({{"M:1b", "N2"}});
    CHECK(w.step() == "n2:m:1b");
    CHECK(w.sent[0].keep_alive == "-1");
    CHECK_FALSE(w.sent[0].embeds);
    CHECK(w.entry("m:1b").state == State::loading);
    CHECK(w.step().empty()); // it is on its way
    w.plan.want({{"M:1b", "N2"}});
    w.step();
    w.sent = {{.node = w.node(2).id, .key = key_of("m:1b"), .model = "m:1b"}};
    w.loaded();
    CHECK(w.step().empty());
    CHECK(w.entry("m:1b").state == State::resident);
    CHECK(w.entry("m:1b").node_name == "n2");
    w.plan.want({{"m:1b", w.node(1).id.text()}}); // by id too
    CHECK(w.step() == "n1:m:1b n2:m:1b(let go)");
}

TEST_CASE("a pin loads nothing at a node that may not serve it, and goes to the least tier")
{
    World w(3);
    for (int n : {1, 2, 3}) {
        w.has(n, "m:1b");
    }
    fleet::NodeSettings closed;
    closed.models_allow = {*fleet::ModelPattern::parse_served("other*")};
    w.node(1).settings = std::make_shared<const fleet::NodeSettings>(closed);
    w.node(2).settings = std::make_shared<const fleet::NodeSettings>(fleet::NodeSettings{.tier = 1});
    w.plan.want({{.model = "m:1b"}});
    CHECK(w.step() == "n3:m:1b");
    w.loaded();
    w.plan.want({{.model = "m:1b", .node = "n1"}});
    CHECK(w.step() == "n3:m:1b(let go)");
    CHECK(w.entry("m:1b", "n1").reason == "n1 may not serve it (models_allow)");
}

TEST_CASE("what a node may not serve any more is let go there, though it is pinned to it")
{
    World w(1);
    w.has(1, "m:1b");
    w.plan.want({{.model = "m:1b", .node = "n1"}});
    CHECK(w.step() == "n1:m:1b");
    w.loaded();
    CHECK(w.step().empty());
    fleet::NodeSettings closed;
    closed.models_allow = {*fleet::ModelPattern::parse_served("other*")};
    w.node(1).settings = std::make_shared<const fleet::NodeSettings>(closed);
    CHECK(w.step() == "n1:m:1b(let go)");
    CHECK(w.entry("m:1b", "n1").state == State::absent);
}

TEST_CASE("a model is loaded with the context of its pin, and to stay it is told what it is loaded with")
{
    World w(1);
    w.has(1, "m");
    w.plan.want({{.model = "m", .num_ctx = 8192}});
    CHECK(w.step() == "n1:m");
    CHECK(w.sent[0].num_ctx == 8192);
    w.load(1, "m", "2026-01-01T00:00:00Z"); // by a client's request, meanwhile
    w.facts(1, [](auto& f) { f.loaded[0].context_length = 16384; });
    w.plan.ended(w.sent.front(), "", w.now);
    w.now += 1min;
    CHECK(w.step() == "n1:m"); // "stay": another number would make Ollama load it anew
    CHECK(w.sent[0].num_ctx == 16384);
    w.plan.ended(w.sent.front(), "", w.now);
    w.plan.want({});
    CHECK(w.step() == "n1:m(let go)");
    CHECK(w.sent[0].num_ctx == 16384);
}

TEST_CASE("without a node it goes where it is already, else where there is room, and on so many nodes")
{
    World w(3);
    for (int n : {1, 2, 3}) {
        w.has(n, "m", 10 * base::gib);
    }
    w.facts(1, [](auto& f) { f.host.memory_total = 8 * base::gib; });
    w.facts(2, [](auto& f) { f.host.memory_available = 60 * base::gib; });
    w.plan.want({{.model = "m"}});
    CHECK(w.step() == "n2:m");
    w.loaded();
    CHECK(w.step().empty());
    w.plan.want({{.model = "m", .replicas = 2}});
    CHECK(w.step() == "n3:m");
    w.loaded();
    w.plan.want({{.model = "m", .replicas = 0}});
    CHECK(w.step() == "n1:m"); // all that have it
    w.node(2).state = fleet::NodeState::offline;
    w.plan.want({{.model = "m", .replicas = 3}});
    w.step();
    CHECK(std::ranges::count(w.plan.entries(), State::absent, &Entry::state) == 1);
}

TEST_CASE("another node takes over when one goes, and nothing is done about what nobody has")
{
    World w(2);
    w.has(1, "m");
    w.has(2, "m");
    w.plan.want({{.model = "m"}, {.model = "gone"}, {"m", "nobody"}, {"other", "n2"}});
    CHECK(w.step() == "n1:m"); // the fewer pins
    w.loaded();
    CHECK(w.step().empty());
    CHECK(w.entry("gone").reason == "no node has it");
    CHECK(w.entry("other").reason == "n2 does not have it");
    CHECK(w.entry("other").node_name == "n2");
    w.node(1).state = fleet::NodeState::draining;
    CHECK(w.step() == "n2:m");
    w.loaded();
    w.node(1).state = fleet::NodeState::online;
    w.plan.want({{"m", "n2"}});
    CHECK(w.step() == "n1:m(let go)");
    w.plan.ended(w.sent[0], "", w.now);
    w.node(2).state = fleet::NodeState::suspect;
    CHECK(w.step().empty());
    CHECK(w.entry("m").reason == "n2 is suspect");
}

TEST_CASE("one load at a time on a node; the next one follows")
{
    World w(2);
    w.has(1, "a");
    w.has(1, "b");
    w.has(2, "c");
    w.plan.want({{"a", "n1"}, {"b", "n1"}, {"c", "n2"}});
    CHECK(w.step() == "n1:a n2:c");
    CHECK(w.entry("b").state == State::waiting);
    w.loaded();
    CHECK(w.step() == "n1:b");
}

TEST_CASE("what fails is tried again after a while that doubles, up to ten minutes")
{
    World w(1);
    w.has(1, "m");
    w.plan.want({{.model = "m"}});
    base::Duration wait = 5s;
    for (int failures = 1; failures <= 9; ++failures) {
        CAPTURE(failures);
        REQUIRE(w.step() == "n1:m");
        w.broke("no memory");
        CHECK(w.step().empty());
        const auto entry = w.entry("m");
        CHECK(entry.state == State::failed);
        CHECK(entry.failures == failures);
        CHECK(entry.reason == "no memory");
        CHECK(w.plan.next_look(w.now) == entry.next_try);
        CHECK(entry.next_try - w.now == wait);
        wait = std::min<base::Duration>(2 * wait, 10min);
        w.now = entry.next_try;
    }
    CHECK(w.step() == "n1:m");
    w.loaded();
    w.step();
    CHECK(w.entry("m").failures == 9); // not forgotten at once
    w.now += 21min;
    w.step();
    CHECK(w.entry("m").failures == 0);
    w.plan.want({{.model = "m"}, {.model = "x"}});
    w.unload(1, "m");
    CHECK(w.step() == "n1:m");
}

TEST_CASE("two pins that push each other out of memory are failures, and come to rest")
{
    World w(1);
    w.has(1, "a");
    w.has(1, "b");
    w.plan.want({{"a", "n1"}, {"b", "n1"}});
    int loads = 0;
    const auto end = w.now + 1h;
    while (w.now < end) {
        if (const auto what = w.step(); !what.empty()) {
            ++loads;
            w.now += 2s;
            w.unload(1, what == "n1:a" ? "b" : "a");
            w.loaded();
        }
        w.now += 1s;
    }
    CHECK(loads < 30); // an hour has 1200 of such loads
    CHECK(std::max(w.entry("a").failures, w.entry("b").failures) >= 2);
    const auto out = w.entry("a").state == State::resident ? w.entry("b") : w.entry("a");
    CHECK(out.reason.find("out of n1's memory again") != std::string::npos);
}

TEST_CASE("one that was unloaded long after is loaded again without being a failure")
{
    World w(1);
    w.has(1, "m");
    w.plan.want({{.model = "m"}});
    w.step();
    w.loaded();
    w.now += 1h;
    w.step();
    w.unload(1, "m");
    CHECK(w.step() == "n1:m");
    CHECK(w.entry("m").failures == 0);
}

TEST_CASE("a model that a client's keep_alive would end is told to stay, not more often than twice a minute")
{
    World w(1);
    w.has(1, "m");
    w.load(1, "m", "2026-05-28T20:31:40.5+02:00"); // by a client: in minutes it would go
    w.plan.want({{.model = "m"}});
    CHECK(w.step() == "n1:m");
    CHECK(w.entry("m").state == State::resident);
    CHECK(w.step().empty());
    w.plan.ended(w.sent.empty() ? Request{.node = w.node(1).id, .key = key_of("m")} : w.sent[0], "", w.now);
    CHECK(w.step().empty()); // just told
    REQUIRE(w.plan.next_look(w.now));
    w.now = *w.plan.next_look(w.now);
    CHECK(w.step() == "n1:m");
    w.load(1, "m");
    w.plan.ended(w.sent[0], "", w.now);
    w.now += 10min;
    CHECK(w.step().empty());
    CHECK(w.entry("m").failures == 0);
}

TEST_CASE("what is pinned no longer goes back to the node's own time, if it is still there because of us")
{
    World w(1);
    w.has(1, "m");
    w.has(1, "theirs");
    w.load(1, "theirs");
    w.plan.want({{.model = "m"}, {.model = "theirs"}});
    CHECK(w.step() == "n1:m");
    w.loaded();
    w.step();
    w.facts(1, [](auto& f) { f.settings.keep_alive = "30m"; });
    w.plan.want({});
    CHECK_FALSE(w.plan.idle());
    CHECK(w.step() == "n1:m(let go)");
    CHECK(w.sent[0].keep_alive == "30m");
    w.plan.ended(w.sent[0], "", w.now);
    CHECK(w.step().empty());
    CHECK(w.plan.idle());
}

TEST_CASE("models for embedding are loaded by an embedding, and clouds keep nothing in our memory")
{
    World w(1);
    w.has(1, "e", base::gib, R"({"details":{"family":"qwen3"},"capabilities":["embedding"]})");
    w.has(1, "old", base::gib, R"({"details":{"family":"nomic-bert"}})");
    w.has(1, "both", base::gib, R"({"details":{"family":"bert"},"capabilities":["completion","embedding"]})");
    w.plan.want({{.model = "e"}});
    w.step();
    CHECK(w.sent.at(0).embeds);
    w.loaded();
    w.plan.want({{.model = "old"}});
    w.step();
    CHECK(w.sent.at(0).embeds);
    w.loaded();
    w.plan.want({{.model = "both"}});
    w.step();
    CHECK_FALSE(w.sent.at(0).embeds);
    World cloud(1);
    cloud.has(1, "m");
    auto manner = std::make_shared<fleet::Manner>();
    manner->cloud = true;
    cloud.node(1).address.manner = manner;
    cloud.plan.want({{.model = "m"}});
    CHECK(cloud.step().empty());
    CHECK(cloud.entry("m").state == State::absent);
}

TEST_CASE("a pin of a model is loaded where the model is, not left to another node's tool of that name")
{
    constexpr auto tool_row = R"({"details":{"type":"image"}})";
    World w(2);
    w.has(1, "m:1b", base::gib, tool_row);
    w.has(2, "m:1b");
    w.plan.want({{.model = "m:1b"}});
    CHECK(w.step() == "n2:m:1b");
}
