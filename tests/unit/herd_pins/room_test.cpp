// Whether pinned models fit into a node's memory together.
#include "herd/pins/room.hpp"
#include "world.hpp"

using namespace herd;
using namespace herd::test;

namespace {

void gpu(World& w, base::Bytes vram)
{
    w.facts(1, [&](auto& f) { f.gpus = {{.name = "NVIDIA GeForce RTX 4090", .vendor = "nvidia", .vram_total = vram}}; });
}

} // namespace

TEST_CASE("a model takes its weights and the context, or what it is seen to take")
{
    World w(1);
    w.has(1, "m", 5 * base::gib);
    const auto alone = resident_bytes(*w.node(1).facts, key_of("m"));
    CHECK(alone > 5 * base::gib);
    CHECK(alone < 7 * base::gib);
    w.facts(1, [](auto& f) { f.settings.context_length = 32768; });
    CHECK(resident_bytes(*w.node(1).facts, key_of("m")) > alone + 3 * base::gib);
    w.facts(1, [](auto& f) { f.settings.num_parallel = 4; });
    CHECK(resident_bytes(*w.node(1).facts, key_of("m")) > alone + 12 * base::gib);
    w.load(1, "m", "", 6 * base::gib);
    CHECK(resident_bytes(*w.node(1).facts, key_of("m")) == 6 * base::gib);
    CHECK(resident_bytes(*w.node(1).facts, key_of("other")) == 0);
}

TEST_CASE("a set that does not fit is told with its figures; what is in memory already does fit")
{
    World w(1);
    gpu(w, 24 * base::gib);
    w.has(1, "a", 10 * base::gib);
    w.has(1, "b", 14 * base::gib);
    CHECK_FALSE(shortage(w.node(1), key_of("a"), {}));
    CHECK_FALSE(shortage(w.node(1), key_of("a"), {key_of("a")})); // it itself does not count twice
    const auto missing = shortage(w.node(1), key_of("b"), {key_of("a")});
    REQUIRE(missing);
    CHECK(missing->node == "n1");
    CHECK(missing->total == 24 * base::gib);
    CHECK(missing->budget < missing->total);
    CHECK(missing->requested + missing->pinned > missing->budget);
    REQUIRE(missing->others.size() == 1);
    CHECK(missing->others[0].first == "a:latest");
    CHECK(missing->why.find("b:latest takes about 15.") != std::string::npos);
    w.load(1, "b");
    CHECK_FALSE(shortage(w.node(1), key_of("b"), {key_of("a")}));
}

TEST_CASE("one alone may stand partly in the host's memory, one larger than both may not")
{
    World w(1);
    gpu(w, 24 * base::gib);
    w.has(1, "large", 60 * base::gib);
    w.has(1, "huge", 150 * base::gib);
    CHECK_FALSE(shortage(w.node(1), key_of("large"), {}));
    CHECK(shortage(w.node(1), key_of("huge"), {}));
}

TEST_CASE("a node that keeps so many models at a time takes no more pins; one that tells nothing is not judged")
{
    World w(1);
    for (const auto* name : {"a", "b", "c"}) {
        w.has(1, name, base::gib);
    }
    w.facts(1, [](auto& f) { f.settings.max_loaded_models = 2; });
    CHECK_FALSE(shortage(w.node(1), key_of("b"), {key_of("a")}));
    const auto missing = shortage(w.node(1), key_of("c"), {key_of("a"), key_of("b")});
    REQUIRE(missing);
    CHECK(missing->why.find("OLLAMA_MAX_LOADED_MODELS") != std::string::npos);
    w.facts(1, [](auto& f) {
        f.settings = {};
        f.agent_version.clear();
        f.host = {};
    });
    CHECK_FALSE(shortage(w.node(1), key_of("c"), {key_of("a"), key_of("b"), "d", "e"}));
}
