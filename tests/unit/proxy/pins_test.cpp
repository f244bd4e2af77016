// The merge of pinned properties: every vector of reference/parity.md 3.4.
#include "proxy/body_peek.hpp"
#include "proxy/pins.hpp"
#include "support/catch.hpp"

#include <string>

using herd::proxy::Pins;

namespace {

std::string merged(std::string_view body, std::string_view pins) { return Pins::compile(pins)->merge_into(body); }

} // namespace

TEST_CASE("an empty pin changes nothing but blanks")
{
    CHECK(merged(R"({"a":1, "b" : [1, 2]})", "{}") == R"({"a":1,"b":[1, 2]})");
    CHECK(Pins::compile("{}")->empty());
}

TEST_CASE("objects are merged deeply, and what is not pinned stays")
{
    CHECK(merged(R"({"model":"m","options":{"num_ctx":99999,"seed":7},"x":null})", R"({"options":{"num_ctx":8192,"temperature":0}})")
          == R"({"model":"m","options":{"num_ctx":8192,"seed":7,"temperature":0},"x":null})");
    CHECK(merged(R"({"a":{"b":{"c":1,"d":2}}})", R"({"a":{"b":{"c":3}}})") == R"({"a":{"b":{"c":3,"d":2}}})");
}

TEST_CASE("arrays are replaced whole, and null is written as null")
{
    CHECK(merged(R"({"stop":["a","b"],"format":"json"})", R"({"stop":["c"],"format":null})") == R"({"stop":["c"],"format":null})");
    CHECK(merged("{}", R"({"stop":null})") == R"({"stop":null})");
}

TEST_CASE("an object wins over a number of the client's")
{
    CHECK(merged(R"({"options":5})", R"({"options":{"num_ctx":1}})") == R"({"options":{"num_ctx":1}})");
    CHECK(merged(R"({"options":{"num_ctx":1}})", R"({"options":5})") == R"({"options":5})");
}

TEST_CASE("Model and model both survive, and the pinned one comes last")
{
    // Ollama reads keys regardless of case, the last one wins: else "Model" would undo the pin.
    const auto out = merged(R"({"model":"a","Model":"b","z":1})", R"({"model":"pinned"})");
    CHECK(out == R"({"Model":"b","model":"pinned","z":1})");
    CHECK(herd::proxy::peek_json(out).model == "pinned");
    CHECK(merged(R"({"Model":"b","model":"a"})", R"({"model":"pinned"})") == R"({"Model":"b","model":"pinned"})");
    CHECK(merged(R"({"MODEL":"b"})", R"({"model":"pinned"})") == R"({"MODEL":"b","model":"pinned"})");
    CHECK(merged(R"({"options":{"num_ctx":1},"Options":{"num_ctx":2}})", R"({"options":{"num_ctx":3}})")
          == R"({"Options":{"num_ctx":2},"options":{"num_ctx":3}})");
}

TEST_CASE("letters that Go folds to ASCII ones count as the same key")
{
    CHECK(merged("{\"stream\":1,\"\xC5\xBFtream\":2}", R"({"stream":3})") == "{\"\xC5\xBFtream\":2,\"stream\":3}");
    CHECK(merged("{\"keep\":1,\"\xE2\x84\xAA" "eep\":2}", R"({"keep":3})") == "{\"\xE2\x84\xAA" "eep\":2,\"keep\":3}");
}

TEST_CASE("of duplicate keys the last one wins, and a pinned key stands there once")
{
    CHECK(merged(R"({"options":{"seed":1},"options":{"seed":2,"top_k":3}})", R"({"options":{"num_ctx":4}})")
          == R"({"options":{"seed":2,"top_k":3,"num_ctx":4}})");
    CHECK(merged(R"({"a":1,"a":2})", R"({"b":3})") == R"({"a":1,"a":2,"b":3})"); // not pinned: as it came
}

TEST_CASE("escapes in keys are read, and unpinned ones stay as written")
{
    CHECK(merged("{\"\\u006dodel\":\"evil\"}", R"({"model":"good"})") == R"({"model":"good"})");
    CHECK(merged("{\"a\\u0041\":\"\\u00e9\\n\"}", R"({"b":1})") == "{\"a\\u0041\":\"\\u00e9\\n\",\"b\":1}");
    CHECK(merged(R"({"aA":1})", "{\"a\\u0041\":2}") == "{\"a\\u0041\":2}");
}

TEST_CASE("numbers keep their text")
{
    CHECK(merged(R"({"a":1e400,"b":9223372036854775807,"c":0.10,"d":-0,"o":{"e":1E+2}})", R"({"o":{"n":1}})")
          == R"({"a":1e400,"b":9223372036854775807,"c":0.10,"d":-0,"o":{"e":1E+2,"n":1}})");
    CHECK(merged("{}", R"({"a":18446744073709551615,"b":1.50})") == R"({"a":18446744073709551615,"b":1.50})");
}

TEST_CASE("key order is kept, and new keys come last in the order of the pins")
{
    CHECK(merged(R"({"c":1,"b":2,"a":3})", R"({"z":0,"b":9,"y":0})") == R"({"c":1,"b":9,"a":3,"z":0,"y":0})");
}

TEST_CASE("an image of 20 MB goes through in one piece")
{
    const std::string image(20 * 1024 * 1024, 'A');
    const std::string body = R"({"model":"m","images":[")" + image + R"("]})";
    CHECK(merged(body, R"({"model":"n"})") == R"({"model":"n","images":[")" + image + R"("]})");
}

TEST_CASE("what follows the first value is left out")
{
    CHECK(merged(R"({"model":"a"} {"model":"b"})", R"({"model":"p"})") == R"({"model":"p"})");
}

TEST_CASE("pins of two layers: the later wins")
{
    const auto both = Pins::compile(R"({"options":{"num_ctx":1,"seed":1}})")->with(*Pins::compile(R"({"options":{"num_ctx":2}})"));
    CHECK(both.merge_into("{}") == R"({"options":{"num_ctx":2,"seed":1}})");
}

TEST_CASE("what cannot be pinned is refused when it is configured")
{
    for (const auto* text : {"", "5", "[1]", "null", "\"x\"", "{", "{\"a\":}", "{} {}", "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":2}}", "{\"a\":1,\"A\":2}"}) {
        INFO(text);
        CHECK_FALSE(Pins::compile(text).has_value());
    }
    std::string deep;
    for (int i = 0; i < 40; ++i) {
        deep += "{\"a\":";
    }
    CHECK_FALSE(Pins::compile(deep + "1" + std::string(40, '}')).has_value());
    CHECK_FALSE(Pins::compile("{\"a\":\"" + std::string(70'000, 'x') + "\"}").has_value());
}

TEST_CASE("a key is named regardless of case")
{
    CHECK(Pins::compile(R"({"Model":"x"})")->names("model"));
    CHECK_FALSE(Pins::compile(R"({"options":{"model":"x"}})")->names("model"));
}
