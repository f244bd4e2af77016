// Which models Ollama runs one request at a time, whatever is set.
#include "support/catch.hpp"

#include "fleet/one_slot.hpp"

using herd::fleet::is_one_slot;

TEST_CASE("a row tells whether Ollama runs its model one request at a time")
{
    CHECK(is_one_slot(R"({"name":"a","details":{"format":"gguf","family":"qwen3next","families":["qwen3next"]}})"));
    CHECK(is_one_slot(R"({"details":{"family":"nemotron_h_moe"}})"));
    CHECK(is_one_slot(R"({"details":{"family":"bert"},"capabilities":["embedding"]})"));
    CHECK_FALSE(is_one_slot(R"({"details":{"family":"llama"},"capabilities":["completion","tools"]})"));
    CHECK_FALSE(is_one_slot(R"({"details":{"family":"qwen3"},"capabilities":["completion","embedding"]})"));
    CHECK_FALSE(is_one_slot(R"({"name":"\"family\":\"mllama\"","details":{"family":"llama"}})"));
    for (const auto* bad : {"", "5", R"({"details":{"family":")", R"({"details":{"family":)"}) {
        CHECK_FALSE(is_one_slot(bad));
    }
}
