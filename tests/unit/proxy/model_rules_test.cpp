// What [models] writes into a body, and what it leaves alone.
#include "support/catch.hpp"

#include "proxy/model_rules.hpp"

using namespace herd;
using namespace herd::proxy;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view key_of_m = "registry.ollama.ai/library/m:latest";

/// The body as it would go on.
std::string fitted(const ModelRulesConfig& config, const std::string& body, std::string_view path = "/api/chat")
{
    const auto rules = ModelRules::compile(config);
    REQUIRE(rules);
    REQUIRE(*rules);
    return (*rules)->fitted(body, classify("POST", path, ""), key_of_m, peek_json(body)).value_or(body);
}

} // namespace

TEST_CASE("a model's num_ctx and keep_alive are for requests that name none")
{
    const ModelRulesConfig config{.each = {{"M:latest", 8192, 90min}}};
    CHECK(fitted(config, R"({"model":"m"})") == R"({"model":"m","options":{"num_ctx":8192},"keep_alive":5400})");
    CHECK(fitted(config, R"({"model":"m","options":{"seed":1},"stream":false})")
          == R"({"model":"m","options":{"seed":1,"num_ctx":8192},"stream":false,"keep_alive":5400})");
    for (const std::string own : {R"({"model":"m","options":{"num_ctx":2048},"keep_alive":"5m"})", R"({"model":"m","OPTIONS":{"num_ctx":2048},"keep_alive":0})",
                                  R"({"model":"m","options":{"num_ctx":2048},"keep_alive":"zzz"})"}) {
        CAPTURE(own); // what Ollama would refuse is Ollama's to refuse
        CHECK(fitted(config, own) == own);
    }
    CHECK(fitted(config, R"({"model":"m","options":null,"keep_alive":null})") == R"({"model":"m","options":{"num_ctx":8192},"keep_alive":5400})");
    const std::string broken = R"({"model":"m" "stream":false})";
    CHECK(fitted(config, broken) == broken);
    for (const auto* path : {"/api/generate", "/api/embed", "/api/embeddings"}) {
        CHECK(fitted(config, R"({"model":"m"})", path).find("8192") != std::string::npos);
    }
    for (const auto* path : {"/v1/chat/completions", "/v1/messages", "/api/show", "/api/pull"}) { // they know neither
        CHECK(fitted(config, R"({"model":"m"})", path) == R"({"model":"m"})");
    }
}

TEST_CASE("keep_alive has a default for all models, one for each, and a most")
{
    const ModelRulesConfig config{.keep_alive = 30min, .keep_alive_max = 2h, .each = {{"m", std::nullopt, for_ever}}};
    CHECK(fitted({.keep_alive = 30min, .each = {{"other", 1024, {}}}}, R"({"model":"m"})") == R"({"model":"m","keep_alive":1800})");
    CHECK(fitted(config, R"({"model":"m"})") == R"({"model":"m","keep_alive":-1})"); // the operator's word is above the most
    for (const auto* more : {"\"3h\"", "-1", "\"-1s\"", "86400", "\"2h0m0.5s\""}) {
        CAPTURE(more);
        CHECK(fitted(config, std::string(R"({"model":"m","keep_alive":)") + more + "}") == R"({"model":"m","keep_alive":7200})");
    }
    for (const auto* less : {"\"2h\"", "0", "\"90s\"", "7200", "\"1h59m\"", "true"}) {
        CAPTURE(less);
        const auto body = std::string(R"({"model":"m","keep_alive":)") + less + "}";
        CHECK(fitted(config, body) == body);
    }
    CHECK(fitted({.keep_alive_max = 100ms}, R"({"model":"m","keep_alive":"1h"})") == R"({"model":"m","keep_alive":1})"); // 0 would unload it
}

TEST_CASE("rules that say nothing are none, and a model has one rule")
{
    CHECK(*ModelRules::compile({}) == nullptr);
    CHECK(ModelRules::compile({.each = {{"a b", 1, {}}}}).error().context == "'a b' is no name of a model");
    CHECK(ModelRules::compile({.each = {{"llama3", 1, {}}, {"Llama3:latest", 2, {}}}}).error().context.find("twice") != std::string::npos);
}

TEST_CASE("durations are read as Go reads them")
{
    const auto read = [](const std::string& text) { return peek_json(R"({"keep_alive":)" + text + "}").keep_alive; };
    CHECK(read("\"1h30m\"") == 90min);
    CHECK(read("\"1.5h\"") == 90min);
    CHECK(read("\"100ms\"") == 100ms);
    CHECK(read("\"-2m\"") == -2min);
    CHECK(read("\"+2us\"") == 2us);
    CHECK(read("\"3\xC2\xB5s\"") == 3us);
    CHECK(read("300") == 300s);
    CHECK(read("1e300") == read("9.2e9"));
    for (const auto* none : {"\"5\"", "\"m\"", "\"1x\"", "\"1h \"", "\"--1h\"", "\"1..5h\"", "\"inf\"", "\"9999999h\"", "true", "null", "{}"}) {
        CAPTURE(none);
        CHECK_FALSE(read(none));
    }
}
