#include "world.hpp"

using namespace herd;
using namespace herd::test;

namespace {

void on_disk(World& w, int node, const std::string& name, const std::string& digest, base::Bytes size = base::gib)
{
    w.facts(node, [&](auto& f) { f.models.push_back({.name = name, .key = fleet::ModelName::parse(name).key, .digest = digest, .size = size}); });
    w.fleet.models.clear();
    for (std::size_t n = 0; n < w.fleet.nodes.size(); ++n) {
        const auto& models = w.fleet.nodes[n].facts->models;
        for (std::size_t m = 0; m < models.size(); ++m) {
            w.fleet.models[models[m].key].push_back({.node = n, .model = m});
        }
    }
}

} // namespace

TEST_CASE("vram_spill tells how much is on the CPU; a box without a GPU is as it should be")
{
    World w;
    w.load(1, "m:1b", 4096, 10 * base::gib, 10 * base::gib);
    CHECK(w.quiet("vram_spill"));
    w.load(1, "m:1b", 4096, 10 * base::gib, 6 * base::gib);
    CHECK(w.one("vram_spill").summary.find("40 %") != std::string::npos);
    w.load(1, "m:1b", 4096, 10 * base::gib, 0);
    CHECK(w.quiet("vram_spill"));
    w.facts(1, [](auto& f) { f.gpus = {{.vram_total = 8 * base::gib}}; });
    CHECK(w.one("vram_spill").model == "m:1b");
}

TEST_CASE("digest_conflict names each digest and where it is")
{
    World w;
    on_disk(w, 1, "m:1b", "aaaaaaaaaaaaaaaa");
    on_disk(w, 2, "m:1b", "aaaaaaaaaaaaaaaa");
    CHECK(w.quiet("digest_conflict"));
    on_disk(w, 3, "m:1b", "bbbbbbbbbbbbbbbb");
    const auto found = w.one("digest_conflict");
    CHECK(found.model == "m:1b");
    CHECK(found.nodes == std::vector<std::string>{"n1", "n2", "n3"});
    CHECK(found.summary.find("bbbbbbbbbbbb on n3") != std::string::npos);
    w.node(3).state = fleet::NodeState::offline;
    CHECK(w.quiet("digest_conflict"));
}

TEST_CASE("default_context_mismatch: one model, two contexts")
{
    World w;
    w.load(1, "m:1b", 4096);
    w.load(2, "m:1b", 4096);
    CHECK(w.quiet("default_context_mismatch"));
    w.load(2, "m:1b", 8192);
    CHECK(w.one("default_context_mismatch").advice.find("OLLAMA_CONTEXT_LENGTH=8192") != std::string::npos);
}

TEST_CASE("model_thrashing: three loads in an hour warn, and are history when none came for an hour")
{
    World w;
    w.node(1);
    w.see();
    auto exchange = served();
    exchange.timings.load = 5s;
    w.request(exchange, 2);
    CHECK(w.quiet("model_thrashing"));
    w.request(exchange);
    CHECK(w.one("model_thrashing").severity == Severity::warning);
    w.now += 3h;
    const auto later = w.one("model_thrashing");
    CHECK(later.severity == Severity::info);
    CHECK(later.resolved);
    w.now += 25h;
    CHECK(w.quiet("model_thrashing"));
}

TEST_CASE("a short load is no load worth counting")
{
    World w;
    auto exchange = served();
    exchange.timings.load = 20ms;
    w.request(exchange, 20);
    CHECK(w.quiet("model_thrashing"));
}

TEST_CASE("context_reload_storm: by what nodes show in memory")
{
    World w;
    for (int i = 0; i < 3; ++i) {
        w.load(1, "m:1b", i % 2 == 0 ? 4096 : 8192);
        w.pass(4s);
    }
    CHECK(w.quiet("context_reload_storm"));
    w.load(1, "m:1b", 8192);
    w.pass(4s);
    const auto found = w.one("context_reload_storm");
    CHECK(found.summary.find("4096 and 8192") != std::string::npos);
    CHECK(found.advice.find("8192") != std::string::npos);
    w.pass(16min, 30s);
    CHECK(w.quiet("context_reload_storm"));
}

TEST_CASE("context_reload_storm: by what the scheduler knew")
{
    World w;
    auto exchange = served();
    exchange.timings.load = 5s;
    exchange.other_class = true;
    w.request(exchange, 2);
    CHECK(w.quiet("context_reload_storm"));
    w.request(exchange);
    CHECK_FALSE(w.quiet("context_reload_storm"));
}

