// Which models [models] auto_pull_allow means.
#include "fleet/model_name.hpp"
#include "proxy/auto_pull.hpp"
#include "support/catch.hpp"

using namespace herd;
using namespace herd::proxy;

namespace {

bool allows(std::string_view pattern, std::string_view model)
{
    const auto parsed = fleet::ModelPattern::parse(pattern);
    REQUIRE(parsed);
    CHECK(parsed->text == pattern);
    return AutoPull{.allow = {*parsed}}.allows(fleet::ModelName::parse(model).key);
}

} // namespace

TEST_CASE("a name allows that model, however it is spelled, and no other tag of it")
{
    CHECK(allows("llama3.2:3b", "LLAMA3.2:3b"));
    CHECK(allows("llama3", "llama3:latest"));
    CHECK(allows("llama3", "registry.ollama.ai/library/llama3"));
    CHECK_FALSE(allows("llama3", "llama3:70b"));
    CHECK_FALSE(allows("llama3", "llama3.2"));
    CHECK_FALSE(AutoPull{}.allows(fleet::ModelName::parse("llama3").key));
}

TEST_CASE("the beginning of a name allows what begins so in that place, and nothing of anybody else")
{
    CHECK(allows("qwen3*", "qwen3:8b"));
    CHECK(allows("Qwen3*", "qwen3-coder"));
    CHECK(allows("qwen3:*", "qwen3:8b"));
    CHECK_FALSE(allows("qwen3:*", "qwen3-coder:8b"));
    CHECK(allows("*", "anything:1b"));
    for (const auto* foreign : {"qwen3-lover/qwen3", "qwen3.evil.org/a/qwen3", "hf.co/library/qwen3"}) {
        CHECK_FALSE(allows("qwen3*", foreign));
        CHECK_FALSE(allows("*", foreign));
    }
    CHECK(allows("someone/*", "someone/model"));
    CHECK_FALSE(allows("someone/*", "someone-else/model"));
    CHECK_FALSE(allows("someone/*", "hf.co/someone/model"));
    CHECK(allows("hf.co/someone/*", "hf.co/Someone/Model-GGUF:Q4_K_M"));
    CHECK_FALSE(allows("hf.co/someone/*", "hf.co/other/model"));
    CHECK(allows("hf.co/*", "hf.co/other/model"));
    CHECK_FALSE(allows("hf.co/*", "hf.com/other/model"));
    CHECK(allows("registry.ollama.ai/library/qwen3*", "qwen3:8b"));
}

TEST_CASE("what no model could be called is no pattern")
{
    for (const auto* text : {"", "a b", "a*b", "**", "a/b/c/d*", "/x*", "gpt-oss:120b-cloud", "-x*"}) {
        INFO(text);
        CHECK_FALSE(fleet::ModelPattern::parse(text));
    }
}
