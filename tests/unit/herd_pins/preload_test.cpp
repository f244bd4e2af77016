// Popular models: where they are loaded, and where not.
#include "world.hpp"

#include "herd/pins/preload.hpp"

using namespace herd;
using namespace herd::test;

namespace {

struct Popularity : World {
    using World::World;
    std::string preloads(const std::vector<Entry>& pins = {})
    {
        auto fresh = preload.step(fleet, pins, now);
        std::string text;
        for (const Request& each : fresh) {
            CHECK(each.preloads);
            text += (text.empty() ? "" : " ") + each.node_name + ":" + each.model;
        }
        if (!fresh.empty()) {
            asked = std::move(fresh);
        }
        return text;
    }
    void want(const std::vector<std::string>& models, bool lately = true)
    {
        std::vector<Popular> all;
        for (const auto& model : models) {
            all.push_back({.key = key_of(model), .lately = lately, .num_ctx = 8192});
        }
        preload.want(std::move(all));
    }
    /// All that was asked for is in memory.
    void arrived()
    {
        for (const Request& each : asked) {
            bring(each.node.bytes[0], each.model);
            preload.ended(each);
        }
    }
    void bring(int n, const std::string& model, base::Bytes size = base::gib)
    {
        load(n, model, "2318-01-01T00:00:00Z", size);
        mark(n, model, true);
    }
    void gone(int n, const std::string& model)
    {
        unload(n, model);
        mark(n, model, false);
    }
    void mark(int n, const std::string& model, bool is_loaded)
    {
        for (fleet::Holder& holder : fleet.models[key_of(model)]) {
            holder.loaded = holder.node == static_cast<std::size_t>(n - 1) ? is_loaded : holder.loaded;
        }
    }
    void free_bytes(int n, base::Bytes bytes) { facts(n, [bytes](auto& f) { f.host.memory_available = bytes; }); }

    Preload preload{};
    std::vector<Request> asked{};
};

} // namespace

TEST_CASE("a popular model that is in no memory is loaded where most is free, once")
{
    Popularity w(3);
    w.has(1, "a:1b");
    w.has(2, "a:1b");
    w.free_bytes(2, 80 * base::gib);
    CHECK(w.preload.idle());
    w.want({"a:1b"});
    CHECK(w.preloads() == "n2:a:1b");
    CHECK(w.asked[0].keep_alive == "1h");
    CHECK(w.asked[0].num_ctx == 8192);
    CHECK(w.preloads().empty());
    w.arrived();
    CHECK(w.preloads().empty());
    w.want({});
    CHECK(w.preload.idle());
}

TEST_CASE("what is in memory, on its way there or pinned is left alone")
{
    Popularity w(2);
    for (const auto* model : {"a:1b", "b:1b", "c:1b"}) {
        w.has(1, model);
        w.has(2, model);
    }
    w.want({"a:1b", "b:1b", "c:1b"});
    w.bring(1, "a:1b");
    w.fleet.models[key_of("b:1b")][1].in_flight = 1;
    CHECK(w.preloads({{.key = key_of("c:1b")}}).empty());
    w.node(1).state = fleet::NodeState::offline; // what it has is of no use
    CHECK(w.preloads({{.key = key_of("c:1b")}}) == "n2:a:1b");
}

TEST_CASE("nothing is evicted: it is loaded only where it fits beside what is there")
{
    Popularity w(1);
    w.has(1, "big:70b", 40 * base::gib);
    w.has(1, "small:1b");
    w.want({"big:70b", "small:1b"});
    CHECK(w.preloads() == "n1:small:1b"); // 50 GiB are free: the other takes more than four fifths of that
    w.arrived();
    w.free_bytes(1, 70 * base::gib);
    CHECK(w.preloads() == "n1:big:70b");
    w.arrived();
    Popularity full(1);
    full.has(1, "a:1b");
    full.has(1, "b:1b");
    full.facts(1, [](auto& f) { f.settings.max_loaded_models = 1; });
    full.bring(1, "b:1b");
    full.want({"a:1b"});
    CHECK(full.preloads().empty()); // the node would put the other one out
    Popularity gpu(1);
    gpu.has(1, "a:1b");
    gpu.facts(1, [](auto& f) { f.gpus = {{.name = "RTX 3090", .vram_total = 24 * base::gib, .vram_free = 0}}; });
    gpu.want({"a:1b"});
    CHECK(gpu.preloads().empty()); // its host has room, but that is not where it belongs
    gpu.facts(1, [](auto& f) { f.gpus[0].vram_free = 20 * base::gib; });
    CHECK(gpu.preloads() == "n1:a:1b");
    Popularity silent(1);
    silent.has(1, "a:1b");
    silent.free_bytes(1, 0); // a plain Ollama does not tell
    silent.want({"a:1b"});
    CHECK(silent.preloads().empty());
}

TEST_CASE("pins go first, and what they will take is not free")
{
    Popularity w(1);
    w.has(1, "a:1b");
    w.has(1, "pinned:70b", 79 * base::gib);
    w.want({"a:1b"});
    const Entry pin{.key = key_of("pinned:70b"), .node = w.node(1).id, .node_name = "n1"};
    for (const auto state : {State::loading, State::waiting, State::failed}) {
        auto now = pin;
        now.state = state;
        CHECK(w.preloads({now}).empty());
    }
    auto now = pin;
    now.state = State::resident;
    CHECK(w.preloads({now}).empty()); // 80 GiB of it may be used
    now.node = {};
    now.node_name.clear();
    now.state = State::absent; // there is no place for it
    CHECK(w.preloads({now}) == "n1:a:1b");
}

TEST_CASE("one load at a node, two in all, the most popular first; never at a cloud's")
{
    Popularity w(4);
    auto manner = std::make_shared<fleet::Manner>();
    manner->cloud = true;
    w.node(4).address.manner = manner;
    for (const auto* model : {"a:1b", "b:1b", "c:1b"}) {
        for (int n = 1; n <= 3; ++n) {
            w.has(n, model);
        }
    }
    w.has(4, "d:1b");
    w.want({"d:1b", "c:1b", "a:1b", "b:1b"});
    CHECK(w.preloads() == "n1:c:1b n2:a:1b");
    w.arrived();
    CHECK(w.preloads() == "n1:b:1b");
    w.arrived();
    CHECK(w.preloads().empty());
    Popularity limited(1);
    limited.has(1, "a:1b");
    limited.has(1, "e:1b", base::gib, R"({"capabilities":["embedding"]})");
    limited.node(1).settings = std::make_shared<const fleet::NodeSettings>(fleet::NodeSettings{.allow_completions = false});
    limited.want({"a:1b", "e:1b"});
    CHECK(limited.preloads() == "n1:e:1b");
}

TEST_CASE("what went again is loaded again after ten minutes, where somebody asked for it")
{
    Popularity w(1);
    w.has(1, "a:1b");
    w.want({"a:1b"}, false); // of yesterday: at the start that is good enough
    CHECK(w.preloads() == "n1:a:1b");
    w.arrived();
    w.gone(1, "a:1b");
    w.now += 2h;
    CHECK(w.preloads().empty());
    w.want({"a:1b"});
    CHECK(w.preloads() == "n1:a:1b");
    w.preload.ended(w.asked[0]); // it failed
    CHECK(w.preloads().empty());
    w.now += 9min;
    CHECK(w.preloads().empty());
    w.now += 1min;
    CHECK(w.preloads() == "n1:a:1b");
}