TEST_CASE("context_too_small: requests that fill the context")
{
    World w;
    w.load(1, "m:1b", 4096);
    w.see();
    w.request(served(), 10);
    auto full = served();
    full.timings.prompt_tokens = 4000;
    full.timings.output_tokens = 96;
    w.request(full, 2);
    CHECK(w.quiet("context_too_small"));
    w.request(full);
    const auto found = w.one("context_too_small");
    CHECK(found.summary.find("3 of 13") != std::string::npos);
    CHECK(found.advice.find("8192") != std::string::npos);
}

TEST_CASE("context_waste: a context far larger than what is used")
{
    World w;
    w.load(1, "m:1b", 65536);
    w.see();
    w.request(served(), 9);
    CHECK(w.quiet("context_waste"));
    w.request(served(), 5);
    CHECK(w.one("context_waste").severity == Severity::warning);
    const auto waste = datum(w.one("context_waste"), "wasteful_models");
    const auto& rows = std::get<std::vector<Row>>(waste.second);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0][0] == Row::value_type{"model", std::string{"m:1b"}});
    CHECK(rows[0][1] == Row::value_type{"allocated", std::int64_t{65536}});
    auto longer = served();
    longer.timings.prompt_tokens = 30000;
    w.request(longer, 5);
    CHECK(w.quiet("context_waste"));
    World small;
    small.load(1, "m:1b", 4096); // Ollama's own default is nobody's mistake
    small.see();
    small.request(served(), 50);
    CHECK(small.quiet("context_waste"));
}

TEST_CASE("keep_alive_short: reloads that only time explains")
{
    World w;
    w.node(1);
    w.see();
    auto cold = served();
    cold.timings.load = 4s;
    w.request(served());
    for (int i = 0; i < 3; ++i) {
        CHECK(w.quiet("keep_alive_short"));
        w.now += 6min;
        w.request(cold);
    }
    CHECK(w.one("keep_alive_short").advice.find("OLLAMA_KEEP_ALIVE=1h") != std::string::npos);
}

TEST_CASE("keep_alive_short: eviction by another model is something else")
{
    World w;
    w.node(1);
    w.see();
    auto a = served("n1", "a:1b");
    auto b = served("n1", "b:1b");
    a.timings.load = b.timings.load = 4s;
    for (int i = 0; i < 5; ++i) {
        w.request(a);
        w.now += 1min;
        w.request(b);
        w.now += 1min;
    }
    CHECK(w.quiet("keep_alive_short"));
    CHECK(w.look("model_thrashing").size() == 2);
}

TEST_CASE("keep_alive_short: a setting below a minute")
{
    World w;
    for (const char* fine : {"", "5m", "-1", "-1s", "300", "24h"}) {
        CAPTURE(fine);
        w.facts(1, [&](auto& f) { f.settings.keep_alive = fine; });
        CHECK(w.quiet("keep_alive_short"));
    }
    for (const char* short_one : {"0", "30", "10s"}) {
        CAPTURE(short_one);
        w.facts(1, [&](auto& f) { f.settings.keep_alive = short_one; });
        CHECK_FALSE(w.quiet("keep_alive_short"));
    }
}

TEST_CASE("kv_cache_bloat compares memory with the file on disk")
{
    World w;
    on_disk(w, 1, "m:1b", "d", 4 * base::gib);
    w.load(1, "m:1b", 4096, 5 * base::gib, 5 * base::gib);
    CHECK(w.quiet("kv_cache_bloat"));
    w.load(1, "m:1b", 65536, 7 * base::gib, 7 * base::gib);
    CHECK(w.one("kv_cache_bloat").severity == Severity::info);
    CHECK(datum(w.one("kv_cache_bloat"), "bloated_models") == Datum{"bloated_models", Names{"m:1b"}});
    w.load(1, "m:1b", 131072, 12 * base::gib, 12 * base::gib);
    CHECK(w.one("kv_cache_bloat").severity == Severity::warning);
}

TEST_CASE("model_load_timeout: slow failures of a model")
{
    World w;
    auto slow = served();
    slow.status = 500;
    slow.total = 130s;
    w.request(slow, 2);
    CHECK(w.quiet("model_load_timeout"));
    w.request(slow);
    CHECK(w.one("model_load_timeout").severity == Severity::warning);
    CHECK(datum(w.one("model_load_timeout"), "model") == Datum{"model", std::string{"m:1b"}});
    CHECK(datum(w.one("model_load_timeout"), "nodes") == Datum{"nodes", Names{"n1"}});
    w.now += 2h;
    CHECK(w.one("model_load_timeout").resolved);
}

