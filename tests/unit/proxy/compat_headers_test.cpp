// Response fields for programs written for Ollama Herd and OllamaFlow.
#include "proxy/compat_headers.hpp"

#include "support/catch.hpp"

using namespace herd;
using namespace herd::proxy;

namespace {

ServedAs served()
{
    return {.request_id = "r1", .node = "n1", .model = "m:latest", .requested_model = "m", .backend = "ollama", .chosen = true, .predicted_s = 1.2345};
}

std::string fields(const CompatHeaders& wanted, const ServedAs& answer)
{
    http::Fields all;
    add_compat_fields(all, wanted, answer);
    std::string text;
    for (const http::Field field : all) {
        text.append(field.name).append(": ").append(field.value).append("\n");
    }
    return text;
}

} // namespace

TEST_CASE("no field of another system unless it was asked for")
{
    CHECK(fields({}, served()).empty());
    CHECK_FALSE(CompatHeaders{}.any());
}

TEST_CASE("Ollama Herd's fields as 0.8 writes them")
{
    auto answer = served();
    CHECK(fields({.fleet = FleetHeaders::v08}, answer)
          == "X-Fleet-Node: n1\nX-Fleet-Served-Model: m:latest\nX-Fleet-Requested-Model: m\nX-Fleet-Fallback: false\nX-Fleet-Backend: ollama\n"
             "X-Fleet-Retries: 0\nX-Fleet-Score: -1235\nX-Fleet-Affinity: new\n");
    answer.fallback = answer.familiar = true;
    answer.retries = 2;
    answer.prompt_tokens = 5000.4;
    answer.context_length = 4096;
    const auto text = fields({.fleet = FleetHeaders::v08}, answer);
    CHECK(text.find("X-Fleet-Fallback: true\n") != std::string::npos);
    CHECK(text.find("X-Fleet-Retries: 2\n") != std::string::npos);
    CHECK(text.find("X-Fleet-Affinity: matched\n") != std::string::npos);
    CHECK(text.ends_with("X-Fleet-Context-Overflow: estimated_tokens=5000; context_length=4096\n"));
    answer.chosen = false; // nobody was chosen among nodes: a pull
    CHECK(fields({.fleet = FleetHeaders::v08}, answer).find("Score") == std::string::npos);
}

TEST_CASE("Ollama Herd's fields as 0.6 writes them")
{
    auto answer = served();
    CHECK(fields({.fleet = FleetHeaders::v06}, answer) == "X-Fleet-Node: n1\nX-Fleet-Score: -1235\n");
    answer.fallback = true;
    answer.retries = 1;
    answer.context_length = 4096;
    answer.prompt_tokens = 4096; // fits
    CHECK(fields({.fleet = FleetHeaders::v06}, answer)
          == "X-Fleet-Node: n1\nX-Fleet-Fallback: m:latest\nX-Fleet-Retries: 1\nX-Fleet-Score: -1235\n");
}

TEST_CASE("OllamaFlow's fields")
{
    auto answer = served();
    CHECK(fields({.ollamaflow = true}, answer) == "X-OllamaFlow-Request: r1\nX-OllamaFlow-Backend: n1\n");
    answer.bound = true;
    CHECK(fields({.ollamaflow = true}, answer).ends_with("X-OllamaFlow-Sticky: True\n"));
}
