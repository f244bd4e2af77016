#include "support/catch.hpp"

#include "fleet/model_name.hpp"

using herd::fleet::ModelName;

TEST_CASE("a model name has defaults for host, namespace and tag")
{
    const auto name = ModelName::parse("llama3.2");
    CHECK(name.valid);
    CHECK(name.key == "registry.ollama.ai/library/llama3.2:latest");
    CHECK(name.display == "llama3.2:latest");
    CHECK_FALSE(name.cloud);
}

TEST_CASE("spellings that Ollama holds equal have one key")
{
    const auto key = ModelName::parse("foo").key;
    for (const auto* text : {"foo:latest", " Foo ", "FOO:Latest", "library/foo", "registry.ollama.ai/library/foo",
                             "https://registry.ollama.ai/library/foo:latest", "foo:local"}) {
        CHECK(ModelName::parse(text).key == key);
    }
}

TEST_CASE("a name without a tag is not satisfied by another tag of the same model")
{
    CHECK(ModelName::parse("llama3").key != ModelName::parse("llama3:70b").key);
}

TEST_CASE("a plain name is read as its long form is")
{
    for (const std::string text : {"a", "_x", "llama3.2", "Qwen2.5-Coder:7B-instruct_q4", "m:1", "cloud", "local", "my-local", "x-cloud:7b"}) {
        INFO(text);
        const auto plain = ModelName::parse(text);
        const auto full = ModelName::parse("registry.ollama.ai/library/" + text);
        CHECK(plain.valid);
        CHECK(plain.key == full.key);
        CHECK(plain.display == full.display);
        CHECK(plain.cloud == full.cloud);
    }
}

TEST_CASE("the display form drops what is default and keeps the tag")
{
    CHECK(ModelName::parse("mike/foo:7b").display == "mike/foo:7b");
    CHECK(ModelName::parse("hf.co/bartowski/X-GGUF:Q4_K_M").display == "hf.co/bartowski/X-GGUF:Q4_K_M");
    CHECK(ModelName::parse("Library/Foo").display == "Foo:latest");
    CHECK(ModelName::parse("localhost:5000/a/b").display == "localhost:5000/a/b:latest");
}

TEST_CASE("cloud models are told apart in all three spellings")
{
    CHECK(ModelName::parse("kimi-k2:cloud").cloud);
    CHECK(ModelName::parse("gpt-oss:120b-cloud").cloud);
    CHECK(ModelName::parse("gpt-oss:120b:cloud").cloud);
    CHECK(ModelName::parse("gpt-oss:120b:cloud").key == ModelName::parse("gpt-oss:120b-cloud").key);
    CHECK(ModelName::parse("kimi-k2:CLOUD").key == ModelName::parse("kimi-k2:cloud").key);
    CHECK_FALSE(ModelName::parse("nephele-cloud/foo").cloud);
    CHECK_FALSE(ModelName::parse("my-cloud").cloud);
    CHECK_FALSE(ModelName::parse("foo:7b:local").cloud);
    CHECK(ModelName::parse("foo:7b:local").key == ModelName::parse("foo:7b").key);
}

TEST_CASE("what Ollama calls an invalid model name has no key")
{
    for (const auto* text : {"", "  ", ":", "foo:", ":latest", "/foo", "foo/", "a//b", "a/b/c/d", "foo bar", "fo\no",
                             "foo@sha256:00", "-foo", ".foo", "foo:-x", "a.b/foo", "foo:x:cloud:local",
                             "foo:cloud:cloud", "füü", "foo:la/test"}) {
        INFO(text);
        const auto name = ModelName::parse(text);
        CHECK_FALSE(name.valid);
        CHECK(name.key.empty());
    }
    CHECK(ModelName::parse(std::string(80, 'a')).valid);
    CHECK_FALSE(ModelName::parse(std::string(81, 'a')).valid);
    CHECK(ModelName::parse("foo:" + std::string(80, 'b')).valid);
    CHECK_FALSE(ModelName::parse("foo:" + std::string(81, 'b')).valid);
    CHECK_FALSE(ModelName::parse(std::string(351, 'h') + "/a/b").valid);
}