TEST_CASE("context_protection_insufficient: more was asked for than the model ran with")
{
    World w;
    w.node(1);
    w.see();
    Finished one = served();
    one.context_asked = 32768;
    w.request(one); // what it ran with is not known
    one.context_used = 32768;
    w.request(one);
    CHECK(w.quiet("context_protection_insufficient"));
    one.context_used = 8192;
    w.request(one, 2);
    const auto found = w.one("context_protection_insufficient");
    CHECK(found.severity == Severity::warning);
    CHECK(found.model == "m:1b");
    CHECK(found.summary.starts_with("2 requests"));
    w.now += 2h;
    CHECK(w.one("context_protection_insufficient").resolved);
}

TEST_CASE("context_protection_active: rounded up, and it costs nothing")
{
    World w;
    w.node(1);
    Finished one = served();
    one.context_asked = 5000;
    one.context_used = 5000;
    w.request(one);
    CHECK(w.quiet("context_protection_active"));
    one.context_used = 8192;
    w.request(one);
    CHECK(w.one("context_protection_active").activity);
}

TEST_CASE("priority_model_not_loaded: much used, on disk, in nobody's memory")
{
    World w;
    on_disk(w, 1, "m:1b", "aaaaaaaaaaaaaaaa");
    w.request(served(), 3);
    CHECK(w.quiet("priority_model_not_loaded")); // 3 * 3 + 3/7
    w.request(served());
    const auto found = w.one("priority_model_not_loaded");
    CHECK(found.severity == Severity::warning);
    CHECK_FALSE(found.activity);
    CHECK(found.advice.find("on n1") != std::string::npos);
    w.fleet.models.begin()->second.front().loaded = true;
    CHECK(w.quiet("priority_model_not_loaded"));
    w.fleet.models.begin()->second.front().loaded = false;
    w.now += 2h; // at night nobody minds
    CHECK(w.one("priority_model_not_loaded").activity);
    w.node(1).state = fleet::NodeState::offline;
    CHECK(w.quiet("priority_model_not_loaded")); // nobody could load it
}

TEST_CASE("required_model_failed: after three failures, with the reason and the next try")
{
    World w;
    w.own.required_failed.push_back({"n1", "m:1b", "no room: 1.0 GiB free", 2, w.now + 60s});
    CHECK(w.quiet("required_model_failed"));
    w.own.required_failed.front().failures = 3;
    const auto found = w.one("required_model_failed");
    CHECK(found.node == "n1");
    CHECK(found.summary == "m:1b could not be pulled to n1 3 times: no room: 1.0 GiB free; next try in 60 s");
}

TEST_CASE("mapped_model_missing and mapped_model_cold: aliases whose model is nowhere, or nowhere in memory")
{
    World w;
    w.own.aliases = {{"claude-opus-4", "big:70b"}, {"claude-*", "m:1b"}, {"gpt-4o", "M:1b"}, {"far", "gpt-oss:120b-cloud"}};
    CHECK(w.quiet("mapped_model_missing")); // without any node that is another finding
    on_disk(w, 1, "m:1b", "aaaaaaaaaaaaaaaa");
    const auto missing = w.one("mapped_model_missing");
    CHECK(missing.severity == Severity::critical);
    CHECK(missing.model == "big:70b");
    CHECK(missing.summary == "on no node that takes requests: big:70b (asked for as claude-opus-4); who asks for that gets 404");
    CHECK(missing.data == std::vector<Datum>{{"missing", std::string{"big:70b"}}});
    const auto cold = w.one("mapped_model_cold");
    CHECK(cold.severity == Severity::warning);
    CHECK(cold.summary.find("m:1b (asked for as claude-*, gpt-4o)") != std::string::npos);
    CHECK(cold.data == std::vector<Datum>{{"not_hot", std::string{"m:1b"}}});
    w.fleet.models.begin()->second.front().loaded = true;
    CHECK(w.quiet("mapped_model_cold"));
    on_disk(w, 2, "big:70b", "bbbbbbbbbbbbbbbb");
    CHECK(w.quiet("mapped_model_missing"));
    w.node(2).state = fleet::NodeState::draining;
    CHECK(w.one("mapped_model_missing").model == "big:70b");
}

TEST_CASE("pin_cannot_fit: a pinned model that failed to load twice")
{
    World w;
    w.own.pins_failed.push_back({"n1", "m:1b", "model requires more system memory", 1, w.now + 5s});
    CHECK(w.quiet("pin_cannot_fit"));
    w.own.pins_failed.front().failures = 2;
    const auto found = w.one("pin_cannot_fit");
    CHECK(found.severity == Severity::warning);
    CHECK(found.node == "n1");
    CHECK(found.summary
          == "m:1b is pinned, but could not be kept in n1's memory, 2 times: model requires more system memory; next try in 5 s");
    CHECK(found.advice.find("/herd/v1/pins/m:1b") != std::string::npos);
}
